package flatbuf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

var (
	errCorrupt = errors.New("corrupt")
	errLarge   = errors.New("too large")
	errMember  = errors.New("unknown member")
	kinds      = Errors{Corrupt: errCorrupt, TooLarge: errLarge, UnknownMember: errMember}
)

const (
	slotNumber = iota
	slotWide
	slotVector
	slotText
	slotTexts
	slotBlobs
	slotChild
	slotChildren
	slotMember
	slotUnion
)

var (
	childTable = &Table{Name: "Child", Fields: []Field{Scalar("id", 1)}}
	rootTable  = &Table{Name: "Root", Fields: []Field{
		Scalar("number", 4), Scalar("wide", 8).Must(), Vector("vector", 2), String("text"), Strings("texts"), Blobs("blobs"),
		One("child", childTable), Many("children", childTable), UnionType("member"), Union("union", []*Table{nil, childTable}),
	}}
)

// A builder writes a flatbuffer front to back.
type builder []byte

// table appends a table whose fields have the given sizes, 0 if absent, and returns the
// positions of the table and its fields.
func (b *builder) table(sizes ...int) (pos int, slots []int) {
	b.align(8)
	vtable := len(*b)
	*b = append(*b, make([]byte, 4+2*len(sizes))...)
	b.align(8)
	pos = len(*b)
	*b = binary.LittleEndian.AppendUint32(*b, uint32(pos-vtable))
	for i, n := range sizes {
		if n == 0 {
			slots = append(slots, 0)
			continue
		}
		b.align(n)
		slots = append(slots, len(*b))
		binary.LittleEndian.PutUint16((*b)[vtable+4+2*i:], uint16(len(*b)-pos))
		*b = append(*b, make([]byte, n)...)
	}
	binary.LittleEndian.PutUint16((*b)[vtable:], uint16(4+2*len(sizes)))
	binary.LittleEndian.PutUint16((*b)[vtable+2:], uint16(len(*b)-pos))
	return pos, slots
}

func (b *builder) align(n int) {
	for len(*b)%n != 0 {
		*b = append(*b, 0)
	}
}

func (b builder) refer(at, target int) { binary.LittleEndian.PutUint32(b[at:], uint32(target-at)) }

// vector appends a vector of n elements, makes the offset at the given position refer to
// it, and returns the position of the first element.
func (b *builder) vector(at, n int, content string) (first int) {
	b.align(4)
	b.refer(at, len(*b))
	*b = binary.LittleEndian.AppendUint32(*b, uint32(n))
	*b = append(*b, content...)
	return len(*b) - len(content)
}

func (b *builder) child(at int, id byte) {
	pos, slots := b.table(1)
	(*b)[slots[0]] = id
	b.refer(at, pos)
}

// sample returns a flatbuffer with a value in every slot, the positions of the slots, and
// those of the offsets of the first text and the first blob.
func sample() (file []byte, slots []int, text, blob int) {
	b := builder("\x00\x00\x00\x00TEST")
	pos, slots := b.table(4, 8, 4, 4, 4, 4, 4, 4, 1, 4)
	b.refer(0, pos)
	b[slots[slotNumber]] = 7
	b[slots[slotWide]+7] = 1
	b[slots[slotMember]] = 1
	b.vector(slots[slotVector], 3, "\x01\x00\x02\x00\x03\x00")
	b.vector(slots[slotText], 2, "é\x00")
	text = b.vector(slots[slotTexts], 2, strings.Repeat("\x00", 8))
	b.vector(text, 1, "a\x00")
	b.vector(text+4, 2, "bc\x00")
	blob = b.vector(slots[slotBlobs], 1, strings.Repeat("\x00", 4))
	b.vector(blob, 2, "\xff\x00\x00")
	b.child(slots[slotChild], 11)
	children := b.vector(slots[slotChildren], 2, strings.Repeat("\x00", 8))
	b.child(children, 12)
	b.child(children+4, 13)
	b.child(slots[slotUnion], 14)
	return b, slots, text, blob
}

func verify(b []byte) (int, error) {
	return NewVerifier(2*len(b)+64, kinds, nil).Verify(b, "TEST", rootTable)
}

