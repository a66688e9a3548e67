package emulator

import (
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// network holds the layers that a program computes, in order. Weights and multipliers come from the bytes that the chip
// receives.
type network struct {
	tensors     []*tensor // indexed by tensor of the uncompiled model; nil for constants
	layers      []*layer
	ins, outs   []*tensor // indexed by input and output layer of the executable
	patches     []int16   // buffer for the windows of a convolution
	sums        []int32   // buffer for the accumulators of one position
	prepared    bool      // the layers hold the parameters of version
	version     int
	haveStreams bool  // some layer's parameters are sent with every run
	err         error // of a layer that Config.Operator computes, in the current run
}

// tensor is an array of unsigned bytes. A signed code q is stored as q XOR 80h.
type tensor struct {
	height, width, channels int
	elements                int
	scale                   float32
	zero                    int32
	signed                  bool
	data                    []byte
}

// layer is one operator that the chip computes.
type layer struct {
	run    func(*network, *layer)
	name   string
	in     []*tensor
	out    *tensor
	window window
	blocks int // of a CONCATENATION: the number of blocks that each input has

	// The fields from layout to channels are set for a layer with a filter.
	layout   *layout
	streamed bool    // the parameters are sent with every run
	pairs    []int64 // weights of output channels 0 and 1 together, then of 2 and 3, …: see convolve
	weights  []int16 // weights of a depthwise filter, in TensorFlow Lite's order
	biases   []int32
	channels []stage // indexed by output channel

	predicted stage        // computed from the uncompiled model
	places    []stagePlace // places of the stages in the program; empty if they were not found
	stages    []stage      // read from places, or a copy of predicted

	// numerators and bias are the constants of an addition. factors locates them in the program, or is nil if they were
	// not found.
	numerators [2]int32
	bias       int32
	factors    *executable.SumPlace

	// inScale is the scale of a SOFTMAX's input. softmax locates it in the program, or is nil if it was not found.
	inScale float32
	softmax *executable.SoftmaxPlace
}

// stage returns the stage of an output channel. A program has one stage for each tile of channels, or fewer if it loops
// over tiles.
func (l *layer) stage(o int) *stage {
	tile, _ := l.layout.place(o)
	return &l.stages[tile*len(l.stages)/l.layout.tiles()]
}

// window holds the size of a filter or pool, its strides and dilations, and the padding above and to the left of the
// image.
type window struct {
	height, width, strideY, strideX, dilationY, dilationX, top, left int
}

// newNetwork reads the layers between the program's inputs and outputs from the uncompiled model, and finds each in the
// program. operator is Config.Operator.
func newNetwork(uncompiled *tflite.Model, p *program, operator OperatorFunc) (*network, error) {
	if len(uncompiled.Subgraphs) != 1 {
		return nil, fmt.Errorf("uncompiled model has %d subgraphs, want 1", len(uncompiled.Subgraphs))
	}
	graph := &uncompiled.Subgraphs[0]
	b := &builder{uncompiled: uncompiled, graph: graph, network: &network{tensors: make([]*tensor, len(graph.Tensors))}, program: p, operator: operator}
	if err := b.connect(); err != nil {
		return nil, err
	}
	needed, err := b.needed()
	if err != nil {
		return nil, err
	}
	for _, i := range needed {
		if err := b.add(i); err != nil {
			return nil, fmt.Errorf("operator %d, %v: %w", i, uncompiled.OperatorCodes[b.graph.Operators[i].Opcode].Builtin, err)
		}
	}
	if err := b.findStages(); err != nil {
		return nil, err
	}
	return b.network, nil
}

// builder builds a network.
type builder struct {
	uncompiled *tflite.Model
	graph      *tflite.Subgraph
	network    *network
	program    *program
	operator   OperatorFunc // Config.Operator
	cached     int          // offset at which the next layer's parameters are expected
}

// connect finds the uncompiled model's tensors for the executable's inputs and outputs. It matches them by name or, if
// their numbers are equal, by order.
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
		return nil, fmt.Errorf("uncompiled model has no tensor %q", name)
	}
	for i, l := range e.Inputs {
		t, err := find(l.Name, i, b.graph.Inputs, len(e.Inputs))
		if err != nil {
			return err
		}
		if t.elements != l.TensorSize() {
			return fmt.Errorf("input %q has %d bytes in the uncompiled model, want %d", l.Name, t.elements, l.TensorSize())
		}
		b.network.ins = append(b.network.ins, t)
	}
	for i, l := range e.Outputs {
		t, err := find(l.Name, i, b.graph.Outputs, len(e.Outputs))
		if err != nil {
			return err
		}
		if t.elements != l.TensorSize() {
			return fmt.Errorf("output %q has %d bytes in the uncompiled model, want %d", l.Name, t.elements, l.TensorSize())
		}
		b.network.outs = append(b.network.outs, t)
	}
	return nil
}

