package executable

import (
	"encoding/binary"
	"fmt"
)

const (
	// MaxSize is the most bytes of custom options that Parse accepts.
	MaxSize = 64 << 20
	// packageIdentifier begins the outermost flatbuffer.
	packageIdentifier = "DWN1"
)

// The tables of executable/executable.fbs of libedgetpu.
var (
	packageSchema = &schema{"package", []string{"min_runtime_version", "serialized_multi_executable", "signature",
		"keypair_version", "compiler_version", "virtual_chip_id", "multi_chip_package", "model_identifier"}}
	multiSchema      = &schema{"multi executable", []string{"serialized_executables"}}
	executableSchema = &schema{"executable", []string{"version", "name", "serialized_model", "batch_size",
		"scratch_size_bytes", "instruction_bitstreams", "parameters", "dma_hints", "input_layers", "output_layers",
		"chip", "estimated_cycles", "used_narrow_memory_bytes_per_tile", "type", "parameter_caching_token",
		"use_tpu_dram_for_parameters", "estimated_cycles_64bit"}}
	chunkSchema  = &schema{"instruction bitstream", []string{"bitstream", "field_offsets"}}
	fieldSchema  = &schema{"field offset", []string{"meta", "offset_bit"}}
	metaSchema   = &schema{"meta", []string{"desc", "batch", "name", "position"}}
	hintsSchema  = &schema{"dma hints", []string{"hints", "fully_deterministic"}}
	hintSchema   = &schema{"dma hint", []string{"any_hint_type", "any_hint", "direction"}}
	hintMembers  = [...]*schema{Transfer: transferSchema, Instructions: instructionsSchema, Interrupt: interruptSchema, Fence: fenceSchema}
	layerSchema  = &schema{"layer", []string{"name", "size_bytes", "y_dim", "x_dim", "z_dim", "numerics", "data_type", "any_layer_type", "any_layer", "execution_count_per_inference", "cache_on_dram", "shape"}}
	outputSchema = &schema{"output layer", []string{"layout", "data_type", "shape_info"}}
	inputSchema  = &schema{"input layer", nil}
	layoutSchema = &schema{"output layout", []string{"y_coordinate_to_linear_tile_id_map",
		"x_coordinate_to_linear_tile_id_map", "linearized_tile_byte_offset", "x_coordinate_to_local_byte_offset",
		"y_coordinate_to_local_y_offset", "x_coordinate_to_local_y_row_size"}}
	numericsSchema  = &schema{"numerics", []string{"zero_point", "dequantization_factor"}}
	shapeSchema     = &schema{"tensor shape", []string{"dimension"}}
	shapeInfoSchema = &schema{"output shape info", []string{"slice_layout", "slice_offset"}}

	transferSchema     = &schema{"dma descriptor hint", []string{"meta", "offset_in_bytes", "size_in_bytes"}}
	instructionsSchema = &schema{"instruction hint", []string{"instruction_chunk_index"}}
	interruptSchema    = &schema{"interrupt hint", []string{"type"}}
	fenceSchema        = &schema{"fence hint", nil}
)

// Members of the union of layers.
const (
	layerOutput = 1
	layerInput  = 2
)

// Parse verifies the custom options of an operator called [CustomOperator] and
// reads the package in them. The Package shares memory with options.
//
// Errors wrap ErrCorrupt, ErrTooLarge or ErrUnsupported and say where the
// trouble is. Time and memory are linear in the size of options, whatever they
// hold.
func Parse(options []byte) (*Package, error) {
	p, err := parse(options)
	if err != nil {
		return nil, fmt.Errorf("parsing an Edge TPU package: %w", err)
	}
	return p, nil
}

func parse(options []byte) (*Package, error) {
	if len(options) > MaxSize {
		return nil, fmt.Errorf("%d bytes, more than %d: %w", len(options), MaxSize, ErrTooLarge)
	}
	l := &limits{tables: maxTables, bytes: 8*len(options) + 1<<16}
	b, chips, err := readWrapper(options, l)
	if err != nil {
		return nil, err
	}
	p, serialized, err := readPackage(b, l)
	if err != nil {
		return nil, err
	}
	p.ChipIDs = chips
	multi := rootTable(serialized, "", multiSchema, l, &err)
	for i, b := range multi.byteStrings("serialized_executables") {
		t := rootTable(b, "", executableSchema, l, &err)
		p.Executables = append(p.Executables, readExecutable(t))
		if err == nil {
			err = p.Executables[i].check()
		}
		if err != nil {
			return nil, fmt.Errorf("executable %d: %w", i, err)
		}
	}
	if err != nil {
		return nil, err
	}
	p.Ignored = l.ignored
	return p, p.choose()
}

