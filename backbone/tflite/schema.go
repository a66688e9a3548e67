package tflite

import "github.com/imprintkit/imprint/backbone/tflite/flatbuf"

// This file describes the tables of the format, with their fields in slot order. The
// verifier, the reader and the writer use the same description. Source:
// tflite/converter/schema/schema.fbs (revision 3d) of google-ai-edge/LiteRT.

type (
	field     = flatbuf.Field
	tableType = flatbuf.Table
	view      = flatbuf.View
)

// Short names for the tables below.
var (
	scalar    = flatbuf.Scalar
	vector    = flatbuf.Vector
	text      = flatbuf.String
	texts     = flatbuf.Strings
	one       = flatbuf.One
	many      = flatbuf.Many
	unionType = flatbuf.UnionType
	union     = flatbuf.Union
)

// Slots of the tables that are read into exported structs.
const (
	modelVersion = iota
	modelOperatorCodes
	modelSubgraphs
	modelDescription
	modelBuffers
	modelMetadataBuffer
	modelMetadata
	modelSignatureDefs
	modelExternalGroups
	modelExternalBuffers
)

var modelTable = &tableType{Name: "Model", Fields: []field{
	modelVersion:         scalar("version", 4),
	modelOperatorCodes:   many("operator_codes", operatorCodeTable).Must(),
	modelSubgraphs:       many("subgraphs", subgraphTable).Must(),
	modelDescription:     text("description"),
	modelBuffers:         many("buffers", bufferTable).Must(),
	modelMetadataBuffer:  vector("metadata_buffer", 4),
	modelMetadata:        many("metadata", metadataTable),
	modelSignatureDefs:   many("signature_defs", signatureDefTable),
	modelExternalGroups:  many("external_buffer_groups", &tableType{Name: "ExternalBufferGroup", Fields: []field{text("name")}}),
	modelExternalBuffers: many("external_buffers", externalBufferTable),
}}

var externalBufferTable = &tableType{Name: "ExternalBuffer", Fields: []field{
	scalar("id", 4), scalar("group", 4), scalar("offset", 8), scalar("length", 8), text("packing"),
}}

const (
	opcodeDeprecatedBuiltin = iota
	opcodeCustom
	opcodeVersion
	opcodeBuiltin
)

var operatorCodeTable = &tableType{Name: "OperatorCode", Fields: []field{
	opcodeDeprecatedBuiltin: scalar("deprecated_builtin_code", 1),
	opcodeCustom:            text("custom_code"),
	opcodeVersion:           scalar("version", 4),
	opcodeBuiltin:           scalar("builtin_code", 4),
}}

const (
	subgraphTensors = iota
	subgraphInputs
	subgraphOutputs
	subgraphOperators
	subgraphName
	subgraphDebug
)

var subgraphTable = &tableType{Name: "SubGraph", Fields: []field{
	subgraphTensors:   many("tensors", tensorTable).Must(),
	subgraphInputs:    vector("inputs", 4),
	subgraphOutputs:   vector("outputs", 4),
	subgraphOperators: many("operators", operatorTable).Must(),
	subgraphName:      text("name"),
	subgraphDebug:     scalar("debug_metadata_index", 4),
}}

const (
	bufferData = iota
	bufferOffset
	bufferSize
)

var bufferTable = &tableType{Name: "Buffer", Fields: []field{
	bufferData:   vector("data", 1).Aligned(16),
	bufferOffset: scalar("offset", 8),
	bufferSize:   scalar("size", 8),
}}

const (
	metadataName = iota
	metadataBuffer
)

var metadataTable = &tableType{Name: "Metadata", Fields: []field{
	metadataName:   text("name").Must(),
	metadataBuffer: scalar("buffer", 4),
}}

const (
	signatureInputs = iota
	signatureOutputs
	signatureKey
	signatureTag
	signatureSubgraph
)

var signatureDefTable = &tableType{Name: "SignatureDef", Fields: []field{
	signatureInputs:   many("inputs", tensorMapTable),
	signatureOutputs:  many("outputs", tensorMapTable),
	signatureKey:      text("signature_key"),
	signatureTag:      text("deprecated_tag"),
	signatureSubgraph: scalar("subgraph_index", 4),
}}

const (
	tensorMapName = iota
	tensorMapTensor
)

var tensorMapTable = &tableType{Name: "TensorMap", Fields: []field{
	tensorMapName:   text("name"),
	tensorMapTensor: scalar("tensor_index", 4),
}}

