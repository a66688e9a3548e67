package tflite

import (
	"fmt"
	"slices"
)

// NumElements gives the product of the dimensions, 1 for a scalar.
func (t *Tensor) NumElements() int {
	n := 1
	for _, d := range t.Shape {
		n *= int(d)
	}
	return n
}

// TensorBytes gives the constant content of a tensor, nil when it has none or
// does not exist. It shares memory with the model.
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

// AddBuffer appends a buffer that holds b, which the model keeps, and gives
// its index, never 0.
func (m *Model) AddBuffer(b []byte) uint32 {
	if len(m.Buffers) == 0 {
		m.Buffers = append(m.Buffers, nil) // by convention empty
	}
	m.Buffers = append(m.Buffers, b)
	return uint32(len(m.Buffers) - 1)
}

// AddTensor appends t to the tensors of subgraph sub and gives its index, -1
// when there is no such subgraph.
func (m *Model) AddTensor(sub int, t Tensor) int32 {
	if sub < 0 || sub >= len(m.Subgraphs) {
		return -1
	}
	s := &m.Subgraphs[sub]
	s.Tensors = append(s.Tensors, t)
	return int32(len(s.Tensors) - 1)
}

// OperatorCode gives the index of the operator code with these values, which
// it adds if need be. custom is the name of an operator when op is OpCustom,
// else empty.
func (m *Model) OperatorCode(op BuiltinOperator, custom string, version int32) uint32 {
	code := OperatorCode{op, custom, version}
	if i := slices.Index(m.OperatorCodes, code); i >= 0 {
		return uint32(i)
	}
	m.OperatorCodes = append(m.OperatorCodes, code)
	return uint32(len(m.OperatorCodes) - 1)
}

// Prune makes the given tensors the outputs of subgraph sub and drops whatever
// is then of no use: operators, tensors, buffers and operator codes, and the
// metadata and associated files of dropped outputs. What remains keeps its
// order and gets new indices everywhere. Inputs of the subgraph stay, and so
// do operators without outputs, which work by side effect. Entries of
// signatures whose tensor is no longer an input or output are dropped.
//
// It returns an error wrapping ErrUnsupported, and leaves the model as it was,
// when the model refers to tensors in a way that it cannot renumber.
func (m *Model) Prune(sub int, outputs []int32) error {
	if sub < 0 || sub >= len(m.Subgraphs) {
		return fmt.Errorf("pruning subgraph %d of %d: %w", sub, len(m.Subgraphs), ErrCorrupt)
	}
	s := &m.Subgraphs[sub]
	for _, t := range outputs {
		if t < 0 || int(t) >= len(s.Tensors) {
			return fmt.Errorf("pruning to tensor %d of %d: %w", t, len(s.Tensors), ErrCorrupt)
		}
	}
	if err := m.check(); err != nil {
		return fmt.Errorf("pruning: %w", err)
	}
	if _, ok := m.MetadataEntry("OfflineMemoryAllocation"); ok {
		// It lists an arena offset for every tensor by index: tflite-micro
		// tensorflow/lite/micro/docs/memory_management.md.
		return fmt.Errorf("pruning a model with offline memory planning: %w", ErrUnsupported)
	}

	// Operators are in execution order, so one backward pass finds all needs.
	keep := make([]bool, len(s.Tensors))
	mark := func(list []int32) {
		for _, t := range list {
			if t >= 0 {
				keep[t] = true
			}
		}
	}
	mark(s.Inputs)
	needed := make([]bool, len(s.Tensors))
	for _, t := range outputs {
		needed[t] = true
	}
	operators := []Operator{}
	for _, op := range slices.Backward(s.Operators) {
		if len(op.Outputs) > 0 && !slices.ContainsFunc(op.Outputs, func(t int32) bool { return needed[t] }) {
			continue
		}
		operators = append(operators, op)
		for _, t := range op.Inputs {
			if t >= 0 {
				needed[t] = true
			}
		}
		mark(op.Outputs)
		mark(op.Intermediates)
	}
	slices.Reverse(operators)
	for t, on := range needed {
		keep[t] = keep[t] || on
		if q := s.Tensors[t].Quantization; keep[t] && q != nil && q.carried.get(quantizationDetailsType, 0) > 1 {
			return fmt.Errorf("pruning a model whose tensor %d has its scales in a tensor: %w", t, ErrUnsupported)
		}
	}

	if sub == 0 {
		if err := m.pruneMetadata(outputs); err != nil {
			return fmt.Errorf("pruning the model's metadata: %w", err)
		}
	}
	index := renumber(&s.Tensors, keep)
	s.Operators = operators
	for i := range s.Operators {
		op := &s.Operators[i]
		op.Inputs, op.Outputs = renumbered(op.Inputs, index), renumbered(op.Outputs, index)
		op.Intermediates = renumbered(op.Intermediates, index)
	}
	s.Inputs, s.Outputs = renumbered(s.Inputs, index), renumbered(outputs, index)
	for i := range m.SignatureDefs {
		if d := &m.SignatureDefs[i]; int(d.Subgraph) == sub {
			d.Inputs = remaining(d.Inputs, index, s.Inputs)
			d.Outputs = remaining(d.Outputs, index, s.Outputs)
		}
	}
	m.dropUnused()
	return nil
}