// readPackage reads the outermost flatbuffer; the executables are still
// serialized.
func readPackage(b []byte, l *limits) (p *Package, serialized []byte, err error) {
	t := rootTable(b, packageIdentifier, packageSchema, l, &err)
	p = &Package{
		MinRuntimeVersion: t.int32("min_runtime_version", 0),
		CompilerVersion:   t.text("compiler_version"),
		ModelIdentifier:   t.text("model_identifier"),
		KeypairVersion:    t.int32("keypair_version", 0),
		Signature:         t.vector("signature", 1),
	}
	chip, more := t.int32("virtual_chip_id", 0), t.offsets("multi_chip_package")
	serialized = t.vector("serialized_multi_executable", 1)
	switch {
	case err != nil:
	case p.MinRuntimeVersion > MaxRuntimeVersion:
		err = fmt.Errorf("compiled for runtime %d, this is %d: %w", p.MinRuntimeVersion, MaxRuntimeVersion, ErrUnsupported)
	case chip < 0 || len(more) > 0:
		err = fmt.Errorf("a package for several chips: %w", ErrUnsupported)
	}
	return p, serialized, err
}

// choose finds the executables to run, as libedgetpu does: a single one is run
// whatever its type, and of three the one that stands alone.
func (p *Package) choose() error {
	var byType [ExecutionOnly + 1]*Executable
	for i := range p.Executables {
		e := &p.Executables[i]
		if byType[e.Type] != nil {
			return corrupt("two executables are of type %s", e.Type)
		}
		byType[e.Type] = e
	}
	switch caching, only := byType[ParameterCaching], byType[ExecutionOnly]; {
	case len(p.Executables) == 1:
		p.Main = &p.Executables[0]
	case len(p.Executables) == 2 && caching != nil && only != nil:
		p.Main, p.Caching = only, caching
		if caching.Token == 0 {
			return corrupt("parameters to be kept on the chip without a token")
		}
	case len(p.Executables) == 3:
		p.Main = byType[StandAlone]
	default:
		return corrupt("%d executables that do not belong together", len(p.Executables))
	}
	return nil
}

func readExecutable(t table) Executable {
	e := Executable{
		Version:               t.int32("version", 0),
		Name:                  t.text("name"),
		Chip:                  t.text("chip"),
		Type:                  Type(t.enum("type", 2, int(ExecutionOnly))),
		Token:                 t.number("parameter_caching_token", 8, 0),
		token:                 t.scalar("parameter_caching_token", 8),
		BatchSize:             t.int32("batch_size", 0),
		ScratchBytes:          t.int32("scratch_size_bytes", 0),
		Chunks:                each(t, "instruction_bitstreams", chunkSchema, readChunk),
		Parameters:            t.vector("parameters", 1),
		Inputs:                each(t, "input_layers", layerSchema, readLayer(layerInput)),
		Outputs:               each(t, "output_layers", layerSchema, readLayer(layerOutput)),
		EstimatedCycles:       int64(t.number("estimated_cycles_64bit", 8, 0)),
		NarrowMemoryPerTile:   t.int32("used_narrow_memory_bytes_per_tile", 0),
		ParametersInTPUMemory: t.flag("use_tpu_dram_for_parameters"),
	}
	if e.EstimatedCycles == 0 { // older compilers
		e.EstimatedCycles = int64(t.int32("estimated_cycles", 0))
	}
	if hints, ok := t.table("dma_hints", hintsSchema); ok {
		e.Hints = each(hints, "hints", hintSchema, readHint)
		e.Deterministic = hints.flag("fully_deterministic")
	}
	return e
}

// enum reads a small number of size bytes that is at most last.
func (t table) enum(field string, size, last int) int {
	n := t.number(field, size, 0)
	if n > uint64(last) {
		t.fail("%s is %d", field, n)
		return 0
	}
	return int(n)
}

