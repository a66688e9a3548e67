package executable

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

const (
	// MaxSize is the maximum size of the custom options that Parse accepts, in
	// bytes.
	MaxSize = 64 << 20
	// maxName is the maximum length of names and other text, in bytes.
	maxName = 1024
	// maxIgnored is the maximum length of Package.Ignored.
	maxIgnored = 32
)

// Parse verifies the custom options of an operator called [CustomOperator] and
// reads the package in them. The Package shares memory with options.
//
// Errors wrap ErrCorrupt, ErrTooLarge or ErrUnsupported and name the field. Parse takes time and
// memory linear in the size of options, whatever they contain.
func Parse(options []byte) (*Package, error) {
	p, err := parse(options)
	if err != nil {
		return nil, fmt.Errorf("parse Edge TPU package: %w", err)
	}
	return p, nil
}

func parse(options []byte) (*Package, error) {
	if len(options) > MaxSize {
		return nil, fmt.Errorf("%d bytes, more than %d: %w", len(options), MaxSize, ErrTooLarge)
	}
	r := newReader(len(options))
	b, chips, err := r.wrapper(options)
	if err != nil {
		return nil, err
	}
	p, serialized, err := r.pkg(b)
	if err != nil {
		return nil, err
	}
	p.ChipIDs = chips
	multi, err := r.root(serialized, "", multiTable)
	if err != nil {
		return nil, err
	}
	for i, b := range multi.Blobs(multiExecutables) {
		e, err := r.executable(b)
		if err != nil {
			return nil, fmt.Errorf("executable %d: %w", i, err)
		}
		p.Executables = append(p.Executables, e)
	}
	p.Ignored = r.ignored
	return p, p.choose()
}

// A reader fills the exported structs from flatbuffers that it has verified.
// Methods that read a field keep the first error in err.
type reader struct {
	verifier *flatbuf.Verifier
	ignored  []string
	err      error
}

// newReader returns a reader for custom options of the given size. Its limits apply to the sum of
// all flatbuffers in the options. The largest known package has about a hundred tables, and each
// byte is in at most four nested buffers.
func newReader(size int) *reader {
	r := &reader{}
	r.verifier = flatbuf.NewVerifier(8*size+1<<16,
		flatbuf.Errors{Corrupt: ErrCorrupt, TooLarge: ErrTooLarge, UnknownMember: ErrCorrupt},
		func(t *tableType, slot int) { r.ignore(fmt.Sprintf("field %d of %s", slot, t.Name)) })
	return r
}

func (r *reader) ignore(name string) {
	if len(r.ignored) < maxIgnored && !slices.Contains(r.ignored, name) {
		r.ignored = append(r.ignored, name)
	}
}

// root verifies a flatbuffer and returns its outermost table.
func (r *reader) root(b []byte, identifier string, t *tableType) (view, error) {
	if _, err := r.verifier.Verify(b, identifier, t); err != nil {
		return view{}, err
	}
	return flatbuf.Root(b, t), nil
}

// pkg reads the outermost flatbuffer. The executables are still serialized.
func (r *reader) pkg(b []byte) (p *Package, serialized []byte, err error) {
	v, err := r.root(b, packageIdentifier, packageTable)
	if err != nil {
		return nil, nil, err
	}
	p = &Package{
		MinRuntimeVersion: int32At(v, packageMinRuntime, 0),
		CompilerVersion:   r.text(v, packageCompiler),
		ModelIdentifier:   r.text(v, packageModel),
		KeypairVersion:    int32At(v, packageKeypair, 0),
		Signature:         v.Raw(packageSignature),
	}
	switch {
	case r.err != nil:
		return nil, nil, r.err
	case p.MinRuntimeVersion > MaxRuntimeVersion:
		return nil, nil, fmt.Errorf("it needs runtime version %d, but the newest known version is %d: %w", p.MinRuntimeVersion, MaxRuntimeVersion, ErrUnsupported)
	case int32At(v, packageChip, 0) < 0 || len(v.Raw(packageMultiChip)) > 0:
		return nil, nil, fmt.Errorf("a package for several chips: %w", ErrUnsupported)
	}
	return p, v.Raw(packageExecutables), nil
}

