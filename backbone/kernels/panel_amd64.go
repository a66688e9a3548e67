//go:build !purego

package kernels

import (
	"math"
	"slices"
	"unsafe"
)

//go:generate go run -C asm . -out ../avx2_amd64.s -stubs ../avx2_stubs_amd64.go -pkg kernels

// panelChannels is the number of output channels that the assembly computes together.
// Other routines compute half as many, for the last channels.
const panelChannels = 16

// A panel has the parameters with which the assembly requantizes the sums of
// panelChannels channels. The generator in asm knows the offsets of the fields. Lanes are
// in the order of laneChannel.
//
// The assembly multiplies a sum by the mantissa, adds round, and shifts the upper 32 bits
// of the result. That combines the two roundings of a multiplier into one, because
// ⌊(⌊a/m⌋+b)/n⌋ = ⌊(a+bm)/mn⌋. To round ties away from zero, round is smaller by 1 in the
// upper bits, and that 1 is added again to sums above least.
type panel struct {
	bias, mantissa, odd [panelChannels]int32
	round, roundOdd     [panelChannels / 2]int64
	shift, least        [panelChannels]int32
	zero                [panelChannels]int16
	lo, hi, flip        [2 * panelChannels]byte
}

// laneChannel returns the channel in a lane of a panel. In a whole panel, channels are in
// the order in which instructions pack two vectors of 32-bit lanes. In half a panel, they
// are in order.
func laneChannel(lane int, whole bool) int {
	if !whole {
		return lane
	}
	return lane&3 | lane&4<<1 | lane&8>>1
}

// newPanel returns the panel for the channels from first on. If away is set, ties are
// rounded away from zero.
func newPanel(w *weights, first int, whole, away bool) panel {
	var p panel
	p.limit(w.outZero, w.lo, w.hi, w.signed)
	for lane := range panelChannels {
		if c := first + laneChannel(lane, whole); c < w.channels {
			p.set(lane, w.bias[c], w.scale[c], away)
		}
	}
	return p
}

// sumShift returns the number of bits by which sums must be shifted left for a panel: one
// for the rounding, and more for factors above 1.
func (m multiplier) sumShift(away bool) uint8 {
	if away || m.right == 0 {
		return m.left + 1
	}
	return 0
}

// set sets the factor of a lane and its bias, which is already shifted.
func (p *panel) set(lane int, bias int32, m multiplier, away bool) {
	p.bias[lane], p.mantissa[lane], p.odd[lane^1] = bias, m.mantissa, m.mantissa
	round := int64(1) << 31
	p.least[lane] = math.MaxInt32
	switch {
	case m.right == 0:
	case away:
		round += 1<<(31+m.right) - 1<<32
		p.shift[lane], p.least[lane] = int32(m.right), -1
	default:
		round = 1<<30 + 1<<(30+m.right)
		p.shift[lane] = int32(m.right) - 1
	}
	if lane%2 == 0 {
		p.round[lane/2] = round
	} else {
		p.roundOdd[lane/2] = round
	}
}

// limit sets the output's zero point and limits. The assembly computes int8 codes as
// unsigned ones, then flips their upper bit.
func (p *panel) limit(zero, lo, hi int32, signed bool) {
	var flip byte
	if signed {
		flip = 0x80
	}
	for i := range p.zero {
		p.zero[i] = int16(zero) + int16(flip)
	}
	for i := range p.lo {
		p.lo[i], p.hi[i], p.flip[i] = byte(lo)^flip, byte(hi)^flip, flip
	}
}

// shiftedLeft returns weights whose sums are shifted left as a panel requires: w itself
// if no shift is needed, or nil if the weights would not fit in 16 bits or the sums in 32
// bits. In sensible models they fit.
func (w *weights) shiftedLeft(away bool) *weights {
	v := *w
	for c := range v.channels {
		left := w.scale[c].sumShift(away)
		codes := w.codes[c*w.depth:][:w.depth]
		if !w.shiftable(c, left) {
			return nil
		}
		if left == 0 {
			continue
		}
		if &v.codes[0] == &w.codes[0] {
			v.codes, v.bias = slices.Clone(w.codes), slices.Clone(w.bias)
		}
		for k, code := range codes {
			v.codes[c*w.depth+k] = code << left
			if code<<left>>left != code {
				return nil
			}
		}
		v.bias[c] <<= left
	}
	return &v
}

// aligned returns n zero bytes that start at a multiple of 64.
func aligned(n int) []byte {
	b := make([]byte, n+63)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & 63
	return b[skip:][:n:n]
}