func TestView(t *testing.T) {
	b, slots, _, _ := sample()
	if end, err := verify(b); err != nil || end != len(b) {
		t.Fatalf("Verify returned end %d and error %v, want end %d", end, err, len(b))
	}
	v := Root(b, rootTable)
	id := func(v View) int { return int(v.Scalar(0, 0)) }
	child, _ := v.Table(slotChild)
	member, _ := v.Table(slotUnion)
	got := []any{v.Scalar(slotNumber, 9), v.Scalar(slotWide, 9), v.Inline(slotNumber), Int32s(v.Inline(slotNumber)), v.Raw(slotVector),
		v.Text(slotText), v.Strings(slotTexts), v.Blobs(slotBlobs), id(child), Each(v, slotChildren, id), id(member)}
	want := []any{uint64(7), uint64(1 << 56), []byte{7, 0, 0, 0}, []int32{7}, []byte("\x01\x00\x02\x00\x03\x00"),
		"é", []string{"a", "bc"}, [][]byte{{0xff, 0}}, 11, []int{12, 13}, 14}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if v.At(slotNumber) != slots[slotNumber] || v.Type() != rootTable {
		t.Errorf("got position %d, type %s", v.At(slotNumber), v.Type().Name)
	}
}

// TestViewOfAbsentSlots checks that absent slots read as empty, even if the vtable ends
// before them.
func TestViewOfAbsentSlots(t *testing.T) {
	for n := 2; n <= len(rootTable.Fields); n++ {
		b := builder("\x00\x00\x00\x00TEST")
		sizes := make([]int, n)
		sizes[slotWide] = 8 // required
		pos, _ := b.table(sizes...)
		b.refer(0, pos)
		if _, err := verify(b); err != nil {
			t.Fatal(err)
		}
		v := Root(b, rootTable)
		_, child := v.Table(slotChild)
		_, member := v.Table(slotUnion)
		if v.Scalar(slotNumber, 9) != 9 || v.Inline(slotNumber) != nil || v.Raw(slotVector) != nil || v.Text(slotText) != "" ||
			v.Strings(slotTexts) != nil || v.Blobs(slotBlobs) != nil || child || member ||
			Each(v, slotChildren, func(v View) View { return v }) != nil {
			t.Errorf("a table of %d slots does not read as empty", n)
		}
	}
	if Int32s(nil) != nil || Int64s(nil) != nil || Float32s(nil) != nil {
		t.Error("the decoders do not return nil for nil")
	}
}

func TestVerifyRefuses(t *testing.T) {
	put := func(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
	for _, test := range []struct {
		name   string
		change func(b []byte, slots []int, text, blob int) []byte
		kind   error
		word   string
	}{
		{"empty", func(b []byte, _ []int, _, _ int) []byte { return nil }, errCorrupt, "too few"},
		{"identifier", func(b []byte, _ []int, _, _ int) []byte { b[4] = 'X'; return b }, errCorrupt, "identifier"},
		{"root", func(b []byte, _ []int, _, _ int) []byte { put(b, 0, 0); return b }, errCorrupt, "root: offset"},
		{"required", func(b []byte, s []int, _, _ int) []byte { b[14], b[15] = 0, 0; return b }, errCorrupt, "Root.wide is missing"},
		{"outside the table", func(b []byte, s []int, _, _ int) []byte { b[12], b[13] = 0, 1; return b }, errCorrupt, "Root.number has offset 256"},
		{"unaligned field", func(b []byte, s []int, _, _ int) []byte { b[12]++; return b }, errCorrupt, "Root.number has offset"},
		{"offset", func(b []byte, s []int, _, _ int) []byte { put(b, s[slotText], 1<<31); return b }, errCorrupt, "Root.text: offset"},
		{"unaligned offset", func(b []byte, s []int, _, _ int) []byte { b[s[slotText]]++; return b }, errCorrupt, "unaligned"},
		{"long vector", func(b []byte, s []int, _, _ int) []byte {
			put(b, s[slotVector]+int(b[s[slotVector]]), 1<<31)
			return b
		}, errCorrupt, "Root.vector: 2147483648 elements"},
		{"text", func(b []byte, s []int, _, _ int) []byte {
			b[s[slotText]+int(b[s[slotText]])+4] = 0xff
			return b
		}, errCorrupt, "Root.text: string at byte"},
		{"no NUL", func(b []byte, _ []int, text, _ int) []byte { b[text+int(b[text])+5] = 1; return b }, errCorrupt, "Root.texts[0]: string"},
		{"blob without NUL", func(b []byte, _ []int, _, blob int) []byte { b[blob+int(b[blob])+6] = 1; return b }, errCorrupt, "Root.blobs[0]: string"},
		{"no member", func(b []byte, s []int, _, _ int) []byte { b[s[slotMember]] = 0; return b }, errCorrupt, "Root.union has a value and no type"},
		{"unknown member", func(b []byte, s []int, _, _ int) []byte { b[s[slotMember]] = 2; return b }, errMember, "Root.union has unknown type 2"},
		{"member without value", func(b []byte, _ []int, _, _ int) []byte {
			b[12+2*slotUnion], b[13+2*slotUnion] = 0, 0
			return b
		}, errCorrupt, "Root.union has type 1 and no value"},
		{"many fields", func(b []byte, _ []int, _, _ int) []byte {
			b = append(b, make([]byte, 256)...)
			binary.LittleEndian.PutUint16(b[8:], 4+2*MaxSlots+2)
			return b
		}, errLarge, "65 fields"},
	} {
		b, slots, text, blob := sample()
		_, err := verify(test.change(b, slots, text, blob))
		if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.word) {
			t.Errorf("%s: got %v, want %v with %q", test.name, err, test.kind, test.word)
		}
	}
}

