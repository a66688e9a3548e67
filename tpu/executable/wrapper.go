package executable

import (
	"bytes"
	"fmt"
)

// The types of flexbuffer values that a wrapper uses. Source:
// include/flatbuffers/flexbuffers.h of flatbuffers.
const (
	flexInt       = 1
	flexUint      = 2
	flexString    = 5
	flexMap       = 9
	flexVector    = 10
	flexIntVector = 11
)

// maxWrapperKeys is the maximum number of keys in the map around a package.
// Known maps have five keys.
const maxWrapperKeys = 32

// wrapper returns the package in the custom options b, and the list of chips. The wrapper is a
// flexbuffer map with the package at key "4", the chips at "6" and more packages at "7"
// (tflite/custom_op_data.cc of libedgetpu).
func (r *reader) wrapper(b []byte) (pkg []byte, chips []int, err error) {
	f := flex{b: b}
	root := f.root()
	keys := f.keys(root)
	if f.err != nil {
		return nil, nil, f.err
	}
	for i, key := range keys {
		v := f.element(root, i)
		switch key {
		case "1":
			if n, ok := f.integer(v); ok && n != 0 {
				return nil, nil, fmt.Errorf("wrapper version %d: %w", n, ErrUnsupported)
			}
		case "4":
			pkg = f.text(v)
		case "5": // a preference that libedgetpu does not use
		case "6":
			for j := range f.length(v) {
				n, ok := f.integer(f.element(v, j))
				if !ok {
					return nil, nil, corrupt("chip ID is not a number")
				}
				chips = append(chips, int(n))
			}
		case "7":
			if n := f.length(v); n > 0 {
				return nil, nil, fmt.Errorf("%d packages for several chips: %w", n+1, ErrUnsupported)
			}
		default:
			r.ignore(fmt.Sprintf("key %.20q of the wrapper", key))
		}
		if f.err != nil {
			return nil, nil, fmt.Errorf("key %q: %w", key, f.err)
		}
	}
	if pkg == nil {
		return nil, nil, corrupt("no package in the custom options")
	}
	return pkg, chips, nil
}

// A flex reads a flexbuffer and checks each access. It keeps the first error; later reads
// return zero.
type flex struct {
	b   []byte
	err error
}

// A flexValue is a slot, which holds a number or the offset of its content.
type flexValue struct {
	pos, width int // bytes
	kind       int
	child      int // width in bytes of the content's elements
}

func (f *flex) fail(format string, args ...any) {
	if f.err == nil {
		f.err = corrupt(format, args...)
	}
}

// number reads an unsigned number of width bytes at pos.
func (f *flex) number(pos, width int) uint64 {
	if f.err != nil {
		return 0
	}
	if pos < 0 || pos > len(f.b)-width {
		f.fail("flexbuffer of %d bytes refers to byte %d", len(f.b), pos)
		return 0
	}
	var n uint64
	for i := width - 1; i >= 0; i-- {
		n = n<<8 | uint64(f.b[pos+i])
	}
	return n
}

func (f *flex) value(pos, width int, packed uint64) flexValue {
	return flexValue{pos: pos, width: width, kind: int(packed >> 2), child: 1 << (packed & 3)}
}

func (f *flex) root() flexValue {
	n := len(f.b)
	width := int(f.number(n-1, 1))
	switch width {
	case 1, 2, 4, 8:
	default:
		f.fail("not a flexbuffer: root of %d bytes", width)
		return flexValue{}
	}
	return f.value(n-2-width, width, f.number(n-2, 1))
}

// target follows the offset at pos, which points backwards.
func (f *flex) target(pos, width int) int {
	off := f.number(pos, width)
	if f.err == nil && (off == 0 || off > uint64(pos)) {
		f.fail("flexbuffer offset %d at byte %d", off, pos)
	}
	if f.err != nil {
		return 0
	}
	return pos - int(off)
}

// length returns the number of elements of a map, vector or string.
func (f *flex) length(v flexValue) int {
	size := v.child
	switch v.kind {
	case flexMap, flexVector, flexIntVector:
	case flexString: // its child width is the width of its length field
		size = 1
	default:
		f.fail("flexbuffer value of type %d, want a list", v.kind)
		return 0
	}
	at := f.target(v.pos, v.width)
	n := f.number(at-v.child, v.child)
	if n > uint64(len(f.b)-at)/uint64(size) {
		f.fail("flexbuffer list of %d elements at byte %d", n, at)
		return 0
	}
	return int(n)
}

// element returns element i of a map or vector. i must be less than its length.
func (f *flex) element(v flexValue, i int) flexValue {
	at := f.target(v.pos, v.width)
	packed := uint64(flexInt << 2)
	if v.kind != flexIntVector {
		packed = f.number(at+f.length(v)*v.child+i, 1)
	}
	return f.value(at+i*v.child, v.child, packed)
}

// keys returns the keys of a map.
func (f *flex) keys(v flexValue) []string {
	if f.err == nil && v.kind != flexMap {
		f.fail("custom options are a flexbuffer of type %d, want a map", v.kind)
	}
	n := f.length(v)
	if n > maxWrapperKeys {
		f.fail("map of %d keys", n)
	}
	if f.err != nil {
		return nil
	}
	at := f.target(v.pos, v.width)
	list := f.target(at-3*v.child, v.child)
	width := f.number(at-2*v.child, v.child)
	if f.err == nil && (width > 8 || width&(width-1) != 0 || width == 0 || f.number(list-int(width), int(width)) != uint64(n)) {
		f.fail("map has %d values but a different number of keys", n)
	}
	keys := make([]string, 0, n)
	for i := range n {
		p := f.target(list+i*int(width), int(width))
		if f.err != nil {
			return nil
		}
		end := bytes.IndexByte(f.b[p:], 0)
		if end < 0 {
			f.fail("key at byte %d has no NUL", p)
			return nil
		}
		keys = append(keys, string(f.b[p:p+end]))
	}
	return keys
}

// integer reads a number stored in its slot. If v is not a number, it returns
// false.
func (f *flex) integer(v flexValue) (int64, bool) {
	if v.kind != flexInt && v.kind != flexUint {
		return 0, false
	}
	n := f.number(v.pos, v.width)
	shift := 64 - 8*v.width
	if v.kind == flexInt {
		return int64(n<<shift) >> shift, f.err == nil
	}
	return int64(n), f.err == nil
}

// text returns the bytes of a string.
func (f *flex) text(v flexValue) []byte {
	if v.kind != flexString {
		f.fail("flexbuffer value of type %d, want a string", v.kind)
		return nil
	}
	n := f.length(v)
	at := f.target(v.pos, v.width)
	if f.err != nil {
		return nil
	}
	return f.b[at : at+n : at+n]
}
