package kernels

import (
	"fmt"
	"math"
)

// A multiplier is a positive factor as TensorFlow Lite represents it:
// mantissa·2^(left−right)/2³¹, with a mantissa of 31 bits.
type multiplier struct {
	mantissa    int32
	left, right uint8
}

// newMultiplier returns the multiplier closest to m ≥ 0.
func newMultiplier(m float64) (multiplier, error) {
	if m == 0 {
		return multiplier{}, nil
	}
	if !(m > 0) || math.IsInf(m, 0) {
		return multiplier{}, fmt.Errorf("%w: the scales give the factor %v", ErrInvalid, m)
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
		return multiplier{}, fmt.Errorf("%w: the scales give the factor %v, which is too large", ErrInvalid, m)
	}
	if exp >= 0 {
		return multiplier{mantissa: int32(q), left: uint8(exp)}, nil
	}
	return multiplier{mantissa: int32(q), right: uint8(-exp)}, nil
}

// doublingHigh returns v·2^left·mantissa/2³¹, rounded to nearest, ties up. This is the
// first of two roundings. The left shift wraps at 32 bits, as in the C++ implementation.
func (m multiplier) doublingHigh(v int32) int32 {
	return int32((int64(v<<(m.left&31))*int64(m.mantissa) + 1<<30) >> 31)
}

// apply returns the product of v and m with gemmlowp's second rounding: ties away from
// zero. All operators except matrix products round this way.
func (m multiplier) apply(v int32) int32 {
	return shiftAway(m.doublingHigh(v), m.right)
}

// applyUp returns the product of v and m with ruy's second rounding on x86: ties up.
func (m multiplier) applyUp(v int32) int32 {
	right := m.right & 31
	return int32((int64(m.doublingHigh(v)) + 1<<right>>1) >> right)
}

// shiftAway returns v/2^by rounded to nearest, ties away from zero.
func shiftAway(v int32, by uint8) int32 {
	if by == 0 {
		return v
	}
	x := int64(v)
	return int32((x + 1<<(by-1) + x>>63) >> by)
}

// An Activation is an activation function fused into an operator.
type Activation uint8

// The activations.
const (
	None Activation = iota
	ReLU
	ReLUN1To1
	ReLU6
)

// bounds returns the real values to which the activation clamps.
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

// codes returns the codes of t to which the activation clamps.
func (a Activation) codes(t *Tensor) (lo, hi int32, err error) {
	low, high, err := a.bounds()
	if err != nil {
		return 0, 0, err
	}
	lo, hi = t.Type.limits()
	if !math.IsInf(low, 0) {
		lo = max(lo, quantize(float32(low), t.scale(), t.zero()))
	}
	if !math.IsInf(high, 0) {
		hi = min(hi, quantize(float32(high), t.scale(), t.zero()))
	}
	return lo, hi, nil
}

// quantize returns round(v/scale) + zero, with the quotient in float32.
func quantize(v, scale float32, zero int32) int32 {
	return saturate32(math.Round(float64(v/scale)) + float64(zero))
}

// roundToInt returns v rounded to nearest, ties away from zero.
func roundToInt(v float32) int32 { return saturate32(math.Round(float64(v))) }

// saturate32 converts an integral value with saturation. NaN becomes the smallest int32.
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