// TestVerifyLimits checks that the limits apply to all buffers together that one Verifier
// checks.
func TestVerifyLimits(t *testing.T) {
	b, _, _, _ := sample()
	v := NewVerifier(1<<30, kinds, nil)
	var err error
	n := 0
	for ; err == nil; n++ {
		_, err = v.Verify(b, "", rootTable)
	}
	if !errors.Is(err, errLarge) || n != MaxTables/5+1 { // 5 tables each
		t.Errorf("buffer %d: %v", n, err)
	}
	v = NewVerifier(len(b), kinds, nil)
	for n = 0; n == 0 || err == nil; n++ {
		_, err = v.Verify(b, "", rootTable)
	}
	if !errors.Is(err, errLarge) || n > 4 {
		t.Errorf("buffer %d: %v", n, err)
	}

	nested := &Table{Name: "Nested", Fields: make([]Field, 1)}
	nested.Fields[0] = One("inner", nested)
	deep := builder(make([]byte, 8))
	at := 0
	for range MaxDepth + 1 {
		pos, slots := deep.table(4)
		deep.refer(at, pos)
		at = slots[0]
	}
	deep.vector(at, 0, "")
	if _, err := NewVerifier(1000, kinds, nil).Verify(deep, "", nested); !errors.Is(err, errLarge) {
		t.Errorf("%d nested tables: %v", MaxDepth+1, err)
	}
}

func TestVerifyReportsUnknownSlots(t *testing.T) {
	b, _, _, _ := sample()
	var got []string
	short := &Table{Name: "Root", Fields: rootTable.Fields[:slotBlobs]}
	_, err := NewVerifier(1000, kinds, func(t *Table, slot int) {
		got = append(got, fmt.Sprint(t.Name, slot))
	}).Verify(b, "TEST", short)
	if want := []string{"Root5", "Root6", "Root7", "Root8", "Root9"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// read visits everything in a verified buffer.
func read(v View) {
	v.Text(slotText)
	v.Strings(slotTexts)
	v.Blobs(slotBlobs)
	Int32s(v.Raw(slotVector))
	for slot := range v.Type().Fields {
		if v.At(slot) == 0 {
			continue
		}
		switch v.Type().Fields[slot].Kind {
		case KindScalar, KindUnionType:
			v.Scalar(slot, 0)
		case KindTable, KindUnion:
			child, _ := v.Table(slot)
			child.Scalar(0, 0)
		case KindTables:
			Each(v, slot, func(v View) uint64 { return v.Scalar(0, 0) })
		}
	}
}

func FuzzVerify(f *testing.F) {
	b, _, _, _ := sample()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if end, err := verify(b); err == nil {
			if end > len(b) {
				t.Fatalf("the last object ends at byte %d of %d", end, len(b))
			}
			read(Root(b, rootTable))
		} else if !errors.Is(err, errCorrupt) && !errors.Is(err, errLarge) && !errors.Is(err, errMember) {
			t.Fatalf("unclassified error: %v", err)
		}
	})
}

// TestDamaged checks that every prefix and every file with a changed byte is refused or
// can be read.
func TestDamaged(t *testing.T) {
	whole, _, _, _ := sample()
	try := func(b []byte) {
		if _, err := verify(b); err == nil {
			read(Root(b, rootTable))
		}
	}
	for i := range whole {
		try(whole[:i:i])
		for v := range 256 {
			b := bytes.Clone(whole)
			b[i] = byte(v)
			try(b)
		}
	}
}
