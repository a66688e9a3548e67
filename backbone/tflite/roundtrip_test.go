package tflite

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// roundTrip encodes and parses m. It checks that the result equals m and encodes to the
// same bytes, and returns these bytes.
func roundTrip(t *testing.T, m *Model) []byte {
	t.Helper()
	out, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, again) {
		t.Errorf("Parse(Encode(m)) differs from m:\n got %+v\nwant %+v", again, m)
	}
	out2, err := again.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, out2) {
		t.Error("a second Encode returned different bytes")
	}
	for i, n := 0, len(m.Buffers); i < n; i++ {
		v := place(out, modelBuffers, i)
		if p := v.At(bufferData); p != 0 && (follow(out, p)+4)%16 != 0 {
			t.Errorf("buffer %d starts at byte %d, not a multiple of 16", i, follow(out, p)+4)
		}
	}
	for i := range m.Subgraphs {
		for j := range m.Subgraphs[i].Operators {
			v := place(out, modelSubgraphs, i, subgraphOperators, j)
			if p := v.At(operatorCustomOptions); p != 0 && (follow(out, p)+4)%16 != 0 {
				t.Errorf("custom options %d start at byte %d, not a multiple of 16", j, follow(out, p)+4)
			}
		}
	}
	if n, _ := elements(out, flatbuf.Root(out, modelTable), modelBuffers); n != len(m.Buffers) {
		t.Errorf("got %d buffers in the file, want %d", n, len(m.Buffers))
	}
	return out
}

func TestRoundTripSharedModels(t *testing.T) {
	for name, file := range sharedModels(t) {
		t.Run(name, func(t *testing.T) {
			m, err := Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			out := roundTrip(t, m)
			again, err := Parse(out)
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range m.Buffers {
				if !bytes.Equal(b, again.Buffers[i]) {
					t.Errorf("buffer %d changed", i)
				}
			}
			// The file differs in the order of its parts, so only padding may change its size.
			if len(out) > len(file)+1024 {
				t.Errorf("%d bytes became %d", len(file), len(out))
			}
		})
	}
}

func TestRoundTripSmallModel(t *testing.T) {
	m := smallModel()
	roundTrip(t, m)
	if err := m.SetLabels([]string{"cat", "dog", "hot dog"}); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, m)
}

// TestRoundTripEveryTable checks that tables of every type survive with all fields in
// use, including those that this package does not interpret.
func TestRoundTripEveryTable(t *testing.T) {
	for n, members := range [][]*tableType{builtinOptions, builtinOptions2} {
		for number, table := range members {
			if table == nil {
				continue
			}
			m := smallModel()
			op := &m.Subgraphs[0].Operators[2]
			if n == 0 {
				op.Options = Options{OptionsType(number), filled(table)}
			} else {
				op.opaque = newNode(operatorTable)
				op.opaque.v[operatorOptions2Type] = uint64(number)
				op.opaque.v[operatorOptions2] = filled(table)
			}
			roundTrip(t, m)
		}
	}
	m := smallModel()
	s := &m.Subgraphs[0]
	s.Tensors[2].opaque = filledSlots(tensorTable, tensorSparsity, tensorVariants, tensorExternalBuffer)
	for member := range quantizationTable.Fields[quantizationDetails].Union {
		if member == 0 {
			continue
		}
		details := filledSlots(quantizationTable, quantizationDetailsType, quantizationDetails)
		details.v[quantizationDetailsType] = uint64(member)
		details.v[quantizationDetails] = filled(quantizationTable.Fields[quantizationDetails].Union[member])
		s.Tensors[member].Quantization = &Quantization{opaque: details}
	}
	s.Operators[0].opaque = filledSlots(operatorTable, operatorCustomFormat)
	m.SignatureDefs[0].opaque = filledSlots(signatureDefTable, signatureTag)
	m.opaque = filledSlots(modelTable, modelExternalGroups, modelExternalBuffers)
	m.MetadataBuffer = []int32{1, 2}
	roundTrip(t, m)

	root := filled(modelMetadataTable)
	b := writeFlatbuffer(root, metadataIdentifier, 0)
	end, _, err := verifyFlatbuffer(b, metadataIdentifier, modelMetadataTable)
	if err != nil {
		t.Fatal(err)
	}
	if end != len(b) {
		t.Errorf("the last object ends at byte %d of %d", end, len(b))
	}
	if got := readNode(flatbuf.Root(b, modelMetadataTable)); !reflect.DeepEqual(got, root) {
		t.Errorf("got metadata %+v, want %+v", got, root)
	}
}

