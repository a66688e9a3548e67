package executable

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

func TestParse(t *testing.T) {
	p, err := Parse(sampleOptions())
	if err != nil {
		t.Fatal(err)
	}
	if p.MinRuntimeVersion != 13 || p.CompilerVersion != "of our own" || p.ModelIdentifier != "m" || p.KeypairVersion != 2 ||
		string(p.Signature) != "s" || !reflect.DeepEqual(p.ChipIDs, []int{18}) || len(p.Ignored) != 0 {
		t.Errorf("package %+v", p)
	}
	if p.Main != &p.Executables[0] || p.Caching != &p.Executables[1] {
		t.Error("Main and Caching are not the executables of their types")
	}
	e := p.Main
	if e.Name != "model" || e.Chip != "beagle" || e.Token != 0x1234567890abcdef || e.ScratchBytes != 64 ||
		len(e.Parameters) != 16 || e.EstimatedCycles != 1<<40 || e.NarrowMemoryPerTile != 100 || !e.Deterministic {
		t.Errorf("main %+v", e)
	}
	wantFields := []Field{{70, Input, Upper, "in", 0}, {480, Output, Lower, "tiled", 0}}
	if !reflect.DeepEqual(e.Chunks[0].Fields, wantFields) {
		t.Errorf("fields %+v, want %+v", e.Chunks[0].Fields, wantFields)
	}
	wantHints := []Hint{
		{Kind: Instructions},
		{Kind: Transfer, Buffer: Input, Name: "in", Size: 32},
		{Kind: Transfer, Buffer: Scratch, Out: true, Size: 64},
		{Kind: Fence},
		{Kind: Instructions, Chunk: 1},
		{Kind: Transfer, Buffer: Scratch, Offset: 32, Size: 32},
		{Kind: Transfer, Buffer: Parameter, Offset: 8, Size: 8},
		{Kind: Transfer, Buffer: Output, Name: "tiled", Out: true, Size: 64},
		{Kind: Transfer, Buffer: Output, Name: "plain", Out: true, Size: 24},
		{Kind: Interrupt},
	}
	if !reflect.DeepEqual(e.Hints, wantHints) {
		t.Errorf("hints %+v,\nwant %+v", e.Hints, wantHints)
	}
	wantTags := []int{0, 1, 3, -1, 0, 1, 2, 3, 3, 4}
	for i, h := range e.Hints {
		if h.Tag() != wantTags[i] {
			t.Errorf("tag of hint %d is %d, want %d", i, h.Tag(), wantTags[i])
		}
	}
	in := e.Input("in")
	if in == nil || in.Type != Int8 || in.ZeroPoint != 128 || in.Scale != 0.5 || in.TensorSize() != 27 {
		t.Errorf("input %+v", in)
	}
	if e.Output("in") != nil || e.Output("plain").Type != Float32 {
		t.Errorf("outputs %+v", e.Outputs)
	}
	if got := e.Output("tiled").Shape; !reflect.DeepEqual(got, []Range{{0, 2}, {0, 2}, {0, 2}}) {
		t.Errorf("shape %v", got)
	}
}

// TestParseOlder parses a package of older compilers, which write neither chips nor 64-bit cycles.
func TestParseOlder(t *testing.T) {
	pkg, main, caching := sample()
	delete(main, "estimated_cycles_64bit")
	p, err := Parse(writeWrapper(writePackage(pkg, main, caching), nil, 0))
	if err != nil {
		t.Fatal(err)
	}
	if p.ChipIDs != nil || p.Main.EstimatedCycles != 5 {
		t.Errorf("chips %v, %d cycles", p.ChipIDs, p.Main.EstimatedCycles)
	}
}

