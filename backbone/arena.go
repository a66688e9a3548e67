package backbone

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/imprintkit/imprint/backbone/kernels"
)

// Tensors start at multiples of alignment bytes, the size of a cache line.
const alignment = 64

// An allocation describes the memory of one tensor and the steps that use it.
type allocation struct {
	constant     []byte
	inArena      bool
	kept         bool // keeps its content between Invokes, so no other tensor may share the memory
	offset, size int  // in the arena
	first, last  int  // the step that writes the tensor and the last step that reads it; -1 means before the first step
}

// allocate reserves memory in the arena for tensor t.
func (p *program) allocate(t int32, kept bool) error {
	tensor, err := KernelTensor(p.graph, t, nil)
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
			return fmt.Errorf("tensor %s has shape %v: %w", tensorName(p.graph, t), tensor.Shape, ErrModelTooLarge)
		}
		size *= d
	}
	a.size, a.inArena = size, true
	a.kept = a.kept || kept
	return nil
}

// layOutArena assigns every tensor an offset in one arena and tries to keep the arena
// small. It places tensors greedily, the largest first. The arena must be at least as
// large as the maximum number of bytes in use at any step. While it is larger than that,
// layOutArena moves the tensor at the arena's end to the front of the order and tries
// again, a limited number of times.
func (p *program) layOutArena() error {
	var order []*allocation
	inUse := make([]int64, len(p.steps)+3) // bytes in use at each step, starting at step −1, where the inputs are filled
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
	least := slices.Max(inUse) // may exceed an int on 32-bit processors
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
		return fmt.Errorf("the tensors need more than %d bytes: %w", MaxArena, ErrModelTooLarge)
	}
	for a, offset := range offsets {
		a.offset = offset
	}
	return nil
}

// assignOffsets gives each tensor in turn the lowest offset at which it overlaps no
// tensor in use at the same time. It returns the size of the arena and the index of the
// tensor at its end, or of the first tensor that would end beyond MaxArena.
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
