package tflite

import (
	"fmt"
	"slices"
)

// Prune makes the given tensors the outputs of subgraph sub, and removes everything that
// they do not need: operators, tensors, buffers and operator codes, the metadata and
// associated files of former outputs, and signature entries that no longer name an input
// or output.
//
// The remaining parts keep their order and get new indices. The inputs of the subgraph
// remain, and so do operators without outputs, because they have side effects.
//
// If an index is out of range or the model breaks the format, the error wraps
// ErrCorrupt. If the model refers to tensors in a way that Prune cannot renumber, the
// error wraps ErrUnsupported. After an error the model is unchanged.
func (m *Model) Prune(sub int, outputs []int32) error {
	if err := m.checkPrune(sub, outputs); err != nil {
		return fmt.Errorf("prune model: %w", err)
	}
	s := &m.Subgraphs[sub]
	operators, keep := s.needed(outputs)
	for t := range s.Tensors {
		if q := s.Tensors[t].Quantization; keep[t] && q != nil && q.opaque.get(quantizationDetailsType, 0) > 1 {
			return fmt.Errorf("prune model: the scales of tensor %d are in another tensor: %w", t, ErrUnsupported)
		}
	}
	if sub == 0 {
		if err := m.pruneMetadata(outputs); err != nil {
			return fmt.Errorf("prune model: %w", err)
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

// checkPrune returns an error if the arguments of Prune are out of range, or if the
// model as a whole cannot be pruned.
func (m *Model) checkPrune(sub int, outputs []int32) error {
	if sub < 0 || sub >= len(m.Subgraphs) {
		return fmt.Errorf("no subgraph %d: the model has %d: %w", sub, len(m.Subgraphs), ErrCorrupt)
	}
	tensors := len(m.Subgraphs[sub].Tensors)
	for _, t := range outputs {
		if t < 0 || int(t) >= tensors {
			return fmt.Errorf("no tensor %d for an output: the subgraph has %d: %w", t, tensors, ErrCorrupt)
		}
	}
	if err := m.check(); err != nil {
		return err
	}
	if _, ok := m.MetadataEntry("OfflineMemoryAllocation"); ok {
		// The plan lists an arena offset for every tensor by index: tflite-micro
		// tensorflow/lite/micro/docs/memory_management.md.
		return fmt.Errorf("the model has an offline memory plan: %w", ErrUnsupported)
	}
	return nil
}

// needed returns the operators that outputs need and, for each tensor, whether to keep
// it.
func (s *Subgraph) needed(outputs []int32) (operators []Operator, keep []bool) {
	keep = make([]bool, len(s.Tensors))
	mark := func(list []int32) {
		for _, t := range list {
			if t >= 0 {
				keep[t] = true
			}
		}
	}
	mark(s.Inputs)
	read := make([]bool, len(s.Tensors)) // whether a kept operator or an output needs the tensor
	for _, t := range outputs {
		read[t] = true
	}
	operators = []Operator{}
	// Operators are in execution order, so one backward pass is enough.
	for _, op := range slices.Backward(s.Operators) {
		if len(op.Outputs) > 0 && !slices.ContainsFunc(op.Outputs, func(t int32) bool { return read[t] }) {
			continue
		}
		operators = append(operators, op)
		for _, t := range op.Inputs {
			if t >= 0 {
				read[t] = true
			}
		}
		mark(op.Outputs)
		mark(op.Intermediates)
	}
	slices.Reverse(operators)
	for t, on := range read {
		keep[t] = keep[t] || on
	}
	return operators, keep
}

// renumber removes the elements of list that are not kept. It returns the new index of
// each old element, or −1 if it was removed.
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

// renumbered returns the new indices of the elements of list. Elements that are −1 stay
// −1.
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

// remaining returns the entries for tensors that are still in list, with their new
// indices.
func remaining(entries []TensorMap, index, list []int32) []TensorMap {
	var out []TensorMap
	in := make(map[int32]bool, len(list))
	for _, t := range list {
		in[t] = true
	}
	for _, e := range entries {
		if t := index[e.Tensor]; t >= 0 && in[t] {
			out = append(out, TensorMap{e.Name, uint32(t)})
		}
	}
	return out
}

// dropUnused removes unreferenced operator codes and buffers.
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

// pruneMetadata makes the metadata match the new outputs of the main graph, given by
// their old indices. A tensor that was an output before keeps its metadata.
func (m *Model) pruneMetadata(outputs []int32) error {
	if slices.Equal(outputs, m.Subgraphs[0].Outputs) {
		return nil
	}
	root, editable, err := m.readMetadata()
	if err != nil || !editable {
		return nil // leave it unchanged
	}
	subs := root.tables(mmSubgraphs)
	if len(subs) == 0 {
		return nil
	}
	old := subs[0].tables(smOutputs)
	list := make([]*node, len(outputs))
	for i, t := range outputs {
		list[i] = newNode(tensorMetadataTable)
		if j := slices.Index(m.Subgraphs[0].Outputs, t); j >= 0 && j < len(old) {
			list[i] = old[j]
		}
	}
	subs[0].v[smOutputs] = list
	var stale []string
	for _, n := range old {
		stale = append(stale, fileNames(n.tables(tmFiles))...)
	}
	if stale = unreferenced(root, stale); len(stale) > 0 {
		if err := m.rewriteArchive(nil, stale); err != nil {
			return err
		}
	}
	m.SetMetadataEntry(MetadataName, writeFlatbuffer(root, metadataIdentifier, 1<<12))
	return nil
}
