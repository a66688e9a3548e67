package kernels

import (
	"fmt"
	"math"
	"slices"
)

// A mapping implements Kernel for any function of one 8-bit tensor. It looks up the output
// code of each input code in a table.
type mapping struct {
	table [256]byte
	flips bool // each output code is the input code XOR table[0], as in most QUANTIZE
	n     int
}

func (k *mapping) Parts() int   { return chunks(k.n) }
func (k *mapping) Scratch() int { return 0 }

func (k *mapping) Run(a *Args, lo, hi int) {
	from, to := span(lo, hi, k.n)
	out := a.Out[from:to]
	in := a.In[0][from:][:len(out)]
	if k.flips {
		copyFlipped(out, in, k.table[0])
		return
	}
	for i, b := range in {
		out[i] = k.table[b]
	}
}

// newMapping returns the mapping from each code of in to the result of f, clamped to
// lo…hi.
func newMapping(in *Tensor, lo, hi int32, f func(q int32) int32) *mapping {
	k := &mapping{n: in.Elements(), flips: true}
	for b := range k.table {
		k.table[b] = byte(clamp(f(code(in.Type, b)), lo, hi))
		k.flips = k.flips && k.table[b] == k.table[0]^byte(b)
	}
	return k
}

// checkMapping returns an error unless in and out are operands that a mapping supports.
func checkMapping(in, out *Tensor) error {
	if err := in.checkQuantized("input"); err != nil {
		return err
	}
	if err := out.checkQuantized("output"); err != nil {
		return err
	}
	return sameShape(in, out)
}

// sameShape returns an error if in and out have different shapes.
func sameShape(in, out *Tensor) error {
	if !slices.Equal(in.Shape, out.Shape) {
		return fmt.Errorf("%w: input has shape %v, output %v", ErrInvalid, in.Shape, out.Shape)
	}
	return nil
}

// NewReLU returns a Kernel for the operator RELU, RELU6 or RELU_N1_TO_1 on uint8, int8 or
// float32.
func NewReLU(act Activation, in, out *Tensor) (Kernel, error) {
	k, err := newReLU(act, in, out)
	if err != nil {
		return nil, fmt.Errorf("relu: %w", err)
	}
	return k, nil
}

