package emulator

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

var errUnknownOperator = errors.New("how the chip computes it is not known here")

// network is what a program computes, as far as it isn't in what the chip is sent: its layers in order.
type network struct {
	tensors     []*tensor // by the twin's tensor; nil for constants
	layers      []*layer
	ins, outs   []*tensor // by input and output layer of the executable
	patches     []int16   // room for the windows of a convolution
	sums        []int32   // room for the accumulators of one place
	prepared    bool
	version     int // of the parameters that layers were prepared with
	haveStreams bool
}

// tensor is an array of bytes in unsigned terms: a signed one's code q is q XOR 80h here.
type tensor struct {
	height, width, channels int
	elements                int
	scale                   float32
	zero                    int32
	signed                  bool
	data                    []byte
}

// layer is one operator of the chip.
type layer struct {
	run    func(*network, *layer)
	name   string
	in     []*tensor
	out    *tensor
	window window

	// Of a layer with a filter.
	layout     *layout
	streamed   bool    // its parameters come with every run
	pairs      []int64 // the weights of two output channels in one, see convolve; then those of the next two
	weights    []int16 // of a depthwise filter, as TensorFlow Lite orders them
	biases     []int32
	channels   []stage // of each output channel
	predicted  stage
	places     []stageAt            // none if the program wasn't found to have it
	stages     []stage              // as read from there, or predicted
	numerators [2]int32             // of an addition
	bias       int32                // of an addition
	factors    *executable.SumPlace // where the program has an addition's numerators and bias; nil if it wasn't found
}

// stage gives the stage of an output channel. A program has one for each tile of channels, or a few for loops over them.
func (l *layer) stage(o int) *stage {
	return &l.stages[o/l.layout.rows*len(l.stages)/l.layout.tiles()]
}

// window is how a filter or pool moves over an image.
type window struct {
	height, width, strideY, strideX, dilationY, dilationX, top, left int
}

// newNetwork reads the layers between the program's inputs and outputs out of the twin, and finds each in the program.
func newNetwork(twin *tflite.Model, p *program) (*network, error) {
	if len(twin.Subgraphs) != 1 {
		return nil, fmt.Errorf("the twin has %d subgraphs, want 1", len(twin.Subgraphs))
	}
	b := &builder{twin: twin, graph: &twin.Subgraphs[0], network: &network{tensors: make([]*tensor, len(twin.Subgraphs[0].Tensors))}, program: p}
	if err := b.connect(); err != nil {
		return nil, err
	}
	needed, err := b.needed()
	if err != nil {
		return nil, err
	}
	for _, i := range needed {
		if err := b.add(i); err != nil {
			return nil, fmt.Errorf("operator %d, %v: %w", i, twin.OperatorCodes[b.graph.Operators[i].Opcode].Builtin, err)
		}
	}
	if err := b.findStages(); err != nil {
		return nil, err
	}
	return b.network, nil
}

// builder makes a network.
type builder struct {
	twin    *tflite.Model
	graph   *tflite.Subgraph
	network *network
	program *program
	cached  int // where the next layer's parameters are expected
}

// connect finds the twin's tensors for the executable's layers: by name, or, where both have as many, by order.
func (b *builder) connect() error {
	e := b.program.executable
	find := func(name string, i int, whole []int32, all int) (*tensor, error) {
		for j, t := range b.graph.Tensors {
			if t.Name == name {
				return b.tensor(int32(j))
			}
		}
		if len(whole) == all {
			return b.tensor(whole[i])
		}
		return nil, fmt.Errorf("the twin has no tensor %q", name)
	}
	for i, l := range e.Inputs {
		t, err := find(l.Name, i, b.graph.Inputs, len(e.Inputs))
		if err != nil {
			return err
		}
		if t.elements != l.TensorSize() {
			return fmt.Errorf("input %q has %d bytes in the twin, want %d", l.Name, t.elements, l.TensorSize())
		}
		b.network.ins = append(b.network.ins, t)
	}
	for i, l := range e.Outputs {
		t, err := find(l.Name, i, b.graph.Outputs, len(e.Outputs))
		if err != nil {
			return err
		}
		if t.elements != l.TensorSize() {
			return fmt.Errorf("output %q has %d bytes in the twin, want %d", l.Name, t.elements, l.TensorSize())
		}
		b.network.outs = append(b.network.outs, t)
	}
	return nil
}

