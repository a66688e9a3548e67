package tflite

import (
	"encoding/binary"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// smallModel returns a model that uses most of the format: two subgraphs, three operators,
// one of them custom, per-channel quantization, a signature and metadata.
func smallModel() *Model {
	weights := make([]byte, 4*3)
	for i := range weights {
		weights[i] = byte(i + 1)
	}
	m := &Model{
		Version:     3,
		Description: "small",
		Buffers:     []Buffer{nil, weights, make(Buffer, 16), {}},
		Subgraphs: []Subgraph{
			{
				Name: "main",
				Tensors: []Tensor{
					{Name: "in", Shape: []int32{1, 1, 1, 4}, ShapeSignature: []int32{-1, 1, 1, 4}, Type: TypeUint8, Quantization: &Quantization{Min: []float32{0}, Max: []float32{1}, Scale: []float32{1.0 / 255}, ZeroPoint: []int64{0}}, HasRank: true},
					{Name: "hidden", Shape: []int32{1, 1, 1, 4}, Type: TypeUint8, Quantization: &Quantization{Scale: []float32{0.5}, ZeroPoint: []int64{128}}},
					{Name: "weights", Shape: []int32{3, 4}, Type: TypeInt8, Buffer: 1, Quantization: &Quantization{Scale: []float32{1, 2, 3}, ZeroPoint: []int64{0, 0, 0}}},
					{Name: "bias", Shape: []int32{4}, Type: TypeFloat32, Buffer: 2},
					{Name: "logits", Shape: []int32{1, 3}, Type: TypeUint8},
					{Name: "out", Shape: []int32{1, 3}, Type: TypeUint8, Quantization: &Quantization{Scale: []float32{1.0 / 256}, ZeroPoint: []int64{0}}},
					{Name: "state", Shape: []int32{2}, Type: TypeFloat32, Buffer: 3, IsVariable: true},
				},
				Inputs:  []int32{0},
				Outputs: []int32{5},
			},
			{Name: "body", Tensors: []Tensor{}, Operators: []Operator{}, DebugMetadataIndex: 7},
		},
		SignatureDefs: []SignatureDef{{
			Key:     "serving_default",
			Inputs:  []TensorMap{{"x", 0}},
			Outputs: []TensorMap{{"probabilities", 5}, {"logits", 4}},
		}},
	}
	m.Subgraphs[0].DebugMetadataIndex = -1
	m.Subgraphs[0].Operators = []Operator{
		{Opcode: m.OperatorCode(OpCustom, "edgetpu-custom-op", 1), Inputs: []int32{0}, Outputs: []int32{1}, CustomOptions: []byte("payload"), DebugMetadataIndex: -1},
		{Opcode: m.OperatorCode(OpFullyConnected, "", 2), Inputs: []int32{1, 2, -1}, Outputs: []int32{4}, Options: FullyConnectedOptions{Activation: ActRelu6}.Options(), MutatingVariableInputs: []bool{false, true, false}, Intermediates: []int32{6}, DebugMetadataIndex: 3},
		{Opcode: m.OperatorCode(OpSoftmax, "", 1), Inputs: []int32{4}, Outputs: []int32{5}, Options: SoftmaxOptions{Beta: 1}.Options(), DebugMetadataIndex: -1},
	}
	m.SetMetadataEntry("min_runtime_version", []byte("1.5.0\x00\x00\x00"))
	return m
}

// place returns the table of a model file that path leads to. The path alternates between
// slots, which hold vectors of tables, and indices into these vectors.
func place(b []byte, path ...int) view {
	v := flatbuf.Root(b, modelTable)
	for i := 0; i+1 < len(path); i += 2 {
		v = flatbuf.Each(v, path[i], func(v view) view { return v })[path[i+1]]
	}
	return v
}

// elements returns the length of the vector of offsets in a slot, and the position of the
// first.
func elements(b []byte, v view, slot int) (n, first int) {
	p := follow(b, v.At(slot))
	return int(getUint32(b, p)), p + 4
}

func follow(b []byte, pos int) int { return pos + int(getUint32(b, pos)) }

func putUint32(b []byte, pos int, x uint32) { binary.LittleEndian.PutUint32(b[pos:], x) }

func getUint32(b []byte, pos int) uint32 { return binary.LittleEndian.Uint32(b[pos:]) }
