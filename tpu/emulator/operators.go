package emulator

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

var errUnknownOperator = errors.New("the emulator does not know how the chip computes this operator")

// operators maps an operator to the function that completes its layer. The function checks that the chip's arithmetic
// for the operator is known, and returns the operator's activation.
var operators = map[tflite.BuiltinOperator]func(*builder, *layer, *tflite.Operator) (tflite.Activation, error){
	tflite.OpConv2D:          (*builder).conv2D,
	tflite.OpDepthwiseConv2D: (*builder).depthwiseConv2D,
	tflite.OpFullyConnected:  (*builder).fullyConnected,
	tflite.OpAveragePool2D:   (*builder).averagePool2D,
	tflite.OpAdd:             (*builder).addition,
	tflite.OpQuantize:        (*builder).quantize,
	tflite.OpReshape:         (*builder).reshape,
	tflite.OpSqueeze:         (*builder).reshape,
	tflite.OpConcatenation:   (*builder).concatenation,
	tflite.OpSoftmax:         (*builder).softmax,
	tflite.OpMean:            (*builder).mean,
	tflite.OpPad:             (*builder).pad,
}

// add appends the layer of operator i.
func (b *builder) add(i int) error {
	l, err := b.layer(i)
	if err != nil {
		return err
	}
	err = b.complete(l, &b.graph.Operators[i])
	if errors.Is(err, errUnknownOperator) && b.operator != nil {
		if l, err = b.layer(i); err == nil { // without the changes of complete
			err = b.foreign(l, i)
		}
	}
	if err != nil {
		return err
	}
	b.network.layers = append(b.network.layers, l)
	return nil
}

// layer returns a layer with the tensors of operator i.
func (b *builder) layer(i int) (*layer, error) {
	op := &b.graph.Operators[i]
	l := new(layer)
	for _, in := range op.Inputs {
		if in < 0 || b.uncompiled.TensorBytes(0, in) != nil {
			continue
		}
		t, err := b.tensor(in)
		if err != nil {
			return nil, err
		}
		l.in = append(l.in, t)
	}
	if len(op.Outputs) != 1 || len(l.in) == 0 {
		return nil, errUnknownOperator
	}
	out, err := b.tensor(op.Outputs[0])
	if err != nil {
		return nil, err
	}
	l.out = out
	l.name = b.graph.Tensors[op.Outputs[0]].Name
	return l, nil
}

// complete completes a layer whose arithmetic is known.
func (b *builder) complete(l *layer, op *tflite.Operator) error {
	f := operators[b.uncompiled.OperatorCodes[op.Opcode].Builtin]
	if f == nil {
		return errUnknownOperator
	}
	l.predicted.inZero = l.in[0].zero
	activation, err := f(b, l, op)
	if err != nil {
		return err
	}
	if err := l.predicted.bound(l.out.scale, l.out.zero, activation); err != nil {
		return err
	}
	l.stages = []stage{l.predicted}
	b.network.sums = longer(b.network.sums, l.out.channels)
	return nil
}

// foreign completes a layer that Config.Operator computes.
func (b *builder) foreign(l *layer, i int) error {
	f, err := b.operator(b.uncompiled, i)
	if err != nil {
		return err
	}
	inputs := make([][]byte, len(l.in))
	for j, t := range l.in {
		inputs[j] = make([]byte, t.elements)
	}
	l.run = func(n *network, l *layer) {
		for j, t := range l.in {
			t.codes(inputs[j], t.data)
		}
		if err := f(inputs, l.out.data); err != nil && n.err == nil {
			n.err = fmt.Errorf("compute %q: %w", l.name, err)
		}
		l.out.codes(l.out.data, l.out.data)
	}
	return nil
}

// codes converts the codes of the tensor between the network's and TensorFlow Lite's.
func (t *tensor) codes(to, from []byte) {
	copy(to, from)
	if t.signed {
		flip(to)
	}
}

// longer returns a buffer of at least n elements.
func longer[T any](buffer []T, n int) []T {
	if n > len(buffer) {
		return make([]T, n)
	}
	return buffer
}

func (b *builder) conv2D(l *layer, op *tflite.Operator) (tflite.Activation, error) {
	c := op.Options.Conv2D()
	return c.Activation, b.convolution(l, op, false, stride{c.Padding, c.StrideH, c.StrideW, c.DilationH, c.DilationW})
}