// needed lists, in order, the operators on the way from the inputs to the outputs.
func (b *builder) needed() ([]int, error) {
	wanted := make(map[*tensor]bool)
	for _, t := range b.network.outs {
		wanted[t] = true
	}
	for _, t := range b.network.ins {
		delete(wanted, t)
	}
	var back []int
	for i := len(b.graph.Operators) - 1; i >= 0; i-- {
		op := b.graph.Operators[i]
		use := false
		for _, o := range op.Outputs {
			if t := b.network.tensors[o]; t != nil && wanted[t] {
				use = true
				delete(wanted, t)
			}
		}
		if !use {
			continue
		}
		back = append(back, i)
		for _, in := range op.Inputs {
			if in < 0 || b.twin.TensorBytes(0, in) != nil {
				continue
			}
			t, err := b.tensor(in)
			if err != nil {
				return nil, err
			}
			wanted[t] = true
			for _, known := range b.network.ins {
				if t == known {
					delete(wanted, t)
				}
			}
		}
	}
	if len(wanted) > 0 {
		return nil, errors.New("the twin has no way from the program's inputs to its outputs")
	}
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	return back, nil
}

// tensor gives the network's tensor for one of the twin's that is not constant.
func (b *builder) tensor(i int32) (*tensor, error) {
	if t := b.network.tensors[i]; t != nil {
		return t, nil
	}
	from := &b.graph.Tensors[i]
	scale, zero, signed, err := quantisation(from)
	if err != nil {
		return nil, err
	}
	t := &tensor{height: 1, width: 1, channels: 1, elements: 1, scale: scale, zero: zero, signed: signed}
	for j, n := range from.Shape {
		if n < 1 || t.elements > 1<<26/int(n) {
			return nil, fmt.Errorf("tensor %q has shape %v", from.Name, from.Shape)
		}
		t.elements *= int(n)
		switch len(from.Shape) - 1 - j {
		case 0:
			t.channels = int(n)
		case 1:
			t.width = int(n)
		case 2:
			t.height = int(n)
		default:
			if n != 1 {
				return nil, fmt.Errorf("tensor %q has shape %v, want batch 1", from.Name, from.Shape)
			}
		}
	}
	t.data = make([]byte, t.elements)
	b.network.tensors[i] = t
	return t, nil
}

// quantisation is a tensor's, in unsigned terms.
func quantisation(t *tflite.Tensor) (scale float32, zero int32, signed bool, err error) {
	q := t.Quantization
	if t.Type != tflite.TypeUint8 && t.Type != tflite.TypeInt8 || q == nil || len(q.Scale) == 0 || len(q.ZeroPoint) == 0 || !(q.Scale[0] > 0) {
		return 0, 0, false, fmt.Errorf("tensor %q is not of quantised bytes", t.Name)
	}
	signed = t.Type == tflite.TypeInt8
	zero = int32(q.ZeroPoint[0])
	if signed {
		zero += 128
	}
	return q.Scale[0], zero, signed, nil
}

