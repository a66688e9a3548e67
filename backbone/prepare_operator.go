package backbone

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// Builtin operators that package tflite has no name for.
const (
	opCast       tflite.BuiltinOperator = 53
	opExpandDims tflite.BuiltinOperator = 70
)

// operands are the operator being prepared with its tensors, nil for those
// left out.
type operands struct {
	op         *tflite.Operator
	in         []*kernels.Tensor
	out        *kernels.Tensor
	arithmetic Arithmetic
}

// inputs returns the first n inputs, of which required must be there and the
// others may be left out.
func (o *operands) inputs(required, n int) ([]*kernels.Tensor, error) {
	if len(o.in) < required || len(o.in) > n || slices.Contains(o.in[:required], nil) {
		return nil, fmt.Errorf("%d inputs: %w", len(o.in), kernels.ErrInvalid)
	}
	list := make([]*kernels.Tensor, n)
	copy(list, o.in)
	return list, nil
}

// checkOperator verifies what does not depend on the tensors.
func checkOperator(m *tflite.Model, op *tflite.Operator) error {
	if int(op.Opcode) >= len(m.OperatorCodes) {
		return fmt.Errorf("there is no operator code %d among %d: %w", op.Opcode, len(m.OperatorCodes), tflite.ErrCorrupt)
	}
	code := &m.OperatorCodes[op.Opcode]
	switch {
	case code.Builtin == tflite.OpCustom && code.CustomCode == compiledOperator:
		return nil
	case code.Builtin == tflite.OpCustom:
		return ErrUnsupportedOperator
	case len(op.Outputs) != 1:
		return fmt.Errorf("%d outputs: %w", len(op.Outputs), ErrUnsupportedOperator)
	}
	return nil
}

// kernel prepares the operator and lists the tensors its kernel reads.
func (o *operands) kernel(m *tflite.Model) (kernels.Kernel, []int32, error) {
	code := &m.OperatorCodes[o.op.Opcode]
	var k kernels.Kernel
	var err error
	reads := 1
	switch code.Builtin {
	case tflite.OpConv2D, tflite.OpDepthwiseConv2D, tflite.OpFullyConnected:
		k, err = o.weighted(code.Builtin)
	case tflite.OpAdd, tflite.OpSub, tflite.OpMul:
		reads = 2
		k, err = o.elementwise(code.Builtin)
	case tflite.OpConcatenation:
		reads = len(o.in)
		options := o.op.Options.Concatenation()
		k, err = kernels.NewConcatenation(kernels.Activation(options.Activation), int(options.Axis), o.in, o.out)
	case tflite.OpAveragePool2D, tflite.OpMaxPool2D:
		k, err = o.pool(code.Builtin)
	case tflite.OpMean, tflite.OpPad, tflite.OpPadV2:
		k, err = o.withConstants(code.Builtin)
	case tflite.OpReshape, tflite.OpSqueeze, opExpandDims:
		k, err = o.reshape(code.Builtin)
	default:
		k, err = o.unary(code.Builtin)
	}
	if err != nil {
		return nil, nil, err
	}
	return k, o.op.Inputs[:reads], nil
}

func (o *operands) weighted(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	in, err := o.inputs(2, 3)
	if err != nil {
		return nil, err
	}
	switch kind {
	case tflite.OpConv2D:
		c := o.op.Options.Conv2D()
		stage, err := o.stage(c.Activation, in[0], in[1])
		if err != nil {
			return nil, err
		}
		return kernels.NewConv2D(kernels.Conv2DParams{
			Window:     window(c.Padding, c.StrideH, c.StrideW, c.DilationH, c.DilationW),
			Activation: kernels.Activation(c.Activation), Stage: stage,
		}, in[0], in[1], in[2], o.out)
	case tflite.OpDepthwiseConv2D:
		c := o.op.Options.DepthwiseConv2D()
		stage, err := o.stage(c.Activation, in[0], in[1])
		if err != nil {
			return nil, err
		}
		return kernels.NewDepthwiseConv2D(kernels.DepthwiseConv2DParams{
			Window:     window(c.Padding, c.StrideH, c.StrideW, c.DilationH, c.DilationW),
			Activation: kernels.Activation(c.Activation), Stage: stage,
		}, in[0], in[1], in[2], o.out)
	}
	f := o.op.Options.FullyConnected()
	if f.WeightsFormat != 0 {
		return nil, fmt.Errorf("shuffled weights: %w", ErrUnsupportedOperator)
	}
	stage, err := o.stage(f.Activation, in[0], in[1])
	if err != nil {
		return nil, err
	}
	return kernels.NewFullyConnected(kernels.FullyConnectedParams{
		Activation: kernels.Activation(f.Activation), Stage: stage,
	}, in[0], in[1], in[2], o.out)
}

func window(padding tflite.Padding, strideH, strideW, dilationH, dilationW int32) kernels.Window {
	return kernels.Window{
		StrideH: int(strideH), StrideW: int(strideW),
		DilationH: int(dilationH), DilationW: int(dilationW),
		Padding: kernels.Padding(padding),
	}
}

