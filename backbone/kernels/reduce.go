package kernels

// reduction implements Kernel for SUM, REDUCE_MAX and REDUCE_MIN.
type reduction[T any] struct {
	*mean // the axes
	access[T]
	f      func(x, y T) T // joins two elements
	finish func(v T) T    // converts the result, unless nil
}

func (k *reduction[T]) Run(a *Args, lo, hi int) {
	in := a.In[0]
	for o, end := lo*meanBlock, min(hi*meanBlock, k.outputs); o < end; o++ {
		at, rest := 0, o
		for i := len(k.shape) - 1; i >= 0; i-- {
			at += rest % k.shape[i] * k.step[i]
			rest /= k.shape[i]
		}
		v := k.at(in, at)
		for e := 1; e < int(k.count); e++ {
			v = k.f(v, k.at(in, at+k.offset(e)))
		}
		if k.finish != nil {
			v = k.finish(v)
		}
		k.put(a.Out, o, v)
	}
}

// reducer returns a reduction over the axes of m, whose elements have the type of m.
func reducer(m *mean, float func(x, y float32) float32, wide func(x, y int64) int64, narrow func(x, y int32) int32) Kernel {
	switch m.kind {
	case Float32:
		return &reduction[float32]{m, float32Access(), float, nil}
	case Int64:
		return &reduction[int64]{m, int64Access(), wide, nil}
	case Int32:
		return &reduction[int32]{m, int32Access(), narrow, nil}
	}
	return &reduction[int32]{m, codeAccess(m.kind), narrow, nil}
}

// NewReduceMax returns a Kernel for REDUCE_MAX over constant axes, on all element types.
// Negative axes count from the end. As in TensorFlow Lite, codes are not rescaled.
func NewReduceMax(keepDims bool, in, axes, out *Tensor) (Kernel, error) {
	k, err := newReduceExtreme(true, keepDims, in, axes, out)
	return named("reduce_max", k, err)
}

// NewReduceMin is like [NewReduceMax], for REDUCE_MIN.
func NewReduceMin(keepDims bool, in, axes, out *Tensor) (Kernel, error) {
	k, err := newReduceExtreme(false, keepDims, in, axes, out)
	return named("reduce_min", k, err)
}

func newReduceExtreme(largest, keepDims bool, in, axes, out *Tensor) (Kernel, error) {
	m, _, err := newReduction(keepDims, in, axes, out)
	if err != nil {
		return nil, err
	}
	return reducer(m, extreme[float32](largest), extreme[int64](largest), extreme[int32](largest)), nil
}

// NewSum returns a Kernel for SUM over constant axes, on all element types. Negative axes
// count from the end. Integers wrap, codes too. As in TensorFlow Lite, if the quantization
// of in and out is the same, the sum is of codes, including their zero points.
func NewSum(keepDims bool, in, axes, out *Tensor) (Kernel, error) {
	k, err := newSum(keepDims, in, axes, out)
	return named("sum", k, err)
}

func plus[T int32 | int64 | float32](x, y T) T { return x + y }

func newSum(keepDims bool, in, axes, out *Tensor) (Kernel, error) {
	m, _, err := newReduction(keepDims, in, axes, out)
	if err != nil {
		return nil, err
	}
	if !in.Type.quantized() {
		return reducer(m, plus[float32], plus[int64], plus[int32]), nil
	}
	if err := checkCodes(in, out); err != nil {
		return nil, err
	}
	if in.scale() == out.scale() && in.zero() == out.zero() {
		return reducer(m, nil, nil, plus[int32]), nil
	}
	scale := in.scale() / out.scale()
	bias := float32(float32(float32(-in.zero())*scale) * float32(m.count))
	return &reduction[int32]{m, codeAccess(in.Type), plus[int32], func(sum int32) int32 {
		return roundToInt(float32(float32(sum)*scale)+bias) + out.zero()
	}}, nil
}
