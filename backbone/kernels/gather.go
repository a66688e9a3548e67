package kernels

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A Checker is a Kernel that cannot compute every input, such as GATHER, whose indices
// must be indices of its input.
type Checker interface {
	Kernel
	// Check returns an error if Run would fail for these inputs. Call it before Run.
	Check(a *Args) error
}

// gather implements Kernel for GATHER and GATHER_ND.
type gather struct {
	kind   Type  // of the indices
	axes   []int // lengths of the axes that an index has coordinates for
	volume int   // product of the axes
	outer  int   // slices of the input for each batch, which share their indices
	tuples int   // indices for each batch
	count  int   // indices in total
	unit   int   // bytes that each index selects
	parts  int
}

// NewGather returns a Kernel for GATHER, which selects indices of in along axis. indices
// is int32 or int64. The first batchDims axes of in and of indices are the same. axis and
// batchDims count from the end if negative.
func NewGather(axis, batchDims int, in, indices, out *Tensor) (Kernel, error) {
	k, err := newGather(axis, batchDims, in, indices, out)
	return named("gather", k, err)
}

// checkIndices returns an error unless the operands are valid.
func checkIndices(in, indices, out *Tensor) error {
	if err := indices.check("indices"); err != nil {
		return err
	}
	if indices.Type != Int32 && indices.Type != Int64 {
		return fmt.Errorf("%w: indices are %v", ErrUnsupported, indices.Type)
	}
	if err := in.check("input"); err != nil {
		return err
	}
	if err := out.check("output"); err != nil {
		return err
	}
	return sameType(in, out)
}

func newGather(axis, batchDims int, in, indices, out *Tensor) (Kernel, error) {
	if err := checkIndices(in, indices, out); err != nil {
		return nil, err
	}
	axis, err := axisOf(axis, len(in.Shape))
	if err != nil {
		return nil, err
	}
	if batchDims < 0 {
		batchDims += len(indices.Shape)
	}
	if batchDims < 0 || batchDims > len(indices.Shape) || batchDims > axis || !slices.Equal(in.Shape[:batchDims], indices.Shape[:batchDims]) {
		return nil, fmt.Errorf("%w: %d batch axes for axis %d of an input with shape %v and indices with shape %v", ErrInvalid, batchDims, axis, in.Shape, indices.Shape)
	}
	if err := checkShape(out, slices.Concat(in.Shape[:axis], indices.Shape[batchDims:], in.Shape[axis+1:])); err != nil {
		return nil, err
	}
	k := &gather{kind: indices.Type, axes: in.Shape[axis : axis+1], volume: in.Shape[axis],
		outer: volume(in.Shape[batchDims:axis]), tuples: volume(indices.Shape[batchDims:]), count: indices.Elements(),
		unit: volume(in.Shape[axis+1:]) * in.Type.Size()}
	k.parts = out.Bytes() / k.unit
	return k, nil
}

// volume returns the product of lengths.
func volume(lengths []int) int {
	n := 1
	for _, d := range lengths {
		n *= d
	}
	return n
}

// NewGatherND returns a Kernel for GATHER_ND. The last axis of indices, int32 or int64,
// has the coordinates along the first axes of in.
func NewGatherND(in, indices, out *Tensor) (Kernel, error) {
	k, err := newGatherND(in, indices, out)
	return named("gather_nd", k, err)
}

func newGatherND(in, indices, out *Tensor) (Kernel, error) {
	if err := checkIndices(in, indices, out); err != nil {
		return nil, err
	}
	last := len(indices.Shape) - 1
	if last < 0 || indices.Shape[last] > len(in.Shape) {
		return nil, fmt.Errorf("%w: indices have shape %v for an input with shape %v", ErrInvalid, indices.Shape, in.Shape)
	}
	n := indices.Shape[last]
	if err := checkShape(out, slices.Concat(indices.Shape[:last], in.Shape[n:])); err != nil {
		return nil, err
	}
	k := &gather{kind: indices.Type, axes: in.Shape[:n], volume: volume(in.Shape[:n]), outer: 1,
		tuples: volume(indices.Shape[:last]), count: volume(indices.Shape[:last]), unit: volume(in.Shape[n:]) * in.Type.Size()}
	k.parts = k.tuples
	return k, nil
}

func (k *gather) Parts() int   { return k.parts }
func (k *gather) Scratch() int { return 0 }

// coordinate returns element i of the indices.
func (k *gather) coordinate(indices []byte, i int) int64 {
	if k.kind == Int32 {
		return int64(int32At(indices, i))
	}
	return int64(binary.LittleEndian.Uint64(indices[8*i:]))
}

// Check returns an error if an index is outside the input.
func (k *gather) Check(a *Args) error {
	for i := range k.count * len(k.axes) {
		if v, n := k.coordinate(a.In[1], i), k.axes[i%len(k.axes)]; v < 0 || v >= int64(n) {
			return fmt.Errorf("%w: gather: index %d in an axis of length %d", ErrInvalid, v, n)
		}
	}
	return nil
}

func (k *gather) Run(a *Args, lo, hi int) {
	for p := lo; p < hi; p++ {
		slice, tuple := p/k.tuples, p%k.tuples
		at, first := 0, (slice/k.outer*k.tuples+tuple)*len(k.axes)
		for i, n := range k.axes {
			at = at*n + int(k.coordinate(a.In[1], first+i))
		}
		copy(a.Out[p*k.unit:][:k.unit], a.In[0][(slice*k.volume+at)*k.unit:])
	}
}
