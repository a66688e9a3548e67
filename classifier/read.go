package classifier

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrNoHead is wrapped when a model does not end in a head of a known layout.
var ErrNoHead = errors.New("no head of a known layout at the model's end")

// Read returns the head that a model written by [Head.Append] ends in, with labels
// from the model's metadata, and its layout. The weights of the Coral layout come
// back as rounded there.
func Read(m *tflite.Model) (*Head, Layout, error) {
	if len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Outputs) != 1 {
		return nil, "", ErrNoHead
	}
	if ops, ok := endsIn(m, tflite.OpL2Normalization, tflite.OpFullyConnected, tflite.OpSoftmax); ok {
		h, err := readLayer(m, ops[1])
		if err == nil {
			h.Root = readsRoot(m, ops[0])
		}
		return h, Float, err
	}
	ops, ok := endsIn(m, tflite.OpL2Normalization, tflite.OpConv2D, tflite.OpMul, tflite.OpReshape, tflite.OpSoftmax)
	if !ok {
		return nil, "", ErrNoHead
	}
	h, err := readLayer(m, ops[1])
	if err != nil {
		return nil, "", err
	}
	factor, err := constant(m, m.Subgraphs[0].Operators[ops[2]].Inputs[1])
	if err != nil || len(factor) != 1 {
		return nil, "", fmt.Errorf("%w: MUL's second input is not one number", ErrNoHead)
	}
	for _, v := range [][]float32{h.Weights, h.Bias} {
		for i := range v {
			v[i] *= factor[0]
		}
	}
	return h, Coral, nil
}

// Norms reads the description of a model in the Coral layout: for each of classes
// classes the length of its sum of unit embeddings, 0 for one that is not
// mentioned. Like libcoral it takes a description that is not made of pairs of
// numbers for none at all.
func Norms(description string, classes int) []float64 {
	norms := make([]float64, classes)
	words := strings.FieldsFunc(description, func(r rune) bool { return r == ' ' || r == '\n' })
	for ; len(words) >= 2; words = words[2:] {
		c, err := strconv.Atoi(words[0])
		n, err2 := strconv.ParseFloat(words[1], 32)
		if err != nil || err2 != nil {
			return make([]float64, classes)
		}
		if c >= 0 && c < classes {
			norms[c] = n
		}
	}
	return norms
}

// endsIn reports whether the main graph ends in operators of these kinds, each
// reading what the one before wrote, and returns their places.
func endsIn(m *tflite.Model, kinds ...tflite.BuiltinOperator) ([]int, bool) {
	g := &m.Subgraphs[0]
	ops := make([]int, len(kinds))
	at := g.Outputs[0]
	for i := len(kinds) - 1; i >= 0; i-- {
		op := slices.IndexFunc(g.Operators, func(o tflite.Operator) bool { return slices.Contains(o.Outputs, at) })
		if op < 0 || m.OperatorCodes[g.Operators[op].Opcode].Builtin != kinds[i] || len(g.Operators[op].Inputs) == 0 {
			return nil, false
		}
		ops[i] = op
		if at = g.Operators[op].Inputs[0]; at < 0 {
			return nil, false
		}
	}
	return ops, true
}

// readsRoot reports whether operator op reads square roots, perhaps in another shape.
func readsRoot(m *tflite.Model, op int) bool {
	g := &m.Subgraphs[0]
	at := g.Operators[op].Inputs[0]
	for {
		op := slices.IndexFunc(g.Operators, func(o tflite.Operator) bool { return slices.Contains(o.Outputs, at) })
		if op < 0 {
			return false
		}
		switch m.OperatorCodes[g.Operators[op].Opcode].Builtin {
		case tflite.OpSqrt:
			return true
		case tflite.OpReshape:
			at = g.Operators[op].Inputs[0]
		default:
			return false
		}
	}
}

// readLayer reads the linear layer of operator op and names its classes.
func readLayer(m *tflite.Model, op int) (*Head, error) {
	labels, err := m.Labels()
	if err != nil {
		return nil, err
	}
	return LastLayer(m, op, labels)
}
