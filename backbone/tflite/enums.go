package tflite

import "fmt"

// A BuiltinOperator is a kind of operator.
type BuiltinOperator int32

// The operators that other packages use. String returns the names of all other operators
// too.
const (
	OpAdd                        BuiltinOperator = 0
	OpAveragePool2D              BuiltinOperator = 1
	OpConcatenation              BuiltinOperator = 2
	OpConv2D                     BuiltinOperator = 3
	OpDepthwiseConv2D            BuiltinOperator = 4
	OpDepthToSpace               BuiltinOperator = 5
	OpDequantize                 BuiltinOperator = 6
	OpFullyConnected             BuiltinOperator = 9
	OpL2Normalization            BuiltinOperator = 11
	OpL2Pool2D                   BuiltinOperator = 12
	OpLogistic                   BuiltinOperator = 14
	OpMaxPool2D                  BuiltinOperator = 17
	OpMul                        BuiltinOperator = 18
	OpRelu                       BuiltinOperator = 19
	OpReluN1To1                  BuiltinOperator = 20
	OpRelu6                      BuiltinOperator = 21
	OpReshape                    BuiltinOperator = 22
	OpResizeBilinear             BuiltinOperator = 23
	OpSoftmax                    BuiltinOperator = 25
	OpSpaceToDepth               BuiltinOperator = 26
	OpTanh                       BuiltinOperator = 28
	OpCustom                     BuiltinOperator = 32
	OpPad                        BuiltinOperator = 34
	OpGather                     BuiltinOperator = 36
	OpTranspose                  BuiltinOperator = 39
	OpMean                       BuiltinOperator = 40
	OpSub                        BuiltinOperator = 41
	OpDiv                        BuiltinOperator = 42
	OpSqueeze                    BuiltinOperator = 43
	OpUnidirectionalSequenceLSTM BuiltinOperator = 44
	OpStridedSlice               BuiltinOperator = 45
	OpSplit                      BuiltinOperator = 49
	OpCast                       BuiltinOperator = 53
	OpPrelu                      BuiltinOperator = 54
	OpMaximum                    BuiltinOperator = 55
	OpArgMax                     BuiltinOperator = 56
	OpMinimum                    BuiltinOperator = 57
	OpPadV2                      BuiltinOperator = 60
	OpSlice                      BuiltinOperator = 65
	OpTransposeConv              BuiltinOperator = 67
	OpTile                       BuiltinOperator = 69
	OpExpandDims                 BuiltinOperator = 70
	OpSum                        BuiltinOperator = 74
	OpSqrt                       BuiltinOperator = 75
	OpRsqrt                      BuiltinOperator = 76
	OpReduceMax                  BuiltinOperator = 82
	OpPack                       BuiltinOperator = 83
	OpUnpack                     BuiltinOperator = 88
	OpReduceMin                  BuiltinOperator = 89
	OpFloorDiv                   BuiltinOperator = 90
	OpResizeNearestNeighbor      BuiltinOperator = 97
	OpLeakyRelu                  BuiltinOperator = 98
	OpSquaredDifference          BuiltinOperator = 99
	OpSplitV                     BuiltinOperator = 102
	OpGatherND                   BuiltinOperator = 107
	OpQuantize                   BuiltinOperator = 114
	OpHardSwish                  BuiltinOperator = 117

	// placeholderOperator is the largest value of an operator code's older field. It
	// means that the operator is in the newer field.
	placeholderOperator BuiltinOperator = 127
)

// String returns the name in the schema, such as CONV_2D.
func (op BuiltinOperator) String() string {
	if op >= 0 && int(op) < len(operatorNames) {
		return operatorNames[op]
	}
	return fmt.Sprintf("BuiltinOperator(%d)", int32(op))
}

