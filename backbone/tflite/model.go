// Package tflite reads, edits and writes TensorFlow Lite model files without
// losing anything. Start with [Parse], which verifies every offset, length and
// index before it reads; change the [Model]; then call [Model.Encode].
//
// What Parse accepts, Encode can write again, unless it returns
// [ErrUnsupported]: nothing is dropped silently. Buffers that were not edited
// are byte-identical in the new file and begin at a multiple of 16 bytes.
//
// A Model is plain memory: it may be read from many goroutines, and written by
// one. The byte slices inside a parsed Model are sub-slices of the input,
// which must not be changed while the Model is in use.
//
// The format is schema version 3 of TensorFlow Lite (tensorflow/lite/schema/
// schema.fbs), a FlatBuffers schema; field numbers in this package are that
// schema's.
package tflite

import "errors"

var (
	// ErrCorrupt is wrapped by every error about a file that breaks the format.
	ErrCorrupt = errors.New("corrupt model")
	// ErrTooLarge is wrapped when a limit of this package is exceeded.
	ErrTooLarge = errors.New("model exceeds a limit")
	// ErrUnsupported is wrapped when a file is sound but uses something that
	// this package cannot carry over into a new file.
	ErrUnsupported = errors.New("unsupported by this version")
)

// MaxFileSize is the largest file that Parse accepts, in bytes.
const MaxFileSize = 64 << 20

// A Model is a whole model file.
type Model struct {
	Version       uint32 // schema version, 3
	OperatorCodes []OperatorCode
	Subgraphs     []Subgraph
	Description   string
	// Buffers holds constants and metadata; by convention buffer 0 is empty.
	// A nil or empty entry is a buffer without data.
	Buffers []Buffer
	// MetadataBuffer is the deprecated list of metadata buffer indices.
	MetadataBuffer []int32
	Metadata       []Metadata
	SignatureDefs  []SignatureDef
	// Tail is whatever follows the flatbuffer in the file, without leading
	// zeros: nothing, or the zip archive of associated files (see
	// AssociatedFiles). Offsets inside the archive count from the start of
	// Tail; in a file they count from the start of the file.
	Tail []byte

	// beyond names the first field that the schema of this package lacks.
	// Such a field may hold an offset, so it cannot be written again.
	beyond string

	carried carried // external buffers
}

// carried holds the fields of a table that this package preserves without
// interpreting them; nil when there are none.
type carried = *node

// A Buffer is the content of one buffer table.
type Buffer []byte

// Metadata names a buffer with metadata in it, for instance TFLITE_METADATA.
type Metadata struct {
	Name   string
	Buffer uint32
}

// An OperatorCode says which operator a Subgraph's operators mean.
type OperatorCode struct {
	Builtin    BuiltinOperator // of both fields of the schema the larger
	CustomCode string          // name of the operator when Builtin is OpCustom
	Version    int32
}

// A Subgraph is a list of operators in execution order over a list of tensors.
type Subgraph struct {
	Name      string
	Tensors   []Tensor
	Inputs    []int32 // indices into Tensors
	Outputs   []int32
	Operators []Operator
	// DebugMetadataIndex is the schema's field of that name, -1 when absent.
	DebugMetadataIndex int32
}

// A Tensor describes a value; its constant content, if any, is in a Buffer.
type Tensor struct {
	Name           string
	Shape          []int32
	ShapeSignature []int32 // nil when absent; -1 marks a dynamic dimension
	Type           TensorType
	Buffer         uint32
	Quantization   *Quantization // nil when absent
	IsVariable     bool
	HasRank        bool

	carried carried // sparsity, variant tensors, external buffer
}

// Quantization maps stored integers q to reals: scale·(q − zero point).
type Quantization struct {
	Min, Max  []float32
	Scale     []float32 // one for the tensor, or one per slice along Dimension
	ZeroPoint []int64
	Dimension int32

	carried carried // custom, blockwise or multi-axis details
}

// An Operator is one node of a Subgraph.
type Operator struct {
	Opcode  uint32  // index into Model.OperatorCodes
	Inputs  []int32 // tensor indices; -1 for an optional input left out
	Outputs []int32
	Options Options // builtin options, the zero value when absent
	// CustomOptions are the bytes given to a custom operator.
	CustomOptions          []byte
	MutatingVariableInputs []bool
	Intermediates          []int32
	DebugMetadataIndex     int32 // -1 when absent

	carried carried // second options, format of the custom options
}

// A SignatureDef names inputs and outputs of a subgraph.
type SignatureDef struct {
	Inputs, Outputs []TensorMap
	Key             string
	Subgraph        uint32

	carried carried // deprecated tag
}

// A TensorMap gives a tensor a name in a SignatureDef.
type TensorMap struct {
	Name   string
	Tensor uint32
}
