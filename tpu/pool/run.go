package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrInput means that the inputs of [Run] have the wrong number or size.
var ErrInput = errors.New("input does not fit the model")

// RunOptions are the arguments of [Run].
type RunOptions struct {
	Inputs     [][]byte            // raw bytes of each input tensor
	Tensors    []int32             // tensors of the main graph to return; nil means the outputs
	Threads    int                 // number of CPU threads; 0 means 1
	Repeat     int                 // number of runs; 0 means 1
	Pool       *Pool               // nil means the CPU
	Arithmetic backbone.Arithmetic // arithmetic of the CPU
}

// A RunResult is the result of [Run].
type RunResult struct {
	Outputs [][]byte        // raw bytes of each output, or of Tensors
	Times   []time.Duration // duration of each run
	Device  string          // device of the last run
}

// Run runs the model in a file on raw tensor bytes. It fails with ErrInput if the inputs
// don't fit.
func Run(ctx context.Context, model string, o RunOptions) (*RunResult, error) {
	fail := func(err error) (*RunResult, error) { return nil, fmt.Errorf("run %s: %w", model, err) }
	file, err := tflite.ReadModel(model)
	if err != nil {
		return fail(err)
	}
	m, err := tflite.Parse(file.Model)
	if err != nil {
		return fail(err)
	}
	if err := o.Pool.check(m); err != nil {
		return fail(err)
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{
		Threads: max(o.Threads, 1), Outputs: o.Tensors, Arithmetic: o.Arithmetic, Accelerator: o.Pool.Accelerator(),
	})
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	inputs := in.Inputs()
	if len(o.Inputs) != len(inputs) {
		return fail(fmt.Errorf("%w: %d inputs given, %d needed", ErrInput, len(o.Inputs), len(inputs)))
	}
	r := new(RunResult)
	for range max(o.Repeat, 1) {
		// Copy the inputs for each run: other tensors use their memory too.
		for i, b := range o.Inputs {
			if len(b) != len(in.Input(i)) {
				return fail(fmt.Errorf("%w: input %d, %q, is %v %v and has %d bytes, not %d",
					ErrInput, i, inputs[i].Name, inputs[i].Type, inputs[i].Shape, len(in.Input(i)), len(b)))
			}
			copy(in.Input(i), b)
		}
		start := time.Now()
		if err := in.Invoke(ctx); err != nil {
			return fail(err)
		}
		r.Times = append(r.Times, time.Since(start))
	}
	r.Device = in.Device()
	for i := range in.Outputs() {
		r.Outputs = append(r.Outputs, bytes.Clone(in.Output(i)))
	}
	return r, nil
}
