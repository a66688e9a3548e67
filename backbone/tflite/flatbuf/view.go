package flatbuf

import (
	"encoding/binary"
	"math"
)

// A View reads one table of a verified flatbuffer in place. Slots are those of
// the table's description. Reading a slot as a kind other than the described
// one panics or returns nonsense.
type View struct {
	t      *Table
	b      []byte
	pos    int
	vtable []byte
}

// Root returns the outermost table of b, which Verify must have accepted with the same t.
func Root(b []byte, t *Table) View {
	return viewAt(b, int(binary.LittleEndian.Uint32(b)), t)
}

func viewAt(b []byte, pos int, t *Table) View {
	vt := pos - int(int32(binary.LittleEndian.Uint32(b[pos:])))
	return View{t, b, pos, b[vt : vt+int(binary.LittleEndian.Uint16(b[vt:]))]}
}

// Type returns the description of the table.
func (v View) Type() *Table { return v.t }

// At returns the position of a slot's inline bytes in the buffer, or 0 if the
// slot is absent.
func (v View) At(slot int) int {
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

func (v View) follow(pos int) int { return pos + int(binary.LittleEndian.Uint32(v.b[pos:])) }

// Scalar returns a number's bits, or def if it is absent.
func (v View) Scalar(slot int, def uint64) uint64 {
	p := v.At(slot)
	if p == 0 {
		return def
	}
	switch v.t.Fields[slot].Size {
	case 1:
		return uint64(v.b[p])
	case 2:
		return uint64(binary.LittleEndian.Uint16(v.b[p:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(v.b[p:]))
	}
	return binary.LittleEndian.Uint64(v.b[p:])
}

// Inline returns the memory of a scalar, or nil if it is absent.
func (v View) Inline(slot int) []byte {
	p, n := v.At(slot), v.t.Fields[slot].Size
	if p == 0 {
		return nil
	}
	return v.b[p : p+n : p+n]
}

// Raw returns the bytes of a vector's elements, or nil if it is absent. They
// share memory with the buffer.
func (v View) Raw(slot int) []byte {
	p := v.At(slot)
	if p == 0 {
		return nil
	}
	return sized(v.b, v.follow(p), v.t.Fields[slot].Size)
}

// sized returns the elements of the vector at p.
func sized(b []byte, p, size int) []byte {
	n := int(binary.LittleEndian.Uint32(b[p:])) * size
	return b[p+4 : p+4+n : p+4+n]
}

// Text returns a string, or "" if it is absent.
func (v View) Text(slot int) string {
	p := v.At(slot)
	if p == 0 {
		return ""
	}
	return string(sized(v.b, v.follow(p), 1))
}

// Strings returns a vector of strings, or nil if it is absent.
func (v View) Strings(slot int) []string {
	return each(v, slot, func(p int) string { return string(sized(v.b, p, 1)) })
}

// Blobs returns the bytes of a vector of strings, or nil if it is absent. They
// share memory with the buffer.
func (v View) Blobs(slot int) [][]byte {
	return each(v, slot, func(p int) []byte { return sized(v.b, p, 1) })
}

// Each reads a vector of tables with read. It returns nil if the vector is
// absent.
func Each[T any](v View, slot int, read func(View) T) []T {
	t := v.t.Fields[slot].Table
	return each(v, slot, func(p int) T { return read(viewAt(v.b, p, t)) })
}

// each reads the targets of a vector of offsets. It returns nil if the vector
// is absent.
func each[T any](v View, slot int, read func(pos int) T) []T {
	p := v.At(slot)
	if p == 0 {
		return nil
	}
	p = v.follow(p)
	out := make([]T, binary.LittleEndian.Uint32(v.b[p:]))
	for i := range out {
		out[i] = read(v.follow(p + 4 + 4*i))
	}
	return out
}

// Member returns the number of a union's member and whether the description has that
// member. The number is 0 if the union has no value.
func (v View) Member(slot int) (member int, known bool) {
	if v.At(slot) == 0 {
		return 0, true
	}
	member = int(v.Scalar(slot-1, 0))
	return member, member < len(v.t.Fields[slot].Union)
}

// Target returns the position in the buffer that the offset in a slot points to, or 0 if
// the slot is absent.
func (v View) Target(slot int) int {
	p := v.At(slot)
	if p == 0 {
		return 0
	}
	return v.follow(p)
}

// Buffer returns the buffer that v is part of.
func (v View) Buffer() []byte { return v.b }

// Table returns a nested table or the member of a union. It returns false if the slot has
// neither.
func (v View) Table(slot int) (View, bool) {
	p := v.At(slot)
	if p == 0 {
		return View{}, false
	}
	t := v.t.Fields[slot].Table
	if v.t.Fields[slot].Kind == KindUnion {
		t = v.t.Fields[slot].Union[v.Scalar(slot-1, 0)]
	}
	return viewAt(v.b, v.follow(p), t), true
}

// Int32s decodes raw, the elements of a vector. It returns nil if raw is nil.
func Int32s(raw []byte) []int32 {
	if raw == nil {
		return nil
	}
	out := make([]int32, len(raw)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

// Int64s decodes raw, the elements of a vector. It returns nil if raw is nil.
func Int64s(raw []byte) []int64 {
	if raw == nil {
		return nil
	}
	out := make([]int64, len(raw)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out
}

// Float32s decodes raw, the elements of a vector. It returns nil if raw is nil.
func Float32s(raw []byte) []float32 {
	if raw == nil {
		return nil
	}
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}