const (
	tensorShape = iota
	tensorType
	tensorBuffer
	tensorName
	tensorQuantization
	tensorVariable
	tensorSparsity
	tensorShapeSignature
	tensorHasRank
	tensorVariants
	tensorExternalBuffer
)

var tensorTable = &tableType{Name: "Tensor", Fields: []field{
	tensorShape:          vector("shape", 4),
	tensorType:           scalar("type", 1),
	tensorBuffer:         scalar("buffer", 4),
	tensorName:           text("name"),
	tensorQuantization:   one("quantization", quantizationTable),
	tensorVariable:       scalar("is_variable", 1),
	tensorSparsity:       one("sparsity", sparsityTable),
	tensorShapeSignature: vector("shape_signature", 4),
	tensorHasRank:        scalar("has_rank", 1),
	tensorVariants:       many("variant_tensors", variantTable),
	tensorExternalBuffer: scalar("external_buffer", 4),
}}

var variantTable = &tableType{Name: "VariantSubType", Fields: []field{
	vector("shape", 4), scalar("type", 1), scalar("has_rank", 1),
}}

const (
	quantizationMin = iota
	quantizationMax
	quantizationScale
	quantizationZeroPoint
	quantizationDetailsType
	quantizationDetails
	quantizationDimension
)

var quantizationTable = &tableType{Name: "QuantizationParameters", Fields: []field{
	quantizationMin:         vector("min", 4),
	quantizationMax:         vector("max", 4),
	quantizationScale:       vector("scale", 4),
	quantizationZeroPoint:   vector("zero_point", 8),
	quantizationDetailsType: unionType("details_type"),
	quantizationDetails: union("details", []*tableType{
		nil,
		{Name: "CustomQuantization", Fields: []field{vector("custom", 1).Aligned(16)}},
		{Name: "BlockwiseQuantization", Fields: []field{scalar("scales", 4), scalar("zero_points", 4), scalar("block_size", 4)}},
		{Name: "MultiAxisQuantization", Fields: []field{
			scalar("scales", 4), scalar("zero_points", 4), scalar("block_size", 4), vector("quantized_dimensions", 4),
		}},
	}),
	quantizationDimension: scalar("quantized_dimension", 4),
}}

var sparseIndexVector = []*tableType{
	nil,
	{Name: "Int32Vector", Fields: []field{vector("values", 4)}},
	{Name: "Uint16Vector", Fields: []field{vector("values", 2).Aligned(4)}},
	{Name: "Uint8Vector", Fields: []field{vector("values", 1).Aligned(4)}},
}

var sparsityTable = &tableType{Name: "SparsityParameters", Fields: []field{
	vector("traversal_order", 4),
	vector("block_map", 4),
	many("dim_metadata", &tableType{Name: "DimensionMetadata", Fields: []field{
		scalar("format", 1),
		scalar("dense_size", 4),
		unionType("array_segments_type"), union("array_segments", sparseIndexVector),
		unionType("array_indices_type"), union("array_indices", sparseIndexVector),
	}}),
}}

const (
	operatorOpcode = iota
	operatorInputs
	operatorOutputs
	operatorOptionsType
	operatorOptions
	operatorCustomOptions
	operatorCustomFormat
	operatorMutating
	operatorIntermediates
	operatorLargeOffset
	operatorLargeSize
	operatorOptions2Type
	operatorOptions2
	operatorDebug
)

var operatorTable = &tableType{Name: "Operator", Fields: []field{
	operatorOpcode:      scalar("opcode_index", 4),
	operatorInputs:      vector("inputs", 4),
	operatorOutputs:     vector("outputs", 4),
	operatorOptionsType: unionType("builtin_options_type"),
	operatorOptions:     union("builtin_options", builtinOptions),
	// The schema requires no alignment here, but compilers for accelerators store whole
	// flatbuffers in custom options and align them.
	operatorCustomOptions: vector("custom_options", 1).Aligned(16),
	operatorCustomFormat:  scalar("custom_options_format", 1),
	operatorMutating:      vector("mutating_variable_inputs", 1),
	operatorIntermediates: vector("intermediates", 4),
	operatorLargeOffset:   scalar("large_custom_options_offset", 8),
	operatorLargeSize:     scalar("large_custom_options_size", 8),
	operatorOptions2Type:  unionType("builtin_options_2_type"),
	operatorOptions2:      union("builtin_options_2", builtinOptions2),
	operatorDebug:         scalar("debug_metadata_index", 4),
}}
