package imprint

import (
	"errors"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// TestCutCycle checks that cut returns an error for a model with a single operator that reads its
// own output.
func TestCutCycle(t *testing.T) {
	w := openNew(t)
	m := &tflite.Model{
		OperatorCodes: []tflite.OperatorCode{{Builtin: tflite.OpReshape}},
		Subgraphs: []tflite.Subgraph{{
			Tensors:   []tflite.Tensor{{Name: "in"}, {Name: "out"}},
			Inputs:    []int32{0},
			Outputs:   []int32{1},
			Operators: []tflite.Operator{{Inputs: []int32{1}, Outputs: []int32{1}}},
		}},
	}
	done := make(chan error, 1)
	go func() { done <- w.cut(m) }()
	select {
	case err := <-done:
		if !errors.Is(err, classifier.ErrShape) {
			t.Errorf("got error %v, want %v", err, classifier.ErrShape)
		}
	case <-time.After(time.Minute):
		t.Fatal("still running after a minute")
	}
}
