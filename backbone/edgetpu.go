package backbone

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// An Arithmetic is how operators round.
type Arithmetic uint8

const (
	// TFLite is TensorFlow Lite's arithmetic, that of every CPU.
	TFLite Arithmetic = iota
	// EdgeTPU is that of the Edge TPU for CONV_2D, DEPTHWISE_CONV_2D,
	// FULLY_CONNECTED, ADD, MUL, AVERAGE_POOL_2D and QUANTIZE of 8-bit codes: it
	// tells what a device will say. All other operators remain TensorFlow
	// Lite's, as nobody knows how the device rounds them.
	EdgeTPU
)

func (a Arithmetic) String() string {
	if a == EdgeTPU {
		return "edgetpu"
	}
	return "tflite"
}

// ParseArithmetic reads what String writes.
func ParseArithmetic(s string) (Arithmetic, error) {
	for _, a := range []Arithmetic{TFLite, EdgeTPU} {
		if s == a.String() {
			return a, nil
		}
	}
	return 0, fmt.Errorf("arithmetic %q: it must be %v or %v", s, TFLite, EdgeTPU)
}

// ErrCompiled is wrapped when a model is compiled for the Edge TPU and
// InterpreterOptions name no Accelerator.
var ErrCompiled = errors.New("the model is compiled for the Edge TPU, and there is no device to run it")

// compiledOperator is the name of the operator that is a program of the Edge TPU.
const compiledOperator = "edgetpu-custom-op"

// An Accelerator is one device, or several, that run what a model was compiled to.
type Accelerator interface {
	// Load reads the program in options, the custom options of an operator whose
	// inputs and outputs are tensors of so many bytes. It keeps options, which
	// nobody changes, and does not wait for a device.
	Load(options []byte, inputs, outputs []int) (Accelerated, error)
}

// An Accelerated is the program of one operator. Several goroutines may run it.
type Accelerated interface {
	// Run computes outputs from inputs, the bytes of the operator's tensors, which
	// are its own until it returns, and gives the name of the device that did.
	Run(ctx context.Context, inputs, outputs [][]byte) (device string, err error)
}

// addAccelerated adds op, which is compiled for the Edge TPU, as the next step.
func (p *program) addAccelerated(op *tflite.Operator, o InterpreterOptions) error {
	if o.Accelerator == nil {
		return fmt.Errorf("%w: %w", ErrCompiled, ErrUnsupportedOperator)
	}
	var inputs, outputs []int
	for _, t := range op.Inputs {
		if t < 0 {
			return fmt.Errorf("an input is left out: %w", tflite.ErrCorrupt)
		}
		tensor, err := p.read(t)
		if err != nil {
			return err
		}
		inputs = append(inputs, tensor.Bytes())
	}
	for _, t := range op.Outputs {
		if _, err := p.write(t, o.KeepAll); err != nil {
			return err
		}
		outputs = append(outputs, p.places[t].size)
	}
	options := slices.Clone(op.CustomOptions)
	accelerated, err := o.Accelerator.Load(options, inputs, outputs)
	if err != nil {
		return err
	}
	p.keptSize += len(options)
	p.steps = append(p.steps, step{accelerated: accelerated, inputs: op.Inputs, outputs: op.Outputs})
	return nil
}

// stage is the output stage of an operator with weights; nil for TensorFlow
// Lite's arithmetic, and for float32, which has no codes.
func (o *operands) stage(a tflite.Activation, in, weights *kernels.Tensor) (*kernels.Stage, error) {
	if o.arithmetic != EdgeTPU || in.Type == kernels.Float32 {
		return nil, nil
	}
	return kernels.WeightedStage(kernels.Activation(a), in, weights, o.out)
}

// Compiled reports whether the first subgraph of m has an operator that is
// compiled for the Edge TPU.
func Compiled(m *tflite.Model) bool {
	return len(m.Subgraphs) > 0 && slices.ContainsFunc(m.Subgraphs[0].Operators, func(op tflite.Operator) bool {
		return m.OperatorCodes[op.Opcode].CustomCode == compiledOperator
	})
}
