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
// the output is the embedding. If that output is not one vector, the error wraps
// ErrNoEmbedding. The time is linear in the size of the graph, even if it has a cycle.
func FindEmbedding(m *tflite.Model) (embedding int32, lastLayer int, err error) {
	g := &m.Subgraphs[0]
	if len(g.Outputs) == 0 {
		return 0, -1, fmt.Errorf("%w: the model has no output", ErrNoEmbedding)
	}
	w := walk{m, g, g.Producers()}
	t := g.Outputs[0]
	for op := w.before(t, len(g.Operators)); op >= 0; op = w.before(t, op) {
		code := m.OperatorCodes[g.Operators[op].Opcode].Builtin
		in := g.Operators[op].Inputs
		if w.isLastLayer(op, code) {
			return w.rawTensor(in[0]), op, nil
		}
		if !slices.Contains(headOperators, code) || !w.isUnary(op) {
			break
		}
		t = in[0]
	}
	embedding = w.rawTensor(g.Outputs[0])
	out := &g.Tensors[embedding]
	if n := out.NumElements(); len(out.Shape) == 0 || n < 2 || n != int(out.Shape[len(out.Shape)-1]) {
		return 0, -1, fmt.Errorf("%w: output %q has shape %v, not one vector for the whole photo", ErrNoEmbedding, out.Name, out.Shape)
	}
	return embedding, -1, nil
}

// A walk follows the tensors of a model's main graph backward.
type walk struct {
	m         *tflite.Model
	g         *tflite.Subgraph
	producers []int // see [tflite.Subgraph.Producers]
}

// before returns the operator that writes tensor t if its index is less than end, and
// otherwise -1. The index decreases with every step back through a graph, so a search
// ends even if the graph has a cycle.
func (w walk) before(t int32, end int) int {
	if op := w.producers[t]; op < end {
		return op
	}
	return -1
}

// isConstant is like [tflite.Model.IsConstant], which searches all operators.
func (w walk) isConstant(t int32) bool {
	op := w.producers[t]
	return w.m.TensorBytes(0, t) != nil || op >= 0 && w.m.IsWidening(op) && w.m.TensorBytes(0, w.g.Operators[op].Inputs[0]) != nil
}

// isLastLayer reports whether operator op multiplies one vector by a constant matrix.
func (w walk) isLastLayer(op int, code tflite.BuiltinOperator) bool {
	in := w.g.Operators[op].Inputs
	if len(in) < 2 || in[0] < 0 || in[1] < 0 || !w.isConstant(in[1]) {
		return false
	}
	x, f := w.g.Tensors[in[0]].Shape, w.g.Tensors[in[1]].Shape
	switch code {
	case tflite.OpFullyConnected:
		return len(f) == 2
	case tflite.OpConv2D:
		return len(x) == 4 && len(f) == 4 && x[1] == 1 && x[2] == 1 && f[1] == 1 && f[2] == 1
	}
	return false
}

// isUnary reports whether every input of operator op after the first is constant.
func (w walk) isUnary(op int) bool {
	in := w.g.Operators[op].Inputs
	for i, t := range in {
		if i > 0 && t >= 0 && !w.isConstant(t) {
			return false
		}
	}
	return len(in) > 0 && in[0] >= 0
}

// rawTensor follows tensor t back through scalingOperators and returns the tensor that
// the first of them reads.
func (w walk) rawTensor(t int32) int32 {
	for op := len(w.g.Operators); ; {
		op = w.before(t, op)
		if op < 0 || !slices.Contains(scalingOperators, w.m.OperatorCodes[w.g.Operators[op].Opcode].Builtin) || !w.isUnary(op) {
			return t
		}
		t = w.g.Operators[op].Inputs[0]
	}
}

// tensorNamed returns the main graph's tensor with the given name. If there is none, it
// takes the name as an index, with or without a # before it.
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
