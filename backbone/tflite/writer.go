package tflite

import "encoding/binary"

// A writer lays out nodes front to back, a table before what it refers to, so
// that every offset points forward. Equal vtables are written once, and the
// last object ends the file: no padding follows it.
type writer struct {
	b       []byte
	vtables map[string]int
}

// writeFlatbuffer gives a whole flatbuffer; size is a guess at its length.
func writeFlatbuffer(root *node, identifier string, size int) []byte {
	w := &writer{b: append(make([]byte, 0, size), 0, 0, 0, 0), vtables: map[string]int{}}
	w.b = append(w.b, identifier...)
	binary.LittleEndian.PutUint32(w.b, uint32(w.table(root)))
	return w.b
}

// pad appends zeros until the length is remainder modulo align.
func (w *writer) pad(align, remainder int) {
	for len(w.b)%align != remainder {
		w.b = append(w.b, 0)
	}
}

// table appends n and everything below it and gives its position.
func (w *writer) table(n *node) int {
	// Larger fields first, from byte 4 on: with the table at 4 modulo 8 each
	// is aligned to its size and no byte is wasted.
	var vtable []byte
	tsize, last := 4, 0
	offsets := make([]int, len(n.t.Fields))
	for _, size := range [...]int{8, 4, 2, 1} {
		for slot := range n.t.Fields {
			if n.v[slot] == nil || n.t.Fields[slot].InlineSize() != size {
				continue
			}
			offsets[slot] = tsize
			tsize += size
			last = max(last, slot+1)
		}
	}
	vtable = binary.LittleEndian.AppendUint16(vtable, uint16(4+2*last))
	vtable = binary.LittleEndian.AppendUint16(vtable, uint16(tsize))
	align := 4
	for slot := range last {
		vtable = binary.LittleEndian.AppendUint16(vtable, uint16(offsets[slot]))
		if offsets[slot] != 0 && n.t.Fields[slot].InlineSize() == 8 {
			align = 8
		}
	}
	vt, ok := w.vtables[string(vtable)]
	if !ok {
		w.pad(2, 0)
		vt = len(w.b)
		w.b = append(w.b, vtable...)
		w.vtables[string(vtable)] = vt
	}

	w.pad(align, 4%align)
	pos := len(w.b)
	w.b = append(w.b, make([]byte, tsize)...)
	binary.LittleEndian.PutUint32(w.b[pos:], uint32(pos-vt))
	for slot, value := range n.v {
		if value == nil {
			continue
		}
		at := pos + offsets[slot]
		f := &n.t.Fields[slot]
		switch value := value.(type) {
		case uint64:
			switch f.Size {
			case 1:
				w.b[at] = byte(value)
			case 2:
				binary.LittleEndian.PutUint16(w.b[at:], uint16(value))
			case 4:
				binary.LittleEndian.PutUint32(w.b[at:], uint32(value))
			case 8:
				binary.LittleEndian.PutUint64(w.b[at:], value)
			}
		case []byte:
			w.pad(4, 0)
			if align := max(f.Size, f.Align); align > 4 {
				w.pad(align, align-4)
			}
			w.point(at)
			w.length(len(value) / f.Size)
			w.b = append(w.b, value...)
		case string:
			w.text(at, value)
		case []string:
			first := w.offsets(at, len(value))
			for i, s := range value {
				w.text(first+4*i, s)
			}
		case *node:
			target := w.table(value)
			binary.LittleEndian.PutUint32(w.b[at:], uint32(target-at))
		case []*node:
			first := w.offsets(at, len(value))
			for i, child := range value {
				target := w.table(child)
				binary.LittleEndian.PutUint32(w.b[first+4*i:], uint32(target-first-4*i))
			}
		}
	}
	return pos
}

// point makes the offset at pos point to the end of what is written.
func (w *writer) point(pos int) {
	binary.LittleEndian.PutUint32(w.b[pos:], uint32(len(w.b)-pos))
}

func (w *writer) length(n int) {
	w.b = binary.LittleEndian.AppendUint32(w.b, uint32(n))
}

func (w *writer) text(at int, s string) {
	w.pad(4, 0)
	w.point(at)
	w.length(len(s))
	w.b = append(w.b, s...)
	w.b = append(w.b, 0)
}

// offsets appends a vector of n offsets, still zero, and gives the first's
// position.
func (w *writer) offsets(at, n int) int {
	w.pad(4, 0)
	w.point(at)
	w.length(n)
	first := len(w.b)
	w.b = append(w.b, make([]byte, 4*n)...)
	return first
}