// filledSlots returns a node of type table with values in the given slots.
func filledSlots(table *tableType, slots ...int) *node {
	all, n := filled(table), newNode(table)
	for _, slot := range slots {
		n.v[slot] = all.v[slot]
	}
	return n
}

// filled returns a node of type table with a value in every slot.
func filled(table *tableType) *node {
	n := newNode(table)
	for slot, f := range table.Fields {
		switch f.Kind {
		case flatbuf.KindScalar:
			n.v[slot] = uint64(slot+1) << (8 * (f.Size - 1))
		case flatbuf.KindVector:
			n.v[slot] = bytes.Repeat([]byte{byte(slot + 1)}, 3*f.Size)
		case flatbuf.KindString:
			n.v[slot] = f.Name
		case flatbuf.KindStrings:
			n.v[slot] = []string{f.Name, ""}
		case flatbuf.KindTable:
			n.v[slot] = filled(f.Table)
		case flatbuf.KindTables:
			n.v[slot] = []*node{filled(f.Table), newNode(f.Table), filled(f.Table)}
		case flatbuf.KindUnionType:
			n.v[slot] = uint64(len(table.Fields[slot+1].Union) - 1)
		case flatbuf.KindUnion:
			n.v[slot] = filled(f.Union[len(f.Union)-1])
		}
	}
	return n
}

// TestExternalData checks that data that follows the flatbuffer, as in large models,
// becomes part of it.
func TestExternalData(t *testing.T) {
	m := smallModel()
	n := m.node()
	buffers := n.tables(modelBuffers)
	buffers[1].v[bufferData] = nil
	buffers[1].v[bufferOffset] = uint64(1) // to be patched below
	buffers[1].v[bufferSize] = uint64(12)
	op := n.tables(modelSubgraphs)[0].tables(subgraphOperators)[0]
	op.v[operatorCustomOptions] = nil
	op.v[operatorLargeOffset] = uint64(1)
	op.v[operatorLargeSize] = uint64(7)
	b := writeFlatbuffer(n, fileIdentifier, 0)

	none, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := none.Buffers[1]; got != nil {
		t.Errorf("offset 1: got %d bytes, want none", len(got))
	}
	buffer := place(b, modelBuffers, 1)
	putUint32(b, buffer.At(bufferOffset), uint32(len(b)))
	operator := place(b, modelSubgraphs, 0, subgraphOperators, 0)
	putUint32(b, operator.At(operatorLargeOffset), uint32(len(b)+16))
	b = append(b, "weights12345    payload"...)
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Buffers[1]) != "weights12345" || string(got.Subgraphs[0].Operators[0].CustomOptions) != "payload" {
		t.Errorf("got %q and %q", got.Buffers[1], got.Subgraphs[0].Operators[0].CustomOptions)
	}
	if got.Tail != nil {
		t.Errorf("got tail %q, want none", got.Tail)
	}
	roundTrip(t, got)

	for _, size := range []uint32{13, 24, 1 << 31} {
		putUint32(b, operator.At(operatorLargeSize), size)
		if err := Verify(b); err == nil {
			t.Errorf("Verify accepted %d bytes at byte %d of a file of %d", size, len(b)-7, len(b))
		}
	}
}

func BenchmarkParse(b *testing.B) {
	file := benchmarkModel(b)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	file := benchmarkModel(b)
	m, err := Parse(file)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkModel(b *testing.B) []byte {
	return sharedModels(b)["mobilenet_v2_1.0_224_quant.tflite"]
}
