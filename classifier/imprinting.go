package classifier

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// An Imprinting is a model that Coral's ImprintingEngine can train. It ends in L2_NORMALIZATION, CONV_2D, MUL, RESHAPE and
// SOFTMAX, in uint8, perhaps with a QUANTIZE before CONV_2D. Models in the [Coral] layout are such models. The rules come from
// coral/learn/imprinting_engine.cc of google-coral/libcoral.
type Imprinting struct {
	Dim       int       // number of values in an embedding, which is the unit vector
	Rows      []float32 // weights of the classes, Dim values each
	Norms     []float64 // see [ParseNorms]
	Labels    []string  // nil if the model has none
	model     *tflite.Model
	unit      int32 // tensor with the unit vector
	operators []int // indices of CONV_2D, MUL, RESHAPE and SOFTMAX
}

// ReadImprinting reads the head of m, which it keeps. An error wraps [ErrNoHead].
func ReadImprinting(m *tflite.Model) (*Imprinting, error) {
	fail := func(why string) (*Imprinting, error) { return nil, fmt.Errorf("%w: %s", ErrNoHead, why) }
	if len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Outputs) != 1 {
		return fail("weight imprinting needs a graph with one output")
	}
	g := &m.Subgraphs[0]
	before := []tflite.BuiltinOperator{tflite.OpL2Normalization}
	tail := []tflite.BuiltinOperator{tflite.OpConv2D, tflite.OpMul, tflite.OpReshape, tflite.OpSoftmax}
	ops, ok := lastOperators(m, slices.Concat(before, tail)...)
	if !ok {
		before = append(before, tflite.OpQuantize)
		ops, ok = lastOperators(m, slices.Concat(before, tail)...)
	}
	if !ok {
		return fail("weight imprinting needs L2_NORMALIZATION, CONV_2D, MUL, RESHAPE and SOFTMAX at the end")
	}
	i := &Imprinting{model: m, unit: g.Operators[ops[0]].Outputs[0], operators: ops[len(before):]}
	for _, op := range i.operators {
		q := g.Tensors[g.Operators[op].Outputs[0]].Quantization
		if q == nil || len(q.Scale) != 1 || len(g.Tensors[g.Operators[op].Outputs[0]].Shape) == 0 {
			return fail("an output of the last layers is not quantized")
		}
	}
	unit, conv := g.Tensors[i.unit], g.Operators[i.operators[0]]
	if i.Dim = unit.NumElements(); i.Dim <= 0 || unit.Type != tflite.TypeUint8 || len(conv.Inputs) != 3 || conv.Inputs[2] < 0 {
		return fail("the unit vector is not uint8, or CONV_2D has no biases")
	}
	var err error
	if i.Rows, err = constant(m, conv.Inputs[1]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoHead, err)
	}
	weights := g.Tensors[conv.Inputs[1]]
	if len(i.Rows)%i.Dim != 0 || weights.Type != tflite.TypeUint8 || len(weights.Quantization.Scale) != 1 {
		return fail("the weights of CONV_2D are not one row of uint8 for each class")
	}
	if factor, err := i.factor(); err != nil || !(factor > 0) {
		return fail("the second input of MUL is not a positive number")
	}
	i.Norms = ParseNorms(m.Description, len(i.Rows)/i.Dim)
	if labels, err := m.Labels(); err == nil {
		i.Labels = labels
	}
	return i, nil
}

// factor returns the number by which MUL multiplies cosines.
func (i *Imprinting) factor() (float32, error) {
	mul := i.model.Subgraphs[0].Operators[i.operators[1]]
	if len(mul.Inputs) != 2 {
		return 0, ErrNoHead
	}
	v, err := constant(i.model, mul.Inputs[1])
	if err != nil || len(v) != 1 {
		return 0, ErrNoHead
	}
	return v[0], nil
}

