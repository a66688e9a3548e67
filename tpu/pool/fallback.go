package pool

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// FallbackDevice is the device name of results that the CPU computed in place of an Edge TPU.
const FallbackDevice = "cpu (fallback)"

// A fallback runs a program for the Edge TPU on the CPU.
type fallback struct {
	first *backbone.Interpreter
	mu    sync.Mutex
	idle  []*backbone.Interpreter
}

// newFallback returns a fallback for e. m is the model that e was compiled from. newFallback
// finds e's inputs and outputs among the tensors of m by name.
func newFallback(m *tflite.Model, e *executable.Executable) (*fallback, error) {
	if len(m.Subgraphs) == 0 || backbone.Compiled(m) {
		return nil, fmt.Errorf("%w: it must not be compiled for the Edge TPU", ErrDevice)
	}
	graph := m.Subgraphs[0]
	find := func(layers []executable.Layer) ([]int32, error) {
		var list []int32
		for _, l := range layers {
			at := slices.IndexFunc(graph.Tensors, func(t tflite.Tensor) bool { return t.Name == l.Name })
			if at < 0 {
				return nil, fmt.Errorf("%w: it has no tensor %q", ErrDevice, l.Name)
			}
			list = append(list, int32(at))
		}
		return list, nil
	}
	var err error
	if graph.Inputs, err = find(e.Inputs); err != nil {
		return nil, err
	}
	outputs, err := find(e.Outputs)
	if err != nil {
		return nil, err
	}
	model := *m
	model.Subgraphs = []tflite.Subgraph{graph}
	in, err := backbone.NewInterpreter(&model, backbone.InterpreterOptions{Outputs: outputs, Arithmetic: backbone.EdgeTPU})
	if err != nil {
		return nil, err
	}
	if err := sameSizes(e.Inputs, in.Input); err != nil {
		return nil, err
	}
	if err := sameSizes(e.Outputs, in.Output); err != nil {
		return nil, err
	}
	return &fallback{first: in, idle: []*backbone.Interpreter{in}}, nil
}

// sameSizes returns an error unless layers and an interpreter's tensors have the same sizes.
func sameSizes(layers []executable.Layer, tensor func(int) []byte) error {
	for i, l := range layers {
		if got, want := len(tensor(i)), l.TensorSize(); got != want {
			return fmt.Errorf("%w: tensor %q has %d bytes, not %d", ErrDevice, l.Name, got, want)
		}
	}
	return nil
}

func (f *fallback) run(ctx context.Context, inputs, outputs [][]byte) error {
	in, err := f.take()
	if err != nil {
		return err
	}
	for i := range inputs {
		copy(in.Input(i), inputs[i])
	}
	err = in.Invoke(ctx)
	for i := range outputs {
		copy(outputs[i], in.Output(i))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle = append(f.idle, in)
	return err
}

// take returns an idle interpreter, or a new one.
func (f *fallback) take() (*backbone.Interpreter, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.idle)
	if n == 0 {
		return f.first.Clone()
	}
	in := f.idle[n-1]
	f.idle = f.idle[:n-1]
	return in, nil
}
