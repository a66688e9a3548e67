package tflite

import (
	"bytes"
	"fmt"
)

// Parse verifies b, a whole model file, and reads it. The Model shares memory
// with b: its buffers and custom options are sub-slices.
//
// Errors wrap ErrCorrupt, ErrTooLarge or ErrUnsupported and say where in the
// file the trouble is. Parse needs memory for at most about twice the file,
// and time linear in its size, whatever the file holds.
func Parse(b []byte) (*Model, error) {
	if len(b) > MaxFileSize {
		return nil, fmt.Errorf("parsing a model of %d bytes, more than %d: %w", len(b), MaxFileSize, ErrTooLarge)
	}
	v, err := verifyFlatbuffer(b, fileIdentifier, modelTable)
	if err != nil {
		return nil, fmt.Errorf("parsing a model: %w", err)
	}
	r := reader{end: v.end}
	m := r.model(rootView(b, modelTable))
	m.beyond = v.beyond
	if r.err != nil {
		return nil, fmt.Errorf("parsing a model: %w", r.err)
	}
	if m.Tail, err = readTail(b, r.end); err != nil {
		return nil, fmt.Errorf("parsing what follows the model: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("parsing a model: %w", err)
	}
	return m, nil
}

// Verify says whether Parse accepts b.
func Verify(b []byte) error {
	_, err := Parse(b)
	return err
}

// A reader fills the exported structs from a verified flatbuffer.
type reader struct {
	end int // one past the last byte of the flatbuffer and its outside data
	err error
}

func (r *reader) model(v view) *Model {
	return &Model{
		Version:        uint32(v.scalar(modelVersion, 0)),
		OperatorCodes:  eachTable(v, modelOperatorCodes, readOperatorCode),
		Subgraphs:      eachTable(v, modelSubgraphs, r.subgraph),
		Description:    v.text(modelDescription),
		Buffers:        eachTable(v, modelBuffers, r.buffer),
		MetadataBuffer: int32s(v.raw(modelMetadataBuffer)),
		Metadata: eachTable(v, modelMetadata, func(v view) Metadata {
			return Metadata{v.text(metadataName), uint32(v.scalar(metadataBuffer, 0))}
		}),
		SignatureDefs: eachTable(v, modelSignatureDefs, readSignatureDef),
		carried: readNode(v, modelVersion, modelOperatorCodes, modelSubgraphs, modelDescription,
			modelBuffers, modelMetadataBuffer, modelMetadata, modelSignatureDefs),
	}
}

func readOperatorCode(v view) OperatorCode {
	// Operators from 127 on are in the newer field alone; older writers know
	// the older field alone. The larger of both is right in every case.
	deprecated := int8(v.scalar(opcodeDeprecatedBuiltin, 0))
	builtin := int32(v.scalar(opcodeBuiltin, 0))
	return OperatorCode{
		Builtin:    BuiltinOperator(max(int32(deprecated), builtin)),
		CustomCode: v.text(opcodeCustom),
		Version:    int32(v.scalar(opcodeVersion, 1)),
	}
}

func readSignatureDef(v view) SignatureDef {
	tensorMap := func(v view) TensorMap {
		return TensorMap{v.text(tensorMapName), uint32(v.scalar(tensorMapTensor, 0))}
	}
	return SignatureDef{
		Inputs:   eachTable(v, signatureInputs, tensorMap),
		Outputs:  eachTable(v, signatureOutputs, tensorMap),
		Key:      v.text(signatureKey),
		Subgraph: uint32(v.scalar(signatureSubgraph, 0)),
		carried:  readNode(v, signatureInputs, signatureOutputs, signatureKey, signatureSubgraph),
	}
}

func (r *reader) subgraph(v view) Subgraph {
	return Subgraph{
		Name:               v.text(subgraphName),
		Tensors:            eachTable(v, subgraphTensors, readTensor),
		Inputs:             int32s(v.raw(subgraphInputs)),
		Outputs:            int32s(v.raw(subgraphOutputs)),
		Operators:          eachTable(v, subgraphOperators, r.operator),
		DebugMetadataIndex: int32(v.scalar(subgraphDebug, absentIndex)),
	}
}

// absentIndex is -1 as the schema's 32 bits.
const absentIndex = 1<<32 - 1

func readTensor(v view) Tensor {
	t := Tensor{
		Name:           v.text(tensorName),
		Shape:          int32s(v.raw(tensorShape)),
		ShapeSignature: int32s(v.raw(tensorShapeSignature)),
		Type:           TensorType(v.scalar(tensorType, 0)),
		Buffer:         uint32(v.scalar(tensorBuffer, 0)),
		IsVariable:     v.scalar(tensorVariable, 0) != 0,
		HasRank:        v.scalar(tensorHasRank, 0) != 0,
		carried: readNode(v, tensorShape, tensorType, tensorBuffer, tensorName, tensorQuantization,
			tensorVariable, tensorShapeSignature, tensorHasRank),
	}
	if q, ok := v.table(tensorQuantization); ok {
		t.Quantization = &Quantization{
			Min:       float32s(q.raw(quantizationMin)),
			Max:       float32s(q.raw(quantizationMax)),
			Scale:     float32s(q.raw(quantizationScale)),
			ZeroPoint: int64s(q.raw(quantizationZeroPoint)),
			Dimension: int32(q.scalar(quantizationDimension, 0)),
			carried: readNode(q, quantizationMin, quantizationMax, quantizationScale,
				quantizationZeroPoint, quantizationDimension),
		}
	}
	return t
}

func (r *reader) operator(v view) Operator {
	op := Operator{
		Opcode:             uint32(v.scalar(operatorOpcode, 0)),
		Inputs:             int32s(v.raw(operatorInputs)),
		Outputs:            int32s(v.raw(operatorOutputs)),
		CustomOptions:      v.raw(operatorCustomOptions),
		Intermediates:      int32s(v.raw(operatorIntermediates)),
		DebugMetadataIndex: int32(v.scalar(operatorDebug, absentIndex)),
		carried: readNode(v, operatorOpcode, operatorInputs, operatorOutputs, operatorOptionsType,
			operatorOptions, operatorCustomOptions, operatorMutating, operatorIntermediates,
			operatorLargeOffset, operatorLargeSize, operatorDebug),
	}
	if options, ok := v.table(operatorOptions); ok {
		op.Options = Options{OptionsType(v.scalar(operatorOptionsType, 0)), readNode(options)}
	}
	if raw := v.raw(operatorMutating); raw != nil {
		op.MutatingVariableInputs = make([]bool, len(raw))
		for i, x := range raw {
			op.MutatingVariableInputs[i] = x != 0
		}
	}
	if op.CustomOptions == nil {
		op.CustomOptions = r.outside(v, operatorLargeOffset, operatorLargeSize)
	}
	return op
}

func (r *reader) buffer(v view) Buffer {
	if data := v.raw(bufferData); data != nil {
		return data
	}
	return r.outside(v, bufferOffset, bufferSize)
}

// outside gives bytes of the file that lie behind the flatbuffer, nil when
// there are none: models beyond 2 GB keep their data there. An offset of 0 or
// 1 means none.
func (r *reader) outside(v view, offsetSlot, sizeSlot int) []byte {
	offset, size := v.scalar(offsetSlot, 0), v.scalar(sizeSlot, 0)
	if offset <= 1 {
		return nil
	}
	total := uint64(len(v.b))
	if offset > total || size > total-offset {
		if r.err == nil {
			r.err = corrupt("%s data at byte %d of %d bytes leave the file", v.t.name, offset, size)
		}
		return nil
	}
	r.end = max(r.end, int(offset+size))
	return v.b[offset : offset+size : offset+size]
}

// readTail gives what follows byte end of a file, without padding.
func readTail(b []byte, end int) ([]byte, error) {
	tail := bytes.TrimLeft(b[end:], "\x00")
	if len(tail) == 0 {
		return nil, nil
	}
	return rebaseArchive(tail, 0)
}
