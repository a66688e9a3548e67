package kernels

import (
	"fmt"
	"slices"
)

// maxAxes is the maximum number of axes of a tensor whose elements an operator moves.
// TensorFlow Lite supports at most 8.
const maxAxes = 8

// A view implements Kernel for operators whose output consists of elements of the input
// at regular distances, such as TRANSPOSE and SLICE.
type view struct {
	// shape has the lengths of the output's axes and step their steps in the input, in
	// bytes. The innermost axis is last. Axes are joined where the steps allow it.
	shape, step []int
	offset      int // the first byte in the input
	unit        int // number of adjacent bytes that move together
	units       int // in the output
}

// newView returns a view whose axis i has shape[i] elements that are step[i] elements
// apart in the input, starting at element offset. It changes shape and step.
func newView(t Type, offset int, shape, step []int) *view {
	size := t.Size()
	k := &view{offset: offset * size, unit: size, units: 1}
	for i, d := range shape {
		if d == 1 {
			continue
		}
		s := step[i] * size
		if n := len(k.shape); n > 0 && k.step[n-1] == d*s {
			k.shape[n-1], k.step[n-1] = d*k.shape[n-1], s
			continue
		}
		k.shape, k.step = append(k.shape, d), append(k.step, s)
	}
	if n := len(k.shape); n > 0 && k.step[n-1] == size {
		k.unit *= k.shape[n-1]
		k.shape, k.step = k.shape[:n-1], k.step[:n-1]
	}
	if len(k.shape) == 0 {
		k.shape, k.step = []int{1}, []int{0}
	}
	for _, d := range k.shape {
		k.units *= d
	}
	return k
}

// strides returns the steps of a row-major tensor's axes, in elements.
func strides(shape []int) []int {
	s, step := make([]int, len(shape)), 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = step
		step *= shape[i]
	}
	return s
}

func (k *view) Parts() int   { return k.units }
func (k *view) Scratch() int { return 0 }

func (k *view) Run(a *Args, lo, hi int) {
	last := len(k.shape) - 1
	var index [2 * maxAxes]int
	at, rest := k.offset, lo
	for i := last; i >= 0; i-- {
		index[i] = rest % k.shape[i]
		rest /= k.shape[i]
		at += index[i] * k.step[i]
	}
	for lo < hi {
		n := min(hi-lo, k.shape[last]-index[last])
		k.copy(a.Out[lo*k.unit:][:n*k.unit], a.In[0], at)
		lo += n
		at += n * k.step[last]
		index[last] += n
		for i := last; i > 0 && index[i] == k.shape[i]; i-- {
			index[i] = 0
			index[i-1]++
			at += k.step[i-1] - k.shape[i]*k.step[i]
		}
	}
}

// copy fills out with units of the innermost axis, starting at byte at of in.
func (k *view) copy(out, in []byte, at int) {
	step := k.step[len(k.step)-1]
	if k.unit == 1 {
		for i := range out {
			out[i] = in[at]
			at += step
		}
		return
	}
	for ; len(out) > 0; out = out[k.unit:] {
		copy(out[:k.unit], in[at:])
		at += step
	}
}

// checkMove returns an error unless in and out have the same element type and at most
// maxAxes axes. Codes move unchanged, as in TensorFlow Lite, which ignores scales here.
func checkMove(in, out *Tensor) error {
	if err := in.check("input"); err != nil {
		return err
	}
	if err := out.check("output"); err != nil {
		return err
	}
	if len(in.Shape) > maxAxes || len(out.Shape) > maxAxes {
		return fmt.Errorf("%w: shapes %v and %v have more than %d axes", ErrUnsupported, in.Shape, out.Shape, maxAxes)
	}
	return sameType(in, out)
}

// checkShape returns an error unless out has the given shape.
func checkShape(out *Tensor, want []int) error {
	if !slices.Equal(out.Shape, want) {
		return fmt.Errorf("%w: output has shape %v, want %v", ErrInvalid, out.Shape, want)
	}
	return nil
}

// named adds the name of an operator to an error.
func named(name string, k Kernel, err error) (Kernel, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return k, nil
}

// axisOf returns axis as an index of rank axes. A negative axis counts from the end.
func axisOf(axis, rank int) (int, error) {
	if axis < -rank || axis >= rank {
		return 0, fmt.Errorf("%w: no axis %d of %d", ErrInvalid, axis, rank)
	}
	if axis < 0 {
		axis += rank
	}
	return axis, nil
}

// oneAxis returns the axis in a constant tensor of one element, as an index of rank axes.
func oneAxis(t *Tensor, rank int) (int, error) {
	list, err := integers("axis", t)
	if err != nil {
		return 0, err
	}
	if len(list) != 1 {
		return 0, fmt.Errorf("%w: %d axes, want 1", ErrInvalid, len(list))
	}
	return axisOf(list[0], rank)
}

// NewTranspose returns a Kernel for TRANSPOSE. Axis i of out is axis perm[i] of in. perm
// is a constant.
func NewTranspose(in, perm, out *Tensor) (Kernel, error) {
	k, err := newTranspose(in, perm, out)
	return named("transpose", k, err)
}

