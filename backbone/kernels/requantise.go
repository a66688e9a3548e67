package kernels

import (
	"fmt"
	"math"
)

// A multiplier is a positive real factor as TensorFlow Lite stores it:
// mantissa·2^(left−right)/2³¹ with a mantissa of 31 bits.
type multiplier struct {
	mantissa    int32
	left, right uint8
}

// newMultiplier rounds m ≥ 0 to a multiplier.
func newMultiplier(m float64) (multiplier, error) {
	if m == 0 {
		return multiplier{}, nil
	}
	if !(m > 0) || math.IsInf(m, 0) {
		return multiplier{}, fmt.Errorf("%w: scales give the factor %v", ErrInvalid, m)
	}
	frac, exp := math.Frexp(m)
	q := int64(math.Round(frac * (1 << 31)))
	if q == 1<<31 {
		q /= 2
		exp++
	}
	if exp < -31 {
		return multiplier{}, nil
	}
	if exp > 30 {
		return multiplier{}, fmt.Errorf("%w: scales give the factor %v, too large", ErrInvalid, m)
	}
	if exp >= 0 {
		return multiplier{mantissa: int32(q), left: uint8(exp)}, nil
	}
	return multiplier{mantissa: int32(q), right: uint8(-exp)}, nil
}

// doublingHigh is the first rounding: v·2^left·mantissa/2³¹, ties up. The left
// shift wraps at 32 bits, as it does in the C++ implementation.
func (m multiplier) doublingHigh(v int32) int32 {
	return int32((int64(v<<(m.left&31))*int64(m.mantissa) + 1<<30) >> 31)
}

// apply multiplies with gemmlowp's second rounding: ties away from zero.
// Everything but matrix products rounds this way.
func (m multiplier) apply(v int32) int32 {
	return shiftAway(m.doublingHigh(v), m.right)
}

// applyUp multiplies with ruy's second rounding on x86: ties up.
func (m multiplier) applyUp(v int32) int32 {
	right := m.right & 31
	return int32((int64(m.doublingHigh(v)) + 1<<right>>1) >> right)
}

// shiftAway is v/2^by rounded to nearest, ties away from zero.
func shiftAway(v int32, by uint8) int32 {
	if by == 0 {
		return v
	}
	x := int64(v)
	return int32((x + 1<<(by-1) + x>>63) >> by)
}

// An Activation is the function fused behind an operator.
type Activation uint8

// The activations that quantised operators can carry.
const (
	None Activation = iota
	ReLU
	ReLUN1To1
	ReLU6
)

// bounds are the reals between which an activation clamps.
func (a Activation) bounds() (lo, hi float64, err error) {
	switch a {
	case None:
		return math.Inf(-1), math.Inf(1), nil
	case ReLU:
		return 0, math.Inf(1), nil
	case ReLUN1To1:
		return -1, 1, nil
	case ReLU6:
		return 0, 6, nil
	}
	return 0, 0, fmt.Errorf("%w: fused activation %d", ErrUnsupported, a)
}

// codes are the 8-bit codes of t between which an activation clamps.
func (a Activation) codes(t *Tensor) (lo, hi int32, err error) {
	low, high, err := a.bounds()
	if err != nil {
		return 0, 0, err
	}
	lo, hi = t.Type.limits()
	if !math.IsInf(low, 0) {
		lo = max(lo, quantise(float32(low), t.scale(), t.zero()))
	}
	if !math.IsInf(high, 0) {
		hi = min(hi, quantise(float32(high), t.scale(), t.zero()))
	}
	return lo, hi, nil
}

// quantise is round(v/scale) + zero, the quotient in float32.
func quantise(v, scale float32, zero int32) int32 {
	return saturate32(math.Round(float64(v/scale)) + float64(zero))
}

// roundToInt rounds to nearest, ties away from zero.
func roundToInt(v float32) int32 { return saturate32(math.Round(float64(v))) }

// saturate32 converts an integral value; NaN gives the least.
func saturate32(v float64) int32 {
	switch {
	case v >= math.MaxInt32:
		return math.MaxInt32
	case v > math.MinInt32:
		return int32(v)
	}
	return math.MinInt32
}

func clamp(v, lo, hi int32) int32 { return min(max(v, lo), hi) }
