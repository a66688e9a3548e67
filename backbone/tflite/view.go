package tflite

import (
	"encoding/binary"
	"math"
)

// A view reads a table of a verified flatbuffer in place.
type view struct {
	t      *tableType
	b      []byte
	pos    int
	vtable []byte
}

func viewAt(b []byte, pos int, t *tableType) view {
	vt := pos - int(int32(binary.LittleEndian.Uint32(b[pos:])))
	return view{t, b, pos, b[vt : vt+int(binary.LittleEndian.Uint16(b[vt:]))]}
}

func rootView(b []byte, t *tableType) view {
	return viewAt(b, int(binary.LittleEndian.Uint32(b)), t)
}

// at gives the position of a slot's inline bytes, 0 when it is absent.
func (v view) at(slot int) int {
	i := 4 + 2*slot
	if i >= len(v.vtable) {
		return 0
	}
	off := int(binary.LittleEndian.Uint16(v.vtable[i:]))
	if off == 0 {
		return 0
	}
	return v.pos + off
}

func (v view) follow(pos int) int { return pos + int(binary.LittleEndian.Uint32(v.b[pos:])) }

// scalar gives a number's bits, or def when it is absent.
func (v view) scalar(slot int, def uint64) uint64 {
	p := v.at(slot)
	if p == 0 {
		return def
	}
	switch v.t.fields[slot].size {
	case 1:
		return uint64(v.b[p])
	case 2:
		return uint64(binary.LittleEndian.Uint16(v.b[p:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(v.b[p:]))
	}
	return binary.LittleEndian.Uint64(v.b[p:])
}

// raw gives the bytes of a vector's elements, nil when it is absent. They
// share memory with the file.
func (v view) raw(slot int) []byte {
	p := v.at(slot)
	if p == 0 {
		return nil
	}
	p = v.follow(p)
	n := int(binary.LittleEndian.Uint32(v.b[p:])) * v.t.fields[slot].size
	return v.b[p+4 : p+4+n : p+4+n]
}

func textAt(b []byte, p int) string {
	return string(b[p+4 : p+4+int(binary.LittleEndian.Uint32(b[p:]))])
}

func (v view) text(slot int) string {
	p := v.at(slot)
	if p == 0 {
		return ""
	}
	return textAt(v.b, v.follow(p))
}

// elements gives how many offsets a vector holds and where the first is; -1
// when it is absent.
func (v view) elements(slot int) (n, first int) {
	p := v.at(slot)
	if p == 0 {
		return -1, 0
	}
	p = v.follow(p)
	return int(binary.LittleEndian.Uint32(v.b[p:])), p + 4
}

// eachTable reads a vector of tables with read; nil when it is absent.
func eachTable[T any](v view, slot int, read func(view) T) []T {
	n, p := v.elements(slot)
	if n < 0 {
		return nil
	}
	out := make([]T, n)
	for i := range out {
		out[i] = read(viewAt(v.b, v.follow(p+4*i), v.t.fields[slot].table))
	}
	return out
}

// table gives a sub table, or the member of a union.
func (v view) table(slot int) (view, bool) {
	p := v.at(slot)
	if p == 0 {
		return view{}, false
	}
	t := v.t.fields[slot].table
	if v.t.fields[slot].kind == kindUnion {
		t = v.t.fields[slot].union[v.scalar(slot-1, 0)]
	}
	return viewAt(v.b, v.follow(p), t), true
}

func int32s(raw []byte) []int32 {
	if raw == nil {
		return nil
	}
	out := make([]int32, len(raw)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

func int64s(raw []byte) []int64 {
	if raw == nil {
		return nil
	}
	out := make([]int64, len(raw)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out
}

func float32s(raw []byte) []float32 {
	if raw == nil {
		return nil
	}
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}