// choose sets Main and Caching, as libedgetpu does. A single executable may have any type. If
// there are three executables, Main is the stand-alone one.
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
			return corrupt("parameter-caching executable without a token")
		}
	case len(p.Executables) == 3:
		p.Main = byType[StandAlone]
	default:
		return corrupt("%d executables that do not belong together", len(p.Executables))
	}
	return nil
}

func (r *reader) executable(b []byte) (Executable, error) {
	v, err := r.root(b, "", executableTable)
	if err != nil {
		return Executable{}, err
	}
	e := Executable{
		Version:               int32At(v, executableVersion, 0),
		Name:                  r.text(v, executableName),
		Chip:                  r.text(v, executableChip),
		Type:                  Type(r.enum(v, executableKind, int(ExecutionOnly))),
		Token:                 v.Scalar(executableToken, 0),
		token:                 v.Inline(executableToken),
		BatchSize:             int32At(v, executableBatch, 0),
		ScratchBytes:          int32At(v, executableScratch, 0),
		Chunks:                each(r, v, executableChunks, r.chunk),
		Parameters:            v.Raw(executableParameters),
		Inputs:                each(r, v, executableInputs, r.input),
		Outputs:               each(r, v, executableOutputs, r.output),
		EstimatedCycles:       int64(v.Scalar(executableCycles64, 0)),
		NarrowMemoryPerTile:   int32At(v, executableNarrow, 0),
		ParametersInTPUMemory: v.Scalar(executableInTPUMemory, 0) != 0,
	}
	if e.EstimatedCycles == 0 { // older compilers
		e.EstimatedCycles = int64(int32At(v, executableCycles, 0))
	}
	if hints, ok := v.Table(executableHints); ok {
		e.Hints = each(r, hints, hintsList, r.hint)
		e.Deterministic = hints.Scalar(hintsDeterministic, 0) != 0
	}
	if r.err != nil {
		return Executable{}, r.err
	}
	return e, e.check()
}

func (r *reader) chunk(v view) InstructionChunk {
	return InstructionChunk{Bytes: v.Raw(chunkBytes), Fields: each(r, v, chunkFields, r.field)}
}

func (r *reader) field(v view) Field {
	f := Field{Bit: int32At(v, fieldBit, 0)}
	f.Buffer, f.Name, f.Batch, f.Half = r.meta(v, fieldMeta)
	return f
}

// meta reads a field's or transfer's reference to a buffer.
func (r *reader) meta(v view, slot int) (buffer Buffer, name string, batch int, half Half) {
	m, ok := v.Table(slot)
	if !ok {
		r.fail(v, "meta is missing")
		return
	}
	return Buffer(r.enum(m, metaBuffer, int(Scratch))), r.text(m, metaName), int32At(m, metaBatch, 0), Half(r.enum(m, metaHalf, int(Upper)))
}

func (r *reader) hint(v view) Hint {
	h := Hint{Kind: HintKind(v.Scalar(hintKind, 0)), Out: r.enum(v, hintDirection, 1) == 1}
	content, ok := v.Table(hintContent)
	if !ok {
		r.fail(v, "any_hint is missing")
		return h
	}
	switch h.Kind {
	case Transfer:
		h.Buffer, h.Name, h.Batch, _ = r.meta(content, transferMeta)
		h.Offset, h.Size = int32At(content, transferOffset, 0), int32At(content, transferSize, 0)
	case Instructions:
		h.Chunk = int32At(content, 0, 0)
	case Interrupt:
		h.Number = r.enum(content, 0, 3)
	}
	return h
}

func (r *reader) input(v view) Layer { return r.layer(v, inputLayer) }