func (b *builder) depthwiseConv2D(l *layer, op *tflite.Operator) (tflite.Activation, error) {
	c := op.Options.DepthwiseConv2D()
	return c.Activation, b.convolution(l, op, true, stride{c.Padding, c.StrideH, c.StrideW, c.DilationH, c.DilationW})
}

// fullyConnected completes a layer as a 1×1 convolution of a single pixel. The elements of the input are the pixel's
// channels.
func (b *builder) fullyConnected(l *layer, op *tflite.Operator) (tflite.Activation, error) {
	if l.out.elements != l.out.channels {
		return 0, errUnknownOperator
	}
	flat := *l.in[0]
	flat.height, flat.width, flat.channels = 1, 1, flat.elements
	l.in[0] = &flat
	return op.Options.FullyConnected().Activation, b.convolution(l, op, false, stride{tflite.PaddingValid, 1, 1, 1, 1})
}

func (b *builder) averagePool2D(l *layer, op *tflite.Operator) (_ tflite.Activation, err error) {
	c := op.Options.Pool2D()
	if l.in[0].scale != l.out.scale {
		return 0, errUnknownOperator
	}
	l.window, err = newWindow(l.in[0], l.out, c.FilterHeight, c.FilterWidth, stride{c.Padding, c.StrideH, c.StrideW, 1, 1})
	l.predicted.multiplier = float32(1) / float32(c.FilterHeight*c.FilterWidth)
	l.run = (*network).averagePool
	return c.Activation, err
}

func (b *builder) addition(l *layer, op *tflite.Operator) (tflite.Activation, error) {
	if len(l.in) != 2 || l.in[1].elements != l.in[0].elements || l.out.elements != l.in[0].elements {
		return 0, errUnknownOperator
	}
	x, y := l.in[0], l.in[1]
	sum, ok := executable.NewSum(x.scale, y.scale, byte(x.zero), byte(y.zero), byte(l.out.zero), l.out.scale, math.Inf(-1), math.Inf(1))
	if !ok {
		return 0, errUnknownOperator
	}
	l.numerators, l.bias, l.predicted.multiplier = [2]int32{sum.First, sum.Second}, sum.Bias, sum.Multiplier
	l.predicted.inZero = 0 // the bias subtracts the zero points of both inputs
	l.run = (*network).sum
	return op.Options.Add().Activation, nil
}

func (b *builder) quantize(l *layer, _ *tflite.Operator) (tflite.Activation, error) {
	in := l.in[0]
	if in.scale == l.out.scale && in.zero == l.out.zero {
		l.run = (*network).reshape // only the sign bit differs
		return tflite.ActNone, nil
	}
	l.predicted.multiplier = in.scale * (1 / l.out.scale)
	l.run = (*network).rescale
	return tflite.ActNone, nil
}

func (b *builder) reshape(l *layer, _ *tflite.Operator) (tflite.Activation, error) {
	if l.out.elements != l.in[0].elements {
		return 0, errUnknownOperator
	}
	l.run = (*network).reshape
	return tflite.ActNone, nil
}

func (b *builder) concatenation(l *layer, op *tflite.Operator) (tflite.Activation, error) {
	o := op.Options.Concatenation()
	shape, axis := b.graph.Tensors[op.Outputs[0]].Shape, int(o.Axis)
	if axis < 0 {
		axis += len(shape)
	}
	if axis < 0 || axis >= len(shape) {
		return 0, errUnknownOperator
	}
	l.blocks = 1
	for _, n := range shape[:axis] {
		l.blocks *= int(n)
	}
	first, total := l.in[0], 0
	for _, t := range l.in {
		if t.scale != first.scale || t.zero != first.zero || t.elements%l.blocks != 0 {
			return 0, errUnknownOperator
		}
		total += t.elements
	}
	if total != l.out.elements {
		return 0, errUnknownOperator
	}
	l.predicted.multiplier = first.scale * (1 / l.out.scale)
	l.run = (*network).concatenate
	return o.Activation, nil
}

// mean completes a MEAN over an image.
func (b *builder) mean(l *layer, op *tflite.Operator) (tflite.Activation, error) {
	in := l.in[0]
	axes, err := b.integers(op, 1)
	if err != nil || l.out.elements != in.channels || !slices.Equal(axes, []int{1, 2}) || len(b.graph.Tensors[op.Inputs[0]].Shape) != 4 {
		return 0, errUnknownOperator
	}
	l.predicted.multiplier = in.scale * (1 / l.out.scale) * (1 / float32(in.height*in.width))
	l.run = (*network).mean
	return tflite.ActNone, nil
}

