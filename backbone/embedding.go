package backbone

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrNoEmbedding is wrapped when no tensor of a model can serve as the embedding of a
// photo.
var ErrNoEmbedding = errors.New("no embedding found")

// headOperators may stand between the last layer and the model's output, or between
// the embedding and the last layer. They work value by value or only normalize, so
// the layer before them is still the last one.
var headOperators = []tflite.BuiltinOperator{
	tflite.OpSoftmax, tflite.OpReshape, tflite.OpSqueeze, tflite.OpLogistic, tflite.OpQuantize, tflite.OpDequantize,
	tflite.OpMul, tflite.OpAdd, tflite.OpL2Normalization,
}

// scalingOperators keep the values of an embedding up to scale, so rawTensor goes
// back over them.
var scalingOperators = []tflite.BuiltinOperator{
	tflite.OpReshape, tflite.OpSqueeze, tflite.OpQuantize, tflite.OpDequantize, tflite.OpL2Normalization,
}

// FindEmbedding returns the index of the embedding tensor in m's main graph, and the
// index of the operator that reads it as the last layer of a classifier, or -1.
//
// It searches backward from the first output. The embedding is the input of the last
// FULLY_CONNECTED, or of a CONV_2D on a 1×1 map. A model without such a layer is taken
// to end in its embedding. If that is not one vector, the error wraps ErrNoEmbedding.
func FindEmbedding(m *tflite.Model) (embedding int32, lastLayer int, err error) {
	g := &m.Subgraphs[0]
	if len(g.Outputs) == 0 {
		return 0, -1, fmt.Errorf("%w: the model has no output", ErrNoEmbedding)
	}
	t := g.Outputs[0]
	for op := producer(g, t, len(g.Operators)); op >= 0; op = producer(g, t, op) {
		code := m.OperatorCodes[g.Operators[op].Opcode].Builtin
		in := g.Operators[op].Inputs
		if isLastLayer(m, op, code) {
			return rawTensor(m, in[0]), op, nil
		}
		if !slices.Contains(headOperators, code) || !isUnary(m, op) {
			break
		}
		t = in[0]
	}
	embedding = rawTensor(m, g.Outputs[0])
	out := &g.Tensors[embedding]
	if n := out.NumElements(); len(out.Shape) == 0 || n < 2 || n != int(out.Shape[len(out.Shape)-1]) {
		return 0, -1, fmt.Errorf("%w: output %q has shape %v, not one vector for the whole photo", ErrNoEmbedding, out.Name, out.Shape)
	}
	return embedding, -1, nil
}

// producer returns the operator that writes tensor t and comes before the given one, or
// -1. Operators are in execution order, so walking back over producers ends even in a
// graph with a cycle.
func producer(g *tflite.Subgraph, t int32, before int) int {
	return slices.IndexFunc(g.Operators[:before], func(o tflite.Operator) bool { return slices.Contains(o.Outputs, t) })
}

// isLastLayer reports whether operator op multiplies one vector by a constant matrix.
func isLastLayer(m *tflite.Model, op int, code tflite.BuiltinOperator) bool {
	g := &m.Subgraphs[0]
	in := g.Operators[op].Inputs
	if len(in) < 2 || in[0] < 0 || in[1] < 0 || m.TensorBytes(0, in[1]) == nil {
		return false
	}
	x, w := g.Tensors[in[0]].Shape, g.Tensors[in[1]].Shape
	switch code {
	case tflite.OpFullyConnected:
		return len(w) == 2
	case tflite.OpConv2D:
		return len(x) == 4 && len(w) == 4 && x[1] == 1 && x[2] == 1 && w[1] == 1 && w[2] == 1
	}
	return false
}

// isUnary reports whether every input of operator op after the first is constant.
func isUnary(m *tflite.Model, op int) bool {
	in := m.Subgraphs[0].Operators[op].Inputs
	for i, t := range in {
		if i > 0 && t >= 0 && m.TensorBytes(0, t) == nil {
			return false
		}
	}
	return len(in) > 0 && in[0] >= 0
}

// rawTensor follows tensor t back to the tensor whose values it reshapes or rescales.
func rawTensor(m *tflite.Model, t int32) int32 {
	g := &m.Subgraphs[0]
	for op := len(g.Operators); ; {
		op = producer(g, t, op)
		if op < 0 || !slices.Contains(scalingOperators, m.OperatorCodes[g.Operators[op].Opcode].Builtin) || !isUnary(m, op) {
			return t
		}
		t = g.Operators[op].Inputs[0]
	}
}

// tensorNamed returns the tensor of the main graph with the given name or, failing
// that, the given index, with or without a # before it.
func tensorNamed(m *tflite.Model, name string) (int32, error) {
	g := &m.Subgraphs[0]
	for i := range g.Tensors {
		if g.Tensors[i].Name == name {
			return int32(i), nil
		}
	}
	if i, err := strconv.Atoi(strings.TrimPrefix(name, "#")); err == nil && i >= 0 && i < len(g.Tensors) {
		return int32(i), nil
	}
	return 0, fmt.Errorf("%w: the model has no tensor %q", ErrNoEmbedding, name)
}
