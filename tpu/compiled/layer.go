package compiled

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// A layer is an operator as the Edge TPU computes it.
type layer struct {
	operator int // index in the model
	name     string
	kind     tflite.BuiltinOperator
	filter   *executable.Filter // nil for a layer without weights
	signed   bool               // the model's weights are int8
	stage    *executable.Stage  // nil if its place is not known
	sum      *executable.Sum    // set instead of stage for an ADD
	softmax  *executable.Softmax
	// around holds the quantization of the inputs and outputs. The quantization must not change if
	// the constants derived from it were not found.
	around []quantization
}

// quantization is the scale and zero point of a tensor whose codes were converted to uint8.
type quantization struct {
	scale float32
	zero  byte
}

// quantizationOf returns the quantization of an 8-bit tensor.
func quantizationOf(t *tflite.Tensor) (quantization, error) {
	q := t.Quantization
	if t.Type != tflite.TypeUint8 && t.Type != tflite.TypeInt8 || q == nil || len(q.Scale) == 0 || len(q.ZeroPoint) == 0 || !(q.Scale[0] > 0) {
		return quantization{}, fmt.Errorf("tensor %q is not quantized to 8 bits: %w", t.Name, ErrUncompiled)
	}
	zero := q.ZeroPoint[0]
	if t.Type == tflite.TypeInt8 {
		zero += 128
	}
	if zero < 0 || zero > 255 {
		return quantization{}, fmt.Errorf("tensor %q has the zero point %d: %w", t.Name, q.ZeroPoint[0], ErrUncompiled)
	}
	return quantization{q.Scale[0], byte(zero)}, nil
}

// readLayers reads all operators of an uncompiled model in order.
func readLayers(m *tflite.Model) ([]layer, error) {
	if len(m.Subgraphs) != 1 {
		return nil, fmt.Errorf("it has %d subgraphs, want 1: %w", len(m.Subgraphs), ErrUncompiled)
	}
	var layers []layer
	shared := make(sharedWeights)
	for i := range m.Subgraphs[0].Operators {
		l, err := readLayer(m, i, shared)
		if err != nil {
			return nil, fmt.Errorf("operator %d, %v: %w", i, m.OperatorCodes[m.Subgraphs[0].Operators[i].Opcode].Builtin, err)
		}
		layers = append(layers, *l)
	}
	return layers, nil
}

// sharedWeights holds the weights of int8 layers as uint8 codes, by the first byte of the constant. Many operators may
// share one constant.
type sharedWeights map[*byte][]byte

// of returns the codes of a layer's weights as uint8.
func (s sharedWeights) of(codes []byte, signed bool) []byte {
	if !signed || len(codes) == 0 {
		return codes
	}
	w := s[&codes[0]]
	if len(w) != len(codes) {
		w = make([]byte, len(codes))
		for i, c := range codes {
			w[i] = c ^ 0x80
		}
		s[&codes[0]] = w
	}
	return w
}

// readLayer reads operator i. The weights in the result must not be changed.
func readLayer(m *tflite.Model, i int, shared sharedWeights) (*layer, error) {
	g := &m.Subgraphs[0]
	op := &g.Operators[i]
	l := &layer{operator: i, kind: m.OperatorCodes[op.Opcode].Builtin}
	if len(op.Inputs) < 1 || op.Inputs[0] < 0 || len(op.Outputs) < 1 {
		return nil, fmt.Errorf("%d inputs and %d outputs: %w", len(op.Inputs), len(op.Outputs), ErrUncompiled)
	}
	l.name = g.Tensors[op.Outputs[0]].Name
	for _, t := range slices.Concat(op.Inputs, op.Outputs) {
		if t < 0 || m.TensorBytes(0, t) != nil {
			continue
		}
		if q, err := quantizationOf(&g.Tensors[t]); err == nil {
			l.around = append(l.around, q)
		}
	}
	switch l.kind {
	case tflite.OpConv2D, tflite.OpDepthwiseConv2D, tflite.OpFullyConnected:
		return l, l.readFilter(m, op, shared)
	case tflite.OpAdd:
		return l, l.readSum(m, op)
	case tflite.OpAveragePool2D:
		if p := op.Options.Pool2D(); l.sameAround() {
			return l, l.readRescale(g, op, 1/float32(p.FilterHeight*p.FilterWidth), p.Activation)
		}
	case tflite.OpMul:
		return l, l.readProduct(m, op)
	case tflite.OpLogistic:
		l.readLogistic(g, op)
	case tflite.OpSoftmax:
		l.readSoftmax(&m.Subgraphs[0], op)
	case tflite.OpMean:
		return l, l.readMean(&m.Subgraphs[0], op)
	case tflite.OpQuantize:
		return l, l.readRescale(g, op, 0, tflite.ActNone)
	case tflite.OpConcatenation:
		if l.sameAround() {
			return l, l.readRescale(g, op, 0, op.Options.Concatenation().Activation)
		}
	}
	return l, nil
}