// add appends the layer of operator i.
func (b *builder) add(i int) error {
	op := &b.graph.Operators[i]
	l := new(layer)
	for _, in := range op.Inputs {
		if in < 0 || b.twin.TensorBytes(0, in) != nil {
			continue
		}
		t, err := b.tensor(in)
		if err != nil {
			return err
		}
		l.in = append(l.in, t)
	}
	if len(op.Outputs) != 1 || len(l.in) == 0 {
		return errUnknownOperator
	}
	out, err := b.tensor(op.Outputs[0])
	if err != nil {
		return err
	}
	l.out = out
	l.name = b.graph.Tensors[op.Outputs[0]].Name
	l.predicted.inZero = l.in[0].zero
	var activation tflite.Activation
	in := l.in[0]
	switch o := op.Options; b.twin.OperatorCodes[op.Opcode].Builtin {
	case tflite.OpConv2D:
		c := o.Conv2D()
		activation = c.Activation
		err = b.filter(l, op, false, c.Padding, c.StrideH, c.StrideW, c.DilationH, c.DilationW)
	case tflite.OpDepthwiseConv2D:
		c := o.DepthwiseConv2D()
		activation = c.Activation
		err = b.filter(l, op, true, c.Padding, c.StrideH, c.StrideW, c.DilationH, c.DilationW)
	case tflite.OpFullyConnected:
		// One row: the input, whatever its shape.
		whole := *in
		whole.height, whole.width, whole.channels = 1, 1, in.elements
		if l.out.elements != l.out.channels {
			return errUnknownOperator
		}
		l.in[0] = &whole
		activation = o.FullyConnected().Activation
		err = b.filter(l, op, false, tflite.PaddingValid, 1, 1, 1, 1)
	case tflite.OpAveragePool2D:
		c := o.Pool2D()
		l.window, err = newWindow(in, out, c.Padding, c.FilterHeight, c.FilterWidth, c.StrideH, c.StrideW, 1, 1)
		l.predicted.multiplier = float32(1) / float32(c.FilterHeight*c.FilterWidth)
		if in.scale != out.scale {
			return errUnknownOperator
		}
		activation = c.Activation
		l.run = (*network).averagePool
	case tflite.OpAdd:
		if len(l.in) != 2 || l.in[1].elements != in.elements || out.elements != in.elements {
			return errUnknownOperator
		}
		sum, ok := executable.NewSum(in.scale, l.in[1].scale, byte(in.zero), byte(l.in[1].zero), byte(out.zero), out.scale, math.Inf(-1), math.Inf(1))
		if !ok {
			return errUnknownOperator
		}
		l.numerators, l.bias, l.predicted.multiplier = [2]int32{sum.First, sum.Second}, sum.Bias, sum.Multiplier
		l.predicted.inZero = 0 // each input has its own, elsewhere
		activation = o.Add().Activation
		l.run = (*network).sum
	case tflite.OpQuantize:
		l.predicted.multiplier = in.scale * (1 / out.scale)
		l.run = (*network).rescale
	case tflite.OpReshape, tflite.OpSqueeze:
		if out.elements != in.elements {
			return errUnknownOperator
		}
		l.run = (*network).reshape
	case tflite.OpConcatenation:
		if axis := int(o.Concatenation().Axis); axis != -1 && axis != len(b.graph.Tensors[op.Outputs[0]].Shape)-1 {
			return errUnknownOperator
		}
		for _, t := range l.in {
			if t.scale != in.scale || t.zero != in.zero || t.elements/t.channels != out.elements/out.channels {
				return errUnknownOperator
			}
		}
		l.predicted.multiplier = in.scale * (1 / out.scale)
		activation = o.Concatenation().Activation
		l.run = (*network).concatenate
	case tflite.OpSoftmax:
		if o.Softmax().Beta != 1 {
			return errUnknownOperator
		}
		l.run = (*network).softmax
	default:
		return errUnknownOperator
	}
	if err == nil {
		err = l.predicted.bound(out.scale, out.zero, activation)
	}
	if err != nil {
		return err
	}
	l.stages = []stage{l.predicted}
	if n := out.channels; n > len(b.network.sums) {
		b.network.sums = make([]int32, n)
	}
	b.network.layers = append(b.network.layers, l)
	return nil
}

// filter completes a layer that has a filter.
func (b *builder) filter(l *layer, op *tflite.Operator, depthwise bool, padding tflite.Padding, strideY, strideX, dilationY, dilationX int32) error {
	if len(op.Inputs) < 2 || op.Inputs[1] < 0 || len(l.in) != 1 {
		return errUnknownOperator
	}
	weights := b.twin.TensorBytes(0, op.Inputs[1])
	from := &b.graph.Tensors[op.Inputs[1]]
	scale, zero, signed, err := quantisation(from)
	if err != nil {
		return err
	}
	shape := from.Shape
	if len(shape) == 2 { // of FULLY_CONNECTED
		shape = []int32{shape[0], 1, 1, shape[1]}
	}
	if len(shape) != 4 {
		return errUnknownOperator
	}
	y := &layout{outputs: int(shape[0]), height: int(shape[1]), width: int(shape[2]), inputs: int(shape[3]), depthwise: depthwise, perChannel: len(from.Quantization.Scale) > 1}
	if depthwise {
		y.outputs = y.inputs
	}
	if y.inputs != l.in[0].channels || y.outputs != l.out.channels || len(weights) != int(shape[0])*y.height*y.width*y.inputs || depthwise && shape[0] != 1 {
		return errUnknownOperator
	}
	var biases []int32
	if len(op.Inputs) > 2 && op.Inputs[2] >= 0 {
		raw := b.twin.TensorBytes(0, op.Inputs[2])
		if len(raw) != 4*y.outputs {
			return errUnknownOperator
		}
		biases = make([]int32, y.outputs)
		for o := range biases {
			biases[o] = int32At(raw, 4*o)
		}
	}
	unsigned := weights
	if signed {
		unsigned = make([]byte, len(weights))
		for i, w := range weights {
			unsigned[i] = w ^ 0x80
		}
	}
	stream := b.program.parameters
	if c := b.program.caching; c != nil {
		stream = c.executable.Parameters
	}
	if !y.find(stream, b.cached, unsigned, biases) {
		stream = b.program.executable.Parameters
		if l.streamed = true; !y.find(stream, 0, unsigned, biases) {
			return fmt.Errorf("the compiled file does not hold the weights of %q", l.name)
		}
		b.network.haveStreams = true
	} else {
		b.cached = y.offset + y.size()
	}
	l.layout = y
	l.predicted.multiplier, l.predicted.weightZero = 1, 0
	if !y.perChannel {
		l.predicted.multiplier = l.in[0].scale * scale * (1 / l.out.scale)
		l.predicted.weightZero = zero
	}
	l.window, err = newWindow(l.in[0], l.out, padding, shape[1], shape[2], strideY, strideX, dilationY, dilationX)
	l.run = (*network).convolve
	inner := y.height * y.width
	if depthwise {
		l.run = (*network).convolveDepthwise
		l.weights = make([]int16, y.outputs*inner)
	} else {
		inner *= y.inputs
		l.pairs = make([]int64, up(y.outputs, 2)/2*inner)
		if n := l.out.height * l.out.width * inner; n > len(b.network.patches) {
			b.network.patches = make([]int16, n)
		}
	}
	l.biases = make([]int32, up(y.outputs, 2))
	l.channels = make([]stage, up(y.outputs, 2))
	return err
}

