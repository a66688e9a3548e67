package backbone

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// A kernelBuilder builds the kernel of one operator from its tensors.
type kernelBuilder struct {
	op         *tflite.Operator
	output     int               // index of the output that the kernel computes
	in         []*kernels.Tensor // nil for omitted inputs
	out        *kernels.Tensor   // the first of outs
	outs       []*kernels.Tensor
	detection  *kernels.DetectionParams // of TFLite_Detection_PostProcess, and otherwise nil
	lstm       *kernels.LSTMParams      // of UNIDIRECTIONAL_SEQUENCE_LSTM, and otherwise nil
	arithmetic Arithmetic
}

// inputs returns the operator's n inputs. required is the number of inputs that must be
// present. An omitted input is nil.
func (b *kernelBuilder) inputs(required, n int) ([]*kernels.Tensor, error) {
	if len(b.in) < required || len(b.in) > n || slices.Contains(b.in[:required], nil) {
		return nil, fmt.Errorf("%d inputs: %w", len(b.in), kernels.ErrInvalid)
	}
	list := make([]*kernels.Tensor, n)
	copy(list, b.in)
	return list, nil
}

// checkOperator returns an error if no kernel or accelerator supports the kind of op or
// its number of outputs.
func checkOperator(m *tflite.Model, op *tflite.Operator) error {
	if int(op.Opcode) >= len(m.OperatorCodes) {
		return fmt.Errorf("no operator code %d: the model has %d: %w", op.Opcode, len(m.OperatorCodes), tflite.ErrCorrupt)
	}
	code := &m.OperatorCodes[op.Opcode]
	switch {
	case code.Builtin == tflite.OpCustom && code.CustomCode == compiledCode:
		return nil
	case isDetection(code):
		if len(op.Inputs) != 3 || len(op.Outputs) != 4 {
			return fmt.Errorf("%d inputs and %d outputs: %w", len(op.Inputs), len(op.Outputs), kernels.ErrInvalid)
		}
		return nil
	case code.Builtin == tflite.OpCustom:
		return ErrUnsupportedOperator
	case recipes[code.Builtin].most > 0 && len(op.Inputs) > recipes[code.Builtin].most:
		return fmt.Errorf("%d inputs: %w", len(op.Inputs), kernels.ErrInvalid)
	case len(op.Outputs) != 1 && !(recipes[code.Builtin].several && len(op.Outputs) > 0):
		return fmt.Errorf("%d outputs: %w", len(op.Outputs), ErrUnsupportedOperator)
	}
	return nil
}

// build returns the kernel and the inputs that it reads when it runs. The other inputs
// are constants, which the kernel already contains.
func (b *kernelBuilder) build(m *tflite.Model) (kernels.Kernel, []int32, error) {
	code := &m.OperatorCodes[b.op.Opcode]
	if r, ok := recipes[code.Builtin]; ok {
		return b.follow(r)
	}
	var k kernels.Kernel
	var err error
	reads := 1
	switch code.Builtin {
	case tflite.OpConv2D, tflite.OpDepthwiseConv2D, tflite.OpFullyConnected:
		k, err = b.weighted(code.Builtin)
	case tflite.OpAdd, tflite.OpSub, tflite.OpMul:
		reads = 2
		k, err = b.elementwise(code.Builtin)
	case tflite.OpConcatenation:
		reads = len(b.in)
		options := b.op.Options.Concatenation()
		k, err = kernels.NewConcatenation(kernels.Activation(options.Activation), int(options.Axis), b.in, b.out)
	case tflite.OpPack:
		reads = len(b.in)
		k, err = kernels.NewPack(int(b.op.Options.Pack().Axis), b.in, b.out)
	case tflite.OpAveragePool2D, tflite.OpMaxPool2D, tflite.OpL2Pool2D:
		k, err = b.pool(code.Builtin)
	case tflite.OpMean, tflite.OpPad, tflite.OpPadV2:
		k, err = b.withConstants(code.Builtin)
	case tflite.OpReshape, tflite.OpSqueeze, tflite.OpExpandDims:
		k, err = b.reshape(code.Builtin)
	case tflite.OpCustom:
		reads = 2
		k, err = b.detect()
	default:
		k, err = b.unary(code.Builtin)
	}
	if err != nil {
		return nil, nil, err
	}
	return k, b.op.Inputs[:reads], nil
}

// follow builds the kernel that r describes.
func (b *kernelBuilder) follow(r recipe) (kernels.Kernel, []int32, error) {
	in, err := b.inputs(r.required, r.most)
	if err != nil {
		return nil, nil, err
	}
	k, err := r.build(b, in)
	if err != nil {
		return nil, nil, err
	}
	list := make([]int32, len(r.reads))
	for i, at := range r.reads {
		list[i] = b.op.Inputs[at]
	}
	return k, list, nil
}

