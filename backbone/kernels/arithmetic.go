package kernels

import "fmt"

// addShift is the number of bits by which ADD and SUB shift codes left before scaling.
const addShift = 20

// elementwise implements Kernel for ADD, SUB and MUL.
type elementwise struct {
	plan   broadcast
	kind   byte       // '+' or '*'; SUB is ADD with a negated table
	a, b   [256]int32 // terms or factors, indexed by code
	scale  multiplier
	zero   int32
	lo, hi int32
	adder  adder // for operands of the same shape; may be nil
}

// A sum tells an implementation how to compute ADD of x and y: scale.apply(terms[0](x)
// + terms[1](y)) + zero, clamped to lo…hi.
type sum struct {
	terms        [2]term
	signed       bool // operands are int8
	scale        multiplier
	zero, lo, hi int32
}

// A term is scale.apply((x − zero)·2^addShift).
type term struct {
	zero  int32
	scale multiplier
}

// An adder computes a sum. It is immutable.
type adder interface {
	// add computes len(out) elements.
	add(out, x, y []byte)
}

// NewAdd returns a Kernel for ADD with broadcasting, on uint8, int8, int32 or
// float32. int32 values wrap.
func NewAdd(act Activation, a, b, out *Tensor) (Kernel, error) {
	return newBinary("add", '+', act, a, b, out)
}

// NewSub returns a Kernel for SUB, a − b, with broadcasting, on uint8, int8,
// int32 or float32.
func NewSub(act Activation, a, b, out *Tensor) (Kernel, error) {
	return newBinary("sub", '-', act, a, b, out)
}

// NewMul returns a Kernel for MUL with broadcasting, on uint8, int8, int32 or
// float32.
func NewMul(act Activation, a, b, out *Tensor) (Kernel, error) {
	return newBinary("mul", '*', act, a, b, out)
}

func newBinary(name string, kind byte, act Activation, a, b, out *Tensor) (Kernel, error) {
	k, err := prepareBinary(kind, act, a, b, out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return k, nil
}

func prepareBinary(kind byte, act Activation, a, b, out *Tensor) (Kernel, error) {
	plan, err := checkBinary(a, b, out)
	if err != nil {
		return nil, err
	}
	switch a.Type {
	case Float32:
		return newFloatBinary(kind, act, plan)
	case Int32:
		return newInt32Binary(kind, act, plan)
	}
	if err := checkCodes(a, b, out); err != nil {
		return nil, err
	}
	k := &elementwise{plan: plan, kind: kind, zero: out.zero()}
	if k.lo, k.hi, err = act.codes(out); err != nil {
		return nil, err
	}
	if kind == '*' {
		for i := range 256 {
			k.a[i] = code(a.Type, i) - a.zero()
			k.b[i] = code(b.Type, i) - b.zero()
		}
		k.scale, err = newMultiplier(float64(float32(a.scale()*b.scale()) / out.scale()))
		return k, err
	}
	twice, ma, mb, err := commonScale(a, b)
	if err != nil {
		return nil, err
	}
	if k.scale, err = newMultiplier(twice / float64((1<<addShift)*float64(out.scale()))); err != nil {
		return nil, err
	}
	if k.scale.left > 0 {
		return nil, fmt.Errorf("%w: scales %v and %v are too large for output scale %v", ErrInvalid, a.scale(), b.scale(), out.scale())
	}
	for i := range 256 {
		k.a[i] = ma.apply((code(a.Type, i) - a.zero()) << addShift)
		k.b[i] = mb.apply((code(b.Type, i) - b.zero()) << addShift)
		if kind == '-' {
			k.b[i] = -k.b[i]
		}
	}
	k.kind = '+'
	i, err := chosen()
	if err == nil && kind == '+' && i.adder != nil {
		k.adder = i.adder(&sum{
			terms:  [2]term{{a.zero(), ma}, {b.zero(), mb}},
			signed: a.Type == Int8, scale: k.scale, zero: k.zero, lo: k.lo, hi: k.hi,
		})
	}
	return k, err
}

// commonScale returns a scale for both operands, twice the larger of theirs, and what the codes of
// each are multiplied by to have it.
func commonScale(a, b *Tensor) (twice float64, ma, mb multiplier, err error) {
	twice = 2 * max(float64(a.scale()), float64(b.scale()))
	if ma, err = newMultiplier(float64(a.scale()) / twice); err == nil {
		mb, err = newMultiplier(float64(b.scale()) / twice)
	}
	return twice, ma, mb, err
}

// newInt32Binary returns a Kernel for ADD, SUB or MUL of int32 values.
func newInt32Binary(kind byte, act Activation, plan broadcast) (Kernel, error) {
	lo, hi, err := act.integers()
	return newInt32Operator(plan, func(x, y int32) int32 { return clamp(calculate(kind, x, y), lo, hi) }), err
}

// calculate returns x + y, x − y or x·y.
func calculate[T int32 | float32](kind byte, x, y T) T {
	switch kind {
	case '+':
		return x + y
	case '-':
		return x - y
	}
	return x * y
}

// code returns the value of byte b as a code of the 8-bit type t.
func code(t Type, b int) int32 {
	if t == Int8 {
		return int32(int8(b))
	}
	return int32(b)
}

func (k *elementwise) Parts() int   { return k.plan.parts() }
func (k *elementwise) Scratch() int { return 0 }

func (k *elementwise) Run(a *Args, lo, hi int) {
	x, y := a.In[0], a.In[1]
	for p := lo; p < hi; p++ {
		r := k.plan.part(p)
		out := a.Out[r.out:][:r.n]
		if r.stepA == 1 && r.stepB == 1 && k.kind == '+' {
			u, v := x[r.a:][:r.n], y[r.b:][:r.n]
			if k.adder != nil {
				k.adder.add(out, u, v)
				continue
			}
			for i := range out {
				s := k.scale.apply(k.a[u[i]] + k.b[v[i]])
				out[i] = byte(clamp(s+k.zero, k.lo, k.hi))
			}
			continue
		}
		for i := range out {
			s, t := k.a[x[r.a+i*r.stepA]], k.b[y[r.b+i*r.stepB]]
			if k.kind == '*' {
				s *= t
			} else {
				s += t
			}
			out[i] = byte(clamp(k.scale.apply(s)+k.zero, k.lo, k.hi))
		}
	}
}
