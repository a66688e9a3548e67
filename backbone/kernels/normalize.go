package kernels

import (
	"fmt"
	"math"
	"math/bits"
)

// l2Normalization implements Kernel for L2_NORMALIZATION on 8-bit codes.
type l2Normalization struct {
	rows, n int
	zero    int32
	signed  bool
}

// NewL2Normalization returns a Kernel for L2_NORMALIZATION, which divides each row along
// the last axis by its Euclidean length, on uint8, int8 or float32. An 8-bit output must
// have scale 1/128 and zero point 128 for uint8 or 0 for int8.
func NewL2Normalization(act Activation, in, out *Tensor) (Kernel, error) {
	k, err := newL2Normalization(act, in, out)
	if err != nil {
		return nil, fmt.Errorf("l2_normalization: %w", err)
	}
	return k, nil
}

func newL2Normalization(act Activation, in, out *Tensor) (Kernel, error) {
	if act != None {
		return nil, fmt.Errorf("%w: fused activation", ErrUnsupported)
	}
	rows, n, err := rowsOf(in, out)
	if err != nil {
		return nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	if in.Type == Float32 {
		return &floatL2{rows: rows, n: n}, nil
	}
	if err := checkMapping(in, out); err != nil {
		return nil, err
	}
	k := &l2Normalization{rows: rows, n: n, zero: in.zero(), signed: in.Type == Int8}
	want := int32(128)
	if k.signed {
		want = 0
	}
	if out.scale() != 1.0/128 || out.zero() != want {
		return nil, fmt.Errorf("%w: output has scale %v and zero point %d, want 1/128 and %d", ErrInvalid, out.scale(), out.zero(), want)
	}
	return k, nil
}

func (k *l2Normalization) Parts() int   { return k.rows }
func (k *l2Normalization) Scratch() int { return 0 }

func (k *l2Normalization) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		in := a.In[0][row*k.n:][:k.n]
		out := a.Out[row*k.n:][:k.n]
		kind, zero := Uint8, int32(128)
		if k.signed {
			kind, zero = Int8, 0
		}
		low, high := kind.limits()
		var squares int32
		for _, b := range in {
			d := code(kind, int(b)) - k.zero
			squares += d * d
		}
		m := inverseRoot(squares)
		factor := int32(128)
		if k.signed {
			// TensorFlow Lite's int8 kernel folds the factor 128 into the exponent,
			// which rounds differently.
			factor = 1
			if m.right >= 7 {
				m.right -= 7
			} else {
				m.left, m.right = 7-m.right, 0
			}
		}
		for i, b := range in {
			d := code(kind, int(b)) - k.zero
			out[i] = byte(clamp(m.apply(factor*d)+zero, low, high))
		}
	}
}

// inverseRoot returns 1/√v in gemmlowp's fixed-point arithmetic: five steps of Newton's
// method x ← x·(3 − v·x²)/2 with three integer bits.
func inverseRoot(v int32) multiplier {
	if v <= 1 {
		return multiplier{mantissa: math.MaxInt32}
	}
	shift := 11
	for v >= 1<<29 {
		v /= 4
		shift++
	}
	pairs := (bits.LeadingZeros32(uint32(v))-1)/2 - 1
	shift -= pairs
	v <<= 2 * pairs
	half := shiftAway(v>>1, 1)
	const threeHalves = 1<<28 + 1<<27
	x := int32(1 << 28)
	for range 5 {
		cube := saturatingShift(fixedMul(fixedMul(x, x), x), 6)
		x = saturatingShift(fixedMul(threeHalves, x)-fixedMul(half, cube), 3)
	}
	const halfRoot2 = 1518500250 // √2/2
	x = fixedMul(x, halfRoot2)
	if shift < 0 {
		return multiplier{mantissa: x << -shift}
	}
	return multiplier{mantissa: x, right: uint8(shift)}
}

// fixedMul returns a·b/2³¹ rounded to nearest, ties up.
func fixedMul(a, b int32) int32 { return int32((int64(a)*int64(b) + 1<<30) >> 31) }

// saturatingShift returns v·2^by with saturation.
func saturatingShift(v int32, by uint) int32 {
	return int32(min(max(int64(v)<<by, math.MinInt32), math.MaxInt32))
}
