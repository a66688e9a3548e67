package backbone

import (
	"errors"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// within fails the test if f takes longer than a minute.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("still running after a minute")
	}
}

// cyclic returns a model with n operators of one kind that read each other's outputs in
// a cycle.
func cyclic(code tflite.BuiltinOperator, n int) *tflite.Model {
	g := tflite.Subgraph{Inputs: []int32{0}, Outputs: []int32{1}}
	g.Tensors = append(g.Tensors, tflite.Tensor{Name: "in", Shape: []int32{1, 8}, Type: tflite.TypeUint8})
	for i := range n {
		g.Tensors = append(g.Tensors, tflite.Tensor{Name: "t", Shape: []int32{1, 8}, Type: tflite.TypeUint8})
		g.Operators = append(g.Operators, tflite.Operator{Inputs: []int32{int32(1 + (i+1)%n)}, Outputs: []int32{int32(1 + i)}})
	}
	return &tflite.Model{
		Version: 3, OperatorCodes: []tflite.OperatorCode{{Builtin: code, Version: 1}},
		Subgraphs: []tflite.Subgraph{g}, Buffers: make([]tflite.Buffer, 1),
	}
}

// TestFindEmbeddingInCycle checks that the search for an embedding ends even if the path
// back from the output never reaches an input.
func TestFindEmbeddingInCycle(t *testing.T) {
	for _, code := range []tflite.BuiltinOperator{tflite.OpReshape, tflite.OpSoftmax, tflite.OpQuantize} {
		for n := 1; n <= 3; n++ {
			m := cyclic(code, n)
			within(t, func() {
				if _, last, err := FindEmbedding(m); err == nil && last >= 0 {
					t.Errorf("%v, %d operators: found last layer %d", code, n, last)
				}
			})
			b, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			within(t, func() {
				if _, err := Parse(b, Options{}); err == nil || errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("%v, %d operators: got error %v", code, n, err)
				}
			})
		}
	}
}