// renumber drops the elements of list that are not kept and gives the new
// index of each old one, -1 when dropped.
func renumber[T any](list *[]T, keep []bool) []int32 {
	index := make([]int32, len(keep))
	kept := []T{}
	for i, on := range keep {
		index[i] = -1
		if on {
			index[i] = int32(len(kept))
			kept = append(kept, (*list)[i])
		}
	}
	*list = kept
	return index
}

func renumbered(list, index []int32) []int32 {
	if list == nil {
		return nil
	}
	out := make([]int32, len(list))
	for i, t := range list {
		out[i] = -1
		if t >= 0 {
			out[i] = index[t]
		}
	}
	return out
}

// remaining renumbers the entries whose tensor is in list.
func remaining(entries []TensorMap, index, list []int32) []TensorMap {
	var out []TensorMap
	for _, e := range entries {
		if t := index[e.Tensor]; t >= 0 && slices.Contains(list, t) {
			out = append(out, TensorMap{e.Name, uint32(t)})
		}
	}
	return out
}

// dropUnused drops operator codes and buffers that nothing refers to.
func (m *Model) dropUnused() {
	codes := make([]bool, len(m.OperatorCodes))
	buffers := make([]bool, len(m.Buffers))
	if len(buffers) > 0 {
		buffers[0] = true
	}
	m.eachIndex(func(code *uint32) { codes[*code] = true }, func(buffer *uint32) {
		if *buffer != 0 {
			buffers[*buffer] = true
		}
	})
	for _, b := range m.MetadataBuffer {
		buffers[b] = true
	}
	newCode, newBuffer := renumber(&m.OperatorCodes, codes), renumber(&m.Buffers, buffers)
	m.eachIndex(func(code *uint32) { *code = uint32(newCode[*code]) }, func(buffer *uint32) {
		if *buffer != 0 {
			*buffer = uint32(newBuffer[*buffer])
		}
	})
	m.MetadataBuffer = renumbered(m.MetadataBuffer, newBuffer)
}

// eachIndex visits every operator's code and every buffer index.
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

// MetadataEntry gives the content of the model's metadata of that name. It
// shares memory with the model.
func (m *Model) MetadataEntry(name string) ([]byte, bool) {
	for _, d := range m.Metadata {
		if d.Name == name && int64(d.Buffer) < int64(len(m.Buffers)) {
			return m.Buffers[d.Buffer], true
		}
	}
	return nil, false
}

// SetMetadataEntry makes content, which the model keeps, the metadata of that
// name.
func (m *Model) SetMetadataEntry(name string, content []byte) {
	for i := range m.Metadata {
		d := &m.Metadata[i]
		if d.Name != name {
			continue
		}
		if users := m.bufferUsers(d.Buffer); d.Buffer == 0 || users > 1 || int64(d.Buffer) >= int64(len(m.Buffers)) {
			d.Buffer = m.AddBuffer(content)
		} else {
			m.Buffers[d.Buffer] = content
		}
		return
	}
	m.Metadata = append(m.Metadata, Metadata{name, m.AddBuffer(content)})
}

// bufferUsers counts what refers to a buffer.
func (m *Model) bufferUsers(b uint32) int {
	n := 0
	m.eachIndex(func(*uint32) {}, func(buffer *uint32) {
		if *buffer == b {
			n++
		}
	})
	return n
}
