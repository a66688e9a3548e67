package executable

import "github.com/imprintkit/imprint/backbone/tflite/flatbuf"

// The tables of a package, field by field in slot order. Source:
// executable/executable.fbs of libedgetpu.

type (
	field     = flatbuf.Field
	tableType = flatbuf.Table
	view      = flatbuf.View
)

// Short names for the descriptions below.
var (
	scalar = flatbuf.Scalar
	vector = flatbuf.Vector
	text   = flatbuf.String
	one    = flatbuf.One
	many   = flatbuf.Many
)

// packageIdentifier is the file identifier of the outermost flatbuffer.
const packageIdentifier = "DWN1"

const (
	packageMinRuntime = iota
	packageExecutables
	packageSignature
	packageKeypair
	packageCompiler
	packageChip
	packageMultiChip
	packageModel
)

// packageTable is the outermost flatbuffer. Its executables are a nested one,
// described by multiTable.
var packageTable = &tableType{Name: "package", Fields: []field{
	packageMinRuntime:  scalar("min_runtime_version", 4),
	packageExecutables: vector("serialized_multi_executable", 1),
	packageSignature:   vector("signature", 1),
	packageKeypair:     scalar("keypair_version", 4),
	packageCompiler:    text("compiler_version"),
	packageChip:        scalar("virtual_chip_id", 4),
	packageMultiChip:   vector("multi_chip_package", 4), // of offsets, which nothing follows
	packageModel:       text("model_identifier"),
}}

const multiExecutables = 0

// multiTable lists the executables, each a nested flatbuffer described by
// executableTable.
var multiTable = &tableType{Name: "multi executable", Fields: []field{
	multiExecutables: flatbuf.Blobs("serialized_executables"),
}}

const (
	executableVersion = iota
	executableName
	executableModel
	executableBatch
	executableScratch
	executableChunks
	executableParameters
	executableHints
	executableInputs
	executableOutputs
	executableChip
	executableCycles
	executableNarrow
	executableKind
	executableToken
	executableInTPUMemory
	executableCycles64
)

var executableTable = &tableType{Name: "executable", Fields: []field{
	executableVersion:     scalar("version", 4),
	executableName:        text("name"),
	executableModel:       vector("serialized_model", 1),
	executableBatch:       scalar("batch_size", 4),
	executableScratch:     scalar("scratch_size_bytes", 4),
	executableChunks:      many("instruction_bitstreams", chunkTable),
	executableParameters:  vector("parameters", 1),
	executableHints:       one("dma_hints", hintsTable),
	executableInputs:      many("input_layers", layerTable),
	executableOutputs:     many("output_layers", layerTable),
	executableChip:        text("chip"),
	executableCycles:      scalar("estimated_cycles", 4),
	executableNarrow:      scalar("used_narrow_memory_bytes_per_tile", 4),
	executableKind:        scalar("type", 2),
	executableToken:       scalar("parameter_caching_token", 8),
	executableInTPUMemory: scalar("use_tpu_dram_for_parameters", 1),
	executableCycles64:    scalar("estimated_cycles_64bit", 8),
}}

const (
	chunkBytes = iota
	chunkFields
)

var chunkTable = &tableType{Name: "instruction bitstream", Fields: []field{
	chunkBytes:  vector("bitstream", 1),
	chunkFields: many("field_offsets", fieldTable),
}}

const (
	fieldMeta = iota
	fieldBit
)

var fieldTable = &tableType{Name: "field offset", Fields: []field{
	fieldMeta: one("meta", metaTable),
	fieldBit:  scalar("offset_bit", 4),
}}

const (
	metaBuffer = iota
	metaBatch
	metaName
	metaHalf
)

var metaTable = &tableType{Name: "meta", Fields: []field{
	metaBuffer: scalar("desc", 2),
	metaBatch:  scalar("batch", 4),
	metaName:   text("name"),
	metaHalf:   scalar("position", 2),
}}

