package backbone

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
)

// outputs returns the bytes of all outputs.
func outputs(in *Interpreter) []byte {
	var all []byte
	for i := range in.Outputs() {
		all = append(all, in.Output(i)...)
	}
	return all
}

// TestGoldenDetections compares all outputs of two detectors with TensorFlow Lite's.
func TestGoldenDetections(t *testing.T) {
	for _, name := range []string{"ssd_v1_075_37pets", "ssdlite_v2_1class"} {
		t.Run(name, func(t *testing.T) {
			in, err := NewInterpreter(sharedModel(t, "detect/"+name+".tflite"), InterpreterOptions{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			for _, path := range reference.Glob(t, "golden_more/"+name+"/*.in") {
				recorded := filepath.Join("golden_more", name, strings.TrimSuffix(filepath.Base(path), ".in"))
				copy(in.Input(0), reference.Read(t, recorded+".in"))
				if err := in.Invoke(context.Background()); err != nil {
					t.Fatal(err)
				}
				if got, want := outputs(in), reference.Read(t, recorded+".out"); !bytes.Equal(got, want) {
					t.Errorf("%s: got %v, want %v", path, floats(got), floats(want))
				}
			}
		})
	}
}

func floats(raw []byte) []float64 {
	list := make([]float64, len(raw)/4)
	(&TensorInfo{Type: tflite.TypeFloat32}).Dequantize(list, raw)
	return list
}

// TestDetectorShapes checks that the interpreter knows the shapes of the outputs, which the file
// lacks, and leaves the model as it was.
func TestDetectorShapes(t *testing.T) {
	m, err := tflite.Parse(backbonetest.Detector(2))
	if err != nil {
		t.Fatal(err)
	}
	in, err := NewInterpreter(m, InterpreterOptions{KeepAll: true})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for i, want := range [][]int{{1, 5, 4}, {1, 5}, {1, 5}, {1}} {
		info := in.Outputs()[i]
		n := 1
		for j, d := range info.Shape {
			n *= int(d)
			if len(want) != len(info.Shape) || want[j] != int(d) {
				t.Errorf("output %d has shape %v, want %v", i, info.Shape, want)
				break
			}
		}
		if len(in.Output(i)) != 4*n || len(m.Subgraphs[0].Tensors[info.Index].Shape) != 0 {
			t.Errorf("output %d has %d bytes; the model's shape is now %v", i, len(in.Output(i)), m.Subgraphs[0].Tensors[info.Index].Shape)
		}
	}
}

func TestDetectionOptions(t *testing.T) {
	good := map[string]any{"num_classes": 2, "max_detections": 3, "max_classes_per_detection": 1, "nms_iou_threshold": float32(0.5),
		"y_scale": float32(10), "x_scale": 10, "h_scale": float32(5), "w_scale": float32(5)}
	want := kernels.DetectionParams{Classes: 2, MaxDetections: 3, ClassesPerBox: 1, PerClass: 100, IoUThreshold: 0.5, Scale: [4]float32{10, 10, 5, 5}}
	if got, err := ParseDetectionOptions(backbonetest.Flexbuffer(good)); err != nil || *got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for name, test := range map[string]struct {
		key   string
		value any
		want  error
	}{
		"huge":         {"max_detections", math.MaxInt32, ErrUnsupportedOperator},
		"negative":     {"max_detections", -1, kernels.ErrInvalid},
		"missing":      {"num_classes", nil, kernels.ErrInvalid},
		"not a number": {"num_classes", float32(math.NaN()), tflite.ErrCorrupt},
		"infinite":     {"detections_per_class", float32(math.Inf(1)), tflite.ErrCorrupt},
		"threshold":    {"nms_iou_threshold", float32(math.NaN()), kernels.ErrInvalid},
		"scale":        {"h_scale", 0, kernels.ErrInvalid},
	} {
		changed := make(map[string]any)
		for k, v := range good {
			changed[k] = v
		}
		changed[test.key] = test.value
		if _, err := ParseDetectionOptions(backbonetest.Flexbuffer(changed)); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", name, err, test.want)
		}
	}
	if _, err := ParseDetectionOptions(nil); !errors.Is(err, tflite.ErrCorrupt) {
		t.Errorf("no options: got error %v, want %v", err, tflite.ErrCorrupt)
	}
}

// TestSlowDetection checks that a small file cannot ask for minutes of work.
func TestSlowDetection(t *testing.T) {
	p := kernels.DetectionParams{Classes: 5000, MaxDetections: 1 << 16, ClassesPerBox: 1, Regular: true, PerClass: 1 << 16, IoUThreshold: 1, Scale: [4]float32{1, 1, 1, 1}}
	m, err := tflite.Parse(backbonetest.PostProcess(p, tflite.TypeUint8, 1000, 5000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewInterpreter(m, InterpreterOptions{}); !errors.Is(err, ErrUnsupportedOperator) {
		t.Errorf("got error %v, want %v", err, ErrUnsupportedOperator)
	}
}

// FuzzDetection reads options and runs what they describe on any encodings and scores.
func FuzzDetection(f *testing.F) {
	p := kernels.DetectionParams{Classes: 2, MaxDetections: 3, ClassesPerBox: 2, ScoreThreshold: 0.1, IoUThreshold: 0.5, Scale: [4]float32{10, 10, 5, 5}}
	valid := backbonetest.PostProcess(p, tflite.TypeFloat32, 3, 3)
	p.Regular, p.PerClass = true, 2
	regular := backbonetest.PostProcess(p, tflite.TypeFloat32, 3, 3)
	for _, file := range [][]byte{valid, regular} {
		m, err := tflite.Parse(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Subgraphs[0].Operators[0].CustomOptions, []byte{0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0x3f}, uint8(3), true)
	}
	f.Fuzz(func(t *testing.T, options, values []byte, boxes uint8, float bool) {
		kind := tflite.TypeUint8
		if float {
			kind = tflite.TypeFloat32
		}
		parsed, err := ParseDetectionOptions(options)
		columns := 1
		if err == nil {
			columns = min(parsed.Classes, 300)
		}
		m, err := tflite.Parse(backbonetest.PostProcessOptions(options, kind, int(boxes), columns))
		if err != nil {
			t.Fatal(err)
		}
		in, err := NewInterpreter(m, InterpreterOptions{})
		if err != nil {
			if !errors.Is(err, tflite.ErrCorrupt) && !errors.Is(err, kernels.ErrInvalid) && !errors.Is(err, ErrUnsupportedOperator) && !errors.Is(err, ErrModelTooLarge) {
				t.Fatalf("error wraps no sentinel: %v", err)
			}
			return
		}
		defer in.Close()
		for i := range 2 {
			for at := range in.Input(i) {
				if len(values) > 0 {
					in.Input(i)[at] = values[at%len(values)]
				}
			}
		}
		if err := in.Invoke(context.Background()); err != nil {
			t.Fatal(err)
		}
		n := math.Float32frombits(binary.LittleEndian.Uint32(in.Output(3)))
		if !(n >= 0 && int(n) <= len(in.Output(2))/4) {
			t.Errorf("%v detections in outputs of %d", n, len(in.Output(2))/4)
		}
	})
}
