package flatbuf

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

const (
	// MaxTables is the maximum number of tables that a Verifier visits. A table counts
	// once for every offset that points to it.
	MaxTables = 1 << 16
	// MaxSlots is the maximum number of fields of a table.
	MaxSlots = 64
	// MaxDepth is the maximum depth of nested tables.
	MaxDepth = 8
)

// Errors are the errors that a Verifier wraps. They let each format report its own.
type Errors struct {
	Corrupt       error // means that the bytes break the format
	TooLarge      error // means that a limit is exceeded
	UnknownMember error // means that a union has a member that the description lacks
}

// A Verifier checks flatbuffers before anything is read from them. Every offset
// must point forward, be aligned and lie in the buffer. One Verifier may check
// several buffers, for instance nested ones: its limits apply to all of them
// together.
type Verifier struct {
	b      []byte
	end    int // one past the highest byte that was reached
	errors Errors
	tables int // tables that may still be visited
	bytes  int // bytes of vectors and strings that may still be visited
	// unknown is called for slots in use that the description lacks.
	unknown func(t *Table, slot int)
	lenient bool // see Lenient
}

// NewVerifier returns a Verifier that visits at most [MaxTables] tables and the given
// bytes of vectors and strings. It calls unknown, which may be nil, for each slot in use
// that the description lacks. Such slots are not checked.
func NewVerifier(bytes int, errors Errors, unknown func(t *Table, slot int)) *Verifier {
	return &Verifier{errors: errors, tables: MaxTables, bytes: bytes, unknown: unknown}
}

// Lenient makes v accept unions whose member the description lacks, and unions with a
// type but no value, and returns v. Of an unknown member, v checks only the table's
// header. Readers must then check [View.Member] before they call [View.Table].
func (v *Verifier) Lenient() *Verifier {
	v.lenient = true
	return v
}

// Verify checks b, whose outermost table is root, and returns the end of its last object.
// Unless identifier is empty, it has four bytes, which must follow the root offset.
// Errors contain the path of the field in question.
func (v *Verifier) Verify(b []byte, identifier string, root *Table) (end int, err error) {
	if len(b) < 8 {
		return 0, v.corrupt("%d bytes are too few for a flatbuffer", len(b))
	}
	if got := string(b[4:8]); identifier != "" && got != identifier {
		return 0, v.corrupt("file identifier is %q, want %q", got, identifier)
	}
	v.b, v.end = b, 8
	pos, err := v.follow(0)
	if err != nil {
		return 0, fmt.Errorf("root: %w", err)
	}
	if err := v.table(pos, root, 1); err != nil {
		return 0, fmt.Errorf("%s%w", root.Name, err)
	}
	return v.end, nil
}

func (v *Verifier) corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, v.errors.Corrupt)...)
}

func (v *Verifier) tooLarge(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, v.errors.TooLarge)...)
}

// reach records that [pos, pos+n), which the caller has checked, is part of the
// flatbuffer.
func (v *Verifier) reach(pos, n int) { v.end = max(v.end, pos+n) }

// follow returns the target of the offset at pos, where four bytes exist.
func (v *Verifier) follow(pos int) (int, error) {
	off := binary.LittleEndian.Uint32(v.b[pos:])
	if off == 0 {
		return 0, v.corrupt("offset at byte %d is zero", pos)
	}
	if int64(pos)+int64(off) > int64(len(v.b)-4) {
		return 0, v.corrupt("offset %d at byte %d points beyond the file of %d bytes", off, pos, len(v.b))
	}
	target := pos + int(off)
	if target%4 != 0 {
		// An odd vector header crashed readers: tensorflow#121217.
		return 0, v.corrupt("offset at byte %d points to unaligned byte %d", pos, target)
	}
	return target, nil
}

// table checks the table at pos, which is aligned and has four bytes. Errors
// begin with the path below the table.
func (v *Verifier) table(pos int, t *Table, depth int) error {
	if depth > MaxDepth {
		return v.tooLarge(": tables nest deeper than %d", MaxDepth)
	}
	if v.tables--; v.tables < 0 {
		return v.tooLarge(": more than %d tables", MaxTables)
	}
	vtable, size, err := v.vtable(pos)
	if err != nil {
		return err
	}
	slots := len(vtable)/2 - 2
	member := 0 // number of the member of the union in the next slot
	for slot := range max(slots, len(t.Fields)) {
		off := 0
		if slot < slots {
			off = int(binary.LittleEndian.Uint16(vtable[4+2*slot:]))
		}
		if slot >= len(t.Fields) {
			if off != 0 && v.unknown != nil {
				v.unknown(t, slot)
			}
			continue
		}
		f := &t.Fields[slot]
		if f.Kind == KindUnionType {
			member = 0
		}
		if off == 0 {
			if f.Required {
				return v.corrupt(".%s is missing", f.Name)
			}
			if f.Kind == KindUnion && member != 0 && !v.lenient {
				return v.corrupt(".%s has type %d and no value", f.Name, member)
			}
			continue
		}
		if n := f.InlineSize(); off < 4 || off+n > size || (pos+off)%n != 0 {
			return v.corrupt(".%s has offset %d in a table of %d bytes at byte %d", f.Name, off, size, pos)
		}
		switch f.Kind {
		case KindScalar:
		case KindUnionType:
			member = int(v.b[pos+off])
		default:
			if err := v.field(pos+off, f, member, depth); err != nil {
				return fmt.Errorf(".%s%w", f.Name, err)
			}
		}
	}
	return nil
}