// sameAround reports whether all inputs and outputs have the same quantization. What the compiler
// makes of a pool or CONCATENATION that requantizes is not known.
func (l *layer) sameAround() bool { return len(slices.Compact(slices.Clone(l.around))) == 1 }

// endsOf returns the quantizations of op's first input and first output. ok is false if either
// is a floating-point tensor.
func endsOf(g *tflite.Subgraph, op *tflite.Operator) (in, out quantization, ok bool) {
	in, inErr := quantizationOf(&g.Tensors[op.Inputs[0]])
	out, outErr := quantizationOf(&g.Tensors[op.Outputs[0]])
	return in, out, inErr == nil && outErr == nil
}

// readRescale sets the stage of a layer without weights. The stage maps codes of the first input to
// codes of the output. A multiplier of 0 means the ratio of the two scales. A floating-point layer
// runs on the CPU and has no stage.
func (l *layer) readRescale(g *tflite.Subgraph, op *tflite.Operator, multiplier float32, a tflite.Activation) error {
	in, out, ok := endsOf(g, op)
	if !ok {
		return nil
	}
	if multiplier == 0 {
		multiplier = in.scale * (1 / out.scale)
	}
	low, high, err := activationRange(a)
	if err != nil {
		return err
	}
	if l.onlySign() {
		return nil
	}
	stage := executable.NewStage(multiplier, in.zero, 0, out.zero, out.scale, low, high)
	l.stage = &stage
	return nil
}

// readMean sets the stage of a MEAN. The chip adds all values and multiplies the sum by the ratio of
// the scales, divided by the number of values per output.
func (l *layer) readMean(g *tflite.Subgraph, op *tflite.Operator) error {
	in, out, ok := endsOf(g, op)
	n, total := g.Tensors[op.Outputs[0]].NumElements(), g.Tensors[op.Inputs[0]].NumElements()
	if !ok || n < 1 || total < n {
		return nil
	}
	return l.readRescale(g, op, in.scale*(1/out.scale)*(1/float32(total/n)), tflite.ActNone)
}

// readSum sets the sum of an ADD of two computed tensors with the same shape. Any other ADD, such
// as a floating-point ADD, has no sum.
func (l *layer) readSum(m *tflite.Model, op *tflite.Operator) error {
	g := &m.Subgraphs[0]
	if len(op.Inputs) != 2 || op.Inputs[1] < 0 || m.TensorBytes(0, op.Inputs[0]) != nil || m.TensorBytes(0, op.Inputs[1]) != nil ||
		!slices.Equal(g.Tensors[op.Inputs[0]].Shape, g.Tensors[op.Inputs[1]].Shape) {
		return nil
	}
	var q [3]quantization
	for i, t := range []int32{op.Inputs[0], op.Inputs[1], op.Outputs[0]} {
		var err error
		if q[i], err = quantizationOf(&g.Tensors[t]); err != nil {
			return nil
		}
	}
	low, high, err := activationRange(op.Options.Add().Activation)
	if err != nil {
		return err
	}
	if s, ok := executable.NewSum(q[0].scale, q[1].scale, q[0].zero, q[1].zero, q[2].zero, q[2].scale, low, high); ok {
		l.sum = &s
	}
	return nil
}

