// Package tflite reads, edits and writes TensorFlow Lite model files without losing any
// content. Start with [Parse], change the [Model], then call [Model.Encode].
//
// Parse verifies every offset, length and index before it uses them. Encode preserves
// everything that Parse accepted, or returns [ErrUnsupported]. Buffers that were not
// edited are byte-identical in the new file and start at multiples of 16 bytes.
//
// A Model is plain data: any number of goroutines may read it, or one may write it. The
// byte slices in a parsed Model share memory with the input, which must not change while
// the Model is in use.
//
// The format is schema version 3 of TensorFlow Lite, a FlatBuffers schema:
// tensorflow/lite/schema/schema.fbs. Names and numbers in this package are those of that
// schema.
package tflite

import "errors"

var (
	// ErrCorrupt means that a file or a Model breaks the format.
	ErrCorrupt = errors.New("corrupt model")
	// ErrTooLarge means that a model exceeds one of this package's limits.
	ErrTooLarge = errors.New("model exceeds a limit")
	// ErrUnsupported means that a file is valid but uses a feature that this package
	// cannot preserve in a new file.
	ErrUnsupported = errors.New("unsupported by this version")
)

// MaxFileSize is the size of the largest file that Parse accepts, in bytes.
const MaxFileSize = 64 << 20

// A Model is the content of a model file.
type Model struct {
	Version       uint32 // version of the schema, which is 3
	OperatorCodes []OperatorCode
	Subgraphs     []Subgraph // the first is the main graph
	Description   string
	// Buffers holds constants and metadata. Buffer 0 is empty by convention. A nil or
	// empty entry is a buffer without data.
	Buffers []Buffer
	// MetadataBuffer is the deprecated list of metadata buffers.
	MetadataBuffer []int32
	Metadata       []Metadata
	SignatureDefs  []SignatureDef
	// Tail is the content of the file after the flatbuffer, without leading zeros. It is
	// usually empty or the zip archive that AssociatedFiles reads. Offsets in the archive
	// count from the start of Tail, but in a file from the start of the file.
	Tail []byte

	// unknown names the first field that this package's schema lacks. Such a field may
	// hold an offset, so it cannot be written.
	unknown string

	opaque opaque // external buffers
}

// opaque holds the fields of a table that this package preserves without interpreting
// them. It is nil if there are none.
type opaque = *node

// A Buffer holds the data of a constant or of metadata.
type Buffer []byte

// A Metadata names a buffer that holds metadata, such as TFLITE_METADATA.
type Metadata struct {
	Name   string
	Buffer uint32
}

// An OperatorCode identifies the kind of an operator.
type OperatorCode struct {
	Builtin    BuiltinOperator // the larger of the schema's two fields
	CustomCode string          // name of the operator if Builtin is OpCustom
	Version    int32
}

// A Subgraph is a list of operators, in execution order, on a list of tensors.
type Subgraph struct {
	Name      string
	Tensors   []Tensor
	Inputs    []int32 // indices into Tensors
	Outputs   []int32 // indices into Tensors
	Operators []Operator
	// DebugMetadataIndex is −1 if absent.
	DebugMetadataIndex int32
}

// A Tensor describes a value. Its constant content, if any, is in a Buffer.
type Tensor struct {
	Name           string
	Shape          []int32
	ShapeSignature []int32 // nil if absent; −1 marks a dynamic dimension
	Type           TensorType
	Buffer         uint32        // index into Model.Buffers; 0 for none
	Quantization   *Quantization // nil if absent
	IsVariable     bool
	HasRank        bool

	opaque opaque // sparsity, variant tensors, external buffer
}

// A Quantization maps stored integers q to real values scale·(q − zero point).
type Quantization struct {
	Min, Max  []float32
	Scale     []float32 // one for the tensor, or one for each slice along Dimension
	ZeroPoint []int64
	Dimension int32

	opaque opaque // custom, blockwise or multi-axis details
}

// An Operator is one operation of a Subgraph.
type Operator struct {
	Opcode  uint32  // index into Model.OperatorCodes
	Inputs  []int32 // indices into Tensors; −1 for an omitted optional input
	Outputs []int32 // indices into Tensors
	Options Options // builtin options; the zero value if absent
	// CustomOptions are the options of a custom operator.
	CustomOptions          []byte
	MutatingVariableInputs []bool
	Intermediates          []int32
	DebugMetadataIndex     int32 // −1 if absent

	opaque opaque // second options, format of the custom options
}

// A SignatureDef names inputs and outputs of a subgraph.
type SignatureDef struct {
	Inputs, Outputs []TensorMap
	Key             string
	Subgraph        uint32

	opaque opaque // deprecated tag
}

// A TensorMap is the name of a tensor in a SignatureDef.
type TensorMap struct {
	Name   string
	Tensor uint32
}
