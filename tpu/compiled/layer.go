package compiled

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// A layer is an operator as the chip has it.
type layer struct {
	operator int // of the twin
	name     string
	kind     tflite.BuiltinOperator
	filter   *executable.Filter // nil if it has no weights
	signed   bool               // of its weights in the model
	stage    *executable.Stage  // nil if it is not known where its constants are
	sum      *executable.Sum    // of an ADD, instead
	// numerics are the scales and zero points of its inputs and outputs, which must
	// stay where the constants made of them aren't known.
	numerics []numerics
}

type numerics struct {
	scale float32
	zero  byte // in unsigned terms
}

// layers reads the operators of a model in order.
func layers(m *tflite.Model) ([]layer, error) {
	if len(m.Subgraphs) != 1 {
		return nil, fmt.Errorf("it has %d subgraphs, want 1: %w", len(m.Subgraphs), ErrUncompiled)
	}
	var all []layer
	for i := range m.Subgraphs[0].Operators {
		l, err := readLayer(m, i)
		if err != nil {
			return nil, fmt.Errorf("operator %d, %v: %w", i, m.OperatorCodes[m.Subgraphs[0].Operators[i].Opcode].Builtin, err)
		}
		all = append(all, *l)
	}
	return all, nil
}

// readLayer reads one operator.
func readLayer(m *tflite.Model, i int) (*layer, error) {
	g := &m.Subgraphs[0]
	op := &g.Operators[i]
	l := &layer{operator: i, kind: m.OperatorCodes[op.Opcode].Builtin}
	if len(op.Inputs) < 1 || op.Inputs[0] < 0 || len(op.Outputs) < 1 {
		return nil, fmt.Errorf("%d inputs and %d outputs: %w", len(op.Inputs), len(op.Outputs), ErrUncompiled)
	}
	out := &g.Tensors[op.Outputs[0]]
	l.name = out.Name
	for _, t := range append(op.Inputs[:len(op.Inputs):len(op.Inputs)], op.Outputs...) {
		if t < 0 || m.TensorBytes(0, t) != nil {
			continue
		}
		if scale, zero, err := quantisation(&g.Tensors[t]); err == nil {
			l.numerics = append(l.numerics, numerics{scale, zero})
		}
	}
	switch l.kind {
	case tflite.OpConv2D, tflite.OpDepthwiseConv2D, tflite.OpFullyConnected:
		return l, l.readFilter(m, op)
	case tflite.OpAdd:
		return l, l.add(m, op)
	case tflite.OpAveragePool2D:
		p := op.Options.Pool2D()
		return l, l.rescale(g, op, 1/float32(p.FilterHeight*p.FilterWidth), p.Activation)
	case tflite.OpQuantize:
		return l, l.rescale(g, op, 0, tflite.ActNone)
	case tflite.OpConcatenation:
		return l, l.rescale(g, op, 0, op.Options.Concatenation().Activation)
	}
	return l, nil
}

// rescale gives a layer without weights the stage that turns codes of its first input
// into codes of its output; multiplier 0 is that of their scales.
func (l *layer) rescale(g *tflite.Subgraph, op *tflite.Operator, multiplier float32, a tflite.Activation) error {
	inScale, inZero, err := quantisation(&g.Tensors[op.Inputs[0]])
	if err != nil {
		return nil // of real numbers: on the CPU
	}
	outScale, outZero, err := quantisation(&g.Tensors[op.Outputs[0]])
	if err != nil {
		return nil
	}
	if multiplier == 0 {
		multiplier = inScale * (1 / outScale)
	}
	low, high, err := limits(a)
	if err != nil {
		return err
	}
	s := executable.NewStage(multiplier, inZero, 0, outZero, outScale, low, high)
	l.stage = &s
	return nil
}

// add gives an ADD of two computed tensors of one shape the sum that it is.
func (l *layer) add(m *tflite.Model, op *tflite.Operator) error {
	g := &m.Subgraphs[0]
	if len(op.Inputs) != 2 || op.Inputs[1] < 0 || m.TensorBytes(0, op.Inputs[0]) != nil || m.TensorBytes(0, op.Inputs[1]) != nil ||
		!slices.Equal(g.Tensors[op.Inputs[0]].Shape, g.Tensors[op.Inputs[1]].Shape) {
		return nil
	}
	var q [3]numerics
	for i, t := range []int32{op.Inputs[0], op.Inputs[1], op.Outputs[0]} {
		scale, zero, err := quantisation(&g.Tensors[t])
		if err != nil {
			return nil // of real numbers: on the CPU
		}
		q[i] = numerics{scale, zero}
	}
	low, high, err := limits(op.Options.Add().Activation)
	if err != nil {
		return err
	}
	if s, ok := executable.NewSum(q[0].scale, q[1].scale, q[0].zero, q[1].zero, q[2].zero, q[2].scale, low, high); ok {
		l.sum = &s
	}
	return nil
}