func (o *operands) pool(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	in, err := o.inputs(1, 1)
	if err != nil {
		return nil, err
	}
	p := o.op.Options.Pool2D()
	params := kernels.Pool2DParams{
		Window:  window(p.Padding, p.StrideH, p.StrideW, 1, 1),
		FilterH: int(p.FilterHeight), FilterW: int(p.FilterWidth),
		Activation: kernels.Activation(p.Activation),
	}
	switch {
	case kind == tflite.OpMaxPool2D:
		return kernels.NewMaxPool2D(params, in[0], o.out)
	case o.arithmetic == EdgeTPU:
		return kernels.NewEdgeTPUAveragePool2D(params, in[0], o.out)
	}
	return kernels.NewAveragePool2D(params, in[0], o.out)
}

func (o *operands) elementwise(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	in, err := o.inputs(2, 2)
	if err != nil {
		return nil, err
	}
	add, mul := kernels.NewAdd, kernels.NewMul
	if o.arithmetic == EdgeTPU {
		add, mul = kernels.NewEdgeTPUAdd, kernels.NewEdgeTPUMul
	}
	switch kind {
	case tflite.OpAdd:
		return add(kernels.Activation(o.op.Options.Add().Activation), in[0], in[1], o.out)
	case tflite.OpSub:
		return kernels.NewSub(kernels.Activation(o.op.Options.Sub().Activation), in[0], in[1], o.out)
	}
	return mul(kernels.Activation(o.op.Options.Mul().Activation), in[0], in[1], o.out)
}

func (o *operands) withConstants(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	if kind == tflite.OpPadV2 {
		in, err := o.inputs(3, 3)
		if err != nil {
			return nil, err
		}
		return kernels.NewPad(in[0], in[1], in[2], o.out)
	}
	in, err := o.inputs(2, 2)
	if err != nil {
		return nil, err
	}
	if kind == tflite.OpPad {
		return kernels.NewPad(in[0], in[1], nil, o.out)
	}
	return kernels.NewMean(o.op.Options.Reducer().KeepDims, in[0], in[1], o.out)
}

func (o *operands) reshape(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	in, err := o.inputs(1, 2)
	if err != nil {
		return nil, err
	}
	if kind == tflite.OpReshape {
		shape := o.op.Options.Reshape().NewShape
		if in[1] != nil {
			// The runtime prefers the tensor to the option; one that is
			// computed only in Invoke must agree with the shape written down.
			shape = nil
			if t := in[1]; t.Type == kernels.Int32 && len(t.Data)%4 == 0 {
				for b := t.Data; len(b) > 0; b = b[4:] {
					shape = append(shape, int32(binary.LittleEndian.Uint32(b)))
				}
			}
		}
		if err := checkNewShape(shape, o.out.Shape); err != nil {
			return nil, err
		}
	}
	return kernels.NewReshape(in[0], o.out)
}

// checkNewShape compares the shape that RESHAPE asks for, in which −1 stands
// for what is left, with that of its output.
func checkNewShape(asked []int32, out []int) error {
	if asked == nil || len(asked) == 1 && asked[0] == 0 && len(out) == 0 {
		return nil // older converters write {0} for a scalar
	}
	same := len(asked) == len(out)
	for i := range out {
		same = same && (asked[i] == -1 || int(asked[i]) == out[i])
	}
	if !same {
		return fmt.Errorf("new shape %v, but the output has shape %v: %w", asked, out, kernels.ErrInvalid)
	}
	return nil
}

// unary prepares functions of one tensor.
func (o *operands) unary(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	var make func(in, out *kernels.Tensor) (kernels.Kernel, error)
	relu := func(a kernels.Activation) func(in, out *kernels.Tensor) (kernels.Kernel, error) {
		return func(in, out *kernels.Tensor) (kernels.Kernel, error) { return kernels.NewReLU(a, in, out) }
	}
	switch kind {
	case tflite.OpSoftmax:
		make = func(in, out *kernels.Tensor) (kernels.Kernel, error) {
			return kernels.NewSoftmax(o.op.Options.Softmax().Beta, in, out)
		}
	case tflite.OpL2Normalization:
		make = func(in, out *kernels.Tensor) (kernels.Kernel, error) {
			return kernels.NewL2Normalization(kernels.Activation(o.op.Options.L2Norm().Activation), in, out)
		}
	case tflite.OpRelu:
		make = relu(kernels.ReLU)
	case tflite.OpRelu6:
		make = relu(kernels.ReLU6)
	case tflite.OpReluN1To1:
		make = relu(kernels.ReLUN1To1)
	case tflite.OpLogistic:
		make = kernels.NewLogistic
	case tflite.OpSqrt:
		make = kernels.NewSqrt
	case tflite.OpHardSwish:
		make = kernels.NewHardSwish
	case tflite.OpQuantize:
		make = kernels.NewQuantize
		if o.arithmetic == EdgeTPU {
			make = kernels.NewEdgeTPUQuantize
		}
	case tflite.OpDequantize:
		make = kernels.NewDequantize
	case opCast:
		make = kernels.NewCast
	default:
		return nil, ErrUnsupportedOperator
	}
	in, err := o.inputs(1, 1)
	if err != nil {
		return nil, err
	}
	return make(in[0], o.out)
}
