package kernels

import (
	"fmt"
	"math"
)

// A Stage is the output stage of the Edge TPU. It maps the exact integer sums of an
// operator to codes:
//
//	code = Zero + round(float32(sum)·Factor), clamped to Lo…Hi
//
// The product is rounded to float32, then to the nearest integer, with ties to even. This
// formula is not documented anywhere, but it reproduces recordings of physical devices
// (google-coral/test_data posenet/*_edgetpu_reference.csv). No recording has sums beyond
// ±2²⁴. This package rounds larger sums to float32 first.
type Stage struct {
	Factor       []float32 // one, or one for each channel
	Zero, Lo, Hi int32     // codes of the output
}

// WeightedStage returns the Stage of CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED with the
// given activation. It computes factors in the same order as Google's compiler.
func WeightedStage(act Activation, in, filter, out *Tensor) (*Stage, error) {
	if err := in.checkQuantized("input"); err != nil {
		return nil, err
	}
	if err := filter.check("filter"); err != nil {
		return nil, err
	}
	factors := make([]float32, len(filter.Scale))
	for c, sw := range filter.Scale {
		factors[c] = float32(in.scale() * sw)
	}
	return newStage(act, out, factors...)
}

// newStage returns a Stage with the given factors, divided by the scale of out.
func newStage(act Activation, out *Tensor, factors ...float32) (*Stage, error) {
	if err := out.checkQuantized("output"); err != nil {
		return nil, err
	}
	s := &Stage{Factor: factors, Zero: out.zero()}
	inverse := float32(1) / out.scale()
	for c := range factors {
		factors[c] = float32(factors[c] * inverse)
	}
	var err error
	s.Lo, s.Hi, err = act.codes(out)
	return s, err
}

// A stage is a Stage that is ready to run.
type stage struct {
	factor []float32 // one for each channel
	zero   int32
	lo, hi float64 // limits of code − zero
}

// prepare returns the stage for the given output type and number of channels.
func (s *Stage) prepare(out Type, channels int) (*stage, error) {
	p := &stage{factor: s.Factor, zero: s.Zero}
	if len(s.Factor) == 1 {
		p.factor = make([]float32, channels)
		for c := range p.factor {
			p.factor[c] = s.Factor[0]
		}
	}
	if len(p.factor) != channels {
		return nil, fmt.Errorf("%w: %d factors for %d channels", ErrInvalid, len(s.Factor), channels)
	}
	for _, f := range p.factor {
		if f64 := float64(f); math.IsNaN(f64) || math.IsInf(f64, 0) {
			return nil, fmt.Errorf("%w: invalid factor %v", ErrInvalid, f)
		}
	}
	lo, hi := out.limits()
	if s.Lo < lo || s.Hi > hi || s.Lo > s.Hi || s.Zero < lo || s.Zero > hi {
		return nil, fmt.Errorf("%w: limits %d and %d or zero point %d are not valid for %v", ErrInvalid, s.Lo, s.Hi, s.Zero, out)
	}
	p.lo, p.hi = float64(s.Lo-s.Zero), float64(s.Hi-s.Zero)
	return p, nil
}

// code returns the code of a sum of channel c. It clamps before it rounds, to keep the
// conversion in range. The limits are integers, so the result is the same.
func (s *stage) code(sum int32, c int) byte {
	v := float32(float32(sum) * s.factor[c])
	return byte(s.zero + int32(math.RoundToEven(min(max(float64(v), s.lo), s.hi))))
}

// NewEdgeTPUAveragePool2D is like [NewAveragePool2D], but uses the Edge TPU's arithmetic.
func NewEdgeTPUAveragePool2D(p Pool2DParams, in, out *Tensor) (Kernel, error) {
	k, err := newPool(p, false, in, out)
	if err != nil {
		return nil, fmt.Errorf("average_pool_2d: %w", err)
	}
	if average, ok := k.(*pool); ok {
		average.reciprocal, average.zero = true, in.zero()
	}
	return k, nil
}

// NewEdgeTPUQuantize is like [NewQuantize], but uses the Edge TPU's arithmetic for codes.
// For float32 input, which the Edge TPU does not support, it returns NewQuantize's Kernel.
func NewEdgeTPUQuantize(in, out *Tensor) (Kernel, error) {
	k, err := newEdgeTPUQuantize(in, out)
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	return k, nil
}

