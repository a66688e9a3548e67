package tflite

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// TestKnownBadFiles parses files that crashed other readers.
func TestKnownBadFiles(t *testing.T) {
	small, err := smallModel().Encode()
	if err != nil {
		t.Fatal(err)
	}
	far := make([]byte, 44) // flatbuffers#4653
	copy(far[4:], fileIdentifier)
	putUint32(far, 0, 959860343)
	near := bytes.Clone(small[:44])
	putUint32(near, int(getUint32(near, 0)), 959860343)
	files := map[string][]byte{
		"tensorflow#115308":      []byte("\x18\x00\x00\x00TFL3"),
		"flatbuffers#4456 empty": nil,
		"flatbuffers#4456":       []byte("TFL"),
		"seven bytes":            small[:7],
		"flatbuffers#4653":       far,
		"flatbuffers#4653 inner": near,
		"other identifier":       append([]byte("\x08\x00\x00\x00TFL2"), small[8:]...),
		"root in the header":     append([]byte("\x00\x00\x00\x00TFL3"), small[8:]...),
	}
	for slot := range modelTable.Fields {
		if p := flatbuf.Root(small, modelTable).At(slot); p != 0 && modelTable.Fields[slot].Kind != flatbuf.KindScalar {
			odd := bytes.Clone(small) // tensorflow#121217
			putUint32(odd, p, getUint32(odd, p)+1)
			files["tensorflow#121217 "+modelTable.Fields[slot].Name] = odd
		}
	}
	for name, file := range files {
		if m, err := Parse(file); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, %v, want ErrCorrupt", name, m, err)
		}
	}
}

