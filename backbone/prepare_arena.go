package backbone

import (
	"fmt"
	"slices"
	"unsafe"
)

// alignment of every tensor's memory, a cache line.
const alignment = 64

// A place is where a tensor's bytes are.
type place struct {
	constant     []byte
	planned      bool // has memory in the arena
	kept         bool // keeps it from one Invoke to the next
	offset, size int
	first, last  int // steps that write and read it
}

// plan lays the tensors into one arena. The largest come first; while some stick
// out of what is in use at one time, the highest of them is put before all others.
func (p *program) plan() error {
	var order []*place
	inUse := make([]int, len(p.steps)+3) // before step −1, when inputs are filled, and all others
	for i := range p.places {
		l := &p.places[i]
		if !l.planned {
			continue
		}
		if l.kept {
			l.first, l.last = -1, len(p.steps)
		}
		order = append(order, l)
		inUse[l.first+1] += l.size
		inUse[l.last+2] -= l.size
	}
	for i := range inUse[1:] {
		inUse[1+i] += inUse[i]
	}
	least := slices.Max(inUse)
	slices.SortStableFunc(order, func(a, b *place) int { return b.size - a.size })
	offsets := make(map[*place]int, len(order))
	for tries := min(100, 1+1<<26/(1+len(order)*len(order))); tries > 0 && p.arenaSize != least; tries-- {
		size, highest := layOut(order)
		if p.arenaSize == 0 || size < p.arenaSize {
			p.arenaSize = size
			for _, l := range order {
				offsets[l] = l.offset
			}
		}
		if len(order) > 0 {
			l := order[highest]
			copy(order[1:], order[:highest])
			order[0] = l
		}
	}
	if p.arenaSize > MaxArena {
		return fmt.Errorf("its tensors take more than %d bytes: %w", MaxArena, ErrModelTooLarge)
	}
	for l, offset := range offsets {
		l.offset = offset
	}
	return nil
}

// layOut gives each tensor in turn the lowest offset where it overlaps none that
// lives at the same time. It returns the size of the arena and which tensor ends
// there, or is the first to end beyond MaxArena.
func layOut(order []*place) (size, highest int) {
	done := make([]*place, 0, len(order)) // sorted by offset, so that one pass finds the lowest gap
	for i, l := range order {
		l.offset = 0
		for _, d := range done {
			if l.first <= d.last && d.first <= l.last && l.offset < d.offset+d.size && d.offset < l.offset+l.size {
				l.offset = (d.offset + d.size + alignment - 1) &^ (alignment - 1)
			}
			if l.offset > MaxArena-l.size {
				return MaxArena + 1, i
			}
		}
		if end := l.offset + l.size; end > size {
			size, highest = end, i
		}
		at, _ := slices.BinarySearchFunc(done, l.offset, func(d *place, offset int) int { return d.offset - offset })
		done = slices.Insert(done, at, l)
	}
	return size, highest
}

// alignedBytes allocates n bytes at a multiple of alignment.
func alignedBytes(n int) []byte {
	b := make([]byte, n+alignment)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (alignment - 1)
	return b[skip : skip+n : skip+n]
}
