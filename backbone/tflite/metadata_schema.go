package tflite

// This file describes the tables of the metadata entry TFLITE_METADATA, a flatbuffer of
// its own. Source: tensorflow_lite_support/metadata/metadata_schema.fbs (1.1.0) of
// tensorflow/tflite-support.

const metadataIdentifier = "M001"

const (
	mmName = iota
	mmDescription
	mmVersion
	mmSubgraphs
	mmAuthor
	mmLicense
	mmFiles
	mmMinParserVersion
)

var modelMetadataTable = &tableType{Name: "ModelMetadata", Fields: []field{
	mmName:             text("name"),
	mmDescription:      text("description"),
	mmVersion:          text("version"),
	mmSubgraphs:        many("subgraph_metadata", subgraphMetadataTable),
	mmAuthor:           text("author"),
	mmLicense:          text("license"),
	mmFiles:            many("associated_files", associatedFileTable),
	mmMinParserVersion: text("min_parser_version"),
}}

const (
	smName = iota
	smDescription
	smInputs
	smOutputs
	smFiles
	smInputUnits
	smOutputUnits
)

var subgraphMetadataTable = &tableType{Name: "SubGraphMetadata", Fields: []field{
	smName:        text("name"),
	smDescription: text("description"),
	smInputs:      many("input_tensor_metadata", tensorMetadataTable),
	smOutputs:     many("output_tensor_metadata", tensorMetadataTable),
	smFiles:       many("associated_files", associatedFileTable),
	smInputUnits:  many("input_process_units", processUnitTable),
	smOutputUnits: many("output_process_units", processUnitTable),
}}

const (
	tmName = iota
	tmDescription
	tmDimensionNames
	tmContent
	tmUnits
	tmStats
	tmFiles
)

var tensorMetadataTable = &tableType{Name: "TensorMetadata", Fields: []field{
	tmName:           text("name"),
	tmDescription:    text("description"),
	tmDimensionNames: texts("dimension_names"),
	tmContent: one("content", &tableType{Name: "Content", Fields: []field{
		unionType("content_properties_type"),
		union("content_properties", []*tableType{
			nil,
			{Name: "FeatureProperties"},
			{Name: "ImageProperties", Fields: []field{
				scalar("color_space", 1),
				one("default_size", &tableType{Name: "ImageSize", Fields: []field{scalar("width", 4), scalar("height", 4)}}),
			}},
			{Name: "BoundingBoxProperties", Fields: []field{vector("index", 4), scalar("type", 1), scalar("coordinate_type", 1)}},
		}),
		one("range", &tableType{Name: "ValueRange", Fields: []field{scalar("min", 4), scalar("max", 4)}}),
	}}),
	tmUnits: many("process_units", processUnitTable),
	tmStats: one("stats", &tableType{Name: "Stats", Fields: []field{vector("max", 4), vector("min", 4)}}),
	tmFiles: many("associated_files", associatedFileTable),
}}

const (
	unitOptionsType = iota
	unitOptions
)

// unitNormalization is the member NormalizationOptions of the union ProcessUnitOptions.
const unitNormalization = 1

var processUnitTable = &tableType{Name: "ProcessUnit", Fields: []field{
	unitOptionsType: unionType("options_type"),
	unitOptions: union("options", []*tableType{
		nil,
		{Name: "NormalizationOptions", Fields: []field{vector("mean", 4), vector("std", 4)}},
		{Name: "ScoreCalibrationOptions", Fields: []field{scalar("score_transformation", 1), scalar("default_score", 4)}},
		{Name: "ScoreThresholdingOptions", Fields: []field{scalar("global_score_threshold", 4)}},
		{Name: "BertTokenizerOptions", Fields: []field{many("vocab_file", associatedFileTable)}},
		{Name: "SentencePieceTokenizerOptions", Fields: []field{
			many("sentencePiece_model", associatedFileTable), many("vocab_file", associatedFileTable),
		}},
	}),
}}

const (
	afName = iota
	afDescription
	afType
	afLocale
)

// Types of associated files that contain one label per line.
const (
	fileAxisLabels  = 2
	fileValueLabels = 3
)

var associatedFileTable = &tableType{Name: "AssociatedFile", Fields: []field{
	afName:        text("name"),
	afDescription: text("description"),
	afType:        scalar("type", 1),
	afLocale:      text("locale"),
}}