// TestReshapeToMoreDimensions checks that a file is valid if the new shape of a RESHAPE
// has more dimensions than the tensor. Such a file crashed TensorFlow Lite
// (tensorflow#124982).
func TestReshapeToMoreDimensions(t *testing.T) {
	m := smallModel()
	op := &m.Subgraphs[0].Operators[2]
	op.Opcode = m.OperatorCode(OpReshape, "", 1)
	op.Options = ReshapeOptions{NewShape: make([]int32, 4096)}.Options()
	roundTrip(t, m)
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(m *Model, main *Subgraph)
		want error
	}{
		{"schema version", func(m *Model, _ *Subgraph) { m.Version = 2 }, ErrUnsupported},
		{"no subgraph", func(m *Model, _ *Subgraph) { m.Subgraphs = nil }, ErrCorrupt},
		{"operator code", func(_ *Model, s *Subgraph) { s.Operators[0].Opcode = 3 }, ErrCorrupt},
		{"operator input", func(_ *Model, s *Subgraph) { s.Operators[0].Inputs[0] = 7 }, ErrCorrupt},
		{"operator input below -1", func(_ *Model, s *Subgraph) { s.Operators[0].Inputs[0] = -2 }, ErrCorrupt},
		{"operator output left out", func(_ *Model, s *Subgraph) { s.Operators[0].Outputs[0] = -1 }, ErrCorrupt},
		{"operator intermediate", func(_ *Model, s *Subgraph) { s.Operators[1].Intermediates[0] = 7 }, ErrCorrupt},
		{"subgraph input", func(_ *Model, s *Subgraph) { s.Inputs[0] = -1 }, ErrCorrupt},
		{"subgraph output", func(_ *Model, s *Subgraph) { s.Outputs[0] = 7 }, ErrCorrupt},
		{"tensor buffer", func(_ *Model, s *Subgraph) { s.Tensors[1].Buffer = 5 }, ErrCorrupt},
		{"metadata buffer", func(m *Model, _ *Subgraph) { m.Metadata[0].Buffer = 5 }, ErrCorrupt},
		{"old metadata buffer", func(m *Model, _ *Subgraph) { m.MetadataBuffer = []int32{5} }, ErrCorrupt},
		{"negative old metadata buffer", func(m *Model, _ *Subgraph) { m.MetadataBuffer = []int32{-1} }, ErrCorrupt},
		{"signature subgraph", func(m *Model, _ *Subgraph) { m.SignatureDefs[0].Subgraph = 2 }, ErrCorrupt},
		{"signature input", func(m *Model, _ *Subgraph) { m.SignatureDefs[0].Inputs[0].Tensor = 7 }, ErrCorrupt},
		{"signature output", func(m *Model, _ *Subgraph) { m.SignatureDefs[0].Outputs[1].Tensor = math.MaxUint32 }, ErrCorrupt},
		{"negative dimension", func(_ *Model, s *Subgraph) { s.Tensors[0].Shape[1] = -1 }, ErrCorrupt},
		{"shape signature", func(_ *Model, s *Subgraph) { s.Tensors[0].ShapeSignature[1] = -2 }, ErrCorrupt},
		{"elements", func(_ *Model, s *Subgraph) { s.Tensors[0].Shape = []int32{1 << 16, 1 << 16, 1 << 16, 1 << 16} }, ErrTooLarge},
		{"bytes", func(_ *Model, s *Subgraph) { s.Tensors[4].Shape, s.Tensors[4].Type = []int32{1 << 29}, TypeFloat32 }, ErrTooLarge},
		{"dimensions", func(_ *Model, s *Subgraph) { s.Tensors[4].Shape = make([]int32, maxRank+1) }, ErrTooLarge},
		{"dimensions of the signature", func(_ *Model, s *Subgraph) { s.Tensors[0].ShapeSignature = make([]int32, maxRank+1) }, ErrTooLarge},
		{"operator inputs", func(_ *Model, s *Subgraph) { s.Operators[0].Inputs = make([]int32, maxIndices) }, ErrTooLarge},
		{"constant too long", func(_ *Model, s *Subgraph) { s.Tensors[2].Shape[1] = 3 }, ErrCorrupt},
		{"constant too short", func(_ *Model, s *Subgraph) { s.Tensors[3].Type = TypeInt64 }, ErrCorrupt},
		{"scales", func(_ *Model, s *Subgraph) { s.Tensors[2].Quantization.Scale = []float32{1, 2} }, ErrCorrupt},
		{"zero points", func(_ *Model, s *Subgraph) { s.Tensors[2].Quantization.ZeroPoint = make([]int64, 4) }, ErrCorrupt},
		{"quantized dimension", func(_ *Model, s *Subgraph) { s.Tensors[2].Quantization.Dimension = 2 }, ErrCorrupt},
		{"negative quantized dimension", func(_ *Model, s *Subgraph) { s.Tensors[2].Quantization.Dimension = -1 }, ErrCorrupt},
		{"scale", func(_ *Model, s *Subgraph) { s.Tensors[0].Quantization.Scale[0] = float32(math.Inf(1)) }, ErrCorrupt},
		{"name", func(_ *Model, s *Subgraph) { s.Tensors[0].Name = "\xff" }, ErrCorrupt},
		{"operator options", func(_ *Model, s *Subgraph) { s.Operators[2].Options.Type = 200 }, ErrUnsupported},
		{"tail", func(m *Model, _ *Subgraph) { m.Tail = []byte("PK\x03\x04 cut") }, ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := smallModel()
			test.edit(m, &m.Subgraphs[0])
			if out, err := m.Encode(); !errors.Is(err, test.want) {
				t.Errorf("Encode returned %d bytes and error %v, want %v", len(out), err, test.want)
			}
			b := append(writeFlatbuffer(m.node(), fileIdentifier, 0), m.Tail...)
			if _, err := Parse(b); !errors.Is(err, test.want) {
				t.Errorf("Parse returned error %v, want %v", err, test.want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(m *Model, main *Subgraph)
	}{
		{"variable with content of another size", func(m *Model, s *Subgraph) { m.Buffers[3] = make(Buffer, 5) }},
		{"strings", func(m *Model, s *Subgraph) { s.Tensors[3].Type = TypeString }},
		{"sparse", func(m *Model, s *Subgraph) {
			s.Tensors[3].Shape[0] = 40
			s.Tensors[3].opaque = filledSlots(tensorTable, tensorSparsity)
		}},
		{"two int4 per byte", func(m *Model, s *Subgraph) { s.Tensors[3].Shape[0] = 31; s.Tensors[3].Type = TypeInt4 }},
		{"unknown element type", func(m *Model, s *Subgraph) { s.Tensors[3].Type = 99 }},
		{"unknown operator", func(m *Model, s *Subgraph) { m.OperatorCodes[1].Builtin = 4711 }},
		{"one zero point for all scales", func(m *Model, s *Subgraph) { s.Tensors[2].Quantization.ZeroPoint = []int64{0} }},
		{"no buffers", func(m *Model, s *Subgraph) {
			m.Buffers, m.Metadata = []Buffer{}, nil
			for i := range s.Tensors {
				s.Tensors[i].Buffer = 0
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := smallModel()
			test.edit(m, &m.Subgraphs[0])
			roundTrip(t, m)
		})
	}
}

// TestUnknownField checks that a field from a newer schema does not prevent reading, but
// does prevent writing. The field may hold an offset, which rewriting would lose or
// break.
func TestUnknownField(t *testing.T) {
	longer := *bufferTable
	longer.Fields = append(append([]field{}, bufferTable.Fields...), scalar("unknown", 4))
	n := smallModel().node()
	buffers := n.tables(modelBuffers)
	buffers[2] = &node{&longer, append(append([]any{}, buffers[2].v...), uint64(1))}
	m, err := Parse(writeFlatbuffer(n, fileIdentifier, 0))
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Encode()
	if want := "slot 3 of table Buffer"; !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) {
		t.Errorf("Encode returned error %v, want ErrUnsupported that names %s", err, want)
	}
}

// TestDamagedFiles checks that Parse returns a model or an error, and does not panic,
// for every truncated file and every changed byte.
func TestDamagedFiles(t *testing.T) {
	m := smallModel()
	if err := m.SetLabels([]string{"cat", "dog", "hot dog"}); err != nil {
		t.Fatal(err)
	}
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	try := func(b []byte) {
		m, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("error wraps no sentinel: %v", err)
			}
			return
		}
		if out, err := m.Encode(); err == nil {
			if err := Verify(out); err != nil {
				t.Error(err)
			}
		}
		m.Labels()
		m.Describe()
	}
	for n := range file {
		try(file[:n:n])
	}
	for i := range file {
		for _, x := range [...]byte{0, 1, 4, 0x7f, 0x80, 0xff} {
			b := bytes.Clone(file)
			b[i] ^= x
			try(b)
		}
	}
}

