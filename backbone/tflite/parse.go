package tflite

import (
	"bytes"
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// fileIdentifier is at bytes 4 to 7 of a model file.
const fileIdentifier = "TFL3"

// Parse verifies and reads the model file b. The buffers and custom options of the Model
// are slices of b.
//
// An error wraps ErrCorrupt, ErrTooLarge or ErrUnsupported and contains the position in
// the file. Parse needs at most about twice the memory of the file and linear time,
// whatever the file contains.
func Parse(b []byte) (*Model, error) {
	if len(b) > MaxFileSize {
		return nil, fmt.Errorf("parse model: %d bytes, more than %d: %w", len(b), MaxFileSize, ErrTooLarge)
	}
	end, unknown, err := verifyFlatbuffer(b, fileIdentifier, modelTable)
	if err != nil {
		return nil, fmt.Errorf("parse model: %w", err)
	}
	r := reader{b: b, end: end}
	m := r.model(flatbuf.Root(b, modelTable))
	m.unknown = unknown
	if r.err != nil {
		return nil, fmt.Errorf("parse model: %w", r.err)
	}
	if m.Tail, err = readTail(b, r.end); err != nil {
		return nil, fmt.Errorf("parse model: after the flatbuffer: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("parse model: %w", err)
	}
	return m, nil
}

// Verify returns nil if Parse accepts b, and otherwise the error that Parse returns.
func Verify(b []byte) error {
	_, err := Parse(b)
	return err
}

// verifyFlatbuffer checks b against root. It returns the end of the last object, and the
// first field that the schema lacks, if any.
func verifyFlatbuffer(b []byte, identifier string, root *tableType) (end int, unknown string, err error) {
	v := newVerifier(b, &unknown)
	end, err = v.Verify(b, identifier, root)
	return end, unknown, err
}

// newVerifier returns a Verifier for b that sets unknown to the first field that the
// schema lacks.
func newVerifier(b []byte, unknown *string) *flatbuf.Verifier {
	return flatbuf.NewVerifier(2*len(b)+1<<16,
		flatbuf.Errors{Corrupt: ErrCorrupt, TooLarge: ErrTooLarge, UnknownMember: ErrUnsupported},
		func(t *tableType, slot int) {
			if *unknown == "" {
				*unknown = fmt.Sprintf("slot %d of table %s", slot, t.Name)
			}
		})
}

// corrupt returns an error that wraps ErrCorrupt.
func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrCorrupt)...)
}

// A reader fills the exported structs from a verified flatbuffer.
type reader struct {
	b   []byte
	end int // one past the last byte of the flatbuffer and its external data
	err error
	// external is the number of bytes of external data so far. Overlapping data count several times.
	external int
}

func (r *reader) model(v view) *Model {
	return &Model{
		Version:        uint32(v.Scalar(modelVersion, 0)),
		OperatorCodes:  flatbuf.Each(v, modelOperatorCodes, readOperatorCode),
		Subgraphs:      flatbuf.Each(v, modelSubgraphs, r.subgraph),
		Description:    v.Text(modelDescription),
		Buffers:        flatbuf.Each(v, modelBuffers, r.buffer),
		MetadataBuffer: flatbuf.Int32s(v.Raw(modelMetadataBuffer)),
		Metadata: flatbuf.Each(v, modelMetadata, func(v view) Metadata {
			return Metadata{v.Text(metadataName), uint32(v.Scalar(metadataBuffer, 0))}
		}),
		SignatureDefs: flatbuf.Each(v, modelSignatureDefs, readSignatureDef),
		opaque: readNode(v, modelVersion, modelOperatorCodes, modelSubgraphs, modelDescription,
			modelBuffers, modelMetadataBuffer, modelMetadata, modelSignatureDefs),
	}
}

func readOperatorCode(v view) OperatorCode {
	// Operators from 127 on are only in the newer field, and older writers use only the
	// older one. The larger value is correct in all cases.
	deprecated := int8(v.Scalar(opcodeDeprecatedBuiltin, 0))
	builtin := int32(v.Scalar(opcodeBuiltin, 0))
	return OperatorCode{
		Builtin:    BuiltinOperator(max(int32(deprecated), builtin)),
		CustomCode: v.Text(opcodeCustom),
		Version:    int32(v.Scalar(opcodeVersion, 1)),
	}
}

func readSignatureDef(v view) SignatureDef {
	tensorMap := func(v view) TensorMap {
		return TensorMap{v.Text(tensorMapName), uint32(v.Scalar(tensorMapTensor, 0))}
	}
	return SignatureDef{
		Inputs:   flatbuf.Each(v, signatureInputs, tensorMap),
		Outputs:  flatbuf.Each(v, signatureOutputs, tensorMap),
		Key:      v.Text(signatureKey),
		Subgraph: uint32(v.Scalar(signatureSubgraph, 0)),
		opaque:   readNode(v, signatureInputs, signatureOutputs, signatureKey, signatureSubgraph),
	}
}

