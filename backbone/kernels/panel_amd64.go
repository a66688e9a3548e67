//go:build !purego

package kernels

import "unsafe"

//go:generate go run -C asm . -out ../avx2_amd64.s -stubs ../avx2_stubs_amd64.go -pkg kernels

// panelChannels is the number of output channels that assembly computes
// together; for the last ones there are routines of half as many.
const panelChannels = 16

// A panel is what assembly needs to requantise the sums of panelChannels. The
// program in asm knows the offsets. Lanes are in the order of laneChannel.
type panel struct {
	bias, mantissa, odd, left, round, right, away [panelChannels]int32
	zero                                          [panelChannels]int16
	lo, hi, flip                                  [2 * panelChannels]byte
}

// laneChannel is the channel in a lane of a panel: in a whole one the order in
// which instructions pack two vectors of 32-bit lanes, in half of one its own.
func laneChannel(lane int, whole bool) int {
	if !whole {
		return lane
	}
	return lane&3 | lane&4<<1 | lane&8>>1
}

// newPanel is the panel of channels from first on, as many as there are and it
// has lanes for.
func newPanel(w *weights, first int, whole bool) panel {
	var p panel
	p.limit(w.outZero, w.lo, w.hi, w.signed)
	for lane := range panelChannels {
		if c := first + laneChannel(lane, whole); c < w.channels {
			p.set(lane, w.bias[c], w.scale[c])
		}
	}
	return p
}

func (p *panel) set(lane int, bias int32, m multiplier) {
	p.bias[lane], p.mantissa[lane], p.odd[lane^1] = bias, m.mantissa, m.mantissa
	p.left[lane], p.right[lane] = int32(m.left), int32(m.right)
	p.round[lane] = 1 << m.right >> 1
	if m.right > 0 {
		p.away[lane] = -1
	}
}

// limit sets the output's zero point and bounds. int8 codes are stored as
// unsigned ones are, then flipped.
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

// tame reports whether no sum overflows 32 bits on its way through a panel, as
// none does in a sensible model: then the assembly equals the multipliers.
func (w *weights) tame() bool {
	most := int64(255)
	if w.signed {
		most = 128
	}
	for c := range w.channels {
		sum := int64(0)
		for _, v := range w.codes[c*w.depth:][:w.depth] {
			sum += max(int64(v), -int64(v))
		}
		bias := int64(w.bias[c])
		// Inputs may be shifted by 128, which only moves sums between the terms.
		bound := max(bias, -bias) + 2*most*sum
		m := w.scale[c]
		if bound >= 1<<31 || bound<<m.left+1<<m.right>>1 >= 1<<31 {
			return false
		}
	}
	return true
}

// aligned allocates n bytes at a multiple of 64.
func aligned(n int) []byte {
	b := make([]byte, n+63)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & 63
	return b[skip:][:n:n]
}
