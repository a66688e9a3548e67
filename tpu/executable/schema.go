package executable

import "github.com/imprintkit/imprint/backbone/tflite/flatbuf"

// The tables of a package, field by field in slot order. Source:
// executable/executable.fbs of libedgetpu.

type (
	field     = flatbuf.Field
	tableType = flatbuf.Table
	view      = flatbuf.View
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

// packageTable describes the outermost flatbuffer. Its executables are in a nested flatbuffer,
// described by multiTable.
var packageTable = &tableType{Name: "package", Fields: []field{
	packageMinRuntime:  flatbuf.Scalar("min_runtime_version", 4),
	packageExecutables: flatbuf.Vector("serialized_multi_executable", 1),
	packageSignature:   flatbuf.Vector("signature", 1),
	packageKeypair:     flatbuf.Scalar("keypair_version", 4),
	packageCompiler:    flatbuf.String("compiler_version"),
	packageChip:        flatbuf.Scalar("virtual_chip_id", 4),
	packageMultiChip:   flatbuf.Vector("multi_chip_package", 4), // offsets, which this package does not follow
	packageModel:       flatbuf.String("model_identifier"),
}}

const multiExecutables = 0

// multiTable describes the list of executables. Each executable is a nested flatbuffer, described
// by executableTable.
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
	executableVersion:     flatbuf.Scalar("version", 4),
	executableName:        flatbuf.String("name"),
	executableModel:       flatbuf.Vector("serialized_model", 1),
	executableBatch:       flatbuf.Scalar("batch_size", 4),
	executableScratch:     flatbuf.Scalar("scratch_size_bytes", 4),
	executableChunks:      flatbuf.Many("instruction_bitstreams", chunkTable),
	executableParameters:  flatbuf.Vector("parameters", 1),
	executableHints:       flatbuf.One("dma_hints", hintsTable),
	executableInputs:      flatbuf.Many("input_layers", layerTable),
	executableOutputs:     flatbuf.Many("output_layers", layerTable),
	executableChip:        flatbuf.String("chip"),
	executableCycles:      flatbuf.Scalar("estimated_cycles", 4),
	executableNarrow:      flatbuf.Scalar("used_narrow_memory_bytes_per_tile", 4),
	executableKind:        flatbuf.Scalar("type", 2),
	executableToken:       flatbuf.Scalar("parameter_caching_token", 8),
	executableInTPUMemory: flatbuf.Scalar("use_tpu_dram_for_parameters", 1),
	executableCycles64:    flatbuf.Scalar("estimated_cycles_64bit", 8),
}}

const (
	chunkBytes = iota
	chunkFields
)

var chunkTable = &tableType{Name: "instruction bitstream", Fields: []field{
	chunkBytes:  flatbuf.Vector("bitstream", 1),
	chunkFields: flatbuf.Many("field_offsets", fieldTable),
}}

const (
	fieldMeta = iota
	fieldBit
)

var fieldTable = &tableType{Name: "field offset", Fields: []field{
	fieldMeta: flatbuf.One("meta", metaTable),
	fieldBit:  flatbuf.Scalar("offset_bit", 4),
}}

const (
	metaBuffer = iota
	metaBatch
	metaName
	metaHalf
)

var metaTable = &tableType{Name: "meta", Fields: []field{
	metaBuffer: flatbuf.Scalar("desc", 2),
	metaBatch:  flatbuf.Scalar("batch", 4),
	metaName:   flatbuf.String("name"),
	metaHalf:   flatbuf.Scalar("position", 2),
}}

const (
	hintsList = iota
	hintsDeterministic
)

var hintsTable = &tableType{Name: "dma hints", Fields: []field{
	hintsList:          flatbuf.Many("hints", hintTable),
	hintsDeterministic: flatbuf.Scalar("fully_deterministic", 1),
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
		Instructions: {Name: "instruction hint", Fields: []field{flatbuf.Scalar("instruction_chunk_index", 4)}},
		Interrupt:    {Name: "interrupt hint", Fields: []field{flatbuf.Scalar("type", 2)}},
		Fence:        {Name: "fence hint"},
	}),
	hintDirection: flatbuf.Scalar("direction", 2),
}}

const (
	transferMeta = iota
	transferOffset
	transferSize
)

var transferTable = &tableType{Name: "dma descriptor hint", Fields: []field{
	transferMeta:   flatbuf.One("meta", metaTable),
	transferOffset: flatbuf.Scalar("offset_in_bytes", 4),
	transferSize:   flatbuf.Scalar("size_in_bytes", 4),
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
	layerName: flatbuf.String("name"),
	layerSize: flatbuf.Scalar("size_bytes", 4),
	layerY:    flatbuf.Scalar("y_dim", 4),
	layerX:    flatbuf.Scalar("x_dim", 4),
	layerZ:    flatbuf.Scalar("z_dim", 4),
	layerNumerics: flatbuf.One("numerics", &tableType{Name: "numerics", Fields: []field{
		numericsZeroPoint: flatbuf.Scalar("zero_point", 4),
		numericsScale:     flatbuf.Scalar("dequantization_factor", 4),
	}}),
	layerDataType: flatbuf.Scalar("data_type", 2),
	layerKind:     flatbuf.UnionType("any_layer_type"),
	layerContent: flatbuf.Union("any_layer", []*tableType{
		outputLayer: outputTable,
		inputLayer:  {Name: "input layer"},
	}),
	layerExecutions: flatbuf.Scalar("execution_count_per_inference", 4),
	layerCache:      flatbuf.Scalar("cache_on_dram", 1),
	layerShape:      flatbuf.One("shape", shapeTable),
}}

const (
	numericsZeroPoint = iota
	numericsScale
)

// shapeTable's only field is a vector of ranges, each with a first and a last index of type int32.
var shapeTable = &tableType{Name: "tensor shape", Fields: []field{flatbuf.Vector("dimension", 8)}}

const (
	outputLayout = iota
	outputDataType
	outputShape
)

var outputTable = &tableType{Name: "output layer", Fields: []field{
	outputLayout: flatbuf.One("layout", &tableType{Name: "output layout", Fields: []field{
		layoutRowTile:      flatbuf.Vector("y_coordinate_to_linear_tile_id_map", 4),
		layoutColumnTile:   flatbuf.Vector("x_coordinate_to_linear_tile_id_map", 4),
		layoutTileOffset:   flatbuf.Vector("linearized_tile_byte_offset", 4),
		layoutColumnOffset: flatbuf.Vector("x_coordinate_to_local_byte_offset", 4),
		layoutRowInTile:    flatbuf.Vector("y_coordinate_to_local_y_offset", 4),
		layoutRowSize:      flatbuf.Vector("x_coordinate_to_local_y_row_size", 4),
	}}),
	outputDataType: flatbuf.Scalar("data_type", 2),
	outputShape: flatbuf.One("shape_info", &tableType{Name: "output shape info", Fields: []field{
		flatbuf.Many("slice_layout", &tableType{Name: "tensor layout", Fields: []field{flatbuf.One("shape", shapeTable), flatbuf.Vector("stride", 4)}}),
		flatbuf.Vector("slice_offset", 4),
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