// operations estimates the multiplications, additions or comparisons that the operator takes.
func (b *kernelBuilder) operations(m *tflite.Model) float64 {
	const elementary = 16 // exponential functions and divisions count as several operations
	n := float64(b.out.Elements())
	switch m.OperatorCodes[b.op.Opcode].Builtin {
	case tflite.OpConv2D, tflite.OpFullyConnected, tflite.OpTransposeConv:
		return n * float64(b.in[1].Elements()/max(b.in[1].Shape[0], 1))
	case tflite.OpDepthwiseConv2D:
		return n * float64(b.in[1].Shape[1]) * float64(b.in[1].Shape[2])
	case tflite.OpAveragePool2D, tflite.OpMaxPool2D, tflite.OpL2Pool2D:
		p, in := b.op.Options.Pool2D(), b.in[0].Shape
		return n * float64(min(int(p.FilterHeight), in[1])) * float64(min(int(p.FilterWidth), in[2]))
	case tflite.OpUnidirectionalSequenceLSTM: // each of the gates multiplies its input and the state
		return elementary*4*n + 4*n*float64(b.in[0].Shape[2]+b.out.Shape[2])
	case tflite.OpCustom:
		return b.detection.Operations(b.in[0].Shape[1])
	}
	return elementary * max(n, float64(b.in[0].Elements()))
}

// weighted builds a convolution or a fully connected layer.
func (b *kernelBuilder) weighted(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	in, err := b.inputs(2, 3)
	if err != nil {
		return nil, err
	}
	switch kind {
	case tflite.OpConv2D:
		c := b.op.Options.Conv2D()
		stage, err := b.stage(c.Activation, in[0], in[1])
		if err != nil {
			return nil, err
		}
		return kernels.NewConv2D(kernels.Conv2DParams{
			Window:     window(c.Padding, c.StrideH, c.StrideW, c.DilationH, c.DilationW),
			Activation: kernels.Activation(c.Activation), Stage: stage,
		}, in[0], in[1], in[2], b.out)
	case tflite.OpDepthwiseConv2D:
		c := b.op.Options.DepthwiseConv2D()
		stage, err := b.stage(c.Activation, in[0], in[1])
		if err != nil {
			return nil, err
		}
		return kernels.NewDepthwiseConv2D(kernels.DepthwiseConv2DParams{
			Window:     window(c.Padding, c.StrideH, c.StrideW, c.DilationH, c.DilationW),
			Activation: kernels.Activation(c.Activation), Stage: stage,
		}, in[0], in[1], in[2], b.out)
	}
	f := b.op.Options.FullyConnected()
	if f.WeightsFormat != 0 {
		return nil, fmt.Errorf("shuffled weights: %w", ErrUnsupportedOperator)
	}
	stage, err := b.stage(f.Activation, in[0], in[1])
	if err != nil {
		return nil, err
	}
	return kernels.NewFullyConnected(kernels.FullyConnectedParams{
		Activation: kernels.Activation(f.Activation), Stage: stage, AsymmetricInputs: f.AsymmetricQuantizeInputs,
	}, in[0], in[1], in[2], b.out)
}

func window(padding tflite.Padding, strideH, strideW, dilationH, dilationW int32) kernels.Window {
	return kernels.Window{
		StrideH: int(strideH), StrideW: int(strideW),
		DilationH: int(dilationH), DilationW: int(dilationW),
		Padding: kernels.Padding(padding),
	}
}

// pool builds an average or maximum pool.
func (b *kernelBuilder) pool(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	in, err := b.inputs(1, 1)
	if err != nil {
		return nil, err
	}
	p := b.op.Options.Pool2D()
	params := kernels.Pool2DParams{
		Window:  window(p.Padding, p.StrideH, p.StrideW, 1, 1),
		FilterH: int(p.FilterHeight), FilterW: int(p.FilterWidth),
		Activation: kernels.Activation(p.Activation),
	}
	switch {
	case kind == tflite.OpMaxPool2D:
		return kernels.NewMaxPool2D(params, in[0], b.out)
	case kind == tflite.OpL2Pool2D:
		return kernels.NewL2Pool2D(params, in[0], b.out)
	case b.arithmetic == EdgeTPU:
		return kernels.NewEdgeTPUAveragePool2D(params, in[0], b.out)
	}
	return kernels.NewAveragePool2D(params, in[0], b.out)
}

// elementwise builds ADD, SUB or MUL.
func (b *kernelBuilder) elementwise(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	in, err := b.inputs(2, 2)
	if err != nil {
		return nil, err
	}
	add, mul := kernels.NewAdd, kernels.NewMul
	if b.arithmetic == EdgeTPU {
		add, mul = kernels.NewEdgeTPUAdd, kernels.NewEdgeTPUMul
	}
	switch kind {
	case tflite.OpAdd:
		return add(kernels.Activation(b.op.Options.Add().Activation), in[0], in[1], b.out)
	case tflite.OpSub:
		return kernels.NewSub(kernels.Activation(b.op.Options.Sub().Activation), in[0], in[1], b.out)
	}
	return mul(kernels.Activation(b.op.Options.Mul().Activation), in[0], in[1], b.out)
}

