package tflite

import "fmt"

// Encode writes the model as a new file: the same Model gives the same bytes.
// The data of buffers and custom options begin at multiples of 16 bytes. Data
// that the parsed file kept behind its flatbuffer are now inside.
//
// It returns an error wrapping ErrUnsupported when the parsed file used a
// field this package does not know, ErrTooLarge above MaxFileSize, and
// ErrCorrupt when the Model is one that Parse would refuse, for instance after
// an edit with a wrong index.
func (m *Model) Encode() ([]byte, error) {
	if m.beyond != "" {
		return nil, fmt.Errorf("encoding a model with the unknown field %s: %w", m.beyond, ErrUnsupported)
	}
	size := len(m.Tail)
	for _, b := range m.Buffers {
		size += len(b) + 48
	}
	for _, s := range m.Subgraphs {
		size += 256*len(s.Tensors) + 128*len(s.Operators)
		for i := range s.Operators {
			size += len(s.Operators[i].CustomOptions)
		}
	}
	if size > 2*MaxFileSize {
		return nil, fmt.Errorf("encoding a model of about %d bytes, more than %d: %w", size, MaxFileSize, ErrTooLarge)
	}
	b := writeFlatbuffer(m.node(), fileIdentifier, size+4096)
	tail, err := rebaseArchive(m.Tail, len(b))
	if err != nil {
		return nil, fmt.Errorf("encoding the model's tail: %w", err)
	}
	b = append(b, tail...)
	if err := Verify(b); err != nil {
		return nil, fmt.Errorf("encoding a model: %w", err)
	}
	return b, nil
}

func (m *Model) node() *node {
	n := newNode(modelTable)
	n.set(modelVersion, uint64(m.Version), 0)
	setEach(n, modelOperatorCodes, nonNil(m.OperatorCodes), func(n *node, c *OperatorCode) {
		// Both fields, so that readers from before the newer one understand.
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
		s.carried.carryInto(n)
	})
	m.carried.carryInto(n)
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

// nonNil makes a required vector present.
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
	n.v[tensorName] = t.Name // readers expect one, if empty
	if q := t.Quantization; q != nil {
		sub := newNode(quantizationTable)
		sub.setFloat32s(quantizationMin, q.Min)
		sub.setFloat32s(quantizationMax, q.Max)
		sub.setFloat32s(quantizationScale, q.Scale)
		sub.setInt64s(quantizationZeroPoint, q.ZeroPoint)
		sub.set(quantizationDimension, uint64(uint32(q.Dimension)), 0)
		q.carried.carryInto(sub)
		n.v[tensorQuantization] = sub
	}
	n.setFlag(tensorVariable, t.IsVariable)
	n.setInt32s(tensorShapeSignature, t.ShapeSignature)
	n.setFlag(tensorHasRank, t.HasRank)
	t.carried.carryInto(n)
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
	op.carried.carryInto(n)
}
