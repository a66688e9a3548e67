package tflite

// The tables of the format, field by field in slot order. The verifier, the
// reader and the writer all work from these descriptions, so they cannot drift
// apart. Source: tflite/converter/schema/schema.fbs (revision 3d) of
// google-ai-edge/LiteRT.

type fieldKind uint8

const (
	kindScalar    fieldKind = iota
	kindVector              // of scalars
	kindString              // NUL-terminated
	kindStrings             // vector of strings
	kindTable               // one table
	kindTables              // vector of tables
	kindUnionType           // which member the union in the next slot holds
	kindUnion               // a table; its type is in the slot before
)

// A field describes one slot of a table.
type field struct {
	name     string
	kind     fieldKind
	size     int          // bytes of a scalar, or of an element of a vector
	align    int          // of a vector's first element, where more than size
	table    *tableType   // for kindTable and kindTables
	union    []*tableType // for kindUnion; number 0 is "none"
	required bool
}

// A tableType describes a table.
type tableType struct {
	name   string
	fields []field
}

func scalar(name string, size int) field { return field{name: name, kind: kindScalar, size: size} }
func vector(name string, size int) field { return field{name: name, kind: kindVector, size: size} }
func text(name string) field             { return field{name: name, kind: kindString} }
func texts(name string) field            { return field{name: name, kind: kindStrings} }
func one(name string, t *tableType) field {
	return field{name: name, kind: kindTable, table: t}
}
func many(name string, t *tableType) field {
	return field{name: name, kind: kindTables, table: t}
}
func unionType(name string) field { return field{name: name, kind: kindUnionType, size: 1} }
func union(name string, members []*tableType) field {
	return field{name: name, kind: kindUnion, union: members}
}
func (f field) must() field         { f.required = true; return f }
func (f field) aligned(n int) field { f.align = n; return f }

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

var modelTable = &tableType{"Model", []field{
	modelVersion:         scalar("version", 4),
	modelOperatorCodes:   many("operator_codes", operatorCodeTable).must(),
	modelSubgraphs:       many("subgraphs", subgraphTable).must(),
	modelDescription:     text("description"),
	modelBuffers:         many("buffers", bufferTable).must(),
	modelMetadataBuffer:  vector("metadata_buffer", 4),
	modelMetadata:        many("metadata", metadataTable),
	modelSignatureDefs:   many("signature_defs", signatureDefTable),
	modelExternalGroups:  many("external_buffer_groups", &tableType{"ExternalBufferGroup", []field{text("name")}}),
	modelExternalBuffers: many("external_buffers", externalBufferTable),
}}

var externalBufferTable = &tableType{"ExternalBuffer", []field{
	scalar("id", 4), scalar("group", 4), scalar("offset", 8), scalar("length", 8), text("packing"),
}}

const (
	opcodeDeprecatedBuiltin = iota
	opcodeCustom
	opcodeVersion
	opcodeBuiltin
)

var operatorCodeTable = &tableType{"OperatorCode", []field{
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

var subgraphTable = &tableType{"SubGraph", []field{
	subgraphTensors:   many("tensors", tensorTable).must(),
	subgraphInputs:    vector("inputs", 4),
	subgraphOutputs:   vector("outputs", 4),
	subgraphOperators: many("operators", operatorTable).must(),
	subgraphName:      text("name"),
	subgraphDebug:     scalar("debug_metadata_index", 4),
}}

const (
	bufferData = iota
	bufferOffset
	bufferSize
)

var bufferTable = &tableType{"Buffer", []field{
	bufferData:   vector("data", 1).aligned(16),
	bufferOffset: scalar("offset", 8),
	bufferSize:   scalar("size", 8),
}}

const (
	metadataName = iota
	metadataBuffer
)

var metadataTable = &tableType{"Metadata", []field{
	metadataName:   text("name").must(),
	metadataBuffer: scalar("buffer", 4),
}}

const (
	signatureInputs = iota
	signatureOutputs
	signatureKey
	signatureTag
	signatureSubgraph
)

var signatureDefTable = &tableType{"SignatureDef", []field{
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

var tensorMapTable = &tableType{"TensorMap", []field{
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

var tensorTable = &tableType{"Tensor", []field{
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

var variantTable = &tableType{"VariantSubType", []field{
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

var quantizationTable = &tableType{"QuantizationParameters", []field{
	quantizationMin:         vector("min", 4),
	quantizationMax:         vector("max", 4),
	quantizationScale:       vector("scale", 4),
	quantizationZeroPoint:   vector("zero_point", 8),
	quantizationDetailsType: unionType("details_type"),
	quantizationDetails: union("details", []*tableType{
		nil,
		{"CustomQuantization", []field{vector("custom", 1).aligned(16)}},
		{"BlockwiseQuantization", []field{scalar("scales", 4), scalar("zero_points", 4), scalar("block_size", 4)}},
		{"MultiAxisQuantization", []field{
			scalar("scales", 4), scalar("zero_points", 4), scalar("block_size", 4), vector("quantized_dimensions", 4),
		}},
	}),
	quantizationDimension: scalar("quantized_dimension", 4),
}}

var sparseIndexVector = []*tableType{
	nil,
	{"Int32Vector", []field{vector("values", 4)}},
	{"Uint16Vector", []field{vector("values", 2).aligned(4)}},
	{"Uint8Vector", []field{vector("values", 1).aligned(4)}},
}

var sparsityTable = &tableType{"SparsityParameters", []field{
	vector("traversal_order", 4),
	vector("block_map", 4),
	many("dim_metadata", &tableType{"DimensionMetadata", []field{
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

var operatorTable = &tableType{"Operator", []field{
	operatorOpcode:      scalar("opcode_index", 4),
	operatorInputs:      vector("inputs", 4),
	operatorOutputs:     vector("outputs", 4),
	operatorOptionsType: unionType("builtin_options_type"),
	operatorOptions:     union("builtin_options", builtinOptions),
	// The schema asks for no alignment here, but compilers for accelerators put
	// whole flatbuffers into it, and align it themselves.
	operatorCustomOptions: vector("custom_options", 1).aligned(16),
	operatorCustomFormat:  scalar("custom_options_format", 1),
	operatorMutating:      vector("mutating_variable_inputs", 1),
	operatorIntermediates: vector("intermediates", 4),
	operatorLargeOffset:   scalar("large_custom_options_offset", 8),
	operatorLargeSize:     scalar("large_custom_options_size", 8),
	operatorOptions2Type:  unionType("builtin_options_2_type"),
	operatorOptions2:      union("builtin_options_2", builtinOptions2),
	operatorDebug:         scalar("debug_metadata_index", 4),
}}
