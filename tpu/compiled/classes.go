package compiled

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// addClasses gives m as many classes as the uncompiled model, if m is a classifier with fewer. It
// adds rows whose output is always code 0 to the last layer. If the models also differ otherwise,
// mismatch finds the difference later. addClasses returns an error if m has more classes.
func (p *Pair) addClasses(m *tflite.Model) error {
	at := p.last()
	if at < 0 || p.isClassifier(at) != nil || len(m.Subgraphs[0].Operators) != len(p.layers) {
		return nil
	}
	g, old := &m.Subgraphs[0], &p.uncompiled.Subgraphs[0]
	op, oldOp := &g.Operators[at], &old.Operators[at]
	if m.OperatorCodes[op.Opcode].Builtin != p.layers[at].kind || len(op.Inputs) < 2 || op.Inputs[1] < 0 || len(op.Outputs) == 0 {
		return nil
	}
	shape, want := g.Tensors[op.Inputs[1]].Shape, old.Tensors[oldOp.Inputs[1]].Shape
	if p.layers[at].kind == tflite.OpDepthwiseConv2D || len(shape) < 2 || len(shape) != len(want) || !slices.Equal(shape[1:], want[1:]) || shape[0] == want[0] {
		return nil
	}
	if shape[0] > want[0] {
		return fmt.Errorf("%w: it has room for %d classes, but the new model has %d", ErrCompiled, want[0], shape[0])
	}
	l, err := readLayer(m, at, sharedWeights{})
	if err != nil {
		return fmt.Errorf("read the new model: operator %d: %w", at, err)
	}
	classes := int(shape[0])
	for i := at; i < len(p.layers); i++ {
		widen(g, old, g.Operators[i].Outputs, old.Operators[i].Outputs, classes)
		if i > at && !p.widenShape(m, i, classes) {
			return nil // mismatch says why
		}
	}
	addRows(m, op, l, int(want[0]))
	return nil
}

// widen gives tensors that are over classes the shapes of the corresponding tensors of old.
func widen(g, old *tflite.Subgraph, tensors, oldTensors []int32, classes int) {
	for j, t := range tensors {
		if j >= len(oldTensors) || t < 0 || oldTensors[j] < 0 {
			continue
		}
		is, was := &g.Tensors[t], old.Tensors[oldTensors[j]].Shape
		n := len(is.Shape) - 1
		if n >= 0 && len(was) == n+1 && slices.Equal(is.Shape[:n], was[:n]) && int(is.Shape[n]) == classes {
			is.Shape = slices.Clone(was)
			is.ShapeSignature = nil
		}
	}
}

// widenShape replaces the shape that a RESHAPE in m takes as a constant. It reports whether the
// operator has no other constants.
func (p *Pair) widenShape(m *tflite.Model, i, classes int) bool {
	op, old := &m.Subgraphs[0].Operators[i], &p.uncompiled.Subgraphs[0].Operators[i]
	for j, t := range op.Inputs {
		b := m.TensorBytes(0, t)
		if b == nil {
			continue
		}
		if p.layers[i].kind != tflite.OpReshape || j != 1 || len(b) < 4 || int(binary.LittleEndian.Uint32(b[len(b)-4:])) != classes || len(old.Inputs) < 2 {
			return false
		}
		m.Subgraphs[0].Tensors[t].Buffer = m.AddBuffer(p.uncompiled.TensorBytes(0, old.Inputs[1]))
	}
	return true
}

// addRows adds rows to the weights and biases of op until it has that many. l is op's layer.
func addRows(m *tflite.Model, op *tflite.Operator, l *layer, rows int) {
	g, f := &m.Subgraphs[0], l.filter
	classes := f.Outputs
	weights := &g.Tensors[op.Inputs[1]]
	zero := f.Zeros[0] ^ l.signBit()
	weights.Shape = append([]int32{int32(rows)}, weights.Shape[1:]...)
	weights.ShapeSignature = nil
	codes := slices.Clone(m.TensorBytes(0, op.Inputs[1]))
	codes = append(codes, slices.Repeat([]byte{zero}, (rows-classes)*f.Inputs*f.Height*f.Width)...)
	weights.Buffer = m.AddBuffer(codes)
	multiplier := l.stage.Multiplier
	if f.Multipliers != nil {
		multiplier = f.Multipliers[0]
		q := *weights.Quantization
		q.Scale, q.ZeroPoint = slices.Clone(q.Scale), slices.Clone(q.ZeroPoint)
		for range rows - classes {
			q.Scale, q.ZeroPoint = append(q.Scale, q.Scale[0]), append(q.ZeroPoint, q.ZeroPoint[0])
		}
		weights.Quantization = &q
	}

	// The weights of the new rows are 0, so their output is the bias times the multiplier.
	below := int32(max(math.MinInt32, -math.Ceil((float64(l.output().zero)+1)/float64(multiplier))))
	biases := f.Biases
	if biases == nil {
		biases = make([]int32, classes)
	}
	var b []byte
	for _, v := range append(slices.Clone(biases), slices.Repeat([]int32{below}, rows-classes)...) {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	buffer := m.AddBuffer(b)
	if len(op.Inputs) > 2 && op.Inputs[2] >= 0 {
		bias := &g.Tensors[op.Inputs[2]]
		bias.Shape, bias.ShapeSignature, bias.Buffer = []int32{int32(rows)}, nil, buffer
		if q := bias.Quantization; q != nil && len(q.Scale) == classes && classes > 1 {
			wide := *q
			wide.Scale = append(slices.Clone(q.Scale), slices.Repeat(q.Scale[:1], rows-classes)...)
			wide.ZeroPoint = append(slices.Clone(q.ZeroPoint), make([]int64, rows-classes)...)
			bias.Quantization = &wide
		}
		return
	}
	bias := m.AddTensor(0, tflite.Tensor{Name: l.name + "/bias", Type: tflite.TypeInt32, Shape: []int32{int32(rows)}, Buffer: buffer})
	op.Inputs = append(slices.Clone(op.Inputs[:2]), bias)
}
