package classifier_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// pictureModel returns a model whose output has the bytes of its input, a picture.
func pictureModel(kind tflite.TensorType, height, width int32) *tflite.Model {
	zero := int64(128)
	if kind == tflite.TypeInt8 {
		zero = 0
	}
	q := &tflite.Quantization{Scale: []float32{1.0 / 128}, ZeroPoint: []int64{zero}}
	if kind == tflite.TypeFloat32 {
		q = nil
	}
	flat := []int32{1, height * width * 3}
	return &tflite.Model{
		Version:       3,
		Buffers:       []tflite.Buffer{nil},
		OperatorCodes: []tflite.OperatorCode{{Builtin: tflite.OpReshape, Version: 1}},
		SignatureDefs: []tflite.SignatureDef{{Key: "serve", Inputs: []tflite.TensorMap{{Name: "in", Tensor: 0}}, Outputs: []tflite.TensorMap{{Name: "out", Tensor: 1}}}},
		Subgraphs: []tflite.Subgraph{{
			Tensors:            []tflite.Tensor{{Name: "in", Type: kind, Shape: []int32{1, height, width, 3}, Quantization: q}, {Name: "out", Type: kind, Shape: flat, Quantization: q}},
			Inputs:             []int32{0},
			Outputs:            []int32{1},
			Operators:          []tflite.Operator{{Inputs: []int32{0}, Outputs: []int32{1}, Options: tflite.ReshapeOptions{NewShape: flat}.Options(), DebugMetadataIndex: -1}},
			DebugMetadataIndex: -1,
		}},
	}
}

// TestAdaptToFrigate gives pictures of 224×224 pixels to models with other inputs. If the sizes
// divide 224, every pixel must be the mean of its block. Otherwise the colors of a plain picture
// must stay.
func TestAdaptToFrigate(t *testing.T) {
	for _, test := range []struct {
		kind          tflite.TensorType
		height, width int32
		operators     int
	}{
		{tflite.TypeUint8, 224, 224, 1}, {tflite.TypeUint8, 112, 112, 2}, {tflite.TypeUint8, 56, 112, 2}, {tflite.TypeUint8, 128, 128, 3},
		{tflite.TypeUint8, 160, 224, 3}, {tflite.TypeUint8, 300, 300, 2}, {tflite.TypeInt8, 224, 224, 2}, {tflite.TypeInt8, 56, 56, 3}, {tflite.TypeInt8, 96, 96, 4},
	} {
		t.Run(fmt.Sprintf("%v_%dx%d", test.kind, test.height, test.width), func(t *testing.T) {
			m := pictureModel(test.kind, test.height, test.width)
			if err := classifier.AdaptToFrigate(m); err != nil {
				t.Fatal(err)
			}
			m = reread(t, m)
			if got := len(m.Subgraphs[0].Operators); got != test.operators {
				t.Errorf("got %d operators, want %d", got, test.operators)
			}
			if got, want := m.SignatureDefs[0].Inputs[0].Tensor, uint32(m.Subgraphs[0].Inputs[0]); got != want {
				t.Errorf("the signature's input is tensor %d, want %d", got, want)
			}
			in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			exact := 224%test.height == 0 && 224%test.width == 0
			color := func(y, x, channel int32) byte {
				if exact {
					return byte(7*(y*test.height/224) + 3*(x*test.width/224) + 50*channel)
				}
				return byte(20 + 90*channel)
			}
			picture := in.Input(0)
			if len(picture) != 224*224*3 {
				t.Fatalf("the input has %d bytes, want %d", len(picture), 224*224*3)
			}
			for i := range picture {
				p := int32(i)
				picture[i] = color(p/3/224, p/3%224, p%3)
			}
			if err := in.Invoke(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, got := range in.Output(0) {
				p := int32(i)
				y, x := p/3/test.width, p/3%test.width
				want := color((y*224+test.height-1)/test.height, (x*224+test.width-1)/test.width, p%3)
				if test.kind == tflite.TypeInt8 {
					want -= 128
				}
				if got != want {
					t.Fatalf("value %d of pixel %d, %d is %d, want %d", p%3, y, x, got, want)
				}
			}
		})
	}
}

func TestAdaptToFrigateRefuses(t *testing.T) {
	for name, change := range map[string]func(*tflite.Model){
		"float32":    func(m *tflite.Model) { *m = *pictureModel(tflite.TypeFloat32, 8, 8) },
		"no scale":   func(m *tflite.Model) { m.Subgraphs[0].Tensors[0].Quantization = nil },
		"gray":       func(m *tflite.Model) { m.Subgraphs[0].Tensors[0].Shape[3] = 1 },
		"a vector":   func(m *tflite.Model) { m.Subgraphs[0].Tensors[0].Shape = []int32{1, 192} },
		"empty":      func(m *tflite.Model) { m.Subgraphs[0].Tensors[0].Shape[1] = 0 },
		"two inputs": func(m *tflite.Model) { m.Subgraphs[0].Inputs = []int32{0, 1} },
		"compiled":   func(m *tflite.Model) { m.OperatorCodes[0].CustomCode = "edgetpu-custom-op" },
	} {
		m := pictureModel(tflite.TypeUint8, 8, 8)
		change(m)
		if err := classifier.AdaptToFrigate(m); !errors.Is(err, classifier.ErrShape) {
			t.Errorf("%s: got error %v, want %v", name, err, classifier.ErrShape)
		}
	}
}
