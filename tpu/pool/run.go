package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// RunOptions say how Run runs a model.
type RunOptions struct {
	Inputs  [][]byte // raw bytes of each input tensor
	Tensors []int32  // tensors of the main graph to return; nil is the outputs
	Threads int
	Repeat  int // at least 1
	// Devices and Arithmetic are as in Options.
	Pool       *Pool
	Arithmetic backbone.Arithmetic
}

// RunResult is what a model made of its inputs.
type RunResult struct {
	Outputs [][]byte
	// Times has the duration of each run.
	Times  []time.Duration
	Device string // of the last run
}

// Run runs any model on raw tensor bytes.
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
		return fail(fmt.Errorf("%w: it has %d inputs, and %d were given", ErrInput, len(inputs), len(o.Inputs)))
	}
	r := new(RunResult)
	for range max(o.Repeat, 1) {
		// Each run begins anew: the memory of inputs is used for other tensors too.
		for i, b := range o.Inputs {
			if len(b) != len(in.Input(i)) {
				return fail(fmt.Errorf("%w: input %d, %q, is %v %v, %d bytes, and %d were given",
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
		r.Outputs = append(r.Outputs, append([]byte(nil), in.Output(i)...))
	}
	return r, nil
}

// ErrInput is wrapped when the bytes given to Run do not fit the model's inputs.
var ErrInput = errors.New("unfitting input")