// readProduct sets the stage of a MUL of two computed tensors with the same shape. Any other MUL has
// no stage, because the place of its constant is not known.
func (l *layer) readProduct(m *tflite.Model, op *tflite.Operator) error {
	g := &m.Subgraphs[0]
	in, out, ok := endsOf(g, op)
	if !ok || len(op.Inputs) != 2 || op.Inputs[1] < 0 || m.TensorBytes(0, op.Inputs[0]) != nil || m.TensorBytes(0, op.Inputs[1]) != nil ||
		!slices.Equal(g.Tensors[op.Inputs[0]].Shape, g.Tensors[op.Inputs[1]].Shape) {
		return nil
	}
	second, err := quantizationOf(&g.Tensors[op.Inputs[1]])
	if err != nil {
		return nil
	}
	low, high, err := activationRange(op.Options.Mul().Activation)
	if err != nil {
		return err
	}
	stage := executable.NewStage(executable.Multiplier(in.scale, second.scale, out.scale), in.zero, second.zero, out.zero, out.scale, low, high)
	l.stage = &stage
	return nil
}

// readLogistic sets the stage of a LOGISTIC with an output of scale 1/256, which is the only scale
// that TensorFlow Lite accepts.
func (l *layer) readLogistic(g *tflite.Subgraph, op *tflite.Operator) {
	if in, out, ok := endsOf(g, op); ok && out == (quantization{1. / 256, 0}) {
		stage := executable.NewLogisticStage(in.scale, in.zero)
		l.stage = &stage
	}
}

// readSoftmax sets the softmax of a SOFTMAX over one row of classes with an output of scale 1/256,
// which is the only scale that TensorFlow Lite accepts.
func (l *layer) readSoftmax(g *tflite.Subgraph, op *tflite.Operator) {
	in, out, ok := endsOf(g, op)
	t := &g.Tensors[op.Inputs[0]]
	if !ok || len(t.Shape) == 0 || int(t.Shape[len(t.Shape)-1]) != t.NumElements() || op.Options.Softmax().Beta != 1 || out != (quantization{1. / 256, 0}) {
		return
	}
	l.softmax = &executable.Softmax{Classes: t.NumElements(), Scale: in.scale, Zero: in.zero}
}

// activationRange returns the limits of an activation's output, as real numbers.
func activationRange(a tflite.Activation) (low, high float64, err error) {
	low, high = math.Inf(-1), math.Inf(1)
	switch a {
	case tflite.ActNone:
	case tflite.ActRelu:
		low = 0
	case tflite.ActReluN1To1:
		low, high = -1, 1
	case tflite.ActRelu6:
		low, high = 0, 6
	default:
		err = fmt.Errorf("activation %v: %w", a, ErrUncompiled)
	}
	return low, high, err
}

// readFilter sets the filter and stage of a layer with weights.
func (l *layer) readFilter(m *tflite.Model, op *tflite.Operator, shared sharedWeights) error {
	g := &m.Subgraphs[0]
	if len(op.Inputs) < 2 || op.Inputs[1] < 0 {
		return fmt.Errorf("%d inputs: %w", len(op.Inputs), ErrUncompiled)
	}
	weights := &g.Tensors[op.Inputs[1]]
	f, channelAxis, err := newFilter(l.kind, weights.Shape)
	if err != nil {
		return err
	}
	codes := m.TensorBytes(0, op.Inputs[1])
	if codes == nil {
		return fmt.Errorf("weights are not constant: %w", ErrUncompiled)
	}
	l.filter, l.signed = f, weights.Type == tflite.TypeInt8
	f.Weights = shared.of(codes, l.signed)
	in, err := quantizationOf(&g.Tensors[op.Inputs[0]])
	if err != nil {
		return err
	}
	out, err := quantizationOf(&g.Tensors[op.Outputs[0]])
	if err != nil {
		return err
	}
	multiplier, weightZero, err := l.readScales(weights, channelAxis, in.scale, out.scale)
	if err != nil {
		return err
	}
	if f.Biases, err = readBiases(m, op, f.Outputs); err != nil {
		return err
	}
	low, high, err := activationRange(filterActivation(l.kind, op.Options))
	if err != nil {
		return err
	}
	stage := executable.NewStage(multiplier, in.zero, weightZero, out.zero, out.scale, low, high)
	l.stage = &stage
	return f.Check()
}