func readChunk(t table) InstructionChunk {
	return InstructionChunk{Bytes: t.vector("bitstream", 1), Fields: each(t, "field_offsets", fieldSchema, readField)}
}

// meta reads what a field or transfer is about.
func (t table) meta() (buffer Buffer, name string, batch int, half Half) {
	m, ok := t.table("meta", metaSchema)
	if !ok {
		t.fail("meta is missing")
		return
	}
	return Buffer(m.enum("desc", 2, int(Scratch))), m.text("name"), m.int32("batch", 0), Half(m.enum("position", 2, int(Upper)))
}

func readField(t table) Field {
	f := Field{Bit: t.int32("offset_bit", 0)}
	f.Buffer, f.Name, f.Batch, f.Half = t.meta()
	return f
}

func readHint(t table) Hint {
	h := Hint{Kind: HintKind(t.enum("any_hint_type", 1, int(Fence))), Out: t.enum("direction", 2, 1) == 1}
	if h.Kind == 0 {
		t.fail("any_hint_type is 0")
		return h
	}
	m, ok := t.table("any_hint", hintMembers[h.Kind])
	if !ok {
		t.fail("any_hint is missing")
		return h
	}
	switch h.Kind {
	case Transfer:
		h.Buffer, h.Name, h.Batch, _ = m.meta()
		h.Offset, h.Size = m.int32("offset_in_bytes", 0), m.int32("size_in_bytes", 0)
	case Instructions:
		h.Chunk = m.int32("instruction_chunk_index", 0)
	case Interrupt:
		h.Number = m.enum("type", 2, 3)
	}
	return h
}

// readLayer reads a layer that must be of one member of the union.
func readLayer(want int) func(table) Layer {
	return func(t table) Layer {
		l := Layer{
			Name: t.text("name"),
			Size: t.int32("size_bytes", 0),
			Y:    t.int32("y_dim", 0), X: t.int32("x_dim", 0), Z: t.int32("z_dim", 0),
			Type:       DataType(t.enum("data_type", 2, int(Int16))),
			CacheInTPU: t.flag("cache_on_dram"),
		}
		if n, ok := t.table("numerics", numericsSchema); ok {
			l.ZeroPoint, l.Scale = n.int32("zero_point", 0), n.float32("dequantization_factor")
			l.zeroPoint, l.scale = n.scalar("zero_point", 4), n.scalar("dequantization_factor", 4)
		}
		if s, ok := t.table("shape", shapeSchema); ok {
			raw := s.vector("dimension", 8)
			for ; len(raw) > 0; raw = raw[8:] {
				l.Shape = append(l.Shape, Range{int(int32(binary.LittleEndian.Uint32(raw))), int(int32(binary.LittleEndian.Uint32(raw[4:])))})
			}
		}
		if n := t.int32("execution_count_per_inference", 1); n != 1 {
			t.unsupported("%q is run %d times per inference", l.Name, n)
		}
		kind := t.enum("any_layer_type", 1, layerInput)
		if kind != want {
			t.fail("%q is of type %d, want %d", l.Name, kind, want)
			return l
		}
		if kind == layerInput {
			t.table("any_layer", inputSchema)
			return l
		}
		o, ok := t.table("any_layer", outputSchema)
		if !ok {
			t.fail("%q is an output without content", l.Name)
			return l
		}
		if _, ok := o.table("shape_info", shapeInfoSchema); ok {
			o.unsupported("%q comes in slices", l.Name)
		}
		if m, ok := o.table("layout", layoutSchema); ok {
			l.Layout = &Layout{
				RowTile:      m.int32s("y_coordinate_to_linear_tile_id_map"),
				ColumnTile:   m.int32s("x_coordinate_to_linear_tile_id_map"),
				TileOffset:   m.int32s("linearized_tile_byte_offset"),
				ColumnOffset: m.int32s("x_coordinate_to_local_byte_offset"),
				RowInTile:    m.int32s("y_coordinate_to_local_y_offset"),
				RowSize:      m.int32s("x_coordinate_to_local_y_row_size"),
			}
		}
		return l
	}
}

func (t table) unsupported(format string, args ...any) {
	if *t.err == nil {
		*t.err = fmt.Errorf("%s: "+format+": %w", append(append([]any{t.schema.name}, args...), ErrUnsupported)...)
	}
}
