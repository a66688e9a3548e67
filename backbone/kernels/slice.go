package kernels

import (
	"fmt"
	"slices"
)

// NewSplit returns a Kernel for output i of a SPLIT of in into n equal parts along axis,
// a constant of one element.
func NewSplit(axis *Tensor, i, n int, in, out *Tensor) (Kernel, error) {
	k, err := newSplit(axis, in, out, func(length int) (int, error) {
		if length%n != 0 {
			return 0, fmt.Errorf("%w: %d outputs for an axis of length %d", ErrInvalid, n, length)
		}
		return i * (length / n), nil
	})
	return named("split", k, err)
}

// NewSplitV returns a Kernel for output i of a SPLIT_V of in into n parts along axis, a
// constant of one element. sizes is a constant with the lengths of the parts. One of them
// may be −1, for the rest of the axis.
func NewSplitV(sizes, axis *Tensor, i, n int, in, out *Tensor) (Kernel, error) {
	k, err := newSplit(axis, in, out, func(length int) (int, error) {
		list, err := integers("sizes", sizes)
		if err != nil {
			return 0, err
		}
		if len(list) != n || i >= n {
			return 0, fmt.Errorf("%w: %d sizes for %d outputs", ErrInvalid, len(list), n)
		}
		unknown, rest := -1, length
		for j, v := range list {
			switch {
			case v == -1 && unknown < 0:
				unknown = j
			case v < 0 || v > rest:
				return 0, fmt.Errorf("%w: part %d has size %d in an axis of length %d", ErrInvalid, j, v, length)
			default:
				rest -= v
			}
		}
		if unknown >= 0 {
			list[unknown], rest = rest, 0
		}
		if rest != 0 {
			return 0, fmt.Errorf("%w: the parts leave %d of %d elements of the axis", ErrInvalid, rest, length)
		}
		from := 0
		for _, v := range list[:i] {
			from += v
		}
		return from, nil
	})
	return named("split_v", k, err)
}

// newSplit returns a part of in along axis. start returns where the part starts in an
// axis of the given length.
func newSplit(axis, in, out *Tensor, start func(length int) (int, error)) (Kernel, error) {
	if err := checkMove(in, out); err != nil {
		return nil, err
	}
	at, err := oneAxis(axis, len(in.Shape))
	if err != nil {
		return nil, err
	}
	from, err := start(in.Shape[at])
	if err != nil {
		return nil, err
	}
	return newPart(at, from, in, out.Shape)
}

// newPart returns the part of in with the given shape that starts at index from along
// axis.
func newPart(axis, from int, in *Tensor, shape []int) (Kernel, error) {
	want := slices.Clone(in.Shape)
	if len(shape) == len(want) {
		want[axis] = shape[axis]
	}
	if !slices.Equal(shape, want) || from > in.Shape[axis]-want[axis] {
		return nil, fmt.Errorf("%w: output of shape %v is not the part from %d along axis %d of an input with shape %v", ErrInvalid, shape, from, axis, in.Shape)
	}
	step := strides(in.Shape)
	return newView(in.Type, from*step[axis], want, step), nil
}

// NewUnpack returns a Kernel for output i of n of UNPACK, which divides in along axis
// into tensors without that axis. A negative axis counts from the end.
func NewUnpack(axis, i, n int, in, out *Tensor) (Kernel, error) {
	k, err := newUnpack(axis, i, n, in, out)
	return named("unpack", k, err)
}

func newUnpack(axis, i, n int, in, out *Tensor) (Kernel, error) {
	if err := checkMove(in, out); err != nil {
		return nil, err
	}
	axis, err := axisOf(axis, len(in.Shape))
	if err != nil {
		return nil, err
	}
	if in.Shape[axis] != n {
		return nil, fmt.Errorf("%w: %d outputs for axis %d of an input with shape %v", ErrInvalid, n, axis, in.Shape)
	}
	if axis > len(out.Shape) {
		return nil, fmt.Errorf("%w: input has shape %v, output %v", ErrInvalid, in.Shape, out.Shape)
	}
	return newPart(axis, i, in, slices.Insert(slices.Clone(out.Shape), axis, 1))
}

// NewSlice returns a Kernel for SLICE: the size elements of each axis that start at
// begin. A size of −1 means all that follow. begin and size are constants.
func NewSlice(in, begin, size, out *Tensor) (Kernel, error) {
	k, err := newSlice(in, begin, size, out)
	return named("slice", k, err)
}

func newSlice(in, begin, size, out *Tensor) (Kernel, error) {
	if err := checkMove(in, out); err != nil {
		return nil, err
	}
	from, err := integers("begin", begin)
	if err != nil {
		return nil, err
	}
	lengths, err := integers("size", size)
	if err != nil {
		return nil, err
	}
	if rank := len(in.Shape); len(from) != rank || len(lengths) != rank {
		return nil, fmt.Errorf("%w: begin has %d elements and size %d for an input with shape %v", ErrInvalid, len(from), len(lengths), in.Shape)
	}
	step, offset := strides(in.Shape), 0
	for i, d := range in.Shape {
		if lengths[i] == -1 {
			lengths[i] = d - from[i]
		}
		if from[i] < 0 || lengths[i] < 0 || lengths[i] > d || from[i] > d-lengths[i] {
			return nil, fmt.Errorf("%w: %d elements from %d on in an axis of length %d", ErrInvalid, lengths[i], from[i], d)
		}
		offset += from[i] * step[i]
	}
	if err := checkShape(out, lengths); err != nil {
		return nil, err
	}
	return newView(in.Type, offset, lengths, step), nil
}

