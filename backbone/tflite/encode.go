package tflite

import "fmt"

// Encode returns the model as a file. The same Model always gives the same bytes. The
// data of buffers and custom options start at multiples of 16 bytes. External
// data, which followed the flatbuffer in the parsed file, becomes part of the flatbuffer.
//
// The error wraps ErrUnsupported if the parsed file has a field that this package does
// not know, ErrTooLarge if the file would exceed MaxFileSize, and ErrCorrupt if Parse
// would not accept it, for instance because of a wrong index.
func (m *Model) Encode() ([]byte, error) {
	if m.unknown != "" {
		return nil, fmt.Errorf("encode model: unknown field %s: %w", m.unknown, ErrUnsupported)
	}
	size := int64(len(m.Tail))
	for _, b := range m.Buffers {
		size += int64(len(b)) + 48
	}
	for _, s := range m.Subgraphs {
		size += 256*int64(len(s.Tensors)) + 128*int64(len(s.Operators))
		for i := range s.Operators {
			size += int64(len(s.Operators[i].CustomOptions))
		}
	}
	if size > 2*MaxFileSize {
		return nil, fmt.Errorf("encode model: about %d bytes, more than %d: %w", size, MaxFileSize, ErrTooLarge)
	}
	b := writeFlatbuffer(m.node(), fileIdentifier, int(size)+4096)
	tail, err := rebaseArchive(m.Tail, len(b))
	if err != nil {
		return nil, fmt.Errorf("encode model: after the flatbuffer: %w", err)
	}
	b = append(b, tail...)
	if err := Verify(b); err != nil {
		return nil, fmt.Errorf("encode model: %w", err)
	}
	return b, nil
}

// node returns the model as a table.
func (m *Model) node() *node {
	n := newNode(modelTable)
	n.set(modelVersion, uint64(m.Version), 0)
	setEach(n, modelOperatorCodes, nonNil(m.OperatorCodes), func(n *node, c *OperatorCode) {
		// Older readers only know the older field.
		n.set(opcodeDeprecatedBuiltin, uint64(uint8(min(c.Builtin, placeholderOperator))), 0)
		n.setText(opcodeCustom, c.CustomCode)
		n.set(opcodeVersion, uint64(uint32(c.Version)), 1)
		n.set(opcodeBuiltin, uint64(uint32(c.Builtin)), 0)
	})
	setEach(n, modelSubgraphs, m.Subgraphs, buildSubgraph)
	n.setText(modelDescription, m.Description)
	setEach(n, modelBuffers, nonNil(m.Buffers), func(n *node, b *Buffer) { n.setRaw(bufferData, *b) })
	n.setInt32s(modelMetadataBuffer, m.MetadataBuffer)
	setEach(n, modelMetadata, m.Metadata, func(n *node, d *Metadata) {
		n.v[metadataName] = d.Name
		n.set(metadataBuffer, uint64(d.Buffer), 0)
	})
	setEach(n, modelSignatureDefs, m.SignatureDefs, func(n *node, s *SignatureDef) {
		tensorMap := func(n *node, t *TensorMap) {
			n.setText(tensorMapName, t.Name)
			n.set(tensorMapTensor, uint64(t.Tensor), 0)
		}
		setEach(n, signatureInputs, s.Inputs, tensorMap)
		setEach(n, signatureOutputs, s.Outputs, tensorMap)
		n.setText(signatureKey, s.Key)
		n.set(signatureSubgraph, uint64(s.Subgraph), 0)
		s.opaque.copyInto(n)
	})
	m.opaque.copyInto(n)
	return n
}

func buildSubgraph(n *node, s *Subgraph) {
	setEach(n, subgraphTensors, nonNil(s.Tensors), buildTensor)
	n.setInt32s(subgraphInputs, s.Inputs)
	n.setInt32s(subgraphOutputs, s.Outputs)
	setEach(n, subgraphOperators, nonNil(s.Operators), buildOperator)
	n.setText(subgraphName, s.Name)
	n.set(subgraphDebug, uint64(uint32(s.DebugMetadataIndex)), absentIndex)
}

// nonNil returns an empty list for nil, so that a required vector is written.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func buildTensor(n *node, t *Tensor) {
	n.setInt32s(tensorShape, t.Shape)
	n.set(tensorType, uint64(uint8(t.Type)), 0)
	n.set(tensorBuffer, uint64(t.Buffer), 0)
	n.v[tensorName] = t.Name // readers expect a name, even if empty
	if q := t.Quantization; q != nil {
		sub := newNode(quantizationTable)
		sub.setFloat32s(quantizationMin, q.Min)
		sub.setFloat32s(quantizationMax, q.Max)
		sub.setFloat32s(quantizationScale, q.Scale)
		sub.setInt64s(quantizationZeroPoint, q.ZeroPoint)
		sub.set(quantizationDimension, uint64(uint32(q.Dimension)), 0)
		q.opaque.copyInto(sub)
		n.v[tensorQuantization] = sub
	}
	n.setFlag(tensorVariable, t.IsVariable)
	n.setInt32s(tensorShapeSignature, t.ShapeSignature)
	n.setFlag(tensorHasRank, t.HasRank)
	t.opaque.copyInto(n)
}

func buildOperator(n *node, op *Operator) {
	n.set(operatorOpcode, uint64(op.Opcode), 0)
	n.setInt32s(operatorInputs, op.Inputs)
	n.setInt32s(operatorOutputs, op.Outputs)
	if op.Options.table != nil {
		n.v[operatorOptionsType] = uint64(op.Options.Type)
		n.v[operatorOptions] = op.Options.table
	}
	n.setRaw(operatorCustomOptions, op.CustomOptions)
	if op.MutatingVariableInputs != nil {
		raw := make([]byte, len(op.MutatingVariableInputs))
		for i, on := range op.MutatingVariableInputs {
			if on {
				raw[i] = 1
			}
		}
		n.v[operatorMutating] = raw
	}
	n.setInt32s(operatorIntermediates, op.Intermediates)
	n.set(operatorDebug, uint64(uint32(op.DebugMetadataIndex)), absentIndex)
	op.opaque.copyInto(n)
}