func TestChoose(t *testing.T) {
	types := func(list ...Type) []record {
		var out []record
		for _, k := range list {
			_, _, e := sample()
			e["type"] = uint16(k)
			out = append(out, e)
		}
		return out
	}
	for _, c := range []struct {
		types         []Type
		main, caching int // -1: none; -2: an error
	}{
		{nil, -2, 0},
		{[]Type{StandAlone}, 0, -1},
		{[]Type{ParameterCaching}, 0, -1},
		{[]Type{ExecutionOnly}, 0, -1},
		{[]Type{ExecutionOnly, ParameterCaching}, 0, 1},
		{[]Type{ParameterCaching, ExecutionOnly}, 1, 0},
		{[]Type{StandAlone, ExecutionOnly}, -2, 0},
		{[]Type{ExecutionOnly, ExecutionOnly}, -2, 0},
		{[]Type{ParameterCaching, ExecutionOnly, StandAlone}, 2, -1},
		{[]Type{ParameterCaching, ExecutionOnly, StandAlone, StandAlone}, -2, 0},
	} {
		pkg, _, _ := sample()
		p, err := Parse(writeWrapper(writePackage(pkg, types(c.types...)...), nil, 0))
		if c.main == -2 {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v: got %v, want ErrCorrupt", c.types, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.types, err)
			continue
		}
		if p.Main != &p.Executables[c.main] || (p.Caching != nil) != (c.caching >= 0) || p.Caching != nil && p.Caching != &p.Executables[c.caching] {
			t.Errorf("%v: Parse chose other executables", c.types)
		}
	}
}

// hintOf returns the content of hint i of an executable, for the caller to change.
func hintOf(e record, i int) record {
	return e["dma_hints"].(record)["hints"].([]record)[i]["any_hint"].(record)
}