const (
	hintsList = iota
	hintsDeterministic
)

var hintsTable = &tableType{Name: "dma hints", Fields: []field{
	hintsList:          many("hints", hintTable),
	hintsDeterministic: scalar("fully_deterministic", 1),
}}

const (
	hintKind = iota
	hintContent
	hintDirection
)

var hintTable = &tableType{Name: "dma hint", Fields: []field{
	hintKind: flatbuf.UnionType("any_hint_type"),
	hintContent: flatbuf.Union("any_hint", []*tableType{
		Transfer:     transferTable,
		Instructions: {Name: "instruction hint", Fields: []field{scalar("instruction_chunk_index", 4)}},
		Interrupt:    {Name: "interrupt hint", Fields: []field{scalar("type", 2)}},
		Fence:        {Name: "fence hint"},
	}),
	hintDirection: scalar("direction", 2),
}}

const (
	transferMeta = iota
	transferOffset
	transferSize
)

var transferTable = &tableType{Name: "dma descriptor hint", Fields: []field{
	transferMeta:   one("meta", metaTable),
	transferOffset: scalar("offset_in_bytes", 4),
	transferSize:   scalar("size_in_bytes", 4),
}}

const (
	layerName = iota
	layerSize
	layerY
	layerX
	layerZ
	layerNumerics
	layerDataType
	layerKind
	layerContent
	layerExecutions
	layerCache
	layerShape
)

// Members of the union of layers.
const (
	outputLayer = 1
	inputLayer  = 2
)

var layerTable = &tableType{Name: "layer", Fields: []field{
	layerName: text("name"),
	layerSize: scalar("size_bytes", 4),
	layerY:    scalar("y_dim", 4),
	layerX:    scalar("x_dim", 4),
	layerZ:    scalar("z_dim", 4),
	layerNumerics: one("numerics", &tableType{Name: "numerics", Fields: []field{
		numericsZeroPoint: scalar("zero_point", 4),
		numericsScale:     scalar("dequantization_factor", 4),
	}}),
	layerDataType: scalar("data_type", 2),
	layerKind:     flatbuf.UnionType("any_layer_type"),
	layerContent: flatbuf.Union("any_layer", []*tableType{
		outputLayer: outputTable,
		inputLayer:  {Name: "input layer"},
	}),
	layerExecutions: scalar("execution_count_per_inference", 4),
	layerCache:      scalar("cache_on_dram", 1),
	layerShape:      one("shape", shapeTable),
}}

const (
	numericsZeroPoint = iota
	numericsScale
)

// shapeTable's only field is a vector of first and last index, two int32.
var shapeTable = &tableType{Name: "tensor shape", Fields: []field{vector("dimension", 8)}}

const (
	outputLayout = iota
	outputDataType
	outputShape
)

var outputTable = &tableType{Name: "output layer", Fields: []field{
	outputLayout: one("layout", &tableType{Name: "output layout", Fields: []field{
		layoutRowTile:      vector("y_coordinate_to_linear_tile_id_map", 4),
		layoutColumnTile:   vector("x_coordinate_to_linear_tile_id_map", 4),
		layoutTileOffset:   vector("linearized_tile_byte_offset", 4),
		layoutColumnOffset: vector("x_coordinate_to_local_byte_offset", 4),
		layoutRowInTile:    vector("y_coordinate_to_local_y_offset", 4),
		layoutRowSize:      vector("x_coordinate_to_local_y_row_size", 4),
	}}),
	outputDataType: scalar("data_type", 2),
	outputShape: one("shape_info", &tableType{Name: "output shape info", Fields: []field{
		many("slice_layout", &tableType{Name: "tensor layout", Fields: []field{one("shape", shapeTable), vector("stride", 4)}}),
		vector("slice_offset", 4),
	}}),
}}

const (
	layoutRowTile = iota
	layoutColumnTile
	layoutTileOffset
	layoutColumnOffset
	layoutRowInTile
	layoutRowSize
)