// needed lists the operators between the inputs and the outputs, in order.
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
			if in < 0 || b.uncompiled.TensorBytes(0, in) != nil {
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
		return nil, errors.New("uncompiled model has no path from the program's inputs to its outputs")
	}
	slices.Reverse(back)
	return back, nil
}

// tensor returns the network's tensor for a variable tensor of the uncompiled model.
func (b *builder) tensor(i int32) (*tensor, error) {
	if t := b.network.tensors[i]; t != nil {
		return t, nil
	}
	from := &b.graph.Tensors[i]
	scale, zero, signed, err := quantization(from)
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

// quantization returns the scale and zero point of a tensor, converted to unsigned codes.
func quantization(t *tflite.Tensor) (scale float32, zero int32, signed bool, err error) {
	q := t.Quantization
	if t.Type != tflite.TypeUint8 && t.Type != tflite.TypeInt8 || q == nil || len(q.Scale) == 0 || len(q.ZeroPoint) == 0 || !(q.Scale[0] > 0) {
		return 0, 0, false, fmt.Errorf("tensor %q does not hold quantized bytes", t.Name)
	}
	signed = t.Type == tflite.TypeInt8
	zero = int32(q.ZeroPoint[0])
	if signed {
		zero += 128
	}
	return q.Scale[0], zero, signed, nil
}

// findStages locates the stages of all layers in the program. Layers with equal stages have the same candidates. If
// their order does not decide between them, each gets an equal share of the places.
func (b *builder) findStages() error {
	var chunks [][]byte
	for _, c := range b.program.executable.Chunks {
		chunks = append(chunks, c.Bytes)
	}
	found := make(map[stage][]executable.StagePlace)
	candidates := make([][]executable.StagePlace, len(b.network.layers))
	for i, l := range b.network.layers {
		switch w := l.predicted; {
		case l.softmax != nil:
			candidates[i] = slices.Concat(l.softmax.Stages[:]...)
		case w.multiplier != 0: // otherwise the layer only moves bytes
			if _, ok := found[w]; !ok {
				found[w] = findStages(chunks, w)
			}
			candidates[i] = slices.Clone(found[w])
		}
	}
	executable.AssignPlaces(candidates)
	shares := make(map[executable.StagePlace]int)
	for _, c := range candidates {
		for _, p := range c {
			shares[p]++
		}
	}
	taken := make(map[stage]int)
	for i, l := range b.network.layers {
		places := candidates[i]
		if slices.ContainsFunc(places, func(p executable.StagePlace) bool { return shares[p] > 1 }) && l.softmax == nil {
			n := b.equalLayers(l.predicted)
			k := taken[l.predicted]
			taken[l.predicted]++
			all := found[l.predicted]
			places = all[k*len(all)/n : (k+1)*len(all)/n]
		}
		if err := b.place(l, places); err != nil {
			return err
		}
	}
	return nil
}

// equalLayers returns the number of layers whose stage is s.
func (b *builder) equalLayers(s stage) (n int) {
	for _, l := range b.network.layers {
		if l.predicted == s {
			n++
		}
	}
	return n
}

// place sets the places of a layer's stage, and lets the program differ there.
func (b *builder) place(l *layer, places []executable.StagePlace) error {
	masks := b.program.requantized
	for _, p := range places {
		at := stagePlace{p.Chunk, p.Instruction}
		masks[p.Chunk] = at.mask(masks[p.Chunk])
		if l.softmax != nil {
			masks[p.Chunk] = masks[p.Chunk].add(p.Instruction*128+biasField, floatBits)
			continue
		}
		l.places = append(l.places, at)
	}
	switch {
	case len(l.places) > 0:
		l.stages = make([]stage, len(l.places))
	case l.layout != nil:
		return fmt.Errorf("the program does not requantize %q as the uncompiled model does", l.name)
	}
	if l.numerators[0] != 0 {
		b.findFactors(l)
	}
	return nil
}

// findFactors locates an addition's numerators and bias in the program.
func (b *builder) findFactors(l *layer) {
	s := executable.Sum{First: l.numerators[0], Second: l.numerators[1], Bias: l.bias, Stage: executable.Stage{
		Multiplier: l.predicted.multiplier, Low: l.predicted.low, High: l.predicted.high, Zero: byte(l.predicted.zero)}}
	at, ok := b.program.executable.FindSum(s)
	if !ok {
		return
	}
	l.factors = &at
	masks := b.program.requantized
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
