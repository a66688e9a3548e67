//go:build !purego

package kernels

import (
	"math"
	"unsafe"
)

// wideLanes is the number of 32-bit lanes in an AVX-512 vector.
const wideLanes = 16

// A widePanel is a panel for two AVX-512 vectors of channels. Its lanes are in the
// order of channels. The assembly shifts sums left before it scales them.
type widePanel struct {
	half [2]wideScale
	wideLimits
}

// wideLimits has the parameters that all channels share.
type wideLimits struct {
	zero         [2 * wideLanes]int16
	base         [2 * wideLanes]uint16
	fraction     [wideLanes]uint32
	lo, hi, flip [4 * wideLanes]byte
	active       bool // whether lo, hi or flip changes any byte
	_            [4*wideLanes - 1]byte
}

// A wideScale has the parameters of one vector of channels.
//
// Scaling in float32 takes fewer instructions than in integers. The assembly computes z =
// sum·factor + offset with one rounding, where offset is 256 + ½ + the zero point. If a
// code is in range, 256 ≤ z < 512, so z is a multiple of 2⁻¹⁵ and its integral part is
// 256 + the code. Rounding factor to 24 bits changes z by less than 2⁻¹⁶. Therefore the
// code can only be wrong if z has no fraction. Then, about once in 2¹⁵ sums, the assembly
// scales in integers instead. So it does for all sums if floats is false for a channel.
type wideScale struct {
	bias, mantissa, odd [wideLanes]int32
	round, roundOdd     [wideLanes / 2]int64
	shift, left, least  [wideLanes]int32
	factor, offset      [wideLanes]float32
}

const (
	fractionBits = 15  // see asm
	floatBase    = 256 // z for code 0
)

// floats reports whether the assembly can scale channel c in float32. The offset includes
// half of a sum's unit before the second rounding of a multiplier, so it needs that many
// bits. If ties are rounded away from zero, this is right only for codes that are not
// below the zero point.
func (w *weights) floats(c int, away bool) bool {
	return w.scale[c].right < fractionBits && (!away || w.outZero <= w.lo)
}

// setFloat sets the parameters of a lane for float32. The sums were already shifted left by
// the given number of bits.
func (s *wideScale) setFloat(lane int, zero int32, m multiplier, left uint8) {
	s.factor[lane] = float32(math.Ldexp(m.value(), -int(left)))
	offset := floatBase + 0.5 + float64(zero)
	if m.right > 0 {
		offset += math.Ldexp(1, -1-int(m.right))
	}
	s.offset[lane] = float32(offset)
}

// set sets the output's zero point and limits, like panel.limit.
func (p *wideLimits) set(w *weights) {
	var q panel
	q.limit(w.outZero, w.lo, w.hi, w.signed)
	for i := range p.zero {
		p.zero[i] = q.zero[0]
	}
	for i := range p.lo {
		p.lo[i], p.hi[i] = q.lo[0], q.hi[0]
	}
	p.setFlip(q.flip[0])
	for i := range p.base {
		p.base[i] = uint16(math.Float32bits(floatBase) >> fractionBits)
	}
	for i := range p.fraction {
		p.fraction[i] = 1<<fractionBits - 1
	}
}

// setFlip sets what is XORed with unsigned codes.
func (p *wideLimits) setFlip(flip byte) {
	fill(p.flip[:], flip)
	p.active = p.lo[0] > 0 || p.hi[0] < math.MaxUint8 || flip != 0
}

// limit is like wideLimits.set. Lanes without channels are never in doubt.
func (p *widePanel) limit(w *weights) {
	p.set(w)
	for half := range p.half {
		for i := range wideLanes {
			p.half[half].offset[i] = floatBase + 0.5
		}
	}
}

// set sets the bias and factor of a lane, like panel.set.
func (s *wideScale) set(lane int, bias int32, m multiplier, away bool) {
	var q panel
	q.set(0, bias, m, away)
	s.bias[lane], s.mantissa[lane], s.odd[lane^1] = bias, m.mantissa, m.mantissa
	s.shift[lane], s.left[lane], s.least[lane] = q.shift[0], int32(m.sumShift(away)), q.least[0]
	if lane%2 == 0 {
		s.round[lane/2] = q.round[0]
	} else {
		s.roundOdd[lane/2] = q.round[0]
	}
}

// shiftable reports whether the sums of channel c fit in 32 bits after a left shift.
func (w *weights) shiftable(c int, left uint8) bool {
	if left > 15 {
		return false
	}
	codes := w.codes[c*w.depth:][:w.depth]
	bias := max(int64(w.bias[c]), -int64(w.bias[c]))
	if bias+255*255*int64(w.depth) < 1<<(31-left) {
		return true
	}
	most := int64(0)
	for _, code := range codes {
		most += 255 * max(int64(code), -int64(code))
	}
	return bias+most < 1<<(31-left)
}

// alignedSlice returns n values that start at a multiple of 64, so that no vector of the
// assembly lies in two cache lines. T must not contain pointers.
func alignedSlice[T any](n int) []T {
	var v T
	b := aligned(n * int(unsafe.Sizeof(v)))
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}
