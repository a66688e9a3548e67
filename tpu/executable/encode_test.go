package executable

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// A record holds the fields of a table by name. Values are uint8, uint16, int32, uint64, float32,
// string, []byte, []int32, []Range, [][]byte (strings of any bytes), record or []record.
type record map[string]any

// A flatWriter writes a flatbuffer front to back: a table's children follow it.
type flatWriter []byte

func writeFlatbuffer(identifier string, t *tableType, r record) []byte {
	w := flatWriter(make([]byte, 4, 1024))
	w = append(w, identifier...)
	w.refer(0, w.table(t, r))
	return w
}

func (w *flatWriter) align(n int) {
	for len(*w)%n != 0 {
		*w = append(*w, 0)
	}
}

// refer makes the offset at pos point to target.
func (w flatWriter) refer(pos, target int) {
	binary.LittleEndian.PutUint32(w[pos:], uint32(target-pos))
}

func inlineSize(v any) int {
	switch v.(type) {
	case uint8:
		return 1
	case uint16:
		return 2
	case uint64:
		return 8
	}
	return 4
}

// table writes r and everything below it, and returns its position. The field
// "unknown" takes a slot that t lacks.
func (w *flatWriter) table(t *tableType, r record) int {
	fields := append(slices.Clone(t.Fields), field{Name: "unknown"})
	last := -1
	for name := range r {
		slot := slices.IndexFunc(fields, func(f field) bool { return f.Name == name })
		if slot < 0 {
			panic("no field " + name + " in " + t.Name)
		}
		last = max(last, slot)
	}
	w.align(8)
	vtable := len(*w)
	*w = append(*w, make([]byte, 4+2*(last+1))...)
	w.align(8)
	pos := len(*w)
	*w = append(*w, make([]byte, 4)...)
	binary.LittleEndian.PutUint32((*w)[pos:], uint32(pos-vtable))
	places := make([]int, last+1)
	for slot := range places {
		v := r[fields[slot].Name]
		if v == nil {
			continue
		}
		size := inlineSize(v)
		w.align(size)
		places[slot] = len(*w)
		binary.LittleEndian.PutUint16((*w)[vtable+4+2*slot:], uint16(len(*w)-pos))
		*w = append(*w, make([]byte, size)...)
		putScalar((*w)[len(*w)-size:], v)
	}
	binary.LittleEndian.PutUint16((*w)[vtable:], uint16(4+2*len(places)))
	binary.LittleEndian.PutUint16((*w)[vtable+2:], uint16(len(*w)-pos))
	for slot, at := range places {
		f := fields[slot]
		v := r[f.Name]
		if v == nil || putScalar(make([]byte, 8), v) {
			continue
		}
		child := f.Table
		if f.Kind == flatbuf.KindUnion {
			child = f.Union[r[fields[slot-1].Name].(uint8)]
		}
		w.refer(at, w.object(child, v))
	}
	return pos
}

// putScalar writes v into b. It returns false if v is not a scalar.
func putScalar(b []byte, v any) bool {
	switch v := v.(type) {
	case uint8:
		b[0] = v
	case uint16:
		binary.LittleEndian.PutUint16(b, v)
	case int32:
		binary.LittleEndian.PutUint32(b, uint32(v))
	case uint64:
		binary.LittleEndian.PutUint64(b, v)
	case float32:
		binary.LittleEndian.PutUint32(b, math.Float32bits(v))
	default:
		return false
	}
	return true
}

// object writes the object that an offset points to.
func (w *flatWriter) object(child *tableType, v any) int {
	if r, ok := v.(record); ok {
		return w.table(child, r)
	}
	w.align(4)
	pos := len(*w)
	length := func(n int) { *w = binary.LittleEndian.AppendUint32(*w, uint32(n)) }
	switch v := v.(type) {
	case string:
		length(len(v))
		*w = append(append(*w, v...), 0)
	case []byte:
		length(len(v))
		*w = append(*w, v...)
	case []int32:
		length(len(v))
		for _, n := range v {
			length(int(n))
		}
	case []Range:
		length(len(v))
		for _, r := range v {
			length(r.First)
			length(r.Last)
		}
	case [][]byte:
		length(len(v))
		*w = append(*w, make([]byte, 4*len(v))...)
		for i, b := range v {
			w.refer(pos+4+4*i, w.object(nil, string(b)))
		}
	case []record:
		length(len(v))
		*w = append(*w, make([]byte, 4*len(v))...)
		for i, r := range v {
			w.refer(pos+4+4*i, w.table(child, r))
		}
	}
	return pos
}

// writePackage encodes a package of executables.
func writePackage(pkg record, executables ...record) []byte {
	var list [][]byte
	for _, e := range executables {
		list = append(list, writeFlatbuffer("", executableTable, e))
	}
	pkg["serialized_multi_executable"] = writeFlatbuffer("", multiTable, record{"serialized_executables": list})
	return writeFlatbuffer(packageIdentifier, packageTable, pkg)
}