func TestParseRefuses(t *testing.T) {
	field := func(e record, chunk int) record {
		return e["instruction_bitstreams"].([]record)[chunk]["field_offsets"].([]record)[0]
	}
	output := func(e record, i int) record { return e["output_layers"].([]record)[i] }
	layout := func(e record) record { return output(e, 0)["any_layer"].(record)["layout"].(record) }
	for _, c := range []struct {
		what   string
		change func(pkg, main, caching record)
		kind   error
		word   string // in the error
	}{
		{"newer runtime", func(p, _, _ record) { p["min_runtime_version"] = int32(15) }, ErrUnsupported, "runtime version 15"},
		{"several chips", func(p, _, _ record) { p["virtual_chip_id"] = int32(-1) }, ErrUnsupported, "chips"},
		{"long name", func(p, _, _ record) { p["compiler_version"] = strings.Repeat("x", maxName+1) }, ErrTooLarge, "compiler_version"},
		{"name of bytes", func(p, _, _ record) { p["compiler_version"] = "\xff" }, ErrCorrupt, "UTF-8"},
		{"batch", func(_, m, _ record) { m["batch_size"] = int32(2) }, ErrUnsupported, "batches of 2"},
		{"type", func(_, m, _ record) { m["type"] = uint16(3) }, ErrCorrupt, "type is 3"},
		{"memory outside", func(_, m, _ record) { m["use_tpu_dram_for_parameters"] = uint8(1) }, ErrUnsupported, "memory"},
		{"scratch", func(_, m, _ record) { m["scratch_size_bytes"] = int32(-1) }, ErrCorrupt, "scratch"},
		{"cycles", func(_, m, _ record) { m["estimated_cycles_64bit"] = uint64(math.MaxUint64) }, ErrCorrupt, "cycles"},
		{"no token", func(_, _, c record) { delete(c, "parameter_caching_token") }, ErrCorrupt, "token"},
		{"no instructions", func(_, _, c record) { delete(c, "instruction_bitstreams") }, ErrCorrupt, "no instructions"},
		{"half an instruction", func(_, _, c record) {
			c["instruction_bitstreams"].([]record)[0]["bitstream"] = make([]byte, 8)
		}, ErrCorrupt, "8 bytes"},
		{"field beyond the chunk", func(_, m, _ record) { field(m, 0)["offset_bit"] = int32(64*8 - 31) }, ErrCorrupt, "bit 481"},
		{"field before the chunk", func(_, m, _ record) { field(m, 0)["offset_bit"] = int32(-1) }, ErrCorrupt, "bit -1"},
		{"field without meta", func(_, m, _ record) { delete(field(m, 0), "meta") }, ErrCorrupt, "meta is missing"},
		{"field of an unknown layer", func(_, m, _ record) { field(m, 0)["meta"].(record)["name"] = "x" }, ErrCorrupt, `no input "x"`},
		{"field of another batch", func(_, m, _ record) { field(m, 0)["meta"].(record)["batch"] = int32(1) }, ErrCorrupt, "batch 1"},
		{"hint of an unknown layer", func(_, m, _ record) { hintOf(m, 7)["meta"].(record)["name"] = "in" }, ErrCorrupt, `no output "in"`},
		{"hint beyond the layer", func(_, m, _ record) { hintOf(m, 1)["size_in_bytes"] = int32(33) }, ErrCorrupt, "0…33 of 32"},
		{"hint far beyond", func(_, m, _ record) {
			h := hintOf(m, 1)
			h["offset_in_bytes"], h["size_in_bytes"] = int32(math.MaxInt32), int32(math.MaxInt32)
		}, ErrCorrupt, "of 32"},
		{"hint of nothing", func(_, m, _ record) { hintOf(m, 1)["size_in_bytes"] = int32(0) }, ErrCorrupt, "0…0"},
		{"hint before", func(_, m, _ record) { hintOf(m, 5)["offset_in_bytes"] = int32(-8) }, ErrCorrupt, "-8"},
		{"parameters beyond", func(_, m, _ record) { hintOf(m, 6)["size_in_bytes"] = int32(16) }, ErrCorrupt, "8…24 of 16"},
		{"parameters from the chip", func(_, m, _ record) {
			m["dma_hints"].(record)["hints"].([]record)[6]["direction"] = uint16(1)
		}, ErrCorrupt, "wrong direction"},
		{"no such chunk", func(_, m, _ record) { hintOf(m, 4)["instruction_chunk_index"] = int32(2) }, ErrCorrupt, "chunk 2 of 2"},
		{"no such interrupt", func(_, m, _ record) { hintOf(m, 9)["type"] = uint16(4) }, ErrCorrupt, "type is 4"},
		{"hint without a kind", func(_, m, _ record) {
			m["dma_hints"].(record)["hints"].([]record)[0] = record{}
		}, ErrCorrupt, "hints[0]"},
		{"layer of another kind", func(_, m, _ record) { output(m, 1)["any_layer_type"] = uint8(inputLayer) }, ErrCorrupt, `"plain"`},
		{"two layers with one name", func(_, m, _ record) { output(m, 1)["name"] = "tiled" }, ErrCorrupt, "two layers"},
		{"layer run twice", func(_, m, _ record) { output(m, 1)["execution_count_per_inference"] = int32(2) }, ErrUnsupported, "2 times"},
		{"layer in slices", func(_, m, _ record) {
			output(m, 1)["any_layer"] = record{"shape_info": record{}}
		}, ErrUnsupported, "slices"},
		{"no data type", func(_, m, _ record) { output(m, 1)["data_type"] = uint16(6) }, ErrCorrupt, "data type 6"},
		{"no dimension", func(_, m, _ record) { output(m, 1)["z_dim"] = int32(0) }, ErrCorrupt, "1×1×0"},
		{"large dimensions", func(_, m, _ record) {
			output(m, 1)["y_dim"], output(m, 1)["x_dim"] = int32(math.MaxInt32), int32(math.MaxInt32)
		}, ErrTooLarge, "dimensions"},
		{"layer too small", func(_, m, _ record) { output(m, 1)["size_bytes"] = int32(19) }, ErrCorrupt, "19 bytes"},
		{"layer too large", func(_, m, _ record) { output(m, 1)["size_bytes"] = int32(math.MaxInt32) }, ErrTooLarge, "bytes"},
		{"scale", func(_, m, _ record) {
			output(m, 1)["numerics"].(record)["dequantization_factor"] = float32(math.Inf(1))
		}, ErrCorrupt, "scale"},
		{"pixel outside", func(_, m, _ record) { layout(m)["linearized_tile_byte_offset"] = []int32{0, 16, 22, 30} }, ErrCorrupt, "pixel 2, 2"},
		{"pixel before", func(_, m, _ record) { layout(m)["linearized_tile_byte_offset"] = []int32{-1, 16, 22, 28} }, ErrCorrupt, "pixel 0, 0"},
		{"no such tile", func(_, m, _ record) { layout(m)["y_coordinate_to_linear_tile_id_map"] = []int32{0, 0, 3} }, ErrCorrupt, "pixel 2, "},
		{"short table", func(_, m, _ record) { layout(m)["x_coordinate_to_local_y_row_size"] = []int32{8} }, ErrCorrupt, "pixel 0, 1"},
		{"missing table", func(_, m, _ record) { delete(layout(m), "linearized_tile_byte_offset") }, ErrCorrupt, "pixel 0, 0"},
		{"huge products", func(_, m, _ record) {
			layout(m)["y_coordinate_to_local_y_offset"] = []int32{math.MinInt32, 0, 0}
			layout(m)["x_coordinate_to_local_y_row_size"] = []int32{math.MinInt32, 0, 0}
		}, ErrCorrupt, "pixel 0, 0"},
	} {
		pkg, main, caching := sample()
		c.change(pkg, main, caching)
		_, err := Parse(writeWrapper(writePackage(pkg, main, caching), []byte{18}, 0))
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: got %v, want %v with %q", c.what, err, c.kind, c.word)
		}
	}
}