func (r *reader) subgraph(v view) Subgraph {
	return Subgraph{
		Name:               v.Text(subgraphName),
		Tensors:            flatbuf.Each(v, subgraphTensors, readTensor),
		Inputs:             flatbuf.Int32s(v.Raw(subgraphInputs)),
		Outputs:            flatbuf.Int32s(v.Raw(subgraphOutputs)),
		Operators:          flatbuf.Each(v, subgraphOperators, r.operator),
		DebugMetadataIndex: int32(v.Scalar(subgraphDebug, absentIndex)),
	}
}

// absentIndex is −1 as 32 bits.
const absentIndex = 1<<32 - 1

func readTensor(v view) Tensor {
	t := Tensor{
		Name:           v.Text(tensorName),
		Shape:          flatbuf.Int32s(v.Raw(tensorShape)),
		ShapeSignature: flatbuf.Int32s(v.Raw(tensorShapeSignature)),
		Type:           TensorType(v.Scalar(tensorType, 0)),
		Buffer:         uint32(v.Scalar(tensorBuffer, 0)),
		IsVariable:     v.Scalar(tensorVariable, 0) != 0,
		HasRank:        v.Scalar(tensorHasRank, 0) != 0,
		opaque: readNode(v, tensorShape, tensorType, tensorBuffer, tensorName, tensorQuantization,
			tensorVariable, tensorShapeSignature, tensorHasRank),
	}
	if q, ok := v.Table(tensorQuantization); ok {
		t.Quantization = &Quantization{
			Min:       flatbuf.Float32s(q.Raw(quantizationMin)),
			Max:       flatbuf.Float32s(q.Raw(quantizationMax)),
			Scale:     flatbuf.Float32s(q.Raw(quantizationScale)),
			ZeroPoint: flatbuf.Int64s(q.Raw(quantizationZeroPoint)),
			Dimension: int32(q.Scalar(quantizationDimension, 0)),
			opaque: readNode(q, quantizationMin, quantizationMax, quantizationScale,
				quantizationZeroPoint, quantizationDimension),
		}
	}
	return t
}

func (r *reader) operator(v view) Operator {
	op := Operator{
		Opcode:             uint32(v.Scalar(operatorOpcode, 0)),
		Inputs:             flatbuf.Int32s(v.Raw(operatorInputs)),
		Outputs:            flatbuf.Int32s(v.Raw(operatorOutputs)),
		CustomOptions:      v.Raw(operatorCustomOptions),
		Intermediates:      flatbuf.Int32s(v.Raw(operatorIntermediates)),
		DebugMetadataIndex: int32(v.Scalar(operatorDebug, absentIndex)),
		opaque: readNode(v, operatorOpcode, operatorInputs, operatorOutputs, operatorOptionsType,
			operatorOptions, operatorCustomOptions, operatorMutating, operatorIntermediates,
			operatorLargeOffset, operatorLargeSize, operatorDebug),
	}
	if options, ok := v.Table(operatorOptions); ok {
		op.Options = Options{OptionsType(v.Scalar(operatorOptionsType, 0)), readNode(options)}
	}
	if raw := v.Raw(operatorMutating); raw != nil {
		op.MutatingVariableInputs = make([]bool, len(raw))
		for i, x := range raw {
			op.MutatingVariableInputs[i] = x != 0
		}
	}
	if op.CustomOptions == nil {
		op.CustomOptions = r.externalData(v, operatorLargeOffset, operatorLargeSize)
	}
	return op
}

func (r *reader) buffer(v view) Buffer {
	if data := v.Raw(bufferData); data != nil {
		return data
	}
	return r.externalData(v, bufferOffset, bufferSize)
}

// externalData returns bytes of the file that follow the flatbuffer, or nil if there are
// none. Models larger than 2 GB keep their data there. An offset of 0 or 1 means none.
func (r *reader) externalData(v view, offsetSlot, sizeSlot int) []byte {
	offset, size := v.Scalar(offsetSlot, 0), v.Scalar(sizeSlot, 0)
	if offset <= 1 {
		return nil
	}
	total := uint64(len(r.b))
	if offset > total || size > total-offset {
		if r.err == nil {
			r.err = corrupt("%s data at byte %d of %d bytes extend beyond the file", v.Type().Name, offset, size)
		}
		return nil
	}
	if r.external += int(size); r.external > 2*len(r.b) {
		if r.err == nil {
			r.err = fmt.Errorf("external data that share bytes add up to more bytes than allowed: %w", ErrTooLarge)
		}
		return nil
	}
	r.end = max(r.end, int(offset+size))
	return r.b[offset : offset+size : offset+size]
}

// readTail returns the bytes of a file from end on, without padding.
func readTail(b []byte, end int) ([]byte, error) {
	tail := bytes.TrimLeft(b[end:], "\x00")
	if len(tail) == 0 {
		return nil, nil
	}
	return rebaseArchive(tail, 0)
}
