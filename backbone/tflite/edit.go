package tflite

import "slices"

// NumElements returns the product of the dimensions, which is 1 for a scalar.
func (t *Tensor) NumElements() int {
	n := 1
	for _, d := range t.Shape {
		n *= int(d)
	}
	return n
}

// TensorBytes returns the constant content of a tensor of subgraph sub. It returns nil if
// the tensor has no such content or does not exist. The slice shares memory with the
// model.
func (m *Model) TensorBytes(sub int, tensor int32) []byte {
	if sub < 0 || sub >= len(m.Subgraphs) || tensor < 0 || int(tensor) >= len(m.Subgraphs[sub].Tensors) {
		return nil
	}
	b := m.Subgraphs[sub].Tensors[tensor].Buffer
	if b == 0 || int64(b) >= int64(len(m.Buffers)) || len(m.Buffers[b]) == 0 {
		return nil
	}
	return m.Buffers[b]
}

// Producers returns, for each tensor, the index of the first operator that writes it, or
// -1. A search for the operators before a tensor should use this list, because the time
// of searching all operators again at each step grows with the square of their number.
func (s *Subgraph) Producers() []int {
	first := slices.Repeat([]int{-1}, len(s.Tensors))
	for i, op := range slices.Backward(s.Operators) {
		for _, t := range op.Outputs {
			if t >= 0 && int(t) < len(first) {
				first[t] = i
			}
		}
	}
	return first
}

// AddBuffer appends a buffer with the content b, which the model keeps. It returns the
// index of the buffer, which is never 0.
func (m *Model) AddBuffer(b []byte) uint32 {
	if len(m.Buffers) == 0 {
		m.Buffers = append(m.Buffers, nil) // buffer 0 is empty by convention
	}
	m.Buffers = append(m.Buffers, b)
	return uint32(len(m.Buffers) - 1)
}

// AddTensor appends t to the tensors of subgraph sub. It returns the index of the
// tensor, or −1 if there is no such subgraph.
func (m *Model) AddTensor(sub int, t Tensor) int32 {
	if sub < 0 || sub >= len(m.Subgraphs) {
		return -1
	}
	s := &m.Subgraphs[sub]
	s.Tensors = append(s.Tensors, t)
	return int32(len(s.Tensors) - 1)
}

// OperatorCode returns the index of the operator code with the given values. If there is
// none, it adds one. custom is the name of a custom operator if op is OpCustom, and
// otherwise empty.
func (m *Model) OperatorCode(op BuiltinOperator, custom string, version int32) uint32 {
	code := OperatorCode{op, custom, version}
	if i := slices.Index(m.OperatorCodes, code); i >= 0 {
		return uint32(i)
	}
	m.OperatorCodes = append(m.OperatorCodes, code)
	return uint32(len(m.OperatorCodes) - 1)
}

// MetadataEntry returns the content of the metadata with the given name, and whether it
// exists. The slice shares memory with the model.
func (m *Model) MetadataEntry(name string) ([]byte, bool) {
	for _, d := range m.Metadata {
		if d.Name == name && int64(d.Buffer) < int64(len(m.Buffers)) {
			return m.Buffers[d.Buffer], true
		}
	}
	return nil, false
}

// SetMetadataEntry sets the metadata with the given name to content, which the model
// keeps.
func (m *Model) SetMetadataEntry(name string, content []byte) {
	for i := range m.Metadata {
		d := &m.Metadata[i]
		if d.Name != name {
			continue
		}
		if d.Buffer == 0 || m.bufferUsers(d.Buffer) > 1 || int64(d.Buffer) >= int64(len(m.Buffers)) {
			d.Buffer = m.AddBuffer(content)
		} else {
			m.Buffers[d.Buffer] = content
		}
		return
	}
	m.Metadata = append(m.Metadata, Metadata{name, m.AddBuffer(content)})
}

// bufferUsers returns the number of references to buffer b.
func (m *Model) bufferUsers(b uint32) int {
	n := 0
	m.eachIndex(func(*uint32) {}, func(buffer *uint32) {
		if *buffer == b {
			n++
		}
	})
	return n
}

// eachIndex calls code with the operator code index of every operator, and buffer with
// every buffer index.
func (m *Model) eachIndex(code, buffer func(*uint32)) {
	for i := range m.Subgraphs {
		s := &m.Subgraphs[i]
		for j := range s.Operators {
			code(&s.Operators[j].Opcode)
		}
		for j := range s.Tensors {
			buffer(&s.Tensors[j].Buffer)
		}
	}
	for i := range m.Metadata {
		buffer(&m.Metadata[i].Buffer)
	}
}