// Extractor cuts the model behind the unit vector, which becomes the output. i is unusable afterwards.
func (i *Imprinting) Extractor() (*tflite.Model, error) {
	if err := i.model.Prune(0, []int32{i.unit}); err != nil {
		return nil, fmt.Errorf("cut off the head: %w", err)
	}
	return i.model, nil
}

// Write replaces the classes of the model by i.Rows and i.Norms. It scales each row to length 1. Like libcoral, it keeps the
// scale of the weights, sets the biases to zero, and quantizes cosines from −1 to 1. In a model with labels, classes for which
// i.Labels has none get their index. i is unusable afterwards.
func (i *Imprinting) Write() (*tflite.Model, error) {
	n := len(i.Rows) / max(i.Dim, 1)
	if n == 0 || len(i.Rows) != n*i.Dim || len(i.Norms) != n {
		return nil, fmt.Errorf("write %d weights and %d norms of %d dimensions: %w", len(i.Rows), len(i.Norms), i.Dim, ErrShape)
	}
	for c, norm := range i.Norms {
		if sum := math.Abs(norm) + length(i.Rows[c*i.Dim:][:i.Dim]); !(sum <= math.MaxFloat64) {
			return nil, fmt.Errorf("write class %d: a weight or its norm is not finite: %w", c, ErrShape)
		}
	}
	factor, err := i.factor()
	if err != nil {
		return nil, err
	}
	g := &i.model.Subgraphs[0]
	conv, reshape := g.Operators[i.operators[0]], &g.Operators[i.operators[2]]
	weights := g.Tensors[conv.Inputs[1]]
	i.set(conv.Inputs[1], n, i.quantized(quantization(weights.Quantization.Scale[0], zeroPoint(weights))))
	i.set(conv.Inputs[2], n, make([]byte, 4*n))
	for k, op := range i.operators {
		out := &g.Tensors[g.Operators[op].Outputs[0]]
		out.Shape[len(out.Shape)-1], out.ShapeSignature = int32(n), nil
		switch k {
		case 0:
			out.Quantization = quantization(1.0/128, 128)
		case 1, 2:
			out.Quantization = quantization(factor/128, 128)
		}
	}
	shape := g.Tensors[reshape.Outputs[0]].Shape
	if len(reshape.Inputs) > 1 && reshape.Inputs[1] >= 0 {
		i.set(reshape.Inputs[1], len(shape), int32Bytes(shape...))
	}
	reshape.Options = tflite.ReshapeOptions{NewShape: shape}.Options()

	var lines strings.Builder
	for c, norm := range i.Norms {
		if norm > 0 {
			fmt.Fprintf(&lines, "%d %f\n", c, norm)
		}
	}
	i.model.Description = lines.String()
	if _, err := i.model.Labels(); err == nil {
		labels := i.Labels[:min(n, len(i.Labels))]
		for len(labels) < n {
			labels = append(labels, strconv.Itoa(len(labels)))
		}
		if err := i.model.SetLabels(labels); err != nil {
			return nil, err
		}
	}
	return i.model, nil
}

// set gives a constant tensor a new content, and n elements along the first dimension.
func (i *Imprinting) set(tensor int32, n int, content []byte) {
	t := &i.model.Subgraphs[0].Tensors[tensor]
	t.Shape = append([]int32{int32(n)}, t.Shape[min(1, len(t.Shape)):]...)
	t.Buffer = i.model.AddBuffer(content)
}

// quantized returns i.Rows, scaled to length 1 each, in uint8.
func (i *Imprinting) quantized(q *tflite.Quantization) []byte {
	content := make([]byte, len(i.Rows))
	for c := 0; c < len(i.Rows); c += i.Dim {
		row := i.Rows[c : c+i.Dim]
		norm := max(length(row), math.SmallestNonzeroFloat32)
		for k, w := range row {
			content[c+k] = quantize(float64(w)/norm, q)
		}
	}
	return content
}