// StridedSliceParams are the options of STRIDED_SLICE. Bit i of a mask applies to entry i
// of begin, end and strides.
type StridedSliceParams struct {
	BeginMask, EndMask uint32 // ignore begin or end: take everything
	EllipsisMask       uint32 // stands for any number of whole axes
	NewAxisMask        uint32 // adds an axis of length 1 to the output
	ShrinkAxisMask     uint32 // takes one index and removes the axis
	Offset             bool   // end is relative to begin
}

// NewStridedSlice returns a Kernel for STRIDED_SLICE. begin, end and strides are
// constants. Negative indices count from the end of an axis.
func NewStridedSlice(p StridedSliceParams, in, begin, end, strides, out *Tensor) (Kernel, error) {
	k, err := newStridedSlice(p, in, begin, end, strides, out)
	return named("strided_slice", k, err)
}

func newStridedSlice(p StridedSliceParams, in, begin, end, stride, out *Tensor) (Kernel, error) {
	if err := checkMove(in, out); err != nil {
		return nil, err
	}
	var lists [3][]int
	for i, t := range []*Tensor{begin, end, stride} {
		var err error
		if lists[i], err = integers([]string{"begin", "end", "strides"}[i], t); err != nil {
			return nil, err
		}
	}
	entries := len(lists[0])
	if len(lists[1]) != entries || len(lists[2]) != entries || entries > 2*maxAxes {
		return nil, fmt.Errorf("%w: begin, end and strides have %d, %d and %d elements", ErrInvalid, entries, len(lists[1]), len(lists[2]))
	}
	set := func(mask uint32, i int) bool { return mask>>i&1 != 0 }
	axes := 0 // of in that entries name
	for i := range entries {
		if !set(p.EllipsisMask, i) && !set(p.NewAxisMask, i) {
			axes++
		}
	}
	whole := len(in.Shape) - axes // axes without an entry of their own
	if whole < 0 {
		return nil, fmt.Errorf("%w: %d entries for an input with shape %v", ErrInvalid, entries, in.Shape)
	}
	var shape, kept, step []int
	all, axis, offset := strides(in.Shape), 0, 0
	addWhole := func() {
		for ; whole > 0; whole-- {
			kept, shape, step = append(kept, in.Shape[axis]), append(shape, in.Shape[axis]), append(step, all[axis])
			axis++
		}
	}
	for i := range entries {
		switch {
		case set(p.EllipsisMask, i):
			addWhole()
			continue
		case set(p.NewAxisMask, i):
			kept = append(kept, 1)
			continue
		}
		r, err := p.entry(i, lists[0][i], lists[1][i], lists[2][i], in.Shape[axis])
		if err != nil {
			return nil, err
		}
		shape, step, offset = append(shape, r.n), append(step, r.step*all[axis]), offset+r.from*all[axis]
		if !set(p.ShrinkAxisMask, i) {
			kept = append(kept, r.n)
		}
		axis++
	}
	addWhole()
	if err := checkShape(out, kept); err != nil {
		return nil, err
	}
	return newView(in.Type, offset, shape, step), nil
}

// A stretch is n indices that are step apart.
type stretch struct{ from, step, n int }

// entry returns the indices that entry i selects from an axis of length d.
func (p StridedSliceParams) entry(i, from, to, step, d int) (stretch, error) {
	masked := func(mask uint32) bool { return mask>>i&1 != 0 }
	if step == 0 {
		return stretch{}, fmt.Errorf("%w: stride 0", ErrInvalid)
	}
	if p.Offset {
		to += from
	}
	if from < 0 {
		from += d
	}
	if masked(p.ShrinkAxisMask) {
		if masked(p.BeginMask) {
			from = 0
		}
		if from < 0 || from >= d || step < 0 {
			return stretch{}, fmt.Errorf("%w: index %d with stride %d in an axis of length %d", ErrInvalid, from, step, d)
		}
		return stretch{from, 1, 1}, nil
	}
	if to < 0 && !p.Offset {
		to += d
	}
	first, end := 0, d // in the direction of the stride
	if step < 0 {
		first, end = d-1, -1
	}
	lowest, highest := min(first, end), max(first, end)
	from, to = min(max(from, lowest), highest), min(max(to, lowest), highest)
	if masked(p.BeginMask) {
		from = first
	}
	if masked(p.EndMask) {
		to = end
	}
	n := 0
	if step > 0 {
		n = max(0, (to-from+step-1)/step)
	} else {
		n = max(0, (from-to-step-1)/-step)
	}
	return stretch{from, step, n}, nil
}