// pad completes a PAD of an image.
func (b *builder) pad(l *layer, op *tflite.Operator) (tflite.Activation, error) {
	in, out := l.in[0], l.out
	p, err := b.integers(op, 1)
	if err != nil || len(p) != 8 || p[0] != 0 || p[1] != 0 || p[6] != 0 || p[7] != 0 || slices.Min(p) < 0 || in.channels != out.channels ||
		out.height != p[2]+in.height+p[3] || out.width != p[4]+in.width+p[5] || in.scale != out.scale || in.zero != out.zero {
		return 0, errUnknownOperator
	}
	l.window.top, l.window.left = p[2], p[4]
	l.run = (*network).pad
	return tflite.ActNone, nil
}

// integers returns the elements of a constant int32 input.
func (b *builder) integers(op *tflite.Operator, input int) (v []int, err error) {
	if len(op.Inputs) <= input || op.Inputs[input] < 0 || b.graph.Tensors[op.Inputs[input]].Type != tflite.TypeInt32 {
		return nil, errUnknownOperator
	}
	raw := b.uncompiled.TensorBytes(0, op.Inputs[input])
	for at := 0; at+4 <= len(raw); at += 4 {
		v = append(v, int(int32At(raw, at)))
	}
	return v, nil
}

func (b *builder) softmax(l *layer, op *tflite.Operator) (tflite.Activation, error) {
	if op.Options.Softmax().Beta != 1 {
		return 0, errUnknownOperator
	}
	l.run, l.inScale = (*network).softmax, l.in[0].scale
	if in := l.in[0]; in.channels == in.elements && b.program.caching != nil {
		s := executable.Softmax{Classes: in.channels, Scale: in.scale, Zero: byte(in.zero)}
		if at, ok := b.program.executable.FindSoftmax(s, b.program.caching.executable.Parameters); ok {
			l.softmax = &at
		}
	}
	return tflite.ActNone, nil
}

// convolution completes a layer that has a filter.
func (b *builder) convolution(l *layer, op *tflite.Operator, depthwise bool, s stride) error {
	if len(op.Inputs) < 2 || op.Inputs[1] < 0 || len(l.in) != 1 {
		return errUnknownOperator
	}
	filter := &b.graph.Tensors[op.Inputs[1]]
	scale, zero, signed, err := quantization(filter)
	if err != nil {
		return err
	}
	weights := b.uncompiled.TensorBytes(0, op.Inputs[1])
	y, err := newLayout(filter, len(weights), depthwise)
	if err != nil {
		return err
	}
	if y.inputs != l.in[0].channels || y.outputs != l.out.channels {
		return errUnknownOperator
	}
	biases, err := b.biases(op, y.outputs)
	if err != nil {
		return err
	}
	if signed {
		weights = slices.Clone(weights)
		flip(weights)
	}
	groups := b.groups(op.Outputs[0], y)
	found := b.locate(l, y, weights, biases, groups)
	if in, out := l.in[0], l.out; !found && in.height*in.width == 1 && out.height*out.width == 1 {
		found = b.locate(l, y, y.trim(weights, s), biases, groups)
	}
	if !found {
		return fmt.Errorf("the compiled model does not contain the weights of %q", l.name)
	}
	l.predicted.multiplier, l.predicted.weightZero = 1, 0
	if !y.perChannel {
		l.predicted.multiplier = l.in[0].scale * scale * (1 / l.out.scale)
		l.predicted.weightZero = zero
	}
	positions := y.height * y.width
	if depthwise {
		l.run = (*network).convolveDepthwise
		l.weights = make([]int16, y.outputs*positions)
	} else {
		l.run = (*network).convolve
		inner := positions * y.inputs
		l.pairs = make([]int64, up(y.outputs, 2)/2*inner)
		b.network.patches = longer(b.network.patches, l.out.height*l.out.width*inner)
	}
	l.biases = make([]int32, up(y.outputs, 2))
	l.channels = make([]stage, up(y.outputs, 2))
	l.window, err = newWindow(l.in[0], l.out, int32(y.height), int32(y.width), s)
	return err
}

// newLayout returns the layout of a filter with n weights. It sets only what the filter's tensor determines.
func newLayout(filter *tflite.Tensor, n int, depthwise bool) (*layout, error) {
	shape := filter.Shape
	if len(shape) == 2 { // FULLY_CONNECTED
		shape = []int32{shape[0], 1, 1, shape[1]}
	}
	if len(shape) != 4 || depthwise && shape[0] != 1 {
		return nil, errUnknownOperator
	}
	y := &layout{
		outputs: int(shape[0]), height: int(shape[1]), width: int(shape[2]), inputs: int(shape[3]),
		depthwise: depthwise, perChannel: len(filter.Quantization.Scale) > 1,
	}
	if n != y.outputs*y.height*y.width*y.inputs {
		return nil, errUnknownOperator
	}
	if depthwise {
		y.outputs = y.inputs
	}
	return y, nil
}

