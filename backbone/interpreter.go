package backbone

import (
	"context"
	"errors"
	"fmt"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

var (
	// ErrUnsupportedOperator means that a model needs an operator, or a form of one, that
	// this package cannot run.
	ErrUnsupportedOperator = errors.New("unsupported operator")
	// ErrModelTooLarge means that a model needs more memory than MaxArena, or has more
	// than 16384 operators or tensors.
	ErrModelTooLarge = errors.New("model needs too much memory")
	// ErrClosed is returned by Invoke after Close.
	ErrClosed = errors.New("interpreter is closed")
)

// maxThreads is the maximum number of threads. More threads would need more scratch
// memory, and operators cannot be divided into more parts of a useful size.
const maxThreads = 64

// clampThreads returns n limited to 1…maxThreads.
func clampThreads(n int) int { return min(max(n, 1), maxThreads) }

// InterpreterOptions choose which tensors an Interpreter computes, and how.
type InterpreterOptions struct {
	// Threads is the number of goroutines that share the work of each operator, clamped
	// to 1…64. One of them is the caller of Invoke. Results do not depend on Threads.
	Threads int
	// Outputs are the indices of the tensors to compute. Only operators that these
	// tensors depend on are prepared and run. Nil means the model's outputs.
	Outputs []int32
	// Arithmetic selects how operators round. The zero value is TFLite.
	Arithmetic Arithmetic
	// Accelerator runs operators compiled for the Edge TPU. If it is nil, NewInterpreter
	// returns ErrCompiled for models with such operators.
	Accelerator Accelerator
	// KeepAll gives every tensor its own memory, so that Tensor can return it after
	// Invoke.
	KeepAll bool
}

// An Interpreter runs a model's main graph on the CPU, except for operators that an
// Accelerator runs. Fill Input, call Invoke, then read Output.
//
// An Interpreter serves one goroutine at a time. Clone returns another Interpreter, which
// shares the weights and may run at the same time. Close stops an Interpreter's
// goroutines.
type Interpreter struct {
	*program // shared among clones, never written
	arena    []byte
	args     []kernels.Args // one for each step
	outs     [][][]byte     // one for each step
	pool     *workerPool
	device   string // of the last Invoke
	closed   bool
}

// NewInterpreter prepares the operators that the outputs in o need. It copies or packs
// all constants, so the file that m was parsed from can be freed.
//
// The error wraps ErrUnsupportedOperator, ErrCompiled, ErrModelTooLarge,
// [tflite.ErrCorrupt], or [kernels.ErrInvalid] if an operator does not fit its
// tensors.
func NewInterpreter(m *tflite.Model, o InterpreterOptions) (*Interpreter, error) {
	p, err := newProgram(m, o)
	if err != nil {
		return nil, err
	}
	return p.start(clampThreads(o.Threads)), nil
}

// Clone returns another Interpreter with the same options. It shares the prepared
// weights and has its own memory and goroutines.
func (in *Interpreter) Clone() (*Interpreter, error) {
	return in.program.start(len(in.pool.workers)), nil
}

// CloneWith is like [Interpreter.Clone], with another number of threads.
func (in *Interpreter) CloneWith(threads int) *Interpreter {
	return in.program.start(clampThreads(threads))
}

// start returns an Interpreter that runs p.
func (p *program) start(threads int) *Interpreter {
	in := &Interpreter{program: p, arena: alignedBytes(p.arenaSize), pool: newWorkerPool(threads, p.scratchSize)}
	in.args, in.outs = make([]kernels.Args, len(p.steps)), make([][][]byte, len(p.steps))
	for i, s := range p.steps {
		for _, t := range s.outputs {
			in.outs[i] = append(in.outs[i], in.bytes(t))
		}
		if len(in.outs[i]) > 0 {
			in.args[i].Out, in.args[i].Outs = in.outs[i][0], in.outs[i]
		}
		for _, t := range s.inputs {
			in.args[i].In = append(in.args[i].In, in.bytes(t))
		}
	}
	return in
}

// bytes returns the memory of tensor t, or nil for an omitted operand.
func (in *Interpreter) bytes(t int32) []byte {
	if t < 0 {
		return nil
	}
	a := &in.allocations[t]
	if a.constant != nil {
		return a.constant
	}
	if !a.inArena {
		return nil
	}
	return in.arena[a.offset : a.offset+a.size : a.offset+a.size]
}

// Close stops the goroutines that Invoke started and waits for them. After that, Invoke
// returns ErrClosed, and Close does nothing.
func (in *Interpreter) Close() {
	if !in.closed {
		in.closed = true
		in.pool.close()
	}
}

// Memory describes how many bytes of memory an Interpreter uses.
type Memory struct {
	Weights int // packed weights and other constants, shared by all clones
	Arena   int // memory of the tensors, for each clone
	Scratch int // scratch memory, for each thread of each clone
}

// Memory returns the memory use of the Interpreter.
func (in *Interpreter) Memory() Memory {
	return Memory{Weights: in.keptSize, Arena: in.arenaSize, Scratch: in.scratchSize}
}

// Inputs describes the model's inputs.
func (in *Interpreter) Inputs() []TensorInfo { return in.describe(in.inputs) }

// Outputs describes the outputs chosen in InterpreterOptions.
func (in *Interpreter) Outputs() []TensorInfo { return in.describe(in.outputs) }

func (p *program) describe(list []int32) []TensorInfo {
	infos := make([]TensorInfo, len(list))
	for i, t := range list {
		infos[i] = describeTensor(p.graph, t)
	}
	return infos
}

// Input returns the memory of input i. Invoke may overwrite it, so fill it before
// every call. Input panics if i is out of range.
func (in *Interpreter) Input(i int) []byte { return in.bytes(in.inputs[i]) }

// Output returns the memory of output i, valid until the next Invoke. Output panics if
// i is out of range.
func (in *Interpreter) Output(i int) []byte { return in.bytes(in.outputs[i]) }

// Tensor returns the memory of a tensor, valid until the next Invoke. Without KeepAll
// it returns an error for tensors other than outputs and unpacked constants.
func (in *Interpreter) Tensor(index int32) ([]byte, error) {
	if index < 0 || int(index) >= len(in.allocations) {
		return nil, fmt.Errorf("no tensor %d: the model has %d", index, len(in.allocations))
	}
	a := &in.allocations[index]
	if a.constant == nil && !a.kept {
		return nil, fmt.Errorf("tensor %d (%s) is not kept", index, in.graph.Tensors[index].Name)
	}
	return in.bytes(index), nil
}

// CPU is the device name of a model that ran without an accelerator.
const CPU = "cpu"

// Device returns the name of the device that the last Invoke ran on: CPU, or the device
// that ran the model's last compiled operator.
func (in *Interpreter) Device() string { return in.device }

// Invoke runs the operators. If ctx ends first, Invoke returns ctx's error and the
// outputs are undefined. The error wraps [kernels.ErrInvalid] if an operator cannot
// compute its inputs, such as a division by zero.
func (in *Interpreter) Invoke(ctx context.Context) error {
	if in.closed {
		return ErrClosed
	}
	in.device = CPU
	in.pool.begin(ctx)
	for i := range in.steps {
		s := &in.steps[i]
		if s.checker != nil {
			if err := s.checker.Check(&in.args[i]); err != nil {
				return fmt.Errorf("output %s: %w", tensorName(in.graph, s.outputs[0]), err)
			}
		}
		if s.compiled == nil {
			in.pool.run(s, &in.args[i])
		} else if device, err := s.compiled.Run(ctx, in.args[i].In, in.outs[i]); err != nil {
			return err
		} else {
			in.device = device
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
