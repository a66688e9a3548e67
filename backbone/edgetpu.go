package backbone

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// An Arithmetic selects how quantized operators round.
type Arithmetic uint8

const (
	// TFLite rounds as TensorFlow Lite does on a CPU.
	TFLite Arithmetic = iota
	// EdgeTPU rounds as the Edge TPU does, to predict a device's results on the CPU. It
	// applies to CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, ADD, MUL, AVERAGE_POOL_2D
	// and QUANTIZE on 8-bit values. All other operators round as with TFLite, because the
	// device's rounding in them is unknown.
	EdgeTPU
)

// String returns "tflite" or "edgetpu".
func (a Arithmetic) String() string {
	if a == EdgeTPU {
		return "edgetpu"
	}
	return "tflite"
}

// ParseArithmetic returns the Arithmetic whose String is s.
func ParseArithmetic(s string) (Arithmetic, error) {
	for _, a := range []Arithmetic{TFLite, EdgeTPU} {
		if s == a.String() {
			return a, nil
		}
	}
	return 0, fmt.Errorf("unknown arithmetic %q: want %v or %v", s, TFLite, EdgeTPU)
}

// ErrCompiled means that a model is compiled for the Edge TPU, but InterpreterOptions has
// no Accelerator.
var ErrCompiled = errors.New("the model is compiled for the Edge TPU, and no device is available")

// compiledCode is the custom code of operators compiled for the Edge TPU.
const compiledCode = "edgetpu-custom-op"

// An Accelerator runs compiled operators on one or more devices.
type Accelerator interface {
	// Load prepares the operator with the given custom options, without waiting for a
	// device. inputs and outputs are the sizes of the operator's tensors in bytes. Load
	// may keep options, which the caller does not change.
	Load(options []byte, inputs, outputs []int) (CompiledOperator, error)
}

// A CompiledOperator is an operator loaded by an Accelerator. It is safe for
// concurrent use.
type CompiledOperator interface {
	// Run computes outputs from inputs, the contents of the operator's tensors, and
	// returns the name of the device it ran on. Run must not keep these slices.
	Run(ctx context.Context, inputs, outputs [][]byte) (device string, err error)
}

// addCompiled appends a step that runs op, which is compiled for the Edge TPU.
func (p *program) addCompiled(op *tflite.Operator, o InterpreterOptions) error {
	if o.Accelerator == nil {
		return fmt.Errorf("%w: %w", ErrCompiled, ErrUnsupportedOperator)
	}
	var inputs, outputs []int
	for _, t := range op.Inputs {
		if t < 0 {
			return fmt.Errorf("an input is missing: %w", tflite.ErrCorrupt)
		}
		tensor, err := p.readTensor(t)
		if err != nil {
			return err
		}
		inputs = append(inputs, tensor.Bytes())
	}
	for _, t := range op.Outputs {
		if _, err := p.writeTensor(t, o.KeepAll); err != nil {
			return err
		}
		outputs = append(outputs, p.allocations[t].size)
	}
	options := slices.Clone(op.CustomOptions)
	compiled, err := o.Accelerator.Load(options, inputs, outputs)
	if err != nil {
		return err
	}
	p.keptSize += len(options)
	p.steps = append(p.steps, step{compiled: compiled, inputs: op.Inputs, outputs: op.Outputs})
	return nil
}

// stage returns the Edge TPU's output stage for an operator with weights, or nil if the
// arithmetic is TensorFlow Lite's or the input is float32.
func (b *kernelBuilder) stage(a tflite.Activation, in, weights *kernels.Tensor) (*kernels.Stage, error) {
	if b.arithmetic != EdgeTPU || in.Type == kernels.Float32 {
		return nil, nil
	}
	return kernels.WeightedStage(kernels.Activation(a), in, weights, b.out)
}

// Compiled reports whether m's main graph has an operator that is compiled for the
// Edge TPU.
func Compiled(m *tflite.Model) bool {
	return len(m.Subgraphs) > 0 && slices.ContainsFunc(m.Subgraphs[0].Operators, func(op tflite.Operator) bool {
		return m.OperatorCodes[op.Opcode].CustomCode == compiledCode
	})
}