func newTranspose(in, perm, out *Tensor) (Kernel, error) {
	if err := checkMove(in, out); err != nil {
		return nil, err
	}
	order, err := integers("axes", perm)
	if err != nil {
		return nil, err
	}
	rank := len(in.Shape)
	if len(order) != rank {
		return nil, fmt.Errorf("%w: %d axes for an input with shape %v", ErrInvalid, len(order), in.Shape)
	}
	shape, step := make([]int, rank), make([]int, rank)
	all, seen := strides(in.Shape), make([]bool, rank)
	for i, axis := range order {
		if axis, err = axisOf(axis, rank); err != nil {
			return nil, err
		}
		if seen[axis] {
			return nil, fmt.Errorf("%w: axes %v", ErrInvalid, order)
		}
		seen[axis] = true
		shape[i], step[i] = in.Shape[axis], all[axis]
	}
	if err := checkShape(out, shape); err != nil {
		return nil, err
	}
	return newView(in.Type, 0, shape, step), nil
}

// NewSpaceToDepth returns a Kernel for SPACE_TO_DEPTH, which moves each block of
// block×block pixels into one pixel.
func NewSpaceToDepth(block int, in, out *Tensor) (Kernel, error) {
	k, err := newBlocks(block, out, in, in, out)
	return named("space_to_depth", k, err)
}

// NewDepthToSpace returns a Kernel for DEPTH_TO_SPACE, the inverse of SPACE_TO_DEPTH.
func NewDepthToSpace(block int, in, out *Tensor) (Kernel, error) {
	k, err := newBlocks(block, in, out, in, out)
	return named("depth_to_space", k, err)
}

// newBlocks moves elements between deep, which has one pixel for each block of wide, and
// wide.
func newBlocks(block int, deep, wide, in, out *Tensor) (Kernel, error) {
	if err := checkMove(in, out); err != nil {
		return nil, err
	}
	if len(deep.Shape) != 4 || len(wide.Shape) != 4 {
		return nil, fmt.Errorf("%w: shapes %v and %v, want 4 axes", ErrInvalid, in.Shape, out.Shape)
	}
	h, w, c := deep.Shape[1], deep.Shape[2], wide.Shape[3]
	// The depths come first: if they fit, the other products cannot overflow.
	if depth := deep.Shape[3]; block < 1 || depth%block != 0 || depth/block%block != 0 || depth/block/block != c ||
		!slices.Equal(wide.Shape[:3], []int{deep.Shape[0], h * block, w * block}) {
		return nil, fmt.Errorf("%w: shapes %v and %v do not fit a block size of %d", ErrInvalid, in.Shape, out.Shape, block)
	}
	// The axes of wide: image, row of blocks, row in the block, block, pixel, channel.
	shape := []int{deep.Shape[0], h, block, w, block, c}
	step := strides(shape)
	if in == deep {
		// deep has the axes in another order.
		order := strides([]int{shape[0], h, w, block, block, c})
		step = []int{order[0], order[1], order[3], order[2], order[4], order[5]}
	} else {
		shape[2], shape[3] = shape[3], shape[2]
		step[2], step[3] = step[3], step[2]
	}
	return newView(in.Type, 0, shape, step), nil
}

// NewTile returns a Kernel for TILE, which repeats axis i multiples[i] times. multiples
// is a constant.
func NewTile(in, multiples, out *Tensor) (Kernel, error) {
	k, err := newTile(in, multiples, out)
	return named("tile", k, err)
}

func newTile(in, multiples, out *Tensor) (Kernel, error) {
	if err := checkMove(in, out); err != nil {
		return nil, err
	}
	times, err := integers("multiples", multiples)
	if err != nil {
		return nil, err
	}
	if len(times) != len(in.Shape) || len(out.Shape) != len(in.Shape) {
		return nil, fmt.Errorf("%w: %d multiples for shapes %v and %v", ErrInvalid, len(times), in.Shape, out.Shape)
	}
	var shape, step []int
	for i, s := range strides(in.Shape) {
		d := in.Shape[i]
		if out.Shape[i]%d != 0 || out.Shape[i]/d != times[i] {
			return nil, fmt.Errorf("%w: %v times the shape %v is not %v", ErrInvalid, times, in.Shape, out.Shape)
		}
		shape, step = append(shape, times[i], d), append(step, 0, s)
	}
	return newView(in.Type, 0, shape, step), nil
}

// NewPack returns a Kernel for PACK, which joins tensors of one shape along a new axis. A
// negative axis counts from the end. All quantized tensors have the same scale and zero
// point.
func NewPack(axis int, in []*Tensor, out *Tensor) (Kernel, error) {
	k, err := newPack(axis, in, out)
	return named("pack", k, err)
}

func newPack(axis int, in []*Tensor, out *Tensor) (Kernel, error) {
	if err := out.check("output"); err != nil {
		return nil, err
	}
	axis, err := axisOf(axis, len(out.Shape))
	if err != nil {
		return nil, err
	}
	wide := make([]*Tensor, len(in))
	for i, t := range in {
		if err := t.check("input"); err != nil {
			return nil, err
		}
		if len(t.Shape) != len(out.Shape)-1 {
			return nil, fmt.Errorf("%w: input %d has shape %v, output %v", ErrInvalid, i, t.Shape, out.Shape)
		}
		w := *t
		w.Shape = slices.Insert(slices.Clone(t.Shape), axis, 1)
		wide[i] = &w
	}
	k, err := newConcatenation(None, axis, wide, out)
	if err != nil {
		return nil, err
	}
	for _, table := range k.mapping {
		if table != nil {
			return nil, fmt.Errorf("%w: the inputs have another scale or zero point than the output", ErrUnsupported)
		}
	}
	return k, nil
}
