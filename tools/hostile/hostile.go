// Package hostile makes damaged models, photos and recordings for tests, and runs tests on many of them. Start with
// [Model], [Photo] or [JSON], which change a valid file, and [Run].
//
// A case is a string of bytes: one byte that chooses a valid file, and edits of 8 bytes each. Go's fuzzing engine can
// therefore mutate a case, and a case can be made smaller by leaving out edits.
package hostile

import (
	"encoding/binary"
	"math/rand/v2"
)

// editSize is the size of an edit in a case, in bytes.
const editSize = 8

// maxSize is the maximum size of a changed file, in bytes. It bounds the duration of a case.
const maxSize = 2 << 20

// random returns a random case with one to eight edits.
func random(r *rand.Rand) []byte {
	c := make([]byte, 1+editSize*(1+r.IntN(8)))
	for i := range c {
		c[i] = byte(r.Uint32())
	}
	return c
}

// An edit is one change. Its fields are random numbers.
type edit struct {
	kind  byte // what to change
	how   byte // how to change it
	where int  // which one to change
	value int32
}

// parseEdits reads edits and ignores an incomplete one at the end.
func parseEdits(b []byte) []edit {
	var list []edit
	for ; len(b) >= editSize; b = b[editSize:] {
		list = append(list, edit{b[0], b[1], int(binary.LittleEndian.Uint16(b[2:])), int32(binary.LittleEndian.Uint32(b[4:]))})
	}
	return list
}

// number returns a number to replace old with. Half of the results are at or near a limit of a type or a size.
func (e edit) number(old int64) int64 {
	v := int64(e.value)
	switch e.how >> 4 {
	case 0:
		return 0
	case 1:
		return -1
	case 2:
		return old + 1
	case 3:
		return old - 1
	case 4:
		return 2 * old
	case 5:
		return -old
	case 6:
		return 1 << (uint32(v) % 32)
	case 7:
		return 1<<(uint32(v)%32) - 1
	case 8:
		return 1<<31 - 1
	case 9:
		return v
	case 10:
		return 1 << 62
	case 11:
		return v % (1 << 16)
	}
	return v % 16
}

// pick returns the element of list that e chooses, or a new one if there is none.
func pick[T any](list []T, e edit) *T {
	if len(list) == 0 {
		return new(T)
	}
	return &list[e.where%len(list)]
}

// maxList is the maximum number of elements of a list that grows.
const maxList = 1 << 15

// changed returns a copy of list with one element changed, inserted, removed or moved, with copies of an element
// appended, or with no elements.
func changed[T any](list []T, e edit, change func(old T) T) []T {
	list = append([]T(nil), list...)
	if len(list) == 0 {
		var zero T
		return append(list, change(zero))
	}
	i := int(uint32(e.value)>>8) % len(list)
	switch e.how % 16 {
	case 0:
		return append(list[:i], list[i+1:]...)
	case 1:
		return append(list, change(list[i]))
	case 2:
		copies := min(1<<(uint(e.value)%16), max(0, maxList-len(list)))
		for range copies {
			list = append(list, list[i])
		}
	case 3:
		j := e.where % len(list)
		list[i], list[j] = list[j], list[i]
	case 4:
		return nil
	case 5:
		return list[:i]
	default:
		list[i] = change(list[i])
	}
	return list
}

// words replaces one aligned number of 1, 2, 4 or 8 bytes in a copy of b.
func (e edit) words(b []byte) []byte {
	b = append([]byte(nil), b...)
	size := 1 << (e.how % 4)
	if len(b) < size {
		return b
	}
	i := int(uint32(e.where)<<8|uint32(e.kind)) % (len(b) / size) * size
	var old [8]byte
	copy(old[:], b[i:i+size])
	binary.LittleEndian.PutUint64(old[:], uint64(e.number(int64(binary.LittleEndian.Uint64(old[:])))))
	copy(b[i:i+size], old[:])
	return b
}