// trim reduces the filter of a single pixel to the weights that meet the pixel, as the compiler may do. It returns them.
func (l *layout) trim(weights []byte, s stride) (kept []byte) {
	position := 0 // a filter without padding has only one
	if s.padding == tflite.PaddingSame {
		position = (l.height-1)/2*l.width + (l.width-1)/2
	}
	positions := l.height * l.width
	for at := 0; at < len(weights); at += positions * l.inputs {
		kept = append(kept, weights[at+position*l.inputs:][:l.inputs]...)
	}
	l.height, l.width = 1, 1
	return kept
}

// biases returns the biases of an operator with a filter, or nil if the operator has none.
func (b *builder) biases(op *tflite.Operator, outputs int) ([]int32, error) {
	if len(op.Inputs) < 3 || op.Inputs[2] < 0 {
		return nil, nil
	}
	raw := b.uncompiled.TensorBytes(0, op.Inputs[2])
	if len(raw) != 4*outputs {
		return nil, errUnknownOperator
	}
	biases := make([]int32, outputs)
	for o := range biases {
		biases[o] = int32At(raw, 4*o)
	}
	return biases, nil
}

// locate finds a layer's weights and biases in the parameters that stay on the chip or, failing that, in the streamed
// parameters.
func (b *builder) locate(l *layer, y *layout, weights []byte, biases []int32, groups []int) bool {
	stream := b.program.parameters
	if c := b.program.caching; c != nil {
		stream = c.executable.Parameters
	}
	l.layout = y
	if y.find(stream, b.cached, weights, biases, groups) {
		b.cached = y.offset + y.size()
		return true
	}
	if !y.find(b.program.executable.Parameters, 0, weights, biases, groups) {
		return false
	}
	l.streamed, b.network.haveStreams = true, true
	return true
}

// groups returns the numbers of output channels that the groups of a layer may have: all channels, and those that a
// RESHAPE leaves together.
func (b *builder) groups(out int32, y *layout) []int {
	groups := []int{y.outputs}
	for i := range b.graph.Operators {
		op := &b.graph.Operators[i]
		if b.uncompiled.OperatorCodes[op.Opcode].Builtin != tflite.OpReshape || !slices.Contains(op.Inputs, out) || len(op.Outputs) != 1 {
			continue
		}
		shape := b.graph.Tensors[op.Outputs[0]].Shape
		if n := len(shape); n > 0 && shape[n-1] > 0 && y.outputs%int(shape[n-1]) == 0 && !y.depthwise {
			groups = append(groups, int(shape[n-1]))
		}
	}
	return groups
}

// stride holds the padding, strides and dilations of a window.
type stride struct {
	padding                                tflite.Padding
	strideY, strideX, dilationY, dilationX int32
}

// newWindow returns a window over in, padded as in TensorFlow Lite. It returns an error if the window does not produce
// the size of out.
func newWindow(in, out *tensor, height, width int32, s stride) (w window, err error) {
	w = window{
		height: int(height), width: int(width), strideY: int(s.strideY), strideX: int(s.strideX),
		dilationY: int(s.dilationY), dilationX: int(s.dilationX),
	}
	if min(w.height, w.width, w.strideY, w.strideX, w.dilationY, w.dilationX) < 1 ||
		max(w.height, w.width, w.strideY, w.strideX, w.dilationY, w.dilationX) > 1<<12 {
		return w, errors.New("window size, stride or dilation out of range")
	}
	place := func(in, out, size, stride, dilation int) (int, bool) {
		size = (size-1)*dilation + 1
		if s.padding == tflite.PaddingSame {
			return max((out-1)*stride+size-in, 0) / 2, out == (in+stride-1)/stride
		}
		return 0, out == (in-size)/stride+1 && in >= size
	}
	var okY, okX bool
	w.top, okY = place(in.height, out.height, w.height, w.strideY, w.dilationY)
	w.left, okX = place(in.width, out.width, w.width, w.strideX, w.dilationX)
	if !okY || !okX {
		return w, errors.New("the window does not produce the size of the output")
	}
	return w, nil
}
