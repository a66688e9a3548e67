package tflite

import (
	"encoding/binary"
	"unsafe"
)

// A writer writes nodes front to back, each table before the ones it refers to, so that
// every offset points forward. It writes equal vtables only once. No padding follows the
// last object.
type writer struct {
	b       []byte
	vtables map[string]int // positions
	foreign []pointer
}

// A pointer is an offset that appendForeign sets to point to a foreign table.
type pointer struct {
	pos int // in the writer's bytes
	to  foreign
}

// writeFlatbuffer returns the flatbuffer with the given root. size is an estimate of its
// length.
func writeFlatbuffer(root *node, identifier string, size int) []byte {
	w := &writer{b: append(make([]byte, 0, size), 0, 0, 0, 0), vtables: map[string]int{}}
	w.b = append(w.b, identifier...)
	binary.LittleEndian.PutUint32(w.b, uint32(w.table(root)))
	w.appendForeign()
	return w.b
}

// appendForeign appends each flatbuffer with foreign tables once. The offsets in a
// flatbuffer are relative, so they stay valid.
func (w *writer) appendForeign() {
	starts := make(map[*byte]int)
	for _, p := range w.foreign {
		key := unsafe.SliceData(p.to.flatbuffer)
		start, ok := starts[key]
		if !ok {
			w.pad(16, 0) // no scalar needs a larger alignment
			start = len(w.b)
			starts[key] = start
			w.b = append(w.b, p.to.flatbuffer...)
		}
		binary.LittleEndian.PutUint32(w.b[p.pos:], uint32(start+p.to.at-p.pos))
	}
}

// pad appends zeros until the length is remainder modulo align.
func (w *writer) pad(align, remainder int) {
	for len(w.b)%align != remainder {
		w.b = append(w.b, 0)
	}
}

// table appends n and everything below it, and returns its position.
func (w *writer) table(n *node) int {
	offsets, size, align := layOut(n)
	vt := w.vtable(offsets, size)
	w.pad(align, 4%align)
	pos := len(w.b)
	w.b = append(w.b, make([]byte, size)...)
	binary.LittleEndian.PutUint32(w.b[pos:], uint32(pos-vt))
	for slot, value := range n.v {
		if value != nil {
			w.value(pos+offsets[slot], &n.t.Fields[slot], value)
		}
	}
	return pos
}

// layOut returns the offset of each slot of n in its table, 0 if absent, and the size and
// alignment of the table. Larger fields come first, from byte 4 on. If the table is at 4
// modulo 8, each field is aligned to its size and no byte is wasted.
func layOut(n *node) (offsets []int, size, align int) {
	offsets = make([]int, len(n.t.Fields))
	size, align = 4, 4
	for _, fieldSize := range [...]int{8, 4, 2, 1} {
		for slot := range n.t.Fields {
			if n.v[slot] == nil || n.t.Fields[slot].InlineSize() != fieldSize {
				continue
			}
			offsets[slot] = size
			size += fieldSize
			align = max(align, fieldSize)
		}
	}
	return offsets, size, align
}

// vtable returns the position of the vtable with the given offsets, up to the last slot
// in use. It appends the vtable unless there is an equal one.
func (w *writer) vtable(offsets []int, size int) int {
	used := len(offsets)
	for used > 0 && offsets[used-1] == 0 {
		used--
	}
	vtable := binary.LittleEndian.AppendUint16(nil, uint16(4+2*used))
	vtable = binary.LittleEndian.AppendUint16(vtable, uint16(size))
	for _, offset := range offsets[:used] {
		vtable = binary.LittleEndian.AppendUint16(vtable, uint16(offset))
	}
	pos, ok := w.vtables[string(vtable)]
	if !ok {
		w.pad(2, 0)
		pos = len(w.b)
		w.b = append(w.b, vtable...)
		w.vtables[string(vtable)] = pos
	}
	return pos
}

// value writes the value of field f to its inline bytes at pos, and appends the objects
// that the value refers to.
func (w *writer) value(pos int, f *field, value any) {
	switch value := value.(type) {
	case uint64:
		w.scalar(pos, f.Size, value)
	case []byte:
		w.pad(4, 0)
		if align := max(f.Size, f.Align); align > 4 {
			w.pad(align, align-4)
		}
		w.point(pos)
		w.length(len(value) / f.Size)
		w.b = append(w.b, value...)
	case string:
		w.text(pos, value)
	case []string:
		first := w.offsets(pos, len(value))
		for i, s := range value {
			w.text(first+4*i, s)
		}
	case foreign:
		w.foreign = append(w.foreign, pointer{pos, value})
	case *node:
		target := w.table(value)
		binary.LittleEndian.PutUint32(w.b[pos:], uint32(target-pos))
	case []*node:
		first := w.offsets(pos, len(value))
		for i, child := range value {
			target := w.table(child)
			binary.LittleEndian.PutUint32(w.b[first+4*i:], uint32(target-first-4*i))
		}
	}
}

// scalar writes size bytes at pos.
func (w *writer) scalar(pos, size int, bits uint64) {
	switch size {
	case 1:
		w.b[pos] = byte(bits)
	case 2:
		binary.LittleEndian.PutUint16(w.b[pos:], uint16(bits))
	case 4:
		binary.LittleEndian.PutUint32(w.b[pos:], uint32(bits))
	case 8:
		binary.LittleEndian.PutUint64(w.b[pos:], bits)
	}
}

// point makes the offset at pos point to the next byte to be written.
func (w *writer) point(pos int) {
	binary.LittleEndian.PutUint32(w.b[pos:], uint32(len(w.b)-pos))
}

// length appends the length of a vector.
func (w *writer) length(n int) {
	w.b = binary.LittleEndian.AppendUint32(w.b, uint32(n))
}

// text appends a string and makes the offset at pos point to it.
func (w *writer) text(pos int, s string) {
	w.pad(4, 0)
	w.point(pos)
	w.length(len(s))
	w.b = append(w.b, s...)
	w.b = append(w.b, 0)
}

// offsets appends a vector of n zero offsets, makes the offset at pos point to it, and
// returns the position of the first.
func (w *writer) offsets(pos, n int) int {
	w.pad(4, 0)
	w.point(pos)
	w.length(n)
	first := len(w.b)
	w.b = append(w.b, make([]byte, 4*n)...)
	return first
}
