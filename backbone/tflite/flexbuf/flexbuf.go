// Package flexbuf reads and changes FlexBuffers maps of numbers, the format of the options of custom operators
// in TensorFlow Lite models. Start with [Parse].
//
// The format is described in "FlexBuffers" of the FlatBuffers documentation (flexbuffers.h in
// google/flatbuffers): values without a schema, written from the leaves to the root, so that every
// offset points backwards.
package flexbuf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var (
	// ErrCorrupt means that a buffer breaks the format.
	ErrCorrupt = errors.New("corrupt flexbuffer")
	// ErrType means that a value has another type than the one asked for, or does not fit it.
	ErrType = errors.New("unexpected type in flexbuffer")
)

// The maximum number of keys in a map and the maximum length of a key. Custom operators have about
// ten options with names of up to 50 bytes.
const (
	maxKeys      = 1024
	maxKeyLength = 255
)

// The types of values that a Map can return. The low two bits of a packed type are the logarithm of
// a width in bytes, and the upper six are the type.
const (
	typeNull           = 0
	typeInt            = 1
	typeUint           = 2
	typeFloat          = 3
	typeIndirectInt    = 6
	typeIndirectUint   = 7
	typeIndirectFloat  = 8
	typeMap            = 9
	typeBool           = 26
	firstIndirect      = typeIndirectInt
	lastIndirect       = typeIndirectFloat
	indirectDifference = typeIndirectInt - typeInt
)

// A Map holds the keys and numbers of a FlexBuffers map. Looking up a missing key returns zero.
type Map struct{ values map[string]value }

// A value is a number as it lies in the buffer, sign-extended to 64 bits.
type value struct {
	kind      byte
	bits      uint64
	float     float64
	at, width int // in the buffer
}

// Parse reads a buffer whose root is a map. It keeps nothing of b. Strings, vectors and maps inside
// the map are ignored until they are looked up. The error wraps ErrCorrupt.
func Parse(b []byte) (*Map, error) {
	if len(b) < 3 {
		return nil, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(b))
	}
	width, packed := int(b[len(b)-1]), b[len(b)-2]
	if packed>>2 != typeMap {
		return nil, fmt.Errorf("%w: the root has type %d, not a map", ErrCorrupt, packed>>2)
	}
	r := reader{b}
	at, err := r.indirect(len(b)-2-width, width)
	if err != nil {
		return nil, err
	}
	return r.readMap(at, 1<<(packed&3))
}

// Has reports whether the map has a value for the key other than null.
func (m *Map) Has(key string) bool { return m.values[key].kind != typeNull }

// Int returns the value of an integer, which must fit an int32. It truncates floats, as TensorFlow
// Lite does.
func (m *Map) Int(key string) (int, error) {
	v, err := m.Float(key)
	if err == nil && !(v > math.MinInt32-1 && v < math.MaxInt32+1) {
		err = fmt.Errorf("%w: %s is %v, not an int32", ErrType, key, v)
	}
	if err != nil {
		return 0, err
	}
	return int(v), nil
}

// Set returns a copy of a buffer whose root is a map, with another value for a key. The value has the
// type and width that the old one has. The error wraps ErrCorrupt, or ErrType if the map has no number
// for the key, or one that is too narrow.
func Set(b []byte, key string, x float64) ([]byte, error) {
	m, err := Parse(b)
	if err != nil {
		return nil, err
	}
	v := m.values[key]
	var bits uint64
	switch {
	case v.kind == typeFloat && v.width == 4:
		bits = uint64(math.Float32bits(float32(x)))
	case v.kind == typeFloat:
		bits = math.Float64bits(x)
	case v.kind != typeInt && v.kind != typeUint || x != math.Trunc(x) || x < 0 || x >= float64(uint64(1)<<min(8*v.width-1, 62)):
		return nil, fmt.Errorf("%w: %s of type %d and %d bytes cannot be %v", ErrType, key, v.kind, v.width, x)
	default:
		bits = uint64(x)
	}
	b = bytes.Clone(b)
	for i := range v.width {
		b[v.at+i] = byte(bits >> (8 * i))
	}
	return b, nil
}

