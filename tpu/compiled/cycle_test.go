package compiled

import (
	"errors"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// TestEmbeddingInCycle checks that embedding returns an error if the last layer reads a RESHAPE
// that reads its own output. The frozen model has no operators.
func TestEmbeddingInCycle(t *testing.T) {
	p := &Pair{uncompiled: &tflite.Model{Subgraphs: []tflite.Subgraph{{
		Tensors:   make([]tflite.Tensor, 3),
		Operators: []tflite.Operator{{Inputs: []int32{1}, Outputs: []int32{1}}, {Inputs: []int32{1}, Outputs: []int32{2}}},
	}}}}
	p.sources = sourcesOf(p.uncompiled)
	frozen := &tflite.Model{Subgraphs: make([]tflite.Subgraph, 1)}
	done := make(chan error, 1)
	go func() {
		_, err := p.embedding(frozen, 1)
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, ErrCompiled) {
			t.Errorf("got error %v, want %v", err, ErrCompiled)
		}
	case <-time.After(time.Minute):
		t.Fatal("still running after a minute")
	}
}
