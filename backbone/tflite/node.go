package tflite

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// A node is a table in memory, to be written to a file.
type node struct {
	t *tableType
	// v has a value for each slot, or nil if the slot is absent. A value is a uint64 for
	// the bits of a scalar or the type of a union, a []byte for the elements of a vector,
	// a string, a []string, a *node, a []*node or a foreign.
	v []any
}

// foreign is a table whose type is not known. It is kept byte for byte: a writer appends
// the whole flatbuffer that contains the table, and points into it.
type foreign struct {
	flatbuffer []byte
	at         int
}

func newNode(t *tableType) *node { return &node{t, make([]any, len(t.Fields))} }

// readNode reads the slots of a table, except for the given ones. If the call excludes
// any slots and no others are present, it returns nil.
func readNode(v view, except ...int) *node {
	n := newNode(v.Type())
	empty := true
	for slot := range v.Type().Fields {
		if v.At(slot) == 0 || slices.Contains(except, slot) {
			continue
		}
		f := &v.Type().Fields[slot]
		// An explicit zero can be dropped: it is the default of all these fields.
		if f.Kind == flatbuf.KindUnionType || f.Kind == flatbuf.KindScalar && except != nil {
			if v.Scalar(slot, 0) == 0 {
				continue
			}
		}
		empty = false
		switch f.Kind {
		case flatbuf.KindScalar, flatbuf.KindUnionType:
			n.v[slot] = v.Scalar(slot, 0)
		case flatbuf.KindVector:
			n.v[slot] = v.Raw(slot)
		case flatbuf.KindString:
			n.v[slot] = v.Text(slot)
		case flatbuf.KindStrings:
			n.v[slot] = v.Strings(slot)
		case flatbuf.KindTable, flatbuf.KindUnion:
			if f.Kind == flatbuf.KindUnion {
				if _, known := v.Member(slot); !known {
					n.v[slot] = foreign{v.Buffer(), v.Target(slot)}
					continue
				}
			}
			sub, _ := v.Table(slot)
			n.v[slot] = readNode(sub)
		case flatbuf.KindTables:
			n.v[slot] = flatbuf.Each(v, slot, func(v view) *node { return readNode(v) })
		}
	}
	if empty && except != nil {
		return nil
	}
	return n
}

// copyInto copies the slots of n, which may be nil, into m.
func (n *node) copyInto(m *node) {
	if n == nil {
		return
	}
	for slot, v := range n.v {
		if v != nil {
			m.v[slot] = v
		}
	}
}

// get returns the bits of a scalar, or def if it or n is absent.
func (n *node) get(slot int, def uint64) uint64 {
	if n == nil || slot >= len(n.v) {
		return def
	}
	if x, ok := n.v[slot].(uint64); ok {
		return x
	}
	return def
}

// vector returns the elements of a vector of scalars, or nil if it is absent.
func (n *node) vector(slot int) []byte {
	if n == nil {
		return nil
	}
	raw, _ := n.v[slot].([]byte)
	return raw
}

func (n *node) text(slot int) string {
	if n == nil {
		return ""
	}
	s, _ := n.v[slot].(string)
	return s
}

func (n *node) tables(slot int) []*node {
	if n == nil {
		return nil
	}
	list, _ := n.v[slot].([]*node)
	return list
}

func (n *node) int32(slot int, def int32) int32 {
	return int32(uint32(n.get(slot, uint64(uint32(def)))))
}

func (n *node) flag(slot int, def bool) bool {
	const absent = 1 << 8 // no byte
	if bits := n.get(slot, absent); bits != absent {
		return bits != 0
	}
	return def
}

func (n *node) float32(slot int) float32 { return math.Float32frombits(uint32(n.get(slot, 0))) }

func (n *node) activation(slot int) Activation { return Activation(n.get(slot, 0)) }

// set stores a scalar. Like the official writers, it leaves out the default.
func (n *node) set(slot int, bits, def uint64) {
	if bits != def {
		n.v[slot] = bits
	}
}

func (n *node) setInt32(slot int, x, def int32) {
	n.set(slot, uint64(uint32(x)), uint64(uint32(def)))
}

func (n *node) setByte(slot int, x int8) { n.set(slot, uint64(uint8(x)), 0) }

func (n *node) setFlag(slot int, on bool) {
	if on {
		n.v[slot] = uint64(1)
	}
}

func (n *node) setText(slot int, s string) {
	if s != "" {
		n.v[slot] = s
	}
}

func (n *node) setRaw(slot int, raw []byte) {
	if raw != nil {
		n.v[slot] = raw
	}
}

func (n *node) setInt32s(slot int, list []int32) {
	if list == nil {
		return
	}
	raw := make([]byte, 0, 4*len(list))
	for _, x := range list {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(x))
	}
	n.v[slot] = raw
}

func (n *node) setInt64s(slot int, list []int64) {
	if list == nil {
		return
	}
	raw := make([]byte, 0, 8*len(list))
	for _, x := range list {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	n.v[slot] = raw
}

func (n *node) setFloat32s(slot int, list []float32) {
	if list == nil {
		return
	}
	raw := make([]byte, 0, 4*len(list))
	for _, x := range list {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	n.v[slot] = raw
}

// setEach stores a vector of tables, unless list is nil.
func setEach[T any](n *node, slot int, list []T, build func(*node, *T)) {
	if list == nil {
		return
	}
	nodes := make([]*node, len(list))
	for i := range list {
		nodes[i] = newNode(n.t.Fields[slot].Table)
		build(nodes[i], &list[i])
	}
	n.v[slot] = nodes
}
