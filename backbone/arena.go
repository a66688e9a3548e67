package backbone

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/imprintkit/imprint/backbone/kernels"
)

// alignment is the alignment of every tensor's memory: a cache line.
const alignment = 64

// An allocation is the memory of one tensor.
type allocation struct {
	constant     []byte
	inArena      bool
	kept         bool // from one Invoke to the next, so nothing else may use its memory
	offset, size int  // in the arena
	first, last  int  // steps that write and last read it; -1 is before the first step
}

// allocate reserves memory in the arena for tensor t.
func (p *program) allocate(t int32, kept bool) error {
	tensor, err := kernelTensor(p.graph, t, nil)
	if err != nil {
		return err
	}
	a := &p.allocations[t]
	size := tensor.Type.Size()
	for _, d := range tensor.Shape {
		if d <= 0 {
			return fmt.Errorf("tensor %s has shape %v: %w", tensorName(p.graph, t), tensor.Shape, kernels.ErrInvalid)
		}
		if d > MaxArena/size {
			return fmt.Errorf("tensor %s of shape %v: %w", tensorName(p.graph, t), tensor.Shape, ErrModelTooLarge)
		}
		size *= d
	}
	a.size, a.inArena = size, true
	a.kept = a.kept || kept
	return nil
}

// layOutArena assigns the offsets of all tensors in one arena, as small as it can find.
// It places tensors greedily, the largest first. While the arena is larger than all
// tensors in use at one time, it places the tensor that ends last before all others
// and tries again.
func (p *program) layOutArena() error {
	var order []*allocation
	inUse := make([]int64, len(p.steps)+3) // bytes, from step −1, when inputs are filled
	for i := range p.allocations {
		a := &p.allocations[i]
		if !a.inArena {
			continue
		}
		if a.kept {
			a.first, a.last = -1, len(p.steps)
		}
		order = append(order, a)
		inUse[a.first+1] += int64(a.size)
		inUse[a.last+2] -= int64(a.size)
	}
	for i := range inUse[1:] {
		inUse[1+i] += inUse[i]
	}
	least := slices.Max(inUse) // more than an int holds, perhaps, on 32-bit processors
	slices.SortStableFunc(order, func(a, b *allocation) int { return b.size - a.size })
	offsets := make(map[*allocation]int, len(order))
	for tries := min(100, 1+1<<26/(1+len(order)*len(order))); tries > 0 && int64(p.arenaSize) != least; tries-- {
		size, highest := assignOffsets(order)
		if p.arenaSize == 0 || size < p.arenaSize {
			p.arenaSize = size
			for _, a := range order {
				offsets[a] = a.offset
			}
		}
		if len(order) > 0 {
			a := order[highest]
			copy(order[1:], order[:highest])
			order[0] = a
		}
	}
	if p.arenaSize > MaxArena {
		return fmt.Errorf("the tensors take more than %d bytes: %w", MaxArena, ErrModelTooLarge)
	}
	for a, offset := range offsets {
		a.offset = offset
	}
	return nil
}

// assignOffsets gives each tensor in turn the lowest offset at which it overlaps no
// tensor in use at the same time. It returns the size of the arena and the index of
// the tensor that ends there, or that first ends beyond MaxArena.
func assignOffsets(order []*allocation) (size, highest int) {
	done := make([]*allocation, 0, len(order)) // sorted by offset, so one pass finds the lowest gap
	for i, a := range order {
		a.offset = 0
		for _, d := range done {
			if a.first <= d.last && d.first <= a.last && a.offset < d.offset+d.size && d.offset < a.offset+a.size {
				a.offset = (d.offset + d.size + alignment - 1) &^ (alignment - 1)
			}
			if a.offset > MaxArena-a.size {
				return MaxArena + 1, i
			}
		}
		if end := a.offset + a.size; end > size {
			size, highest = end, i
		}
		at, _ := slices.BinarySearchFunc(done, a.offset, func(d *allocation, offset int) int { return d.offset - offset })
		done = slices.Insert(done, at, a)
	}
	return size, highest
}

// alignedBytes returns n zero bytes that start at a multiple of alignment.
func alignedBytes(n int) []byte {
	b := make([]byte, n+alignment)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (alignment - 1)
	return b[skip : skip+n : skip+n]
}
