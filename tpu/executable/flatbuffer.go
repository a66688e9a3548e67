package executable

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

const (
	// maxTables bounds the tables of one package, counting a table that several
	// offsets point at as often as it is reached. The largest known package has
	// some hundred.
	maxTables = 1 << 16
	// maxSlots bounds the fields of a table; the schema's longest has 17.
	maxSlots = 64
	// maxName bounds strings that are text, in bytes.
	maxName = 1024
	// maxIgnored bounds Package.Ignored.
	maxIgnored = 32
)

// limits is what may still be read of a package and its nested flatbuffers.
type limits struct {
	tables, bytes int
	ignored       []string
}

// A schema is a table's name and its fields by slot.
type schema struct {
	name   string
	fields []string
}

// A table reads one table of a flatbuffer and checks every offset as it
// follows it. The first error is kept in *err, after which everything reads as
// absent.
type table struct {
	schema *schema
	b      []byte
	pos    int
	size   int
	vtable []byte
	limits *limits
	err    *error
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrCorrupt)...)
}

// rootTable reads the flatbuffer b, which begins with the identifier unless
// that is empty.
func rootTable(b []byte, identifier string, s *schema, l *limits, err *error) table {
	t := table{schema: s, b: b, limits: l, err: err}
	switch {
	case len(b) < 8:
		t.fail("%d bytes are too few for a flatbuffer", len(b))
	case identifier != "" && string(b[4:8]) != identifier:
		t.fail("identifier %q, want %q", b[4:8], identifier)
	default:
		return t.open(t.follow(0), s)
	}
	return t
}

func (t table) fail(format string, args ...any) {
	if *t.err == nil {
		*t.err = fmt.Errorf("%s: %w", t.schema.name, corrupt(format, args...))
	}
}

func (t table) tooLarge(format string, args ...any) {
	if *t.err == nil {
		*t.err = fmt.Errorf("%s: "+format+": %w", append(append([]any{t.schema.name}, args...), ErrTooLarge)...)
	}
}

// follow returns the target of the offset at pos, where four bytes exist; 0
// after an error.
func (t table) follow(pos int) int {
	off := int64(binary.LittleEndian.Uint32(t.b[pos:]))
	target := int64(pos) + off
	switch {
	case off == 0:
		t.fail("offset at byte %d is zero", pos)
	case target > int64(len(t.b)-4):
		t.fail("offset %d at byte %d leaves the %d bytes", off, pos, len(t.b))
	case target%4 != 0:
		t.fail("offset at byte %d points to unaligned byte %d", pos, target)
	default:
		return int(target)
	}
	return 0
}

// open checks the table at pos; an empty one after an error.
func (t table) open(pos int, s *schema) table {
	sub := table{schema: s, b: t.b, pos: pos, limits: t.limits, err: t.err}
	if *t.err != nil {
		return sub
	}
	if t.limits.tables--; t.limits.tables < 0 {
		sub.tooLarge("more than %d tables", maxTables)
		return sub
	}
	vt := int64(pos) - int64(int32(binary.LittleEndian.Uint32(t.b[pos:])))
	if vt < 0 || vt%2 != 0 || vt > int64(len(t.b)-4) {
		sub.fail("vtable at byte %d", vt)
		return sub
	}
	vtable := t.b[vt:]
	vsize, size := int(binary.LittleEndian.Uint16(vtable)), int(binary.LittleEndian.Uint16(vtable[2:]))
	switch {
	case vsize < 4 || vsize%2 != 0 || vsize > len(vtable):
		sub.fail("vtable of %d bytes", vsize)
		return sub
	case vsize > 4+2*maxSlots:
		sub.tooLarge("%d fields", vsize/2-2)
		return sub
	case size < 4 || size > len(t.b)-pos:
		sub.fail("table of %d bytes at byte %d", size, pos)
		return sub
	}
	sub.vtable, sub.size = vtable[:vsize], size
	for slot := len(s.fields); slot < vsize/2-2; slot++ {
		if binary.LittleEndian.Uint16(sub.vtable[4+2*slot:]) != 0 {
			t.limits.ignore(fmt.Sprintf("field %d of %s", slot, s.name))
		}
	}
	return sub
}

func (l *limits) ignore(what string) {
	if len(l.ignored) < maxIgnored && !slices.Contains(l.ignored, what) {
		l.ignored = append(l.ignored, what)
	}
}