func TestParseLimits(t *testing.T) {
	parse := func(change func(main record)) error {
		pkg, main, caching := sample()
		change(main)
		_, err := Parse(writeWrapper(writePackage(pkg, main, caching), nil, 0))
		return err
	}
	hints := func(n int) func(record) {
		return func(m record) {
			list := make([]record, n)
			for i := range list {
				list[i] = record{"any_hint_type": uint8(Fence), "any_hint": record{}}
			}
			m["dma_hints"] = record{"hints": list}
		}
	}
	traffic := func(n int) func(record) {
		return func(m record) {
			h := m["dma_hints"].(record)["hints"].([]record)[1]
			in := m["input_layers"].([]record)[0]
			in["size_bytes"], in["z_dim"] = int32(maxTensor), int32(1)
			h["any_hint"].(record)["size_in_bytes"] = int32(maxTensor)
			list := make([]record, n)
			for i := range list {
				list[i] = h
			}
			m["dma_hints"] = record{"hints": list}
		}
	}
	layers := func(n int) func(record) {
		return func(m record) {
			for i := range n {
				l := record{}
				for k, v := range m["output_layers"].([]record)[1] {
					l[k] = v
				}
				l["name"] = strings.Repeat("n", i)
				m["output_layers"] = append(m["output_layers"].([]record), l)
			}
		}
	}
	pixels := func(m record) {
		const side = 2049
		zeros := make([]int32, side)
		l := m["output_layers"].([]record)[0]
		l["y_dim"], l["x_dim"] = int32(side), int32(side)
		for k := range l["any_layer"].(record)["layout"].(record) {
			l["any_layer"].(record)["layout"].(record)[k] = zeros
		}
	}
	for _, c := range []struct {
		what   string
		change func(main record)
		want   error
	}{
		{"few hints", hints(1000), nil},
		{"many hints", hints(flatbuf.MaxTables/2 + 1), ErrTooLarge},
		{"little traffic", traffic(4), nil},
		{"much traffic", traffic(5), ErrTooLarge},
		{"some layers", layers(maxLayers - 2), nil},
		{"many layers", layers(maxLayers - 1), ErrTooLarge},
		{"many pixels", pixels, ErrTooLarge},
	} {
		if err := parse(c.change); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
	}
	if _, err := Parse(make([]byte, MaxSize+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a long file: got %v", err)
	}
}

func TestParseIgnores(t *testing.T) {
	pkg, main, caching := sample()
	main["unknown"] = int32(7)
	pkg["unknown"] = uint8(7)
	p, err := Parse(writeWrapper(writePackage(pkg, main, caching), nil, 0))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"field 8 of package", "field 17 of executable"}; !reflect.DeepEqual(p.Ignored, want) {
		t.Errorf("ignored %q, want %q", p.Ignored, want)
	}
}

