package backbone

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrNoEmbedding means that no tensor of a model can serve as the embedding of a photo.
var ErrNoEmbedding = errors.New("no embedding found")

// headOperators are the operators that may follow the last layer, or come between the
// embedding and the last layer. They reshape, normalize or work element by element, so
// the search for the last layer passes over them.
var headOperators = []tflite.BuiltinOperator{
	tflite.OpSoftmax, tflite.OpReshape, tflite.OpSqueeze, tflite.OpLogistic, tflite.OpQuantize, tflite.OpDequantize,
	tflite.OpMul, tflite.OpAdd, tflite.OpL2Normalization,
}

// scalingOperators change at most the shape and scale of an embedding, so rawTensor
// passes over them.
var scalingOperators = []tflite.BuiltinOperator{
	tflite.OpReshape, tflite.OpSqueeze, tflite.OpQuantize, tflite.OpDequantize, tflite.OpL2Normalization,
}

// FindEmbedding returns the index of the embedding tensor in m's main graph, and the
// index of the operator that reads it as the last layer of a classifier, or -1.
//
// It searches backward from the first output. The embedding is the input of the last
// FULLY_CONNECTED, or of the last CONV_2D on a 1×1 map. In a model without such a layer,
// the output is the embedding. If the output is then not one vector, the error wraps
// ErrNoEmbedding.
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

// producer returns the index of the operator that writes tensor t, if it comes before the
// given one, or -1. The index decreases with every step back through a graph, so a search
// ends even if the graph has a cycle.
func producer(g *tflite.Subgraph, t int32, before int) int {
	return slices.IndexFunc(g.Operators[:before], func(o tflite.Operator) bool { return slices.Contains(o.Outputs, t) })
}

// isLastLayer reports whether operator op multiplies one vector by a constant matrix.
func isLastLayer(m *tflite.Model, op int, code tflite.BuiltinOperator) bool {
	g := &m.Subgraphs[0]
	in := g.Operators[op].Inputs
	if len(in) < 2 || in[0] < 0 || in[1] < 0 || !m.IsConstant(in[1]) {
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
		if i > 0 && t >= 0 && !m.IsConstant(t) {
			return false
		}
	}
	return len(in) > 0 && in[0] >= 0
}

// rawTensor follows tensor t back over scalingOperators and returns the tensor that they
// start from.
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
