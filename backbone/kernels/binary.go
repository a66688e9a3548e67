package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
)

// An access reads and writes the elements of a tensor.
type access[T any] struct {
	at  func(b []byte, i int) T
	put func(b []byte, i int, v T)
}

func float32Access() access[float32] { return access[float32]{floatAt, putFloat} }

func int32Access() access[int32] {
	return access[int32]{int32At, func(b []byte, i int, v int32) { binary.LittleEndian.PutUint32(b[4*i:], uint32(v)) }}
}

func int64Access() access[int64] {
	at := func(b []byte, i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
	return access[int64]{at, func(b []byte, i int, v int64) { binary.LittleEndian.PutUint64(b[8*i:], uint64(v)) }}
}

// codeAccess accesses 8-bit codes of type t.
func codeAccess(t Type) access[int32] {
	at := func(b []byte, i int) int32 { return int32(b[i]) }
	if t == Int8 {
		at = func(b []byte, i int) int32 { return int32(int8(b[i])) }
	}
	return access[int32]{at, func(b []byte, i int, v int32) { b[i] = byte(v) }}
}

// binaryOperator implements Kernel for an operator on two tensors with broadcasting,
// whose elements are computed by a function.
type binaryOperator[T any] struct {
	access[T]
	plan broadcast
	f    func(x, y T) T
}

func (k *binaryOperator[T]) Parts() int   { return k.plan.parts() }
func (k *binaryOperator[T]) Scratch() int { return 0 }

func (k *binaryOperator[T]) Run(a *Args, lo, hi int) {
	x, y := a.In[0], a.In[1]
	for p := lo; p < hi; p++ {
		r := k.plan.part(p)
		for i := range r.n {
			k.put(a.Out, r.out+i, k.f(k.at(x, r.a+i*r.stepA), k.at(y, r.b+i*r.stepB)))
		}
	}
}

// dividing is an operator that cannot divide by zero.
type dividing[T comparable] struct {
	binaryOperator[T]
	divisors int
}

// Check returns an error if a divisor is 0.
func (k *dividing[T]) Check(a *Args) error {
	var zero T
	for i := range k.divisors {
		if k.at(a.In[1], i) == zero {
			return fmt.Errorf("%w: division by zero", ErrInvalid)
		}
	}
	return nil
}

func newFloatOperator(plan broadcast, f func(x, y float32) float32) *binaryOperator[float32] {
	return &binaryOperator[float32]{float32Access(), plan, f}
}

func newInt32Operator(plan broadcast, f func(x, y int32) int32) *binaryOperator[int32] {
	return &binaryOperator[int32]{int32Access(), plan, f}
}

// newCodeOperator returns an operator on 8-bit codes of type t.
func newCodeOperator(plan broadcast, t Type, f func(x, y int32) int32) *binaryOperator[int32] {
	return &binaryOperator[int32]{codeAccess(t), plan, f}
}

// checkBinary checks the operands of an operator with broadcasting.
func checkBinary(a, b, out *Tensor) (broadcast, error) {
	for _, t := range []*Tensor{a, b, out} {
		if err := t.check("operand"); err != nil {
			return broadcast{}, err
		}
	}
	if err := sameType(a, b, out); err != nil {
		return broadcast{}, err
	}
	return newBroadcast(a.Shape, b.Shape, out.Shape)
}

// checkCodes returns an error unless all tensors are quantized with one scale each.
func checkCodes(list ...*Tensor) error {
	for _, t := range list {
		if err := t.checkQuantized("operand"); err != nil {
			return err
		}
	}
	return nil
}

// NewMaximum returns a Kernel for MAXIMUM with broadcasting, on all element types. As in
// TensorFlow Lite, it compares codes, so all quantized tensors should have the same scale
// and zero point.
func NewMaximum(a, b, out *Tensor) (Kernel, error) {
	k, err := newExtreme(true, a, b, out)
	return named("maximum", k, err)
}

// NewMinimum is like [NewMaximum], for MINIMUM.
func NewMinimum(a, b, out *Tensor) (Kernel, error) {
	k, err := newExtreme(false, a, b, out)
	return named("minimum", k, err)
}

// extreme returns the function max or min.
func extreme[T int32 | int64 | float32](largest bool) func(x, y T) T {
	if largest {
		return func(x, y T) T { return max(x, y) }
	}
	return func(x, y T) T { return min(x, y) }
}

func newExtreme(largest bool, a, b, out *Tensor) (Kernel, error) {
	plan, err := checkBinary(a, b, out)
	if err != nil {
		return nil, err
	}
	switch a.Type {
	case Float32:
		return newFloatOperator(plan, extreme[float32](largest)), nil
	case Int32:
		return newInt32Operator(plan, extreme[int32](largest)), nil
	case Int64:
		return &binaryOperator[int64]{int64Access(), plan, extreme[int64](largest)}, nil
	}
	return newCodeOperator(plan, a.Type, extreme[int32](largest)), nil
}

// NewSquaredDifference returns a Kernel for SQUARED_DIFFERENCE, (a − b)², with
// broadcasting, on int8, int32 or float32.
func NewSquaredDifference(a, b, out *Tensor) (Kernel, error) {
	k, err := newSquaredDifference(a, b, out)
	return named("squared_difference", k, err)
}

func newSquaredDifference(a, b, out *Tensor) (Kernel, error) {
	plan, err := checkBinary(a, b, out)
	if err != nil {
		return nil, err
	}
	switch a.Type {
	case Float32:
		return newFloatOperator(plan, func(x, y float32) float32 { return (x - y) * (x - y) }), nil
	case Int32:
		return newInt32Operator(plan, func(x, y int32) int32 { return (x - y) * (x - y) }), nil
	case Int8:
	default:
		return nil, fmt.Errorf("%w: operands are %v", ErrUnsupported, a.Type)
	}
	if err := checkCodes(a, b, out); err != nil {
		return nil, err
	}
	const shift = 7 // bits by which codes are shifted left before scaling
	twice, ma, mb, err := commonScale(a, b)
	if err != nil {
		return nil, err
	}
	m, err := newMultiplier(twice * twice / (float64(int(1)<<(2*shift)) * float64(out.scale())))
	if err != nil {
		return nil, err
	}
	lo, hi := out.Type.limits()
	return newCodeOperator(plan, Int8, func(x, y int32) int32 {
		d := ma.apply((x-a.zero())<<shift) - mb.apply((y-b.zero())<<shift)
		return clamp(m.apply(d*d)+out.zero(), lo, hi)
	}), nil
}

// NewPRelu returns a Kernel for PRELU on uint8, int8 or float32: in where it is positive,
// otherwise in times alpha. alpha is broadcast to the shape of in.
func NewPRelu(in, alpha, out *Tensor) (Kernel, error) {
	k, err := newPRelu(in, alpha, out)
	return named("prelu", k, err)
}

func newPRelu(in, alpha, out *Tensor) (Kernel, error) {
	plan, err := checkBinary(in, alpha, out)
	if err != nil {
		return nil, err
	}
	if err := sameShape(in, out); err != nil {
		return nil, err
	}
	if in.Type == Float32 {
		return newFloatOperator(plan, func(x, y float32) float32 {
			if x >= 0 {
				return x
			}
			return x * y
		}), nil
	}
	if err := checkCodes(in, alpha, out); err != nil {
		return nil, err
	}
	positive, err := newMultiplier(float64(in.scale() / out.scale()))
	if err != nil {
		return nil, err
	}
	negative, err := newMultiplier(float64(float32(in.scale()*alpha.scale()) / out.scale()))
	if err != nil {
		return nil, err
	}
	lo, hi := out.Type.limits()
	return newCodeOperator(plan, in.Type, func(x, y int32) int32 {
		v := x - in.zero()
		if v >= 0 {
			v = positive.apply(v)
		} else {
			v = negative.apply(v * (y - alpha.zero()))
		}
		return clamp(v+out.zero(), lo, hi)
	}), nil
}

// NewDiv returns a Kernel for DIV, a / b, with broadcasting, on int32 or float32.
func NewDiv(act Activation, a, b, out *Tensor) (Kernel, error) {
	k, err := newDiv(act, a, b, out)
	return named("div", k, err)
}

func newDiv(act Activation, a, b, out *Tensor) (Kernel, error) {
	plan, err := checkBinary(a, b, out)
	if err != nil {
		return nil, err
	}
	switch a.Type {
	case Float32:
		lo, hi, err := floatBounds(act)
		return newFloatOperator(plan, func(x, y float32) float32 { return clampFloat(x/y, lo, hi) }), err
	case Int32:
		lo, hi, err := act.integers()
		k := newInt32Operator(plan, func(x, y int32) int32 { return clamp(x/y, lo, hi) })
		return &dividing[int32]{*k, b.Elements()}, err
	}
	return nil, fmt.Errorf("%w: operands are %v", ErrUnsupported, a.Type)
}

// integers returns the smallest and the largest int32 that the activation allows.
func (a Activation) integers() (lo, hi int32, err error) {
	l, h, err := a.bounds()
	return saturate32(l), saturate32(h), err
}

// NewFloorDiv returns a Kernel for FLOOR_DIV, ⌊a / b⌋, with broadcasting, on int32 or
// float32.
func NewFloorDiv(a, b, out *Tensor) (Kernel, error) {
	k, err := newFloorDiv(a, b, out)
	return named("floor_div", k, err)
}

func newFloorDiv(a, b, out *Tensor) (Kernel, error) {
	plan, err := checkBinary(a, b, out)
	if err != nil {
		return nil, err
	}
	switch a.Type {
	case Float32:
		k := newFloatOperator(plan, func(x, y float32) float32 { return float32(math.Floor(float64(x / y))) })
		return &dividing[float32]{*k, b.Elements()}, nil
	case Int32:
		k := newInt32Operator(plan, func(x, y int32) int32 {
			q := x / y
			if x%y != 0 && (x < 0) != (y < 0) {
				q--
			}
			return q
		})
		return &dividing[int32]{*k, b.Elements()}, nil
	}
	return nil, fmt.Errorf("%w: operands are %v", ErrUnsupported, a.Type)
}
