package backbone

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrNoEmbedding is wrapped when a model has no tensor that can serve as the
// embedding of a photo.
var ErrNoEmbedding = errors.New("no embedding found")

// behind are the operators that may stand between the last layer and the model's
// output, or between the embedding and the last layer, without changing which
// layer is the last: they work value by value or only normalise.
var behind = []tflite.BuiltinOperator{
	tflite.OpSoftmax, tflite.OpReshape, tflite.OpSqueeze, tflite.OpLogistic, tflite.OpQuantize, tflite.OpDequantize,
	tflite.OpMul, tflite.OpAdd, tflite.OpL2Normalization,
}

// reshaping are the operators through which the raw embedding is followed back
// from the last layer: its values are the same before them, up to scale.
var reshaping = []tflite.BuiltinOperator{
	tflite.OpReshape, tflite.OpSqueeze, tflite.OpQuantize, tflite.OpDequantize, tflite.OpL2Normalization,
}

// FindEmbedding returns the tensor that serves as the embedding, and the operator
// of the main graph that reads it as the last layer of a classifier, or -1. It
// goes back from the first output: the last FULLY_CONNECTED, or CONV_2D on a
// single place, reads the embedding; where there is none, the output is it.
func FindEmbedding(m *tflite.Model) (embedding int32, lastLayer int, err error) {
	g := &m.Subgraphs[0]
	if len(g.Outputs) == 0 {
		return 0, -1, fmt.Errorf("%w: the model has no output", ErrNoEmbedding)
	}
	at := g.Outputs[0]
	for {
		op := producer(g, at)
		if op < 0 {
			break
		}
		code := m.OperatorCodes[g.Operators[op].Opcode].Builtin
		in := g.Operators[op].Inputs
		if isLastLayer(m, op, code) {
			return raw(m, in[0]), op, nil
		}
		if !slices.Contains(behind, code) || !onlyInput(m, op) {
			break
		}
		at = in[0]
	}
	// No classifier: the model ends in its embedding, perhaps normalised.
	at = raw(m, g.Outputs[0])
	t := g.Tensors[at]
	if n := t.NumElements(); len(t.Shape) == 0 || n < 2 || n != int(t.Shape[len(t.Shape)-1]) {
		return 0, -1, fmt.Errorf("%w: output %q of shape %v is one value for each place, not one vector for the photo", ErrNoEmbedding, t.Name, t.Shape)
	}
	return at, -1, nil
}

// producer returns the operator that writes tensor t, or -1.
func producer(g *tflite.Subgraph, t int32) int {
	return slices.IndexFunc(g.Operators, func(o tflite.Operator) bool { return slices.Contains(o.Outputs, t) })
}

// isLastLayer reports whether operator op multiplies one vector with one row of
// constant weights for each class.
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

// onlyInput reports whether all inputs of operator op but the first are constant.
func onlyInput(m *tflite.Model, op int) bool {
	in := m.Subgraphs[0].Operators[op].Inputs
	for i, t := range in {
		if i > 0 && t >= 0 && m.TensorBytes(0, t) == nil {
			return false
		}
	}
	return len(in) > 0 && in[0] >= 0
}

// raw follows tensor t back to where its values were computed.
func raw(m *tflite.Model, t int32) int32 {
	g := &m.Subgraphs[0]
	for {
		op := producer(g, t)
		if op < 0 || !slices.Contains(reshaping, m.OperatorCodes[g.Operators[op].Opcode].Builtin) || !onlyInput(m, op) {
			return t
		}
		t = g.Operators[op].Inputs[0]
	}
}

// tensorNamed returns the tensor of the main graph with that name, or with that
// index, which may have a # before it.
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
