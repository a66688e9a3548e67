package classifier

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// A Layout is a way to write a head as operators after a frozen backbone.
type Layout string

const (
	// Float is DEQUANTIZE, L2_NORMALIZATION, FULLY_CONNECTED and SOFTMAX in
	// float32: exact for any head.
	Float Layout = "float"
	// Coral is L2_NORMALIZATION, CONV_2D, MUL, RESHAPE and SOFTMAX in uint8, the
	// form that Coral's ImprintingEngine opens and continues.
	Coral Layout = "coral"
	// TPU is no operators: the head takes the place of the last layer inside a model
	// that is compiled for the Edge TPU. Package template of package imprint writes it.
	TPU Layout = "tpu"
)

// ParseLayout returns the layout of that name.
func ParseLayout(name string) (Layout, error) {
	switch l := Layout(name); l {
	case Float, Coral, TPU:
		return l, nil
	}
	return "", fmt.Errorf("layout %q is not one of %s, %s, %s", name, Float, Coral, TPU)
}

// Append cuts the main graph of m after the tensor with index embedding and writes
// h behind it; the last tensor, the scores [1, classes], becomes the only output.
// The embedding has h.Dim values, uint8, int8 or (Float only) float32. The
// operators before it and their constants stay as they are. norms, used by the
// Coral layout alone, gives for each class the length of its sum of unit
// embeddings, or 0 for a class that Coral's engine must not change; nil is all 0.
func (h *Head) Append(m *tflite.Model, embedding int32, layout Layout, norms []float64) error {
	if err := h.Check(); err != nil {
		return err
	}
	if len(m.Subgraphs) == 0 || embedding < 0 || int(embedding) >= len(m.Subgraphs[0].Tensors) {
		return fmt.Errorf("write a head after tensor %d: the model has no such tensor: %w", embedding, ErrShape)
	}
	at := m.Subgraphs[0].Tensors[embedding]
	if n := at.NumElements(); n != h.Dim {
		return fmt.Errorf("write a head for %d values after tensor %q of %d: %w", h.Dim, at.Name, n, ErrShape)
	}
	names := signatureNames(m)
	if err := m.Prune(0, []int32{embedding}); err != nil {
		return fmt.Errorf("cut the model after tensor %q: %w", at.Name, err)
	}
	t := &tail{m: m, at: m.Subgraphs[0].Outputs[0]}
	var err error
	switch layout {
	case Float:
		err = t.float(h)
	case Coral:
		err = t.coral(h, norms)
	default:
		err = fmt.Errorf("layout %q is not of operators: %w", layout, ErrShape)
	}
	if err != nil {
		return err
	}
	m.Subgraphs[0].Outputs = []int32{t.at}
	for i, name := range names {
		if name != "" {
			m.SignatureDefs[i].Outputs = []tflite.TensorMap{{Name: name, Tensor: uint32(t.at)}}
		}
	}
	return nil
}

// signatureNames returns the name of the first output of each signature of the
// main graph, so that the new output can be called the same.
func signatureNames(m *tflite.Model) []string {
	names := make([]string, len(m.SignatureDefs))
	for i, s := range m.SignatureDefs {
		if s.Subgraph == 0 && len(s.Outputs) > 0 {
			names[i] = s.Outputs[0].Name
		}
	}
	return names
}

// A tail adds operators to the main graph of m, one after the other.
type tail struct {
	m  *tflite.Model
	at int32 // the tensor that the next operator reads
}

// tensor returns the description of the tensor reached so far.
func (t *tail) tensor() tflite.Tensor { return t.m.Subgraphs[0].Tensors[t.at] }

// constant adds a constant tensor.
func (t *tail) constant(c tflite.Tensor, content []byte) int32 {
	c.Buffer = t.m.AddBuffer(content)
	return t.m.AddTensor(0, c)
}

// op adds an operator that reads the tensor reached so far, then constants, and
// writes out, which becomes the tensor reached.
func (t *tail) op(code tflite.BuiltinOperator, version int32, options tflite.Options, out tflite.Tensor, constants ...int32) {
	o := tflite.Operator{
		Opcode:             t.m.OperatorCode(code, "", version),
		Inputs:             append([]int32{t.at}, constants...),
		Options:            options,
		DebugMetadataIndex: -1,
	}
	t.at = t.m.AddTensor(0, out)
	o.Outputs = []int32{t.at}
	g := &t.m.Subgraphs[0]
	g.Operators = append(g.Operators, o)
}

// reshape gives the tensor reached so far another shape.
func (t *tail) reshape(name string, shape ...int32) {
	from := t.tensor()
	dims := t.constant(tflite.Tensor{Name: name + "/shape", Shape: []int32{int32(len(shape))}, Type: tflite.TypeInt32},
		int32s(shape...))
	t.op(tflite.OpReshape, 1, tflite.ReshapeOptions{NewShape: shape}.Options(),
		tflite.Tensor{Name: name, Shape: shape, Type: from.Type, Quantization: from.Quantization}, dims)
}