// newFilter returns a filter for weights of the given shape, and the index of their output
// dimension.
func newFilter(kind tflite.BuiltinOperator, shape []int32) (f *executable.Filter, channelAxis int32, err error) {
	n := make([]int, len(shape))
	for i, d := range shape {
		n[i] = int(d)
	}
	switch {
	case kind == tflite.OpConv2D && len(n) == 4:
		return &executable.Filter{Outputs: n[0], Height: n[1], Width: n[2], Inputs: n[3]}, 0, nil
	case kind == tflite.OpDepthwiseConv2D && len(n) == 4 && n[0] == 1:
		return &executable.Filter{Depthwise: true, Height: n[1], Width: n[2], Outputs: n[3], Inputs: 1}, 3, nil
	case kind == tflite.OpFullyConnected && len(n) == 2:
		return &executable.Filter{FullyConnected: true, Outputs: n[0], Height: 1, Width: 1, Inputs: n[1]}, 0, nil
	}
	return nil, 0, fmt.Errorf("weights have the shape %v: %w", shape, ErrUncompiled)
}

func filterActivation(kind tflite.BuiltinOperator, o tflite.Options) tflite.Activation {
	switch kind {
	case tflite.OpConv2D:
		return o.Conv2D().Activation
	case tflite.OpDepthwiseConv2D:
		return o.DepthwiseConv2D().Activation
	}
	return o.FullyConnected().Activation
}

// signBit returns the mask that converts codes of the weights to uint8 and back, by XOR.
func (l *layer) signBit() byte {
	if l.signed {
		return 0x80
	}
	return 0
}

// readScales sets the zero points of the filter's weights, and its multipliers if they
// are quantized per channel. It returns the multiplier and zero point of the stage.
func (l *layer) readScales(weights *tflite.Tensor, channelAxis int32, in, out float32) (multiplier float32, zero byte, err error) {
	if _, err := quantizationOf(weights); err != nil {
		return 0, 0, err
	}
	f, q := l.filter, weights.Quantization
	for _, z := range q.ZeroPoint {
		f.Zeros = append(f.Zeros, byte(z)^l.signBit())
	}
	perChannel := l.signed && len(q.Scale) > 1 && len(q.Scale) == f.Outputs
	switch {
	case perChannel && (q.Dimension != channelAxis || len(q.ZeroPoint) != f.Outputs):
		return 0, 0, fmt.Errorf("weights are quantized along dimension %d with %d zero points: %w", q.Dimension, len(q.ZeroPoint), ErrUncompiled)
	case perChannel:
		for _, s := range q.Scale {
			f.Multipliers = append(f.Multipliers, executable.Multiplier(in, s, out))
		}
		return 1, 0, nil
	case len(q.Scale) != 1:
		return 0, 0, fmt.Errorf("%d scales for %d outputs: %w", len(q.Scale), f.Outputs, ErrUncompiled)
	}
	return executable.Multiplier(in, q.Scale[0], out), f.Zeros[0], nil
}

// readBiases returns the biases of an operator with weights, or nil if it has none.
func readBiases(m *tflite.Model, op *tflite.Operator, outputs int) ([]int32, error) {
	if len(op.Inputs) < 3 || op.Inputs[2] < 0 {
		return nil, nil
	}
	b := m.TensorBytes(0, op.Inputs[2])
	if len(b) != 4*outputs || m.Subgraphs[0].Tensors[op.Inputs[2]].Type != tflite.TypeInt32 {
		return nil, fmt.Errorf("biases are not %d constant 32-bit integers: %w", outputs, ErrUncompiled)
	}
	var biases []int32
	for ; len(b) > 0; b = b[4:] {
		biases = append(biases, int32(binary.LittleEndian.Uint32(b)))
	}
	return biases, nil
}