// newWindow checks a window over an image and places it, as TensorFlow Lite pads.
func newWindow(in, out *tensor, padding tflite.Padding, height, width, strideY, strideX, dilationY, dilationX int32) (w window, err error) {
	w = window{height: int(height), width: int(width), strideY: int(strideY), strideX: int(strideX), dilationY: int(dilationY), dilationX: int(dilationX)}
	if min(w.height, w.width, w.strideY, w.strideX, w.dilationY, w.dilationX) < 1 || max(w.height, w.width, w.strideY, w.strideX, w.dilationY, w.dilationX) > 1<<12 {
		return w, errors.New("impossible window")
	}
	place := func(in, out, size, stride, dilation int) (int, bool) {
		size = (size-1)*dilation + 1
		if padding == tflite.PaddingSame {
			return max((out-1)*stride+size-in, 0) / 2, out == (in+stride-1)/stride
		}
		return 0, out == (in-size)/stride+1 && in >= size
	}
	var okY, okX bool
	w.top, okY = place(in.height, out.height, w.height, w.strideY, w.dilationY)
	w.left, okX = place(in.width, out.width, w.width, w.strideX, w.dilationX)
	if !okY || !okX {
		return w, errors.New("the window does not give the output's size")
	}
	return w, nil
}

// findStages finds where the program has each layer's stage. Layers that want the same share what is found in order.
func (b *builder) findStages() error {
	var chunks [][]byte
	for _, c := range b.program.executable.Chunks {
		chunks = append(chunks, c.Bytes)
	}
	alike := make(map[stage][]*layer)
	var order []stage
	for _, l := range b.network.layers {
		w := l.predicted
		if w.multiplier == 0 {
			continue // moves bytes only
		}
		if alike[w] == nil {
			order = append(order, w)
		}
		alike[w] = append(alike[w], l)
	}
	for _, w := range order {
		found := findStages(chunks, w)
		for i, l := range alike[w] {
			n := len(alike[w])
			l.places = found[i*len(found)/n : (i+1)*len(found)/n]
			switch {
			case len(l.places) > 0:
				l.stages = make([]stage, len(l.places))
			case l.layout != nil:
				return fmt.Errorf("the program does not requantise %q as the twin does", l.name)
			}
			for _, p := range l.places {
				b.program.requantised[p.chunk] = p.mask(b.program.requantised[p.chunk])
			}
			if l.numerators[0] != 0 {
				b.findFactors(l)
			}
		}
	}
	return nil
}

// findFactors finds where the program has an addition's numerators and bias.
func (b *builder) findFactors(l *layer) {
	s := executable.Sum{First: l.numerators[0], Second: l.numerators[1], Bias: l.bias, Stage: executable.Stage{
		Multiplier: l.predicted.multiplier, Low: l.predicted.low, High: l.predicted.high, Zero: byte(l.predicted.zero)}}
	at, ok := b.program.executable.FindSum(s)
	if !ok {
		return
	}
	l.factors = &at
	masks := b.program.requantised
	for _, p := range at.Stages {
		masks[p.Chunk] = masks[p.Chunk].add(p.Instruction*128+biasField, floatBits)
	}
	for _, p := range slices.Concat(at.First, at.Second) {
		masks[p.Chunk] = masks[p.Chunk].add(p.Instruction*128+p.Bit, factorBits)
	}
}

// readFactors reads an addition's numerators and bias from the instructions.
func (l *layer) readFactors(chunks [][]byte) {
	first, second, s := l.factors.First[0], l.factors.Second[0], l.factors.Stages[0]
	for i, p := range []executable.FactorPlace{first, second} {
		l.numerators[i] = int32(bits(chunks[p.Chunk], p.Instruction*128+p.Bit, factorBits))
	}
	l.bias = int32(bits(chunks[s.Chunk], s.Instruction*128+biasField, floatBits))
}
