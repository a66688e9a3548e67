package backbone

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

var (
	// ErrUnsupportedOperator is wrapped when a model needs an operator, or a
	// form of one, that this package cannot run.
	ErrUnsupportedOperator = errors.New("unsupported operator")
	// ErrModelTooLarge is wrapped when running a model would take more memory
	// than MaxArena.
	ErrModelTooLarge = errors.New("model needs too much memory")
	// ErrClosed is returned by Invoke after Close.
	ErrClosed = errors.New("interpreter is closed")
)

// maxThreads bounds the memory for scratch; operators divide into no more pieces
// worth the trouble.
const maxThreads = 64

// InterpreterOptions choose how and how much of a model is run.
type InterpreterOptions struct {
	// Threads is the number of goroutines that share each operator's work, at
	// most 64; fewer than 2 means only the one that calls Invoke. The results do
	// not depend on it.
	Threads int
	// Outputs are the tensors wanted, as indices into the subgraph: only the
	// operators they need are prepared and run. Nil means the model's outputs.
	Outputs []int32
	// Arithmetic is how operators round, TFLite by default.
	Arithmetic Arithmetic
	// Accelerator runs what is compiled for the Edge TPU; nil refuses such models.
	Accelerator Accelerator
	// KeepAll gives every tensor memory of its own, so that Tensor can show
	// it after Invoke.
	KeepAll bool
}

// TensorInfo describes an input or output.
type TensorInfo struct {
	Name  string
	Index int32 // in the subgraph's tensors
	Type  tflite.TensorType
	Shape []int32
	// Scale and ZeroPoint have one entry for the tensor, or one per slice along
	// the model's quantised dimension; they are empty when it is not quantised.
	Scale     []float32
	ZeroPoint []int64
}

// Dequantize writes the real values of a tensor's bytes into dst, as many as that has
// places: scale·(q − zero point), exact in a float64. The tensor is uint8 or int8 with
// one scale, or float32.
func (t *TensorInfo) Dequantize(dst []float64, raw []byte) {
	var scale float64
	var zero int64
	if len(t.Scale) > 0 {
		scale = float64(t.Scale[0])
	}
	if len(t.ZeroPoint) > 0 {
		zero = int64(t.ZeroPoint[0])
	}
	for i := range dst {
		switch t.Type {
		case tflite.TypeUint8:
			dst[i] = scale * float64(int64(raw[i])-zero)
		case tflite.TypeInt8:
			dst[i] = scale * float64(int64(int8(raw[i]))-zero)
		default:
			dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		}
	}
}

// An Interpreter runs the first subgraph of a model, on the CPU but for what was
// compiled for an accelerator. Fill Input,
// call Invoke, read Output.
//
// An Interpreter is for one goroutine at a time; Clone makes others, which may
// run at the same time and share the weights. Close ends the goroutines of one
// with more than one thread.
type Interpreter struct {
	*program // shared among clones, never written
	arena    []byte
	args     []kernels.Args // of every step
	outs     [][][]byte     // of every step
	crew     *crew
	device   string // of the last Invoke
	closed   bool
}

// NewInterpreter prepares the operators that o asks for. It keeps nothing of the
// file that m was parsed from: weights are packed, other constants copied.
func NewInterpreter(m *tflite.Model, o InterpreterOptions) (*Interpreter, error) {
	p, err := prepare(m, o)
	if err != nil {
		return nil, err
	}
	return p.start(min(max(o.Threads, 1), maxThreads)), nil
}

// Clone makes another Interpreter with the same options, which shares the
// prepared weights and has its own memory.
func (in *Interpreter) Clone() (*Interpreter, error) {
	return in.program.start(len(in.crew.threads)), nil
}

func (p *program) start(threads int) *Interpreter {
	in := &Interpreter{program: p, arena: alignedBytes(p.arenaSize), crew: newCrew(threads, p.scratchSize)}
	in.args, in.outs = make([]kernels.Args, len(p.steps)), make([][][]byte, len(p.steps))
	for i, s := range p.steps {
		for _, t := range s.outputs {
			in.outs[i] = append(in.outs[i], in.bytes(t))
		}
		if len(in.outs[i]) > 0 {
			in.args[i].Out = in.outs[i][0]
		}
		for _, t := range s.inputs {
			in.args[i].In = append(in.args[i].In, in.bytes(t))
		}
	}
	return in
}

// bytes is the memory of a tensor: nil for an operand left out.
func (in *Interpreter) bytes(t int32) []byte {
	if t < 0 {
		return nil
	}
	p := &in.places[t]
	if p.constant != nil {
		return p.constant
	}
	if !p.planned {
		return nil
	}
	return in.arena[p.offset : p.offset+p.size : p.offset+p.size]
}

// Close ends the goroutines that the first Invoke started and waits for them.
// It may be called twice; Invoke may not be called after it.
func (in *Interpreter) Close() {
	if !in.closed {
		in.closed = true
		in.crew.close()
	}
}

// Memory says what running a model takes, in bytes.
type Memory struct {
	Weights int // packed, and other constants: once for an Interpreter and all its clones
	Arena   int // inputs, outputs and what is between, of each clone
	Scratch int // of each clone and thread
}

// Memory is what the interpreter takes.
func (in *Interpreter) Memory() Memory {
	return Memory{Weights: in.keptSize, Arena: in.arenaSize, Scratch: in.scratchSize}
}

// Inputs describes the model's inputs.
func (in *Interpreter) Inputs() []TensorInfo { return in.describe(in.inputs) }

// Outputs describes the outputs asked for.
func (in *Interpreter) Outputs() []TensorInfo { return in.describe(in.outputs) }

func (p *program) describe(list []int32) []TensorInfo {
	infos := make([]TensorInfo, len(list))
	for i, t := range list {
		infos[i] = describe(p.graph, t)
	}
	return infos
}

// Input is the memory of input i, to be filled before each Invoke, which may use
// it for other tensors when it has been read. It panics, as indexing does, if there is no input i.
func (in *Interpreter) Input(i int) []byte { return in.bytes(in.inputs[i]) }

// Output is the memory of output i, valid until the next Invoke. It panics, as
// indexing does, if there is no output i.
func (in *Interpreter) Output(i int) []byte { return in.bytes(in.outputs[i]) }

// Tensor is the memory of a tensor, valid until the next Invoke. Without KeepAll
// only outputs, and constants that are not packed, have memory of their own.
func (in *Interpreter) Tensor(index int32) ([]byte, error) {
	if index < 0 || int(index) >= len(in.places) {
		return nil, fmt.Errorf("there is no tensor %d among %d", index, len(in.places))
	}
	p := &in.places[index]
	if p.constant == nil && !p.kept {
		return nil, fmt.Errorf("tensor %d (%s) is not kept", index, in.graph.Tensors[index].Name)
	}
	return in.bytes(index), nil
}

// CPU is the device of models that no accelerator has a part in.
const CPU = "cpu"

// Device names what the last Invoke ran on: CPU, or the device that ran what was
// compiled for it.
func (in *Interpreter) Device() string { return in.device }

// Invoke runs the operators. When ctx ends first, Invoke returns its error and
// the outputs are undefined.
func (in *Interpreter) Invoke(ctx context.Context) error {
	if in.closed {
		return ErrClosed
	}
	in.device = CPU
	in.crew.begin(ctx)
	for i := range in.steps {
		s := &in.steps[i]
		if s.accelerated == nil {
			in.crew.run(s, &in.args[i])
		} else if device, err := s.accelerated.Run(ctx, in.args[i].In, in.outs[i]); err != nil {
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
