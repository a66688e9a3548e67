package backbonetest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// Detector returns the model file of a uint8 detector, a very small SSD with random weights: input
// [1, 32, 32, 3]; two levels of 8×8 and 4×4 positions with 3 anchors each, whose classes and boxes
// are predicted by CONV_2D; RESHAPE, CONCATENATION, LOGISTIC and TFLite_Detection_PostProcess, which
// reports up to 5 boxes. As in converted models, the shapes of the outputs are missing. The labels
// are "thing 0", "thing 1" and so on.
func Detector(classes int) []byte {
	const anchorsPerPlace, zero, scale = 3, 128, 0.05
	b := input()
	b.conv("conv", 3, 3, 16, 2, tflite.ActRelu6, relu, 0)
	var boxes, scores []int32
	var anchors []byte
	rows := int32(0)
	for level, side := range []int32{8, 4} {
		name := fmt.Sprint("level ", level)
		b.conv(name, 3, 3, 24, 2, tflite.ActRelu6, relu, 0)
		features := b.at
		rows += side * side * anchorsPerPlace
		predict := func(kind string, values int32) int32 {
			b.at = features
			b.conv(name+"/"+kind, 1, 1, int(anchorsPerPlace*values), 1, tflite.ActNone, scale, zero)
			shape := []int32{1, side * side * anchorsPerPlace, values}
			b.op(tflite.OpReshape, tflite.ReshapeOptions{NewShape: shape}.Options(), b.tensor(name+"/"+kind+"/rows", shape, scale, zero))
			return b.at
		}
		boxes, scores = append(boxes, predict("boxes", 4)), append(scores, predict("classes", int32(classes)+1))
		b.at = features
		for i := range side * side {
			for a := range anchorsPerPlace {
				center := func(x int32) byte { return byte((2*x + 1) * 128 / side) }
				size := 160 / byte(side)
				anchors = append(anchors, center(i/side), center(i%side), size+byte(8*a), size+byte(8*(2-a)))
			}
		}
	}
	join := func(name string, parts []int32, values int32) int32 {
		b.at = parts[0]
		b.op(tflite.OpConcatenation, tflite.ConcatenationOptions{Axis: 1}.Options(), b.tensor(name, []int32{1, rows, values}, scale, zero), parts[1:]...)
		return b.at
	}
	encodings := join("encodings", boxes, 4)
	join("logits", scores, int32(classes)+1)
	b.op(tflite.OpLogistic, tflite.Options{}, b.tensor("scores", []int32{1, rows, int32(classes) + 1}, 1.0/256, 0))
	b.postProcess(encodings, b.at, b.constant(tflite.Tensor{Name: "anchors", Shape: []int32{rows, 4}, Type: tflite.TypeUint8,
		Quantization: &tflite.Quantization{Scale: []float32{1.0 / 256}, ZeroPoint: []int64{0}}}, anchors), Flexbuffer(detectionOptions(kernels.DetectionParams{
		Classes: classes, MaxDetections: 5, ClassesPerBox: 1, ScoreThreshold: 1e-8, IoUThreshold: 0.6, Scale: [4]float32{10, 10, 5, 5}})))
	var labels []string
	for i := range classes {
		labels = append(labels, fmt.Sprint("thing ", i))
	}
	if err := b.m.SetLabels(labels); err != nil {
		panic(err)
	}
	return encode(b)
}

// PostProcess returns the model file of one TFLite_Detection_PostProcess with random anchors. Its
// inputs are encodings [1, boxes, 4] and scores [1, boxes, columns], of type uint8 or float32.
func PostProcess(p kernels.DetectionParams, t tflite.TensorType, boxes, columns int) []byte {
	return PostProcessOptions(Flexbuffer(detectionOptions(p)), t, boxes, columns)
}

