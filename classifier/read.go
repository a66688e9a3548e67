package classifier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrNoHead means that a model does not end in a head in the [Float] or [Coral] layout.
var ErrNoHead = errors.New("model does not end in a known head")

// Read returns the head of a model written by [Head.Append], and the head's layout. The labels
// come from the model's metadata. With the [Coral] layout, weights and biases have the rounded
// values that the model stores.
func Read(m *tflite.Model) (*Head, Layout, error) {
	if len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Outputs) != 1 {
		return nil, "", ErrNoHead
	}
	if ops, ok := lastOperators(m, tflite.OpL2Normalization, tflite.OpFullyConnected, tflite.OpSoftmax); ok {
		h, err := readLayer(m, ops[1])
		if err == nil {
			h.Sqrt = takesSquareRoots(m, ops[0])
		}
		return h, Float, err
	}
	ops, ok := lastOperators(m, tflite.OpL2Normalization, tflite.OpConv2D, tflite.OpMul, tflite.OpReshape, tflite.OpSoftmax)
	if !ok {
		return nil, "", ErrNoHead
	}
	h, err := readLayer(m, ops[1])
	if err != nil {
		return nil, "", err
	}
	mul := m.Subgraphs[0].Operators[ops[2]]
	if len(mul.Inputs) < 2 {
		return nil, "", fmt.Errorf("%w: MUL has no second input", ErrNoHead)
	}
	factor, err := constant(m, mul.Inputs[1])
	if err != nil || len(factor) != 1 {
		return nil, "", fmt.Errorf("%w: second input of MUL is not a single number", ErrNoHead)
	}
	for _, v := range [][]float32{h.Weights, h.Bias} {
		for i := range v {
			v[i] *= factor[0]
		}
	}
	return h, Coral, nil
}

// lastOperators returns the indexes of the last operators of the main graph. It returns false
// unless the operators have the given kinds and each reads the previous operator's output.
func lastOperators(m *tflite.Model, kinds ...tflite.BuiltinOperator) ([]int, bool) {
	g := &m.Subgraphs[0]
	ops := make([]int, len(kinds))
	tensor, producers := g.Outputs[0], g.Producers()
	for i := len(kinds) - 1; i >= 0; i-- {
		op := producers[tensor]
		if op < 0 || m.OperatorCodes[g.Operators[op].Opcode].Builtin != kinds[i] || len(g.Operators[op].Inputs) == 0 {
			return nil, false
		}
		ops[i] = op
		if tensor = g.Operators[op].Inputs[0]; tensor < 0 {
			return nil, false
		}
	}
	return ops, true
}

// takesSquareRoots reports whether the input of operator op is the output of a SQRT, possibly
// reshaped.
func takesSquareRoots(m *tflite.Model, op int) bool {
	g := &m.Subgraphs[0]
	producers := g.Producers()
	for range g.Operators {
		in := g.Operators[op].Inputs
		if len(in) == 0 || in[0] < 0 {
			return false
		}
		if op = producers[in[0]]; op < 0 {
			return false
		}
		switch m.OperatorCodes[g.Operators[op].Opcode].Builtin {
		case tflite.OpSqrt:
			return true
		case tflite.OpReshape:
		default:
			return false
		}
	}
	return false
}

// readLayer reads the linear layer of operator op, with labels from the metadata.
func readLayer(m *tflite.Model, op int) (*Head, error) {
	labels, err := m.Labels()
	if err != nil {
		return nil, err
	}
	return LastLayer(m, op, labels)
}