func newReLU(act Activation, in, out *Tensor) (Kernel, error) {
	if in != nil && in.Type == Float32 {
		lo, hi, err := act.bounds()
		if err != nil {
			return nil, err
		}
		return newFloatMapping(in, out, func(v float32) float32 { return clampFloat(v, float32(lo), float32(hi)) })
	}
	if err := checkMapping(in, out); err != nil {
		return nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	lo, hi, err := act.codes(out)
	if err != nil {
		return nil, err
	}
	m, err := newMultiplier(float64(in.scale() / out.scale()))
	if err != nil {
		return nil, err
	}
	return newMapping(in, lo, hi, func(q int32) int32 {
		return m.apply(q-in.zero()) + out.zero()
	}), nil
}

// NewLogistic returns a Kernel for LOGISTIC, 1/(1+e^−x), on uint8, int8 or float32. Codes
// are looked up in a table that is computed in float32.
func NewLogistic(in, out *Tensor) (Kernel, error) {
	k, err := newLogistic(in, out)
	if err != nil {
		return nil, fmt.Errorf("logistic: %w", err)
	}
	return k, nil
}

func logistic(v float32) float32 { return 1 / (1 + exp(-v)) }

func newLogistic(in, out *Tensor) (Kernel, error) { return newFunction(logistic, in, out) }

// newFunction returns a Kernel for a function of each element. Codes are looked up in a
// table that is computed in float32.
func newFunction(f func(v float32) float32, in, out *Tensor) (Kernel, error) {
	if in != nil && in.Type == Float32 {
		return newFloatMapping(in, out, f)
	}
	if err := checkMapping(in, out); err != nil {
		return nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	lo, hi := out.Type.limits()
	inverse := 1 / out.scale()
	return newMapping(in, lo, hi, func(q int32) int32 {
		v := f(in.scale() * float32(q-in.zero()))
		return roundToInt(float32(v*inverse)) + out.zero()
	}), nil
}

// NewTanh returns a Kernel for TANH on uint8, int8 or float32. Codes are looked up in a
// table that is computed in float32.
func NewTanh(in, out *Tensor) (Kernel, error) {
	k, err := newFunction(tanh, in, out)
	return named("tanh", k, err)
}

// tanh returns the hyperbolic tangent of v, rounded to float32.
func tanh(v float32) float32 {
	x := float64(v)
	if math.Abs(x) < 0.01 { // the first terms of the Taylor series, which lose no digits
		square := float64(x * x)
		return float32(x - float64(x*square)*(1-float64(square*0.4))/3)
	}
	return float32(1 - 2/(Exp(float64(2*x))+1))
}

// NewLeakyReLU returns a Kernel for LEAKY_RELU on uint8, int8 or float32: in where it is
// positive, otherwise in times alpha.
func NewLeakyReLU(alpha float32, in, out *Tensor) (Kernel, error) {
	k, err := newLeakyReLU(alpha, in, out)
	return named("leaky_relu", k, err)
}

func newLeakyReLU(alpha float32, in, out *Tensor) (Kernel, error) {
	if in != nil && in.Type == Float32 {
		return newFloatMapping(in, out, func(v float32) float32 {
			if v > 0 {
				return v
			}
			return v * alpha
		})
	}
	if err := checkMapping(in, out); err != nil {
		return nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	positive, err := newMultiplier(float64(in.scale() / out.scale()))
	if err != nil {
		return nil, err
	}
	slope := float64(float32(in.scale()*alpha) / out.scale())
	negative, err := newMultiplier(math.Abs(slope))
	if err != nil {
		return nil, err
	}
	lo, hi := out.Type.limits()
	return newMapping(in, lo, hi, func(q int32) int32 {
		v := q - in.zero()
		switch {
		case v >= 0:
			v = positive.apply(v)
		case slope < 0:
			v = negative.apply(-v)
		default:
			v = negative.apply(v)
		}
		return v + out.zero()
	}), nil
}

// NewRsqrt returns a Kernel for RSQRT, 1/√x, on int8 or float32. The codes of 0 and, as
// there is no result, of negative values become the largest code.
func NewRsqrt(in, out *Tensor) (Kernel, error) {
	k, err := newRsqrt(in, out)
	return named("rsqrt", k, err)
}

func newRsqrt(in, out *Tensor) (Kernel, error) {
	if in != nil && in.Type == Float32 {
		return newFloatMapping(in, out, func(v float32) float32 { return 1 / root(v) })
	}
	if err := checkMapping(in, out); err != nil {
		return nil, err
	}
	if in.Type != Int8 || out.Type != Int8 {
		return nil, fmt.Errorf("%w: %v to %v", ErrUnsupported, in.Type, out.Type)
	}
	m, err := newMultiplier(float64(1 / float32(float32(math.Sqrt(float64(in.scale())))*out.scale())))
	if err != nil {
		return nil, err
	}
	const shift = 20 // bits by which the inverse root is shifted left
	lo, hi := out.Type.limits()
	return newMapping(in, lo, hi, func(q int32) int32 {
		v := q - in.zero()
		if v <= 0 {
			return hi
		}
		root := inverseRoot(v)
		return m.shifted(-shift).apply(root.shifted(shift).apply(1)) + out.zero()
	}), nil
}

// shifted returns m·2^by.
func (m multiplier) shifted(by int) multiplier {
	exponent := int(m.left) - int(m.right) + by
	return multiplier{mantissa: m.mantissa, left: uint8(max(exponent, 0)), right: uint8(max(-exponent, 0))}
}

// root returns √v. A negative v gives the same NaN on every processor.
func root(v float32) float32 {
	if v < 0 {
		return float32(math.NaN())
	}
	return float32(math.Sqrt(float64(v)))
}

// NewSqrt returns a Kernel for SQRT on float32.
func NewSqrt(in, out *Tensor) (Kernel, error) {
	if in != nil && in.Type != Float32 {
		return nil, fmt.Errorf("sqrt: %w: input is %v, want float32", ErrUnsupported, in.Type)
	}
	k, err := newFloatMapping(in, out, root)
	if err != nil {
		return nil, fmt.Errorf("sqrt: %w", err)
	}
	return k, nil
}

// NewHardSwish returns a Kernel for HARD_SWISH, x·relu6(x+3)/6, on uint8 or int8, in
// TensorFlow Lite's 16-bit fixed-point arithmetic.
func NewHardSwish(in, out *Tensor) (Kernel, error) {
	k, err := newHardSwish(in, out)
	if err != nil {
		return nil, fmt.Errorf("hard_swish: %w", err)
	}
	return k, nil
}

func newHardSwish(in, out *Tensor) (Kernel, error) {
	if err := checkMapping(in, out); err != nil {
		return nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	// Inputs are shifted left by 7 bits. On the scale of the inner relu, ±3 is the whole
	// range of 16 bits.
	fine := float32(1.0/128) * in.scale()
	toOut, err := newMultiplier(float64(fine / out.scale()))
	if err != nil {
		return nil, err
	}
	toRelu, err := newMultiplier(float64(fine / (3.0 / 32768)))
	if err != nil {
		return nil, err
	}
	if toOut.left > 0 {
		return nil, fmt.Errorf("%w: input scale %v is too large for output scale %v", ErrInvalid, in.scale(), out.scale())
	}
	outFactor, reluFactor := toOut.sixteen(), toRelu.sixteen()
	lo, hi := out.Type.limits()
	return newMapping(in, lo, hi, func(q int32) int32 {
		x := saturate16((q - in.zero()) << 7)
		onOut := doublingHigh16(x, outFactor)
		relu := x
		if toRelu.left > 0 {
			relu = saturate16(relu << (toRelu.left - 1))
		}
		relu = doublingHigh16(relu, reluFactor)
		if toRelu.left > 0 {
			relu = saturate16(relu << 1)
		}
		relu = shiftAway(relu, toRelu.right)
		relu = (relu + 1<<15) >> 1
		return shiftAway(relu*onOut/(1<<15), toOut.right) + out.zero()
	}), nil
}

// sixteen returns the mantissa rounded to 16 bits.
func (m multiplier) sixteen() int32 {
	return int32(min((int64(m.mantissa)+1<<15)>>16, math.MaxInt16))
}

func saturate16(v int32) int32 { return clamp(v, math.MinInt16, math.MaxInt16) }

// doublingHigh16 returns a·b/2¹⁵ for 16-bit values, rounded to nearest, ties up.
func doublingHigh16(a, b int32) int32 {
	if a == math.MinInt16 && b == math.MinInt16 {
		return math.MaxInt16
	}
	return (a*b + 1<<14) >> 15
}
