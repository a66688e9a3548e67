//go:build !purego

package kernels

import (
	"math"
	"unsafe"
)

// wideAddStep is the number of elements that the AVX-512 assembly adds at a time.
const wideAddStep = 4 * wideLanes

// wideAdder implements adder for AVX-512. The panel's two factors map the operands' codes
// to output codes in float32, as in a wideScale. A sum is in doubt if it is at most
// addDoubt multiples of 2⁻¹⁵ away from another code.
type wideAdder struct {
	panel  widePanel
	signed bool
	exact  adder // for sums in doubt
}

const addDoubt = 8

// newWideAdder returns AVX2's adder if float32 is not precise enough.
func newWideAdder(s *sum) adder {
	k := &wideAdder{signed: s.signed, exact: newPanelAdder(s)}
	k.panel.limit(&weights{signed: s.signed, requantization: requantization{outZero: s.zero, lo: s.lo, hi: s.hi}})
	offset := floatBase + 0.5 + float64(k.panel.zero[0])
	var factors [2]float64
	for i, t := range s.terms {
		factors[i] = t.scale.value() * s.scale.value() * (1 << addShift)
		offset -= factors[i] * float64(t.zero)
	}
	bound, doubt := math.Ldexp(s.errorBound(factors, offset), fractionBits), 1
	for float64(doubt) < bound {
		doubt *= 2
	}
	if doubt > addDoubt {
		return k.exact
	}
	for i := range wideLanes {
		k.panel.fraction[i] -= uint32(2*doubt - 1)
		k.panel.half[0].offset[i] = float32(offset + math.Ldexp(float64(doubt), -fractionBits))
		for h := range k.panel.half {
			k.panel.half[h].factor[i] = float32(factors[h])
		}
	}
	return k
}

// value returns the factor as a number.
func (m multiplier) value() float64 {
	return math.Ldexp(float64(m.mantissa), int(m.left)-31-int(m.right))
}

// errorBound returns an upper bound for the difference between what a wideAdder computes,
// for codes in range, and what s rounds down.
func (s *sum) errorBound(factors [2]float64, offset float64) float64 {
	// In integers, each term is off by at most 1. Scaling the sum rounds by half a unit,
	// and ties away from zero are another unit, before the last shift.
	bound := 2*s.scale.value() + math.Ldexp(1.5, -int(s.scale.right))
	// In float32, constants, the first of two sums and the second are rounded to 24 bits.
	inner := math.Abs(offset) + 255*factors[1]
	return bound + (255*(factors[0]+factors[1])+math.Abs(offset)+inner+2*floatBase)*math.Ldexp(1, -24)
}

func (k *wideAdder) add(out, x, y []byte) {
	n := len(out)
	x, y = x[:n], y[:n]
	for n >= wideAddStep {
		whole, p := n/wideAddStep, (*byte)(unsafe.Pointer(&k.panel))
		var rest int
		if k.signed {
			rest = wideAddSigned(&out[0], &x[0], &y[0], whole, p)
		} else {
			rest = wideAddUnsigned(&out[0], &x[0], &y[0], whole, p)
		}
		done := (whole - rest) * wideAddStep
		out, x, y = out[done:], x[done:], y[done:]
		if rest > 0 {
			k.exact.add(out[:wideAddStep], x[:wideAddStep], y[:wideAddStep])
			out, x, y = out[wideAddStep:], x[wideAddStep:], y[wideAddStep:]
		}
		n = len(out)
	}
	if n > 0 {
		k.exact.add(out, x, y)
	}
}