func newEdgeTPUQuantize(in, out *Tensor) (Kernel, error) {
	if in != nil && in.Type == Float32 {
		return newQuantize(in, out)
	}
	if err := checkMapping(in, out); err != nil {
		return nil, err
	}
	s, err := newStage(None, out, in.scale())
	if err != nil {
		return nil, err
	}
	p, err := s.prepare(out.Type, 1)
	if err != nil {
		return nil, err
	}
	return newMapping(in, s.Lo, s.Hi, func(q int32) int32 {
		return code(out.Type, int(p.code(q-in.zero(), 0)))
	}), nil
}

// maxFraction is the largest integer by which the Edge TPU's ADD multiplies.
const maxFraction = 32767

// edgeTPUBinary implements Kernel for ADD and MUL with the Edge TPU's arithmetic.
type edgeTPUBinary struct {
	plan broadcast
	a, b [256]int32
	mul  bool
	*stage
}

// NewEdgeTPUAdd is like [NewAdd], but uses the Edge TPU's arithmetic. It multiplies the
// codes of a and b, minus their zero points, by one integer each. The ratio of these
// integers approximates the ratio of the scales as closely as possible.
func NewEdgeTPUAdd(act Activation, a, b, out *Tensor) (Kernel, error) {
	return newEdgeTPUBinary("add", '+', act, a, b, out)
}

// NewEdgeTPUMul is like [NewMul], but uses the Edge TPU's arithmetic.
func NewEdgeTPUMul(act Activation, a, b, out *Tensor) (Kernel, error) {
	return newEdgeTPUBinary("mul", '*', act, a, b, out)
}

func newEdgeTPUBinary(name string, kind byte, act Activation, a, b, out *Tensor) (Kernel, error) {
	// newBinary checks the operands. Its kernel is also used for other types than codes.
	k, err := newBinary(name, kind, act, a, b, out)
	codes, ok := k.(*elementwise)
	if err != nil || !ok {
		return k, err
	}
	e := &edgeTPUBinary{plan: codes.plan, mul: kind == '*'}
	timesA, timesB, factor := int32(1), int32(1), float32(a.scale()*b.scale())
	if !e.mul {
		if a.scale() >= b.scale() {
			timesB, timesA = fraction(b.scale(), a.scale())
			factor = a.scale() / float32(timesA)
		} else {
			timesA, timesB = fraction(a.scale(), b.scale())
			factor = b.scale() / float32(timesB)
		}
	}
	for i := range 256 {
		e.a[i] = timesA * (code(a.Type, i) - a.zero())
		e.b[i] = timesB * (code(b.Type, i) - b.zero())
	}
	s, err := newStage(act, out, factor)
	if err == nil {
		e.stage, err = s.prepare(out.Type, 1)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

// fraction returns the numerator and denominator, both at most maxFraction, of the fraction
// closest to x/y. x/y must not exceed 1.
func fraction(x, y float32) (int32, int32) {
	// p0/q0 and p1/q1 are consecutive convergents of the continued fraction. The result
	// is the last convergent within the limit, or the semiconvergent after it, whichever
	// is closer. In float64, the quotient of two float32 values is more precise than any
	// fraction within the limit.
	target := float64(x) / float64(y)
	p0, q0, p1, q1 := 0.0, 1.0, 1.0, 0.0
	for rest := target; ; {
		whole := math.Floor(rest)
		p2, q2 := float64(whole*p1)+p0, float64(whole*q1)+q0
		if q2 > maxFraction {
			steps := math.Floor((maxFraction - q0) / q1)
			p2, q2 = float64(steps*p1)+p0, float64(steps*q1)+q0
			if math.Abs(p2/q2-target) < math.Abs(p1/q1-target) {
				p1, q1 = p2, q2
			}
			return int32(p1), int32(q1)
		}
		p0, q0, p1, q1 = p1, q1, p2, q2
		if rest == whole {
			return int32(p1), int32(q1)
		}
		rest = 1 / (rest - whole)
	}
}

func (e *edgeTPUBinary) Parts() int   { return e.plan.parts() }
func (e *edgeTPUBinary) Scratch() int { return 0 }

func (e *edgeTPUBinary) Run(a *Args, lo, hi int) {
	x, y := a.In[0], a.In[1]
	for p := lo; p < hi; p++ {
		r := e.plan.part(p)
		for i := range r.n {
			u, v := e.a[x[r.a+i*r.stepA]], e.b[y[r.b+i*r.stepB]]
			if e.mul {
				u *= v
			} else {
				u += v
			}
			a.Out[r.out+i] = e.code(u, 0)
		}
	}
}