// PostProcessOptions is like [PostProcess], with options that may be invalid.
func PostProcessOptions(options []byte, t tflite.TensorType, boxes, columns int) []byte {
	b := input()
	b.m.Subgraphs[0].Tensors = nil
	add := func(name string, scale float32, zero int64, shape ...int32) tflite.Tensor {
		tensor := tflite.Tensor{Name: name, Type: t, Shape: shape}
		if t == tflite.TypeUint8 {
			tensor.Quantization = &tflite.Quantization{Scale: []float32{scale}, ZeroPoint: []int64{zero}}
		}
		return tensor
	}
	encodings := b.m.AddTensor(0, add("encodings", 0.11, 131, 1, int32(boxes), 4))
	scores := b.m.AddTensor(0, add("scores", 1.0/256, 0, 1, int32(boxes), int32(columns)))
	b.m.Subgraphs[0].Inputs = []int32{encodings, scores}
	var anchors []byte
	for range 4 * boxes {
		if code := b.random.Uint32(); t == tflite.TypeUint8 {
			anchors = append(anchors, byte(code))
		} else {
			anchors = binary.LittleEndian.AppendUint32(anchors, math.Float32bits(float32(code)/(1<<32)))
		}
	}
	b.postProcess(encodings, scores, b.constant(add("anchors", 0.0057, 2, int32(boxes), 4), anchors), options)
	if t == tflite.TypeUint8 { // codes below the zero point would be negative sizes
		content := b.m.Buffers[len(b.m.Buffers)-1]
		for i := range content {
			content[i] = max(content[i], 2)
		}
	}
	return encode(b)
}

// postProcess adds a TFLite_Detection_PostProcess and makes its outputs those of the model.
func (b *builder) postProcess(encodings, scores, anchors int32, options []byte) {
	g := &b.m.Subgraphs[0]
	g.Outputs = nil
	for i := range 4 {
		g.Outputs = append(g.Outputs, b.m.AddTensor(0, tflite.Tensor{Name: fmt.Sprint("detections:", i), Type: tflite.TypeFloat32}))
	}
	g.Operators = append(g.Operators, tflite.Operator{Opcode: b.m.OperatorCode(tflite.OpCustom, "TFLite_Detection_PostProcess", 1),
		Inputs: []int32{encodings, scores, anchors}, Outputs: g.Outputs, CustomOptions: options, DebugMetadataIndex: -1})
}

func detectionOptions(p kernels.DetectionParams) map[string]any {
	return map[string]any{
		"num_classes": p.Classes, "max_detections": p.MaxDetections, "max_classes_per_detection": p.ClassesPerBox,
		"use_regular_nms": p.Regular, "detections_per_class": p.PerClass,
		"nms_score_threshold": p.ScoreThreshold, "nms_iou_threshold": p.IoUThreshold,
		"y_scale": p.Scale[0], "x_scale": p.Scale[1], "h_scale": p.Scale[2], "w_scale": p.Scale[3],
	}
}

// Flexbuffer returns a FlexBuffers map of ints, float32s and bools, each four bytes wide. Other
// values become null.
func Flexbuffer(values map[string]any) []byte {
	var b, types []byte
	keys := slices.Sorted(maps.Keys(values))
	at := make(map[string]int)
	for _, key := range keys {
		at[key] = len(b)
		b = append(append(b, key...), 0)
	}
	put := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	back := func(to int) { put(uint32(len(b) - to)) }
	put(uint32(len(keys)))
	list := len(b)
	for _, key := range keys {
		back(at[key])
	}
	back(list)
	put(4) // width of the keys' offsets
	put(uint32(len(keys)))
	root := len(b)
	const width4, typeInt, typeFloat, typeMap, typeBool = 2, 1 << 2, 3 << 2, 9 << 2, 26 << 2
	for _, key := range keys {
		switch v := values[key].(type) {
		case int:
			put(uint32(v))
			types = append(types, typeInt|width4)
		case float32:
			put(math.Float32bits(v))
			types = append(types, typeFloat|width4)
		case bool:
			put(map[bool]uint32{true: 1}[v])
			types = append(types, typeBool|width4)
		default:
			put(0)
			types = append(types, 0)
		}
	}
	b = append(b, types...)
	back(root)
	return append(b, typeMap|width4, 4)
}