// writeWrapper puts a package into custom options as compilers do: a map with an
// int, a string and, unless chips is nil, lists of chips and of more packages.
func writeWrapper(pkg []byte, chips []byte, more int) []byte {
	const width = 4 // of every value, in bytes
	var b []byte
	number := func(n int) { b = binary.LittleEndian.AppendUint32(b, uint32(n)) }
	back := func(target int) { number(len(b) - target) }
	list := func(values []byte) int {
		number(len(values))
		at := len(b)
		for _, v := range values {
			number(int(v))
		}
		for range values {
			b = append(b, flexInt<<2|2)
		}
		return at
	}
	names := []string{"1", "4"}
	if chips != nil {
		names = append(names, "6", "7")
	}
	number(len(pkg))
	text := len(b)
	b = append(append(b, pkg...), 0)
	var keys []int
	for _, k := range names {
		keys = append(keys, len(b))
		b = append(append(b, k...), 0)
	}
	var first, second int
	if chips != nil {
		first, second = list(chips), list(make([]byte, more))
	}
	number(len(names))
	keyList := len(b)
	for _, k := range keys {
		back(k)
	}
	back(keyList)
	number(width)
	number(len(names))
	root := len(b)
	number(0)
	back(text)
	types := []byte{flexInt<<2 | 2, flexString<<2 | 2}
	if chips != nil {
		back(first)
		back(second)
		types = append(types, flexVector<<2|2, flexVector<<2|2)
	}
	b = append(b, types...)
	back(root)
	return append(b, flexMap<<2|2, width)
}

// sample returns the records of a package with every part of the format: two
// executables, inputs and outputs of several layouts and every kind of hint.
func sample() (pkg, main, caching record) {
	meta := func(b Buffer, half Half, name string) record {
		return record{"desc": uint16(b), "position": uint16(half), "name": name}
	}
	layer := func(name string, size, y, x, z int32, t DataType) record {
		return record{"name": name, "size_bytes": size, "y_dim": y, "x_dim": x, "z_dim": z, "data_type": uint16(t),
			"numerics":       record{"zero_point": int32(128), "dequantization_factor": float32(0.5)},
			"any_layer_type": uint8(outputLayer), "any_layer": record{}}
	}
	in := layer("in", 32, 3, 3, 3, Int8)
	in["any_layer_type"] = uint8(inputLayer)
	in["execution_count_per_inference"] = int32(1)
	tiled := layer("tiled", 64, 3, 3, 3, Int16)
	tiled["shape"] = record{"dimension": []Range{{0, 2}, {0, 2}, {0, 2}}}
	// Two by two tiles, each with 2 or 1 rows and columns. Only the first tile pads its rows, from
	// 6 values to 8.
	tiled["size_bytes"] = int32(2 * (4*4 + 2*3 + 2*3 + 3 + 1))
	tiled["any_layer"] = record{"layout": record{
		"y_coordinate_to_linear_tile_id_map": []int32{0, 0, 2}, "x_coordinate_to_linear_tile_id_map": []int32{0, 0, 1},
		"linearized_tile_byte_offset": []int32{0, 16, 22, 28}, "x_coordinate_to_local_byte_offset": []int32{0, 3, 0},
		"y_coordinate_to_local_y_offset": []int32{0, 1, 0}, "x_coordinate_to_local_y_row_size": []int32{8, 8, 3},
	}}
	transfer := func(b Buffer, name string, offset, size int32, out uint16) record {
		return record{"any_hint_type": uint8(Transfer), "direction": out, "any_hint": record{
			"meta": meta(b, Lower, name), "offset_in_bytes": offset, "size_in_bytes": size}}
	}
	hint := func(k HintKind, content record) record {
		return record{"any_hint_type": uint8(k), "any_hint": content}
	}
	chunk := func(n int, fields ...record) record {
		return record{"bitstream": make([]byte, n), "field_offsets": fields}
	}
	main = record{
		"name": "model", "chip": "beagle", "batch_size": int32(1), "type": uint16(ExecutionOnly),
		"parameter_caching_token": uint64(0x1234567890abcdef), "scratch_size_bytes": int32(64),
		"estimated_cycles": int32(5), "estimated_cycles_64bit": uint64(1 << 40), "parameters": make([]byte, 16),
		"used_narrow_memory_bytes_per_tile": int32(100),
		"instruction_bitstreams": []record{
			chunk(64, record{"offset_bit": int32(70), "meta": meta(Input, Upper, "in")},
				record{"offset_bit": int32(64*8 - 32), "meta": meta(Output, Lower, "tiled")}),
			chunk(16, record{"offset_bit": int32(0), "meta": meta(Scratch, Lower, "")}),
		},
		"input_layers": []record{in}, "output_layers": []record{tiled, layer("plain", 24, 1, 1, 5, Float32)},
		"dma_hints": record{"fully_deterministic": uint8(1), "hints": []record{
			hint(Instructions, record{}), transfer(Input, "in", 0, 32, 0), transfer(Scratch, "", 0, 64, 1),
			hint(Fence, record{}), hint(Instructions, record{"instruction_chunk_index": int32(1)}),
			transfer(Scratch, "", 32, 32, 0), transfer(Parameter, "", 8, 8, 0), transfer(Output, "tiled", 0, 64, 1),
			transfer(Output, "plain", 0, 24, 1), hint(Interrupt, record{"type": uint16(0)}),
		}},
	}
	caching = record{
		"name": "Unknown", "chip": "beagle", "batch_size": int32(1), "type": uint16(ParameterCaching),
		"parameter_caching_token": uint64(0x1234567890abcdef), "parameters": make([]byte, 64),
		"instruction_bitstreams": []record{chunk(16)},
		"dma_hints":              record{"hints": []record{hint(Instructions, record{}), transfer(Parameter, "", 0, 64, 0)}},
	}
	pkg = record{"min_runtime_version": int32(13), "compiler_version": "of our own", "model_identifier": "m",
		"keypair_version": int32(2), "signature": []byte("s")}
	return pkg, main, caching
}

// sampleOptions returns custom options that contain the sample.
func sampleOptions() []byte {
	pkg, main, caching := sample()
	return writeWrapper(writePackage(pkg, main, caching), []byte{18}, 0)
}
