package classifier

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// A Layout is the form in which a model stores a head.
type Layout string

const (
	// Float stores a head as DEQUANTIZE, L2_NORMALIZATION, FULLY_CONNECTED and SOFTMAX in
	// float32. It stores any head exactly. If [Head.Sqrt] is set, a SQRT follows DEQUANTIZE.
	Float Layout = "float"
	// Coral stores a head as L2_NORMALIZATION, CONV_2D, MUL, RESHAPE and SOFTMAX in uint8.
	// Coral's ImprintingEngine can open such models and add classes.
	Coral Layout = "coral"
	// TPU adds no operators: the head replaces the last layer inside a model compiled for the
	// Edge TPU. Package tpu/compiled writes this layout.
	TPU Layout = "tpu"
	// Frigate is Float with the input that Frigate's custom classification expects; see
	// [AdaptToFrigate]. Models are exported in this layout, but workspaces don't have it.
	Frigate Layout = "frigate"
)

// ParseLayout returns the layout called name.
func ParseLayout(name string) (Layout, error) {
	switch l := Layout(name); l {
	case Float, Coral, TPU:
		return l, nil
	}
	return "", fmt.Errorf("layout %q is not one of %s, %s, %s", name, Float, Coral, TPU)
}

// Append removes everything after the tensor embedding from the main graph of m and appends h,
// in the [Float] or [Coral] layout. The scores, of shape [1, classes], become the only output.
// Operators and constants before the embedding do not change.
//
// The embedding must have h.Dim values of type uint8, int8 or, for Float, float32.
// Only Coral uses norms, which holds the [Sums.Norm] of each class, or 0 for a class that
// Coral's ImprintingEngine must not change. If norms is nil, all norms are 0. If h does not
// match m, the error wraps [ErrShape].
func (h *Head) Append(m *tflite.Model, embedding int32, layout Layout, norms []float64) error {
	return h.append(m, embedding, func(b *graphBuilder) error {
		switch layout {
		case Float:
			return b.float(h)
		case Coral:
			return b.coral(h, norms)
		}
		return fmt.Errorf("append a head: layout %q is neither %s nor %s: %w", layout, Float, Coral, ErrShape)
	})
}

// AppendQuantized is like Append for a head that applies to raw embeddings, like the result of [LastLayer]. It appends
// FULLY_CONNECTED and SOFTMAX in uint8, like Coral's SoftmaxRegression. Logits must lie between low and high.
func (h *Head) AppendQuantized(m *tflite.Model, embedding int32, low, high float64) error {
	return h.append(m, embedding, func(b *graphBuilder) error { return b.quantized(h, min(low, 0), max(high, 0)) })
}

// append removes everything after the tensor embedding, and appends what build adds.
func (h *Head) append(m *tflite.Model, embedding int32, build func(*graphBuilder) error) error {
	if err := h.Check(); err != nil {
		return err
	}
	if len(m.Subgraphs) == 0 || embedding < 0 || int(embedding) >= len(m.Subgraphs[0].Tensors) {
		return fmt.Errorf("append a head to tensor %d: the model has no such tensor: %w", embedding, ErrShape)
	}
	from := m.Subgraphs[0].Tensors[embedding]
	if n := from.NumElements(); n != h.Dim {
		return fmt.Errorf("append a head of %d dimensions to tensor %q of %d values: %w", h.Dim, from.Name, n, ErrShape)
	}
	names := outputNames(m)
	if err := m.Prune(0, []int32{embedding}); err != nil {
		return fmt.Errorf("cut the model after tensor %q: %w", from.Name, err)
	}
	b := &graphBuilder{m: m, current: m.Subgraphs[0].Outputs[0]}
	if err := build(b); err != nil {
		return err
	}
	m.Subgraphs[0].Outputs = []int32{b.current}
	for i, name := range names {
		if name != "" {
			m.SignatureDefs[i].Outputs = []tflite.TensorMap{{Name: name, Tensor: uint32(b.current)}}
		}
	}
	return nil
}

// outputNames returns the name of the first output of each signature of the main graph, so that
// the new output can keep the name.
func outputNames(m *tflite.Model) []string {
	names := make([]string, len(m.SignatureDefs))
	for i, s := range m.SignatureDefs {
		if s.Subgraph == 0 && len(s.Outputs) > 0 {
			names[i] = s.Outputs[0].Name
		}
	}
	return names
}

// A graphBuilder adds a chain of operators to the main graph of m.
type graphBuilder struct {
	m       *tflite.Model
	current int32 // tensor that the next operator reads
}

// tensor returns the current tensor.
func (b *graphBuilder) tensor() tflite.Tensor { return b.m.Subgraphs[0].Tensors[b.current] }

// constant adds a constant tensor and returns its index.
func (b *graphBuilder) constant(t tflite.Tensor, content []byte) int32 {
	t.Buffer = b.m.AddBuffer(content)
	return b.m.AddTensor(0, t)
}

// op adds an operator with the current tensor and constants as inputs and out as output. out
// becomes the current tensor.
func (b *graphBuilder) op(code tflite.BuiltinOperator, version int32, options tflite.Options, out tflite.Tensor, constants ...int32) {
	o := tflite.Operator{
		Opcode:             b.m.OperatorCode(code, "", version),
		Inputs:             append([]int32{b.current}, constants...),
		Options:            options,
		DebugMetadataIndex: -1,
	}
	b.current = b.m.AddTensor(0, out)
	o.Outputs = []int32{b.current}
	g := &b.m.Subgraphs[0]
	g.Operators = append(g.Operators, o)
}

// reshape adds a RESHAPE of the current tensor.
func (b *graphBuilder) reshape(name string, shape ...int32) {
	from := b.tensor()
	dims := b.constant(tflite.Tensor{Name: name + "/shape", Shape: []int32{int32(len(shape))}, Type: tflite.TypeInt32},
		int32Bytes(shape...))
	b.op(tflite.OpReshape, 1, tflite.ReshapeOptions{NewShape: shape}.Options(),
		tflite.Tensor{Name: name, Shape: shape, Type: from.Type, Quantization: from.Quantization}, dims)
}