// vtable checks the vtable of the table at pos, and returns it and the size of
// the table.
func (v *Verifier) vtable(pos int) (vtable []byte, size int, err error) {
	vt := int64(pos) - int64(int32(binary.LittleEndian.Uint32(v.b[pos:])))
	if vt < 0 || vt%2 != 0 || vt > int64(len(v.b)-4) {
		return nil, 0, v.corrupt(": invalid vtable at byte %d", vt)
	}
	vtable = v.b[vt:]
	n := int(binary.LittleEndian.Uint16(vtable))
	size = int(binary.LittleEndian.Uint16(vtable[2:]))
	switch {
	case n < 4 || n%2 != 0 || n > len(vtable):
		return nil, 0, v.corrupt(": invalid vtable of %d bytes", n)
	case n > 4+2*MaxSlots:
		return nil, 0, v.tooLarge(": %d fields, more than %d", n/2-2, MaxSlots)
	case size < 4 || size > len(v.b)-pos:
		return nil, 0, v.corrupt(": invalid table of %d bytes at byte %d", size, pos)
	}
	v.reach(int(vt), n)
	v.reach(pos, size)
	return vtable[:n], size, nil
}

// field checks the object that the offset at pos points to. A union holds the
// given member.
func (v *Verifier) field(pos int, f *Field, member, depth int) error {
	t := f.Table
	if f.Kind == KindUnion {
		if member == 0 {
			return v.corrupt(" has a value and no type")
		}
		if member >= len(f.Union) && v.lenient {
			return v.foreign(pos)
		}
		if member >= len(f.Union) {
			return fmt.Errorf(" has unknown type %d: %w", member, v.errors.UnknownMember)
		}
		t = f.Union[member]
	}
	target, err := v.follow(pos)
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	switch f.Kind {
	case KindTable, KindUnion:
		return v.table(target, t, depth+1)
	case KindString:
		return v.text(target, true)
	case KindVector:
		_, err := v.vector(target, f.Size, 0)
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
		if f.Kind == KindTables {
			err = v.table(element, t, depth+1)
		} else {
			err = v.text(element, f.Kind == KindStrings)
		}
		if err != nil {
			return fmt.Errorf("[%d]%w", i, err)
		}
	}
	return nil
}

// foreign checks that the offset at pos points to a table of any type.
func (v *Verifier) foreign(pos int) error {
	target, err := v.follow(pos)
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	if v.tables--; v.tables < 0 {
		return v.tooLarge(": more than %d tables", MaxTables)
	}
	_, _, err = v.vtable(target)
	return err
}

// vector checks the vector at pos, with extra bytes after its elements, and
// returns its length.
func (v *Verifier) vector(pos, size, extra int) (int, error) {
	n := binary.LittleEndian.Uint32(v.b[pos:])
	if total := int64(n)*int64(size) + int64(extra); total > int64(len(v.b)-pos-4) {
		return 0, v.corrupt(": %d elements of %d bytes at byte %d extend beyond the file", n, size, pos)
	}
	total := int(n)*size + extra
	if v.bytes -= total + 4; v.bytes < 0 {
		return 0, v.tooLarge(": vectors that share their bytes are longer than the file allows")
	}
	v.reach(pos, 4+total)
	return int(n), nil
}

// text checks the string at pos.
func (v *Verifier) text(pos int, mustBeUTF8 bool) error {
	n, err := v.vector(pos, 1, 1)
	if err != nil {
		return err
	}
	s := v.b[pos+4 : pos+5+n]
	if s[n] != 0 {
		return v.corrupt(": string at byte %d does not end in NUL", pos)
	}
	if mustBeUTF8 && !utf8.Valid(s[:n]) {
		return v.corrupt(": string at byte %d is not UTF-8", pos)
	}
	return nil
}