// oneOperator returns a file with n operators that share one table.
func oneOperator(n int, op Operator) []byte {
	m := smallModel()
	m.Subgraphs[0].Operators = append(make([]Operator, n-1), op)
	b := writeFlatbuffer(m.node(), fileIdentifier, 0)
	main := place(b, modelSubgraphs, 0)
	_, first := elements(b, main, subgraphOperators)
	last := follow(b, first+4*(n-1))
	for i := range n {
		putUint32(b, first+4*i, uint32(last-first-4*i))
	}
	return b
}

// TestSharedTablesAreLimited checks that Parse limits its memory use for a small file
// that points to the same table or vector many times.
func TestSharedTablesAreLimited(t *testing.T) {
	const convolution = 4 // the member with the most fields
	op := smallModel().Subgraphs[0].Operators[1]
	op.Options = Options{OptionsConv2D, filled(builtinOptions[OptionsConv2D])}
	op.opaque = filledSlots(operatorTable, operatorCustomFormat)
	op.opaque.v[operatorOptions2Type] = uint64(convolution)
	op.opaque.v[operatorOptions2] = filled(builtinOptions2[convolution])
	var before, after runtime.MemStats
	// Make the file long, so that the limit on vectors is not reached first.
	file := append(oneOperator(flatbuf.MaxTables/3-100, op), make([]byte, 5<<20)...)
	runtime.ReadMemStats(&before)
	m, err := Parse(file)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after.TotalAlloc-before.TotalAlloc, uint64(3*len(file)+64<<20); got > want {
		t.Errorf("a file of %d bytes took %d bytes of memory, want at most %d", len(file), got, want)
	}
	t.Logf("%d operators, %d bytes, %d bytes of memory", len(m.Subgraphs[0].Operators), len(file), after.TotalAlloc-before.TotalAlloc)

	if _, err := Parse(oneOperator(flatbuf.MaxTables/3, op)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than %d tables: got %v, want ErrTooLarge", flatbuf.MaxTables, err)
	}
	// External data of 1 MiB for each operator.
	op.CustomOptions, op.opaque.v[operatorLargeOffset], op.opaque.v[operatorLargeSize] = nil, uint64(1<<20), uint64(1<<20)
	if _, err := Parse(append(oneOperator(20, op), make([]byte, 5<<20)...)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("20 operators that share external data: got %v, want ErrTooLarge", err)
	}
	op.Inputs = make([]int32, 100_000)
	if _, err := Parse(oneOperator(1000, op)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("1000 operators that share a long vector: got %v, want ErrTooLarge", err)
	}
}