var operatorNames = [...]string{
	"ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D",
	"DEPTH_TO_SPACE", "DEQUANTIZE", "EMBEDDING_LOOKUP", "FLOOR", "FULLY_CONNECTED",
	"HASHTABLE_LOOKUP", "L2_NORMALIZATION", "L2_POOL_2D", "LOCAL_RESPONSE_NORMALIZATION",
	"LOGISTIC", "LSH_PROJECTION", "LSTM", "MAX_POOL_2D", "MUL", "RELU", "RELU_N1_TO_1",
	"RELU6", "RESHAPE", "RESIZE_BILINEAR", "RNN", "SOFTMAX", "SPACE_TO_DEPTH", "SVDF", "TANH",
	"CONCAT_EMBEDDINGS", "SKIP_GRAM", "CALL", "CUSTOM", "EMBEDDING_LOOKUP_SPARSE", "PAD",
	"UNIDIRECTIONAL_SEQUENCE_RNN", "GATHER", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND",
	"TRANSPOSE", "MEAN", "SUB", "DIV", "SQUEEZE", "UNIDIRECTIONAL_SEQUENCE_LSTM",
	"STRIDED_SLICE", "BIDIRECTIONAL_SEQUENCE_RNN", "EXP", "TOPK_V2", "SPLIT", "LOG_SOFTMAX",
	"DELEGATE", "BIDIRECTIONAL_SEQUENCE_LSTM", "CAST", "PRELU", "MAXIMUM", "ARG_MAX",
	"MINIMUM", "LESS", "NEG", "PADV2", "GREATER", "GREATER_EQUAL", "LESS_EQUAL", "SELECT",
	"SLICE", "SIN", "TRANSPOSE_CONV", "SPARSE_TO_DENSE", "TILE", "EXPAND_DIMS", "EQUAL",
	"NOT_EQUAL", "LOG", "SUM", "SQRT", "RSQRT", "SHAPE", "POW", "ARG_MIN", "FAKE_QUANT",
	"REDUCE_PROD", "REDUCE_MAX", "PACK", "LOGICAL_OR", "ONE_HOT", "LOGICAL_AND", "LOGICAL_NOT",
	"UNPACK", "REDUCE_MIN", "FLOOR_DIV", "REDUCE_ANY", "SQUARE", "ZEROS_LIKE", "FILL",
	"FLOOR_MOD", "RANGE", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "SQUARED_DIFFERENCE",
	"MIRROR_PAD", "ABS", "SPLIT_V", "UNIQUE", "CEIL", "REVERSE_V2", "ADD_N", "GATHER_ND",
	"COS", "WHERE", "RANK", "ELU", "REVERSE_SEQUENCE", "MATRIX_DIAG", "QUANTIZE",
	"MATRIX_SET_DIAG", "ROUND", "HARD_SWISH", "IF", "WHILE", "NON_MAX_SUPPRESSION_V4",
	"NON_MAX_SUPPRESSION_V5", "SCATTER_ND", "SELECT_V2", "DENSIFY", "SEGMENT_SUM",
	"BATCH_MATMUL", "PLACEHOLDER_FOR_GREATER_OP_CODES", "CUMSUM", "CALL_ONCE", "BROADCAST_TO",
	"RFFT2D", "CONV_3D", "IMAG", "REAL", "COMPLEX_ABS", "HASHTABLE", "HASHTABLE_FIND",
	"HASHTABLE_IMPORT", "HASHTABLE_SIZE", "REDUCE_ALL", "CONV_3D_TRANSPOSE", "VAR_HANDLE",
	"READ_VARIABLE", "ASSIGN_VARIABLE", "BROADCAST_ARGS", "RANDOM_STANDARD_NORMAL",
	"BUCKETIZE", "RANDOM_UNIFORM", "MULTINOMIAL", "GELU", "DYNAMIC_UPDATE_SLICE",
	"RELU_0_TO_1", "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_SUM",
	"ATAN2", "UNSORTED_SEGMENT_MIN", "SIGN", "BITCAST", "BITWISE_XOR", "RIGHT_SHIFT",
	"STABLEHLO_LOGISTIC", "STABLEHLO_ADD", "STABLEHLO_DIVIDE", "STABLEHLO_MULTIPLY",
	"STABLEHLO_MAXIMUM", "STABLEHLO_RESHAPE", "STABLEHLO_CLAMP", "STABLEHLO_CONCATENATE",
	"STABLEHLO_BROADCAST_IN_DIM", "STABLEHLO_CONVOLUTION", "STABLEHLO_SLICE",
	"STABLEHLO_CUSTOM_CALL", "STABLEHLO_REDUCE", "STABLEHLO_ABS", "STABLEHLO_AND",
	"STABLEHLO_COSINE", "STABLEHLO_EXPONENTIAL", "STABLEHLO_FLOOR", "STABLEHLO_LOG",
	"STABLEHLO_MINIMUM", "STABLEHLO_NEGATE", "STABLEHLO_OR", "STABLEHLO_POWER",
	"STABLEHLO_REMAINDER", "STABLEHLO_RSQRT", "STABLEHLO_SELECT", "STABLEHLO_SUBTRACT",
	"STABLEHLO_TANH", "STABLEHLO_SCATTER", "STABLEHLO_COMPARE", "STABLEHLO_CONVERT",
	"STABLEHLO_DYNAMIC_SLICE", "STABLEHLO_DYNAMIC_UPDATE_SLICE", "STABLEHLO_PAD",
	"STABLEHLO_IOTA", "STABLEHLO_DOT_GENERAL", "STABLEHLO_REDUCE_WINDOW", "STABLEHLO_SORT",
	"STABLEHLO_WHILE", "STABLEHLO_GATHER", "STABLEHLO_TRANSPOSE", "DILATE",
	"STABLEHLO_RNG_BIT_GENERATOR", "REDUCE_WINDOW", "STABLEHLO_COMPOSITE",
	"STABLEHLO_SHIFT_LEFT", "STABLEHLO_CBRT", "STABLEHLO_CASE",
}

