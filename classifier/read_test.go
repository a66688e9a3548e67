package classifier_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// TestReadBack checks that Read returns the head that Append wrote: exactly in the float
// layout, and within half a quantization step in the coral layout.
func TestReadBack(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	for _, negative := range []bool{false, true} {
		head := randomHead(6, b.Dim(), negative)
		head.Sqrt = true
		if got, _, err := classifier.Read(write(t, model, b, head, classifier.Float, nil)); err != nil || !got.Sqrt || !slices.Equal(got.Weights, head.Weights) {
			t.Errorf("with square roots: got %+v, error %v, want the same head", got, err)
		}
		head.Sqrt = false
		got, layout, err := classifier.Read(write(t, model, b, head, classifier.Float, nil))
		if err != nil || layout != classifier.Float {
			t.Fatalf("got layout %q, error %v, want float", layout, err)
		}
		if !slices.Equal(got.Weights, head.Weights) || !slices.Equal(got.Bias, head.Bias) || !slices.Equal(got.Labels, head.Labels) {
			t.Errorf("the float head has changed")
		}

		m := write(t, model, b, head, classifier.Coral, nil)
		got, layout, err = classifier.Read(m)
		if err != nil || layout != classifier.Coral {
			t.Fatalf("got layout %q, error %v, want coral", layout, err)
		}
		span := float64(slices.Max(head.Weights) - min(slices.Min(head.Weights), 0))
		for i, w := range head.Weights {
			if d := math.Abs(float64(got.Weights[i] - w)); d > 1.25*span/254/2*1.01 {
				t.Errorf("weight %d: %v became %v", i, w, got.Weights[i])
			}
		}
		for i, w := range head.Bias {
			if d := math.Abs(float64(got.Bias[i] - w)); d > 1e-3 {
				t.Errorf("bias %d: %v became %v", i, w, got.Bias[i])
			}
		}
	}
	m, err := tflite.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := classifier.Read(m); !errors.Is(err, classifier.ErrNoHead) {
		t.Errorf("model without a head: got %v, want %v", err, classifier.ErrNoHead)
	}
}

// TestReadMissingInputs checks that Read returns an error if operators lack inputs. A parsed
// file may contain such operators.
func TestReadMissingInputs(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	head := randomHead(3, b.Dim(), true)
	for _, tt := range []struct {
		name   string
		layout classifier.Layout
		damage func(ops []tflite.Operator, g *tflite.Subgraph)
	}{
		{"no weights", classifier.Float, func(ops []tflite.Operator, _ *tflite.Subgraph) { ops[len(ops)-2].Inputs[1] = -1 }},
		{"weights without a shape", classifier.Float, func(ops []tflite.Operator, g *tflite.Subgraph) {
			g.Tensors[ops[len(ops)-2].Inputs[1]].Shape = nil
		}},
		{"no second factor", classifier.Coral, func(ops []tflite.Operator, _ *tflite.Subgraph) { ops[len(ops)-3].Inputs = ops[len(ops)-3].Inputs[:1] }},
		{"missing second factor", classifier.Coral, func(ops []tflite.Operator, _ *tflite.Subgraph) { ops[len(ops)-3].Inputs[1] = -1 }},
	} {
		m := write(t, model, b, head, tt.layout, nil)
		g := &m.Subgraphs[0]
		tt.damage(g.Operators, g)
		if _, _, err := classifier.Read(m); !errors.Is(err, classifier.ErrShape) && !errors.Is(err, classifier.ErrNoHead) {
			t.Errorf("%s: got %v, want %v or %v", tt.name, err, classifier.ErrShape, classifier.ErrNoHead)
		}
	}
}
