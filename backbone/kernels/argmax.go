package kernels

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// argMax implements Kernel for ARG_MAX.
type argMax struct {
	kind, index Type // of the input and of the output
	n, step     int  // elements along the axis, and their distance
	outputs     int
}

// NewArgMax returns a Kernel for ARG_MAX, the first index of the largest element along
// axis, a constant of one element. in is uint8, int8, int32 or float32, and out is int32
// or int64.
func NewArgMax(in, axis, out *Tensor) (Kernel, error) {
	k, err := newArgMax(in, axis, out)
	return named("arg_max", k, err)
}

func newArgMax(in, axis, out *Tensor) (Kernel, error) {
	if err := in.check("input"); err != nil {
		return nil, err
	}
	if err := out.check("output"); err != nil {
		return nil, err
	}
	if in.Type == Int64 || out.Type != Int32 && out.Type != Int64 {
		return nil, fmt.Errorf("%w: input is %v and output %v", ErrUnsupported, in.Type, out.Type)
	}
	at, err := oneAxis(axis, len(in.Shape))
	if err != nil {
		return nil, err
	}
	if err := checkShape(out, slices.Delete(slices.Clone(in.Shape), at, at+1)); err != nil {
		return nil, err
	}
	return &argMax{in.Type, out.Type, in.Shape[at], strides(in.Shape)[at], out.Elements()}, nil
}

func (k *argMax) Parts() int   { return k.outputs }
func (k *argMax) Scratch() int { return 0 }

func (k *argMax) Run(a *Args, lo, hi int) {
	for o := lo; o < hi; o++ {
		from, best := o/k.step*k.n*k.step+o%k.step, 0
		switch k.kind {
		case Uint8:
			best = largest(k.n, k.step, a.In[0][from:])
		case Int8:
			best = largest(k.n, k.step, signed(a.In[0])[from:])
		default:
			for i := 1; i < k.n; i++ {
				if k.less(a.In[0], from+best*k.step, from+i*k.step) {
					best = i
				}
			}
		}
		if k.index == Int32 {
			binary.LittleEndian.PutUint32(a.Out[4*o:], uint32(best))
		} else {
			binary.LittleEndian.PutUint64(a.Out[8*o:], uint64(best))
		}
	}
}

// largest returns the first index of the largest of n codes that are step apart.
func largest[T byte | int8](n, step int, in []T) int {
	best, at := 0, 0
	for i := range n {
		if in[at] > in[best*step] {
			best = i
		}
		at += step
	}
	return best
}

// less reports whether element i of an int32 or float32 tensor is less than element j.
func (k *argMax) less(in []byte, i, j int) bool {
	if k.kind == Int32 {
		return int32At(in, i) < int32At(in, j)
	}
	return floatAt(in, i) < floatAt(in, j)
}

// int32At returns element i of an int32 tensor.
func int32At(b []byte, i int) int32 { return int32(binary.LittleEndian.Uint32(b[4*i:])) }
