package tflite

import (
	"fmt"
	"math"
)

// maxTensorBytes is the maximum size of a tensor in bytes. Sizes up to this limit fit in
// an int on every platform.
const maxTensorBytes = math.MaxInt32

const (
	// maxRank is the maximum number of dimensions of a tensor. TensorFlow Lite's operators
	// support at most 8.
	maxRank = 64
	// maxIndices is the maximum number of inputs, outputs and intermediates of all
	// operators of a subgraph together. Real networks have some thousands.
	maxIndices = 1 << 20
)

// check returns an error if an index or size in one part of the model does not match
// another part. It does not check the operators' own rules, such as strides and matching
// shapes.
func (m *Model) check() error {
	if m.Version != 3 {
		return fmt.Errorf("schema version %d, want 3: %w", m.Version, ErrUnsupported)
	}
	if len(m.Subgraphs) == 0 {
		return corrupt("model has no subgraph")
	}
	for i := range m.Subgraphs {
		if err := m.checkSubgraph(&m.Subgraphs[i]); err != nil {
			return fmt.Errorf("subgraph %d: %w", i, err)
		}
	}
	for i, b := range m.MetadataBuffer {
		if b < 0 || int(b) >= len(m.Buffers) {
			return corrupt("metadata buffer %d refers to buffer %d, but the model has %d", i, b, len(m.Buffers))
		}
	}
	for _, d := range m.Metadata {
		if int64(d.Buffer) >= int64(len(m.Buffers)) {
			return corrupt("metadata %q refers to buffer %d, but the model has %d", d.Name, d.Buffer, len(m.Buffers))
		}
	}
	for _, s := range m.SignatureDefs {
		if int64(s.Subgraph) >= int64(len(m.Subgraphs)) {
			return corrupt("signature %q refers to subgraph %d, but the model has %d", s.Key, s.Subgraph, len(m.Subgraphs))
		}
		tensors := len(m.Subgraphs[s.Subgraph].Tensors)
		for _, list := range [...][]TensorMap{s.Inputs, s.Outputs} {
			for _, t := range list {
				if int64(t.Tensor) >= int64(tensors) {
					return corrupt("signature %q gives the name %q to tensor %d, but the subgraph has %d", s.Key, t.Name, t.Tensor, tensors)
				}
			}
		}
	}
	return nil
}

func (m *Model) checkSubgraph(s *Subgraph) error {
	indices := func(what string, list []int32, lowest int32) error {
		for _, t := range list {
			if t < lowest || int(t) >= len(s.Tensors) {
				return corrupt("%s include tensor %d, but the subgraph has %d", what, t, len(s.Tensors))
			}
		}
		return nil
	}
	if err := indices("inputs", s.Inputs, 0); err != nil {
		return err
	}
	if err := indices("outputs", s.Outputs, 0); err != nil {
		return err
	}
	for i := range s.Tensors {
		if err := m.checkTensor(&s.Tensors[i]); err != nil {
			return fmt.Errorf("tensor %d %q: %w", i, s.Tensors[i].Name, err)
		}
	}
	left := maxIndices
	for i := range s.Operators {
		op := &s.Operators[i]
		if left -= len(op.Inputs) + len(op.Outputs) + len(op.Intermediates); left < 0 {
			return fmt.Errorf("the operators have more than %d inputs and outputs: %w", maxIndices, ErrTooLarge)
		}
		err := indices("inputs", op.Inputs, -1)
		if err == nil {
			err = indices("outputs", op.Outputs, 0)
		}
		if err == nil {
			err = indices("intermediates", op.Intermediates, -1)
		}
		if err == nil && int64(op.Opcode) >= int64(len(m.OperatorCodes)) {
			err = corrupt("no operator code %d: the model has %d", op.Opcode, len(m.OperatorCodes))
		}
		if err != nil {
			return fmt.Errorf("operator %d: %w", i, err)
		}
	}
	return nil
}

func (m *Model) checkTensor(t *Tensor) error {
	// Index 0 is always valid and means no buffer.
	if t.Buffer != 0 && int64(t.Buffer) >= int64(len(m.Buffers)) {
		return corrupt("no buffer %d: the model has %d", t.Buffer, len(m.Buffers))
	}
	if n := max(len(t.Shape), len(t.ShapeSignature)); n > maxRank {
		return fmt.Errorf("%d dimensions, more than %d: %w", n, maxRank, ErrTooLarge)
	}
	size, err := t.byteSize()
	if err != nil {
		return err
	}
	for _, d := range t.ShapeSignature {
		if d < -1 {
			return corrupt("invalid shape signature %d", t.ShapeSignature)
		}
	}
	if err := t.checkQuantization(); err != nil {
		return err
	}
	if t.Buffer == 0 || t.IsVariable || size < 0 || t.opaque != nil {
		return nil
	}
	if n := len(m.Buffers[t.Buffer]); n != 0 && n != size {
		return corrupt("buffer %d has %d bytes, but %s%d needs %d", t.Buffer, n, t.Type, t.Shape, size)
	}
	return nil
}

// byteSize returns the size of the tensor's content in bytes, or −1 if its elements have
// no fixed size.
func (t *Tensor) byteSize() (int, error) {
	bits := int64(t.Type.bits())
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 {
			return 0, corrupt("invalid shape %d", t.Shape)
		}
		// Elements without a fixed size count as one byte.
		if n *= int64(d); n > maxTensorBytes*8/max(bits, 8) {
			return 0, fmt.Errorf("shape %d: %w", t.Shape, ErrTooLarge)
		}
	}
	if bits == 0 {
		return -1, nil
	}
	return int((n*bits + 7) / 8), nil
}

func (t *Tensor) checkQuantization() error {
	q := t.Quantization
	if q == nil || q.opaque != nil {
		return nil // other details describe the quantization, not scale and zero point
	}
	for _, s := range q.Scale {
		if math.IsNaN(float64(s)) || math.IsInf(float64(s), 0) {
			return corrupt("invalid scale %g", s)
		}
	}
	for _, n := range [...]int{len(q.Scale), len(q.ZeroPoint)} {
		if n <= 1 {
			continue
		}
		if q.Dimension < 0 || int(q.Dimension) >= len(t.Shape) {
			return corrupt("quantized along dimension %d, but the tensor has %d dimensions", q.Dimension, len(t.Shape))
		}
		if n != int(t.Shape[q.Dimension]) {
			return corrupt("%d scales or zero points for %d slices along dimension %d", n, t.Shape[q.Dimension], q.Dimension)
		}
	}
	return nil
}