// withConstants builds PAD, PADV2 or MEAN, whose paddings or axes must be constant.
func (b *kernelBuilder) withConstants(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	if kind == tflite.OpPadV2 {
		in, err := b.inputs(3, 3)
		if err != nil {
			return nil, err
		}
		return kernels.NewPad(in[0], in[1], in[2], b.out)
	}
	in, err := b.inputs(2, 2)
	if err != nil {
		return nil, err
	}
	if kind == tflite.OpPad {
		return kernels.NewPad(in[0], in[1], nil, b.out)
	}
	mean := kernels.NewMean
	if b.arithmetic == EdgeTPU {
		mean = kernels.NewEdgeTPUMean
	}
	return mean(b.op.Options.Reducer().KeepDims, in[0], in[1], b.out)
}

// reshape builds an operator that only changes a tensor's shape.
func (b *kernelBuilder) reshape(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	in, err := b.inputs(1, 2)
	if err != nil {
		return nil, err
	}
	if kind == tflite.OpReshape {
		shape := b.op.Options.Reshape().NewShape
		if in[1] != nil {
			// TensorFlow Lite prefers the shape in the tensor to the shape in the
			// options. If Invoke computes the new shape, it is assumed to match the
			// output.
			shape = nil
			if t := in[1]; t.Type == kernels.Int32 && len(t.Data)%4 == 0 {
				for data := t.Data; len(data) > 0; data = data[4:] {
					shape = append(shape, int32(binary.LittleEndian.Uint32(data)))
				}
			}
		}
		if err := checkNewShape(shape, b.out.Shape); err != nil {
			return nil, err
		}
	}
	return kernels.NewReshape(in[0], b.out)
}

// checkNewShape returns an error unless want, a RESHAPE's new shape, matches out, the
// shape of its output. One dimension of want may be −1.
func checkNewShape(want []int32, out []int) error {
	if want == nil || len(want) == 1 && want[0] == 0 && len(out) == 0 {
		return nil // older converters write {0} for a scalar
	}
	same := len(want) == len(out)
	for i := range out {
		same = same && (want[i] == -1 || int(want[i]) == out[i])
	}
	if !same {
		return fmt.Errorf("new shape %v, but the output has shape %v: %w", want, out, kernels.ErrInvalid)
	}
	return nil
}

// unary builds an operator on one tensor.
func (b *kernelBuilder) unary(kind tflite.BuiltinOperator) (kernels.Kernel, error) {
	var newKernel func(in, out *kernels.Tensor) (kernels.Kernel, error)
	relu := func(a kernels.Activation) func(in, out *kernels.Tensor) (kernels.Kernel, error) {
		return func(in, out *kernels.Tensor) (kernels.Kernel, error) { return kernels.NewReLU(a, in, out) }
	}
	switch kind {
	case tflite.OpSoftmax:
		newKernel = func(in, out *kernels.Tensor) (kernels.Kernel, error) {
			return kernels.NewSoftmax(b.op.Options.Softmax().Beta, in, out)
		}
	case tflite.OpL2Normalization:
		newKernel = func(in, out *kernels.Tensor) (kernels.Kernel, error) {
			return kernels.NewL2Normalization(kernels.Activation(b.op.Options.L2Norm().Activation), in, out)
		}
	case tflite.OpRelu:
		newKernel = relu(kernels.ReLU)
	case tflite.OpRelu6:
		newKernel = relu(kernels.ReLU6)
	case tflite.OpReluN1To1:
		newKernel = relu(kernels.ReLUN1To1)
	case tflite.OpLogistic:
		newKernel = kernels.NewLogistic
	case tflite.OpTanh:
		newKernel = kernels.NewTanh
	case tflite.OpRsqrt:
		newKernel = kernels.NewRsqrt
	case tflite.OpLeakyRelu:
		newKernel = func(in, out *kernels.Tensor) (kernels.Kernel, error) {
			return kernels.NewLeakyReLU(b.op.Options.LeakyRelu().Alpha, in, out)
		}
	case tflite.OpSqrt:
		newKernel = kernels.NewSqrt
	case tflite.OpHardSwish:
		newKernel = kernels.NewHardSwish
	case tflite.OpQuantize:
		newKernel = kernels.NewQuantize
		if b.arithmetic == EdgeTPU {
			newKernel = kernels.NewEdgeTPUQuantize
		}
	case tflite.OpDequantize:
		newKernel = kernels.NewDequantize
	case tflite.OpCast:
		newKernel = kernels.NewCast
	default:
		return nil, ErrUnsupportedOperator
	}
	in, err := b.inputs(1, 1)
	if err != nil {
		return nil, err
	}
	return newKernel(in[0], b.out)
}