// Float returns the value of a number.
func (m *Map) Float(key string) (float64, error) {
	switch v := m.values[key]; v.kind {
	case typeNull:
		return 0, nil
	case typeInt:
		return float64(int64(v.bits)), nil
	case typeUint, typeBool:
		return float64(v.bits), nil
	case typeFloat:
		return v.float, nil
	default:
		return 0, fmt.Errorf("%w: %s has type %d, want a number", ErrType, key, v.kind)
	}
}

// Bool reports whether the value of a boolean or a number differs from zero.
func (m *Map) Bool(key string) (bool, error) {
	v, err := m.Float(key)
	return v != 0, err
}

// A reader reads from a buffer. Its methods check every position.
type reader struct{ b []byte }

// readMap reads the map with elements of the given width at a position. Before its elements are
// the offset of its keys, the width of the keys and the number of elements; after them are their
// packed types, one byte each.
func (r reader) readMap(at, width int) (*Map, error) {
	n, err := r.uint(at-width, width)
	if err != nil {
		return nil, err
	}
	if n > maxKeys {
		return nil, fmt.Errorf("%w: a map of %d keys", ErrCorrupt, n)
	}
	keys, err := r.indirect(at-3*width, width)
	if err != nil {
		return nil, err
	}
	keyWidth, err := r.uint(at-2*width, width)
	if err != nil {
		return nil, err
	}
	m := &Map{values: make(map[string]value, n)}
	for i := range int(n) {
		key, err := r.key(keys, i, keyWidth)
		if err != nil {
			return nil, err
		}
		packed, err := r.uint(at+int(n)*width+i, 1)
		if err != nil {
			return nil, err
		}
		if m.values[key], err = r.value(at+i*width, width, byte(packed)); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return m, nil
}

// key reads key i of the vector of keys at a position. Keys end in a zero byte.
func (r reader) key(keys, i int, width uint64) (string, error) {
	if width > 8 {
		return "", fmt.Errorf("%w: keys of width %d", ErrCorrupt, width)
	}
	at, err := r.indirect(keys+i*int(width), int(width))
	if err != nil {
		return "", err
	}
	text := r.b[at:min(at+maxKeyLength+1, len(r.b))]
	end := bytes.IndexByte(text, 0)
	if end < 0 {
		return "", fmt.Errorf("%w: key %d has no end", ErrCorrupt, i)
	}
	return string(text[:end]), nil
}

// value reads an element of a map.
func (r reader) value(at, width int, packed byte) (value, error) {
	v := value{kind: packed >> 2}
	if firstIndirect <= v.kind && v.kind <= lastIndirect {
		target, err := r.indirect(at, width)
		if err != nil {
			return v, err
		}
		at, width, v.kind = target, 1<<(packed&3), v.kind-indirectDifference
	}
	bits, err := r.uint(at, width)
	if err != nil {
		return v, err
	}
	v.bits, v.at, v.width = bits, at, width
	switch {
	case v.kind == typeInt:
		shift := 64 - 8*width
		v.bits = uint64(int64(bits<<shift) >> shift)
	case v.kind == typeFloat && width == 4:
		v.float = float64(math.Float32frombits(uint32(bits)))
	case v.kind == typeFloat && width == 8:
		v.float = math.Float64frombits(bits)
	case v.kind == typeFloat:
		return v, fmt.Errorf("%w: a float of %d bytes", ErrCorrupt, width)
	}
	return v, nil
}

// indirect follows the offset at a position.
func (r reader) indirect(at, width int) (int, error) {
	offset, err := r.uint(at, width)
	if err != nil {
		return 0, err
	}
	if offset > uint64(at) {
		return 0, fmt.Errorf("%w: an offset of %d at byte %d", ErrCorrupt, offset, at)
	}
	return at - int(offset), nil
}

// uint reads the unsigned integer of the given width at a position.
func (r reader) uint(at, width int) (uint64, error) {
	if at < 0 || at > len(r.b)-width {
		return 0, fmt.Errorf("%w: %d bytes at byte %d of %d", ErrCorrupt, width, at, len(r.b))
	}
	switch b := r.b[at:]; width {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), nil
	case 8:
		return binary.LittleEndian.Uint64(b), nil
	}
	return 0, fmt.Errorf("%w: a width of %d bytes", ErrCorrupt, width)
}