// limits are the reals between which an activation keeps its output.
func limits(a tflite.Activation) (low, high float64, err error) {
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

func (l *layer) readFilter(m *tflite.Model, op *tflite.Operator) error {
	g := &m.Subgraphs[0]
	if len(op.Inputs) < 2 || op.Inputs[1] < 0 {
		return fmt.Errorf("%d inputs: %w", len(op.Inputs), ErrUncompiled)
	}
	in, w, out := &g.Tensors[op.Inputs[0]], &g.Tensors[op.Inputs[1]], &g.Tensors[op.Outputs[0]]
	f := new(executable.Filter)
	var activation tflite.Activation
	shape := make([]int, len(w.Shape))
	for i, n := range w.Shape {
		shape[i] = int(n)
	}
	perChannelAxis := int32(0)
	switch {
	case l.kind == tflite.OpConv2D && len(shape) == 4:
		f.Outputs, f.Height, f.Width, f.Inputs = shape[0], shape[1], shape[2], shape[3]
		activation = op.Options.Conv2D().Activation
	case l.kind == tflite.OpDepthwiseConv2D && len(shape) == 4 && shape[0] == 1:
		f.Depthwise = true
		f.Height, f.Width, f.Outputs, f.Inputs = shape[1], shape[2], shape[3], 1
		perChannelAxis = 3
		activation = op.Options.DepthwiseConv2D().Activation
	case l.kind == tflite.OpFullyConnected && len(shape) == 2:
		f.FullyConnected = true
		f.Outputs, f.Height, f.Width, f.Inputs = shape[0], 1, 1, shape[1]
		activation = op.Options.FullyConnected().Activation
	default:
		return fmt.Errorf("weights of shape %v: %w", shape, ErrUncompiled)
	}
	flip := byte(0)
	if w.Type == tflite.TypeInt8 {
		flip = 0x80
	}
	codes := m.TensorBytes(0, op.Inputs[1])
	if codes == nil {
		return fmt.Errorf("weights that are not constant: %w", ErrUncompiled)
	}
	for _, c := range codes {
		f.Weights = append(f.Weights, c^flip)
	}
	inScale, inZero, err := quantisation(in)
	if err != nil {
		return err
	}
	outScale, outZero, err := quantisation(out)
	if err != nil {
		return err
	}
	if _, _, err := quantisation(w); err != nil {
		return err
	}
	q := w.Quantization
	multiplier := executable.Multiplier(inScale, q.Scale[0], outScale)
	for _, z := range q.ZeroPoint {
		f.Zeros = append(f.Zeros, byte(z)^flip)
	}
	weightZero := f.Zeros[0]
	if w.Type == tflite.TypeInt8 && len(q.Scale) > 1 && len(q.Scale) == f.Outputs {
		if q.Dimension != perChannelAxis || len(q.ZeroPoint) != f.Outputs {
			return fmt.Errorf("weights quantised along dimension %d with %d zero points: %w", q.Dimension, len(q.ZeroPoint), ErrUncompiled)
		}
		for _, s := range q.Scale {
			f.Multipliers = append(f.Multipliers, executable.Multiplier(inScale, s, outScale))
		}
		multiplier, weightZero = 1, 0
	} else if len(q.Scale) != 1 {
		return fmt.Errorf("%d scales for %d outputs: %w", len(q.Scale), f.Outputs, ErrUncompiled)
	}
	if len(op.Inputs) > 2 && op.Inputs[2] >= 0 {
		b := m.TensorBytes(0, op.Inputs[2])
		if len(b) != 4*f.Outputs || g.Tensors[op.Inputs[2]].Type != tflite.TypeInt32 {
			return fmt.Errorf("biases that are not %d constants of 32 bits: %w", f.Outputs, ErrUncompiled)
		}
		for ; len(b) > 0; b = b[4:] {
			f.Biases = append(f.Biases, int32(binary.LittleEndian.Uint32(b)))
		}
	}
	low, high, err := limits(activation)
	if err != nil {
		return err
	}
	stage := executable.NewStage(multiplier, inZero, weightZero, outZero, outScale, low, high)
	l.filter, l.stage, l.signed = f, &stage, flip != 0
	return f.Check()
}

// quantisation is that of a tensor, its zero point in unsigned terms.
func quantisation(t *tflite.Tensor) (scale float32, zero byte, err error) {
	q := t.Quantization
	if t.Type != tflite.TypeUint8 && t.Type != tflite.TypeInt8 || q == nil || len(q.Scale) == 0 || len(q.ZeroPoint) == 0 || !(q.Scale[0] > 0) {
		return 0, 0, fmt.Errorf("tensor %q is not of quantised bytes: %w", t.Name, ErrUncompiled)
	}
	z := q.ZeroPoint[0]
	if t.Type == tflite.TypeInt8 {
		z += 128
	}
	if z < 0 || z > 255 {
		return 0, 0, fmt.Errorf("tensor %q has the zero point %d: %w", t.Name, q.ZeroPoint[0], ErrUncompiled)
	}
	return q.Scale[0], byte(z), nil
}
