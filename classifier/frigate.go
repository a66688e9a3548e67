package classifier

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// frigateSize is the height and width of the pictures that Frigate's custom classification gives to
// models, whatever input they have (frigate/data_processing/real_time/custom_classification.py).
const frigateSize = 224

// FrigateNone is the label that Frigate's custom classification takes for "no known class".
const FrigateNone = "none"

// AdaptToFrigate changes the input of m to a uint8 RGB picture of 224×224 pixels. Operators that
// it adds in front shrink the picture: RESIZE_BILINEAR to a multiple of the model's own size, and
// AVERAGE_POOL_2D, so that no pixel is skipped.
//
// It returns an error that wraps [ErrShape] if the input is not one quantized picture of three
// channels, or if m is compiled for the Edge TPU, which Frigate does not use for classification.
func AdaptToFrigate(m *tflite.Model) error {
	for _, c := range m.OperatorCodes {
		if c.CustomCode != "" {
			return fmt.Errorf("adapt to Frigate: operator %s: Frigate classifies with TensorFlow Lite's own operators, on the CPU: %w", c.CustomCode, ErrShape)
		}
	}
	g := &m.Subgraphs[0]
	if len(g.Inputs) != 1 {
		return fmt.Errorf("adapt to Frigate: the model has %d inputs, not 1: %w", len(g.Inputs), ErrShape)
	}
	old := g.Inputs[0]
	t := g.Tensors[old]
	quantized := (t.Type == tflite.TypeUint8 || t.Type == tflite.TypeInt8) && t.Quantization != nil && len(t.Quantization.Scale) == 1 && len(t.Quantization.ZeroPoint) == 1
	if !quantized || len(t.Shape) != 4 || t.Shape[0] != 1 || t.Shape[3] != 3 || t.Shape[1] <= 0 || t.Shape[2] <= 0 {
		return fmt.Errorf("adapt to Frigate: the model's input is %v %v, not a quantized picture: %w", t.Type, t.Shape, ErrShape)
	}
	zero := t.Quantization.ZeroPoint[0]
	if t.Type == tflite.TypeInt8 {
		zero += 128
	}
	a := inputAdapter{m: m, picture: tflite.Tensor{Name: "imprint/picture", Shape: []int32{1, frigateSize, frigateSize, 3}, Type: tflite.TypeUint8,
		Quantization: &tflite.Quantization{Scale: t.Quantization.Scale, ZeroPoint: []int64{zero}}}}
	a.add(t)
	if len(a.steps) == 0 {
		return nil
	}
	a.insert(old)
	return nil
}

// An inputAdapter builds the operators between a new input and the old one.
type inputAdapter struct {
	m       *tflite.Model
	picture tflite.Tensor // the new input
	steps   []inputStep
}

// An inputStep is an operator with one output. size is the second input of RESIZE_BILINEAR.
type inputStep struct {
	code    tflite.BuiltinOperator
	version int32
	options tflite.Options
	size    []int32
	out     tflite.Tensor
}

// add makes the steps from the picture to the tensor to.
func (a *inputAdapter) add(to tflite.Tensor) {
	height, width := to.Shape[1], to.Shape[2]
	kh, kw := (frigateSize+height-1)/height, (frigateSize+width-1)/width
	out := a.picture
	if kh*height != frigateSize || kw*width != frigateSize {
		out.Name, out.Shape = "imprint/resized", []int32{1, kh * height, kw * width, 3}
		o := tflite.ResizeOptions{HalfPixelCenters: true}.Options(tflite.OptionsResizeBilinear)
		a.steps = append(a.steps, inputStep{tflite.OpResizeBilinear, 3, o, out.Shape[1:3], out})
	}
	if kh > 1 || kw > 1 {
		out.Name, out.Shape = "imprint/shrunk", []int32{1, height, width, 3}
		o := tflite.Pool2DOptions{Padding: tflite.PaddingValid, StrideW: kw, StrideH: kh, FilterWidth: kw, FilterHeight: kh}.Options()
		a.steps = append(a.steps, inputStep{tflite.OpAveragePool2D, 1, o, nil, out})
	}
	if to.Type == tflite.TypeInt8 {
		a.steps = append(a.steps, inputStep{tflite.OpQuantize, 1, tflite.EmptyOptions(tflite.OptionsQuantize), nil, to})
	}
}

// insert puts the steps in front of the operators that read the tensor old, the main graph's input.
func (a *inputAdapter) insert(old int32) {
	g := &a.m.Subgraphs[0]
	input := a.m.AddTensor(0, a.picture)
	g.Inputs = []int32{input}
	for i := range a.m.SignatureDefs {
		for j, in := range a.m.SignatureDefs[i].Inputs {
			if a.m.SignatureDefs[i].Subgraph == 0 && in.Tensor == uint32(old) {
				a.m.SignatureDefs[i].Inputs[j].Tensor = uint32(input)
			}
		}
	}
	b := &graphBuilder{m: a.m, current: input}
	rest := g.Operators
	g.Operators = nil
	for _, s := range a.steps {
		var constants []int32
		if s.size != nil {
			constants = []int32{b.constant(tflite.Tensor{Name: s.out.Name + "/size", Shape: []int32{2}, Type: tflite.TypeInt32}, int32Bytes(s.size...))}
		}
		b.op(s.code, s.version, s.options, s.out, constants...)
	}
	// The last step writes the old input instead of a tensor of its own.
	g.Operators[len(g.Operators)-1].Outputs = []int32{old}
	g.Tensors = g.Tensors[:len(g.Tensors)-1]
	g.Operators = append(g.Operators, rest...)
}