// LastLayer reads a linear layer from operator op of the main graph of m. The operator must be a
// FULLY_CONNECTED or a CONV_2D with a 1×1 filter. The head has one class per label and
// dequantized weights. It applies to the raw embedding that the operator reads, not to a unit
// embedding. An error wraps [ErrShape].
func LastLayer(m *tflite.Model, op int, labels []string) (*Head, error) {
	if len(m.Subgraphs) == 0 {
		return nil, fmt.Errorf("model has no graph: %w", ErrShape)
	}
	g := m.Subgraphs[0]
	if op < 0 || op >= len(g.Operators) || len(g.Operators[op].Inputs) < 2 {
		return nil, fmt.Errorf("model does not end in a linear classification layer: %w", ErrShape)
	}
	in := g.Operators[op].Inputs
	values, err := constant(m, in[1])
	if err != nil {
		return nil, err
	}
	w := g.Tensors[in[1]]
	if len(w.Shape) == 0 {
		return nil, fmt.Errorf("last layer %q has a single weight: %w", w.Name, ErrShape)
	}
	dim, classes := int(w.Shape[len(w.Shape)-1]), 0
	if dim > 0 {
		classes = len(values) / dim
	}
	if classes != int(w.Shape[0]) || classes != len(labels) {
		return nil, fmt.Errorf("last layer %q has weights of shape %v, but there are %d labels: %w", w.Name, w.Shape, len(labels), ErrShape)
	}
	bias := make([]float32, classes)
	if len(in) > 2 && in[2] >= 0 {
		if bias, err = constant(m, in[2]); err != nil {
			return nil, err
		}
	}
	h := &Head{Labels: labels, Dim: dim, Weights: values, Bias: bias}
	return h, h.Check()
}

// constant returns the values of a constant tensor of the main graph, dequantized if necessary.
func constant(m *tflite.Model, index int32) ([]float32, error) {
	if index < 0 {
		return nil, fmt.Errorf("an input of the last layer is missing: %w", ErrShape)
	}
	t := m.Subgraphs[0].Tensors[index]
	b, kind := m.Constant(index)
	size := kind.Size()
	if b == nil || size == 0 || len(b)%size != 0 {
		return nil, fmt.Errorf("tensor %q is not a readable constant: %w", t.Name, ErrShape)
	}
	v := make([]float32, len(b)/size)
	scale, zero, per := []float32{1}, []int64{0}, len(v)
	if kind != tflite.TypeFloat32 {
		if t.Quantization == nil || len(t.Quantization.Scale) == 0 {
			return nil, fmt.Errorf("tensor %q has no quantization: %w", t.Name, ErrShape)
		}
		scale, zero = t.Quantization.Scale, t.Quantization.ZeroPoint
		if len(scale) > 1 && (t.Quantization.Dimension != 0 || len(v)%len(scale) != 0) {
			return nil, fmt.Errorf("tensor %q is quantized along dimension %d, not 0: %w", t.Name, t.Quantization.Dimension, ErrShape)
		}
		per = max(len(v)/len(scale), 1)
	}
	for i := range v {
		var q int64
		switch kind {
		case tflite.TypeFloat32:
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
			continue
		case tflite.TypeUint8:
			q = int64(b[i])
		case tflite.TypeInt8:
			q = int64(int8(b[i]))
		case tflite.TypeInt32:
			q = int64(int32(binary.LittleEndian.Uint32(b[4*i:])))
		default:
			return nil, fmt.Errorf("tensor %q has type %v, not float32, uint8, int8 or int32: %w", t.Name, t.Type, ErrShape)
		}
		s := min(i/per, len(scale)-1)
		if len(zero) > 0 {
			q -= zero[min(s, len(zero)-1)]
		}
		v[i] = float32(float64(scale[s]) * float64(q))
	}
	return v, nil
}

// ParseNorms reads the norms that the [Coral] layout stores in a model's description. Each of
// the n norms is the length of the sum of a class's unit embeddings, or 0 if the description
// does not mention the class. Like libcoral, it ignores a description that does not consist of
// pairs of numbers.
func ParseNorms(description string, n int) []float64 {
	norms := make([]float64, n)
	words := strings.FieldsFunc(description, func(r rune) bool { return r == ' ' || r == '\n' })
	for ; len(words) >= 2; words = words[2:] {
		class, err := strconv.Atoi(words[0])
		norm, err2 := strconv.ParseFloat(words[1], 32)
		if err != nil || err2 != nil {
			return make([]float64, n)
		}
		if class >= 0 && class < n {
			norms[class] = norm
		}
	}
	return norms
}