// at returns the position of a field's inline bytes, 0 when it is absent.
func (t table) at(field string, size int) int {
	i := 4 + 2*slices.Index(t.schema.fields, field)
	if *t.err != nil || i >= len(t.vtable) {
		return 0
	}
	off := int(binary.LittleEndian.Uint16(t.vtable[i:]))
	if off == 0 {
		return 0
	}
	if off < 4 || off+size > t.size || (t.pos+off)%size != 0 {
		t.fail("%s at offset %d of a table of %d bytes at byte %d", field, off, t.size, t.pos)
		return 0
	}
	return t.pos + off
}

// scalar is the memory of a scalar of size bytes, nil when it is absent.
func (t table) scalar(field string, size int) []byte {
	if p := t.at(field, size); p != 0 {
		return t.b[p : p+size : p+size]
	}
	return nil
}

// number returns a scalar's bits, or def when it is absent.
func (t table) number(field string, size int, def uint64) uint64 {
	p := t.at(field, size)
	if p == 0 {
		return def
	}
	switch size {
	case 1:
		return uint64(t.b[p])
	case 2:
		return uint64(binary.LittleEndian.Uint16(t.b[p:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(t.b[p:]))
	}
	return binary.LittleEndian.Uint64(t.b[p:])
}

func (t table) int32(field string, def int32) int {
	return int(int32(t.number(field, 4, uint64(uint32(def)))))
}

func (t table) flag(field string) bool { return t.number(field, 1, 0) != 0 }

func (t table) float32(field string) float32 {
	return math.Float32frombits(uint32(t.number(field, 4, 0)))
}

// vectorAt returns the elements of size bytes of the vector at p, and as many
// extra bytes.
func (t table) vectorAt(p, size, extra int) []byte {
	if *t.err != nil {
		return nil
	}
	n := binary.LittleEndian.Uint32(t.b[p:])
	total := int64(n)*int64(size) + int64(extra)
	if total > int64(len(t.b)-p-4) {
		t.fail("%d elements of %d bytes at byte %d leave the %d bytes", n, size, p, len(t.b))
		return nil
	}
	if t.limits.bytes -= int(total) + 4; t.limits.bytes < 0 {
		t.tooLarge("vectors that share their bytes")
		return nil
	}
	return t.b[p+4 : p+4+int(total) : p+4+int(total)]
}

// vector returns the elements of a vector of scalars, nil when it is absent.
func (t table) vector(field string, size int) []byte {
	p := t.at(field, 4)
	if p == 0 {
		return nil
	}
	return t.vectorAt(t.follow(p), size, 0)
}

func (t table) int32s(field string) []int32 {
	raw := t.vector(field, 4)
	if raw == nil {
		return nil
	}
	list := make([]int32, len(raw)/4)
	for i := range list {
		list[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return list
}

// byteString returns the string at p without the NUL behind it.
func (t table) byteString(p int) []byte {
	raw := t.vectorAt(p, 1, 1)
	if len(raw) == 0 {
		return nil
	}
	n := len(raw) - 1
	if raw[n] != 0 {
		t.fail("string at byte %d does not end in NUL", p)
		return nil
	}
	return raw[:n:n]
}

func (t table) text(field string) string {
	p := t.at(field, 4)
	if p == 0 {
		return ""
	}
	s := t.byteString(t.follow(p))
	if len(s) > maxName {
		t.tooLarge("%s of %d bytes", field, len(s))
		return ""
	}
	if !utf8.Valid(s) {
		t.fail("%s is not UTF-8", field)
		return ""
	}
	return string(s)
}

// offsets returns where the elements of a vector of offsets are.
func (t table) offsets(field string) []int {
	p := t.at(field, 4)
	if p == 0 {
		return nil
	}
	p = t.follow(p)
	raw := t.vectorAt(p, 4, 0)
	list := make([]int, len(raw)/4)
	for i := range list {
		list[i] = t.follow(p + 4 + 4*i)
	}
	return list
}

// byteStrings returns a vector of strings that hold any bytes.
func (t table) byteStrings(field string) [][]byte {
	var list [][]byte
	for _, p := range t.offsets(field) {
		list = append(list, t.byteString(p))
	}
	return list
}

// table returns a sub table, or the member of a union; false when it is absent.
func (t table) table(field string, s *schema) (table, bool) {
	p := t.at(field, 4)
	if p == 0 {
		return table{}, false
	}
	sub := t.open(t.follow(p), s)
	return sub, *t.err == nil
}

// each reads a vector of tables with read; nil when it is absent.
func each[T any](t table, field string, s *schema, read func(table) T) []T {
	var list []T
	for i, p := range t.offsets(field) {
		list = append(list, read(t.open(p, s)))
		if *t.err != nil {
			*t.err = fmt.Errorf("%s[%d]: %w", field, i, *t.err)
			return nil
		}
	}
	return list
}
