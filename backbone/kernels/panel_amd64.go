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
// has lanes for. bias is that of the inputs in the form which the assembly reads.
func newPanel(w *weights, bias []int32, first int, whole bool) panel {
	var p panel
	var flip byte
	if w.signed {
		flip = 0x80
	}
	for lane := range panelChannels {
		p.zero[lane] = int16(w.outZero) + int16(flip)
		c := first + laneChannel(lane, whole)
		if c >= w.channels {
			continue
		}
		m := w.scale[c]
		p.bias[lane], p.mantissa[lane] = bias[c], m.mantissa
		p.odd[lane^1] = m.mantissa
		p.left[lane], p.right[lane] = int32(m.left), int32(m.right)
		p.round[lane] = 1 << m.right >> 1
		if m.right > 0 {
			p.away[lane] = -1
		}
	}
	for j := range p.lo {
		p.lo[j], p.hi[j], p.flip[j] = byte(w.lo)^flip, byte(w.hi)^flip, flip
	}
	return p
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