func TestWrapper(t *testing.T) {
	pkg, main, caching := sample()
	b := writePackage(pkg, main, caching)
	if _, err := Parse(writeWrapper(b, []byte{18}, 1)); !errors.Is(err, ErrUnsupported) {
		t.Errorf("two packages: got %v, want ErrUnsupported", err)
	}
	other := bytes.Replace(writeWrapper(b, nil, 0), []byte("1\x004\x00"), []byte("1\x009\x00"), 1)
	if _, err := Parse(other); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no package: got %v, want ErrCorrupt", err)
	}
	for _, b := range [][]byte{nil, {1}, {0, 4, 1}, {1, 1, 1}, []byte("TFL3TFL3")} {
		if _, err := Parse(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%q: got %v, want ErrCorrupt", b, err)
		}
	}
}

// exercise uses a parsed package as a driver does.
func exercise(p *Package) {
	for _, e := range p.Executables {
		for _, c := range e.Chunks {
			chunk := bytes.Clone(c.Bytes)
			for _, f := range c.Fields {
				f.Put(chunk, math.MaxUint32)
			}
		}
		for _, h := range e.Hints {
			if h.Tag() > 7 {
				panic("a tag beyond the last")
			}
		}
		for _, list := range [][]Layer{e.Inputs, e.Outputs} {
			for _, l := range list {
				if l.Size > 1<<16 {
					continue
				}
				raw, tensor := make([]byte, l.Size), make([]byte, l.TensorSize())
				if l.FromDevice(tensor, raw) != nil || l.ToDevice(raw, tensor) != nil {
					panic("a layer rejects buffers of its own sizes")
				}
			}
		}
	}
}

// parseAny parses b, which may be damaged. Every error must wrap one of the three errors of this
// package.
func parseAny(t *testing.T, b []byte) {
	p, err := Parse(b)
	switch {
	case err == nil:
		exercise(p)
	case !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnsupported):
		t.Fatalf("got error %v, want ErrCorrupt, ErrTooLarge or ErrUnsupported", err)
	}
}

// TestParseDamaged checks that Parse does not panic on any prefix or suffix of a package, or on
// bytes set to values that break offsets, sizes and types.
func TestParseDamaged(t *testing.T) {
	whole := sampleOptions()
	b := bytes.Clone(whole)
	for i := range b {
		for _, v := range []byte{0, 1, 2, 4, 7, 0x7f, 0x80, 0xff, b[i] + 1, b[i] - 1, b[i] ^ 0x80} {
			b[i] = v
			parseAny(t, b)
		}
		b[i] = whole[i]
		parseAny(t, whole[:i])
		parseAny(t, whole[i:])
	}
}

var update = flag.Bool("update", false, "update the files in testdata")

// TestSampleFile checks that testdata/sample.bin is the sample. Tests of other packages make a
// compiled model from it.
func TestSampleFile(t *testing.T) {
	const path = "testdata/sample.bin"
	if *update {
		if err := os.WriteFile(path, sampleOptions(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sampleOptions()) {
		t.Errorf("%s is not the sample: run go test -run TestSampleFile -update", path)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sampleOptions())
	pkg, main, _ := sample()
	f.Add(writeWrapper(writePackage(pkg, main), nil, 0))
	_, _, caching := sample()
	f.Add(writeWrapper(writePackage(pkg, caching), []byte{17}, 0))
	f.Fuzz(parseAny)
}
