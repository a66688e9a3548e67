package tflite

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

const (
	fileIdentifier = "TFL3"

	// maxTables bounds the tables read from one file, counting a table that
	// several offsets point at as often as it is reached, so that a small file
	// of shared tables can not become a large model.
	maxTables = 1 << 16
	// maxSlots bounds the fields of a table; the schema's longest has 17.
	maxSlots = 64
	// maxDepth bounds how deep tables nest; both schemas here need six.
	maxDepth = 8
)

// A verifier walks a flatbuffer before anything is read from it. Every offset
// must point forward, be aligned and lie in the buffer; every table costs from
// tables and every vector from bytes each time it is reached.
type verifier struct {
	b      []byte
	end    int    // one past the highest byte that was reached
	tables int    // tables that may still be visited
	bytes  int    // bytes of vectors and strings that may still be visited
	beyond string // first slot in use that the schema does not know
}

// verifyFlatbuffer checks b against root and gives the end of the last object
// and the first slot the schema does not know, if any.
func verifyFlatbuffer(b []byte, identifier string, root *tableType) (*verifier, error) {
	if len(b) < 8 {
		return nil, corrupt("%d bytes are too few for a flatbuffer", len(b))
	}
	if got := string(b[4:8]); got != identifier {
		return nil, corrupt("file identifier is %q, want %q", got, identifier)
	}
	v := &verifier{b: b, end: 8, tables: maxTables, bytes: 2*len(b) + 1<<16}
	pos, err := v.follow(0)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if err := v.table(pos, root, 1); err != nil {
		return nil, fmt.Errorf("%s%w", root.name, err)
	}
	return v, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrCorrupt)...)
}

// reach notes that [pos, pos+n) is part of the flatbuffer. The callers have
// checked the range.
func (v *verifier) reach(pos, n int) { v.end = max(v.end, pos+n) }

// follow gives the target of the offset at pos, where four bytes exist.
func (v *verifier) follow(pos int) (int, error) {
	off := binary.LittleEndian.Uint32(v.b[pos:])
	if off == 0 {
		return 0, corrupt("offset at byte %d is zero", pos)
	}
	if int64(pos)+int64(off) > int64(len(v.b)-4) {
		return 0, corrupt("offset %d at byte %d leaves the file of %d bytes", off, pos, len(v.b))
	}
	target := pos + int(off)
	if target%4 != 0 {
		// An odd vector header crashed readers: tensorflow#121217.
		return 0, corrupt("offset at byte %d points to unaligned byte %d", pos, target)
	}
	return target, nil
}

// table checks the table at pos, which is aligned and has four bytes. Errors
// begin with the path below the table.
func (v *verifier) table(pos int, t *tableType, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf(": tables nest deeper than %d: %w", maxDepth, ErrTooLarge)
	}
	if v.tables--; v.tables < 0 {
		return fmt.Errorf(": more than %d tables: %w", maxTables, ErrTooLarge)
	}
	vt := int64(pos) - int64(int32(binary.LittleEndian.Uint32(v.b[pos:])))
	if vt < 0 || vt%2 != 0 || vt > int64(len(v.b)-4) {
		return corrupt(": vtable at byte %d", vt)
	}
	vtable := v.b[vt:]
	vsize := int(binary.LittleEndian.Uint16(vtable))
	tsize := int(binary.LittleEndian.Uint16(vtable[2:]))
	if vsize < 4 || vsize%2 != 0 || vsize > len(vtable) {
		return corrupt(": vtable of %d bytes", vsize)
	}
	slots := (vsize - 4) / 2
	if slots > maxSlots {
		return fmt.Errorf(": %d fields: %w", slots, ErrTooLarge)
	}
	if tsize < 4 || tsize > len(v.b)-pos {
		return corrupt(": table of %d bytes at byte %d", tsize, pos)
	}
	v.reach(int(vt), vsize)
	v.reach(pos, tsize)

	unionMember := 0
	for slot := range max(slots, len(t.fields)) {
		off := 0
		if slot < slots {
			off = int(binary.LittleEndian.Uint16(vtable[4+2*slot:]))
		}
		if slot >= len(t.fields) {
			if off != 0 && v.beyond == "" {
				v.beyond = fmt.Sprintf("slot %d of table %s", slot, t.name)
			}
			continue
		}
		f := &t.fields[slot]
		if f.kind == kindUnionType {
			unionMember = 0
		}
		if off == 0 {
			if f.required {
				return corrupt(".%s is missing", f.name)
			}
			if f.kind == kindUnion && unionMember != 0 {
				return corrupt(".%s has type %d and no value", f.name, unionMember)
			}
			continue
		}
		size := 4
		if f.kind == kindScalar || f.kind == kindUnionType {
			size = f.size
		}
		if off < 4 || off+size > tsize || (pos+off)%size != 0 {
			return corrupt(".%s at offset %d of a table of %d bytes at byte %d", f.name, off, tsize, pos)
		}
		switch f.kind {
		case kindScalar:
		case kindUnionType:
			unionMember = int(v.b[pos+off])
		case kindUnion:
			if unionMember == 0 {
				return corrupt(".%s has a value and no type", f.name)
			}
			if unionMember >= len(f.union) {
				return fmt.Errorf(".%s has unknown type %d: %w", f.name, unionMember, ErrUnsupported)
			}
			if err := v.field(pos+off, f, f.union[unionMember], depth); err != nil {
				return fmt.Errorf(".%s%w", f.name, err)
			}
		default:
			if err := v.field(pos+off, f, f.table, depth); err != nil {
				return fmt.Errorf(".%s%w", f.name, err)
			}
		}
	}
	return nil
}

// field checks what the offset at pos points to; table is its type, if it is
// one.
func (v *verifier) field(pos int, f *field, table *tableType, depth int) error {
	target, err := v.follow(pos)
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	switch f.kind {
	case kindTable, kindUnion:
		return v.table(target, table, depth+1)
	case kindString:
		return v.text(target)
	case kindVector:
		_, err := v.vector(target, f.size, 0)
		return err
	}
	n, err := v.vector(target, 4, 0)
	if err != nil {
		return err
	}
	for i := range n {
		element, err := v.follow(target + 4 + 4*i)
		if err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
		if f.kind == kindStrings {
			err = v.text(element)
		} else {
			err = v.table(element, table, depth+1)
		}
		if err != nil {
			return fmt.Errorf("[%d]%w", i, err)
		}
	}
	return nil
}

// vector checks the vector at pos, with extra bytes after its elements, and
// gives its length.
func (v *verifier) vector(pos, size, extra int) (int, error) {
	n := binary.LittleEndian.Uint32(v.b[pos:])
	if total := int64(n)*int64(size) + int64(extra); total > int64(len(v.b)-pos-4) {
		return 0, corrupt(": %d elements of %d bytes at byte %d leave the file", n, size, pos)
	}
	total := int(n)*size + extra
	if v.bytes -= total + 4; v.bytes < 0 {
		return 0, fmt.Errorf(": vectors that share their bytes exceed twice the file: %w", ErrTooLarge)
	}
	v.reach(pos, 4+total)
	return int(n), nil
}

func (v *verifier) text(pos int) error {
	n, err := v.vector(pos, 1, 1)
	if err != nil {
		return err
	}
	s := v.b[pos+4 : pos+5+n]
	if s[n] != 0 {
		return corrupt(": string at byte %d does not end in NUL", pos)
	}
	if !utf8.Valid(s[:n]) {
		return corrupt(": string at byte %d is not UTF-8", pos)
	}
	return nil
}