func (r *reader) output(v view) Layer {
	l := r.layer(v, outputLayer)
	if r.err != nil {
		return l
	}
	o, _ := v.Table(layerContent)
	if _, ok := o.Table(outputShape); ok {
		r.unsupported(o, "%q is divided into slices", l.Name)
	}
	if m, ok := o.Table(outputLayout); ok {
		l.Layout = &Layout{
			RowTile:      flatbuf.Int32s(m.Raw(layoutRowTile)),
			ColumnTile:   flatbuf.Int32s(m.Raw(layoutColumnTile)),
			TileOffset:   flatbuf.Int32s(m.Raw(layoutTileOffset)),
			ColumnOffset: flatbuf.Int32s(m.Raw(layoutColumnOffset)),
			RowInTile:    flatbuf.Int32s(m.Raw(layoutRowInTile)),
			RowSize:      flatbuf.Int32s(m.Raw(layoutRowSize)),
		}
	}
	return l
}

// layer reads the fields that inputs and outputs have in common. The layer must
// be the given member of the union.
func (r *reader) layer(v view, member int) Layer {
	l := Layer{
		Name: r.text(v, layerName),
		Size: int32At(v, layerSize, 0),
		Y:    int32At(v, layerY, 0), X: int32At(v, layerX, 0), Z: int32At(v, layerZ, 0),
		Type:       DataType(r.enum(v, layerDataType, int(Int16))),
		CacheInTPU: v.Scalar(layerCache, 0) != 0,
	}
	if n, ok := v.Table(layerNumerics); ok {
		l.ZeroPoint, l.zeroPoint = int32At(n, numericsZeroPoint, 0), n.Inline(numericsZeroPoint)
		l.Scale, l.scale = math.Float32frombits(uint32(n.Scalar(numericsScale, 0))), n.Inline(numericsScale)
	}
	if s, ok := v.Table(layerShape); ok {
		for raw := s.Raw(0); len(raw) > 0; raw = raw[8:] {
			l.Shape = append(l.Shape, Range{int(int32(binary.LittleEndian.Uint32(raw))), int(int32(binary.LittleEndian.Uint32(raw[4:])))})
		}
	}
	if n := int32At(v, layerExecutions, 1); n != 1 {
		r.unsupported(v, "%q is run %d times per inference", l.Name, n)
	}
	if got := int(v.Scalar(layerKind, 0)); got != member {
		r.fail(v, "%q is of type %d, want %d", l.Name, got, member)
	}
	return l
}

func int32At(v view, slot int, def int32) int { return int(int32(v.Scalar(slot, uint64(uint32(def))))) }

// enum reads a small number that is at most last.
func (r *reader) enum(v view, slot, last int) int {
	n := v.Scalar(slot, 0)
	if n > uint64(last) {
		r.fail(v, "%s is %d", v.Type().Fields[slot].Name, n)
		return 0
	}
	return int(n)
}

func (r *reader) text(v view, slot int) string {
	s := v.Text(slot)
	if len(s) > maxName {
		r.keep(fmt.Errorf("%s: %s of %d bytes: %w", v.Type().Name, v.Type().Fields[slot].Name, len(s), ErrTooLarge))
		return ""
	}
	return s
}

// each reads a vector of tables with read. If the vector is absent, it returns
// nil.
func each[T any](r *reader, v view, slot int, read func(view) T) []T {
	i := 0
	return flatbuf.Each(v, slot, func(element view) T {
		failed := r.err != nil
		value := read(element)
		if r.err != nil && !failed {
			r.err = fmt.Errorf("%s[%d]: %w", v.Type().Fields[slot].Name, i, r.err)
		}
		i++
		return value
	})
}

func (r *reader) fail(v view, format string, args ...any) {
	r.keep(fmt.Errorf("%s: %w", v.Type().Name, corrupt(format, args...)))
}

func (r *reader) unsupported(v view, format string, args ...any) {
	r.keep(fmt.Errorf("%s: %s: %w", v.Type().Name, fmt.Sprintf(format, args...), ErrUnsupported))
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrCorrupt)...)
}