// A TensorType is the type of a tensor's elements.
type TensorType int8

// The element types.
const (
	TypeFloat32 TensorType = iota
	TypeFloat16
	TypeInt32
	TypeUint8
	TypeInt64
	TypeString
	TypeBool
	TypeInt16
	TypeComplex64
	TypeInt8
	TypeFloat64
	TypeComplex128
	TypeUint64
	TypeResource
	TypeVariant
	TypeUint32
	TypeUint16
	TypeInt4
	TypeBfloat16
	TypeInt2
	TypeUint4
	TypeFloat8E4M3FN
	TypeFloat8E5M2
)

var tensorTypes = [...]struct {
	name string
	bits int // of one element; 0 if it has no fixed size
}{
	{"float32", 32}, {"float16", 16}, {"int32", 32}, {"uint8", 8}, {"int64", 64}, {"string", 0},
	{"bool", 8}, {"int16", 16}, {"complex64", 64}, {"int8", 8}, {"float64", 64}, {"complex128", 128},
	{"uint64", 64}, {"resource", 0}, {"variant", 0}, {"uint32", 32}, {"uint16", 16}, {"int4", 4},
	{"bfloat16", 16}, {"int2", 2}, {"uint4", 4}, {"float8_e4m3fn", 8}, {"float8_e5m2", 8},
}

// String returns the name in the schema in lower case, such as uint8.
func (t TensorType) String() string {
	if t >= 0 && int(t) < len(tensorTypes) {
		return tensorTypes[t].name
	}
	return fmt.Sprintf("TensorType(%d)", int8(t))
}

// bits returns the size of one element in bits, or 0 if it has no fixed size.
func (t TensorType) bits() int {
	if t >= 0 && int(t) < len(tensorTypes) {
		return tensorTypes[t].bits
	}
	return 0
}

// Size returns the size of one element in bytes: 0 if it has no fixed size or is smaller
// than a byte.
func (t TensorType) Size() int { return t.bits() / 8 }

// An Activation is an activation function fused into an operator.
type Activation int8

// The activations.
const (
	ActNone Activation = iota
	ActRelu
	ActReluN1To1
	ActRelu6
	ActTanh
	ActSignBit
)

var activationNames = [...]string{"NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"}

// String returns the name in the schema, such as RELU6.
func (a Activation) String() string {
	if a >= 0 && int(a) < len(activationNames) {
		return activationNames[a]
	}
	return fmt.Sprintf("Activation(%d)", int8(a))
}

// A Padding selects how a convolution or pool treats the borders of an image.
type Padding int8

// The paddings.
const (
	PaddingSame  Padding = iota // pads so that the output has size ⌈input/stride⌉
	PaddingValid                // uses only whole windows
)

// String returns SAME or VALID.
func (p Padding) String() string {
	switch p {
	case PaddingSame:
		return "SAME"
	case PaddingValid:
		return "VALID"
	}
	return fmt.Sprintf("Padding(%d)", int8(p))
}
