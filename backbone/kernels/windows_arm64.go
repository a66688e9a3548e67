//go:build !purego

package kernels

import "encoding/binary"

// windowBlock is the number of channels computed at a time.
const windowBlock = 8

// windowsArgs is one call of the assembly, which knows the fields by name.
type windowsArgs struct {
	taps         [9]*byte
	w, out       *byte
	step         int // from a pixel of the input to the next
	pixels       int
	channels     int // at least a block
	zero, lo, hi int32
}

//go:noescape
func windowsUint8(a *windowsArgs)

//go:noescape
func windowsInt8(a *windowsArgs)

// blocks is the 3×3 depthwise convolution with products of 16 bits.
type blocks struct {
	// packed has for each block of channels the 16-bit weights of every tap,
	// biases, left shifts, mantissas and negated right shifts. The last block
	// overlaps the one before if it must.
	packed []byte
	signed bool
	args   windowsArgs // what all calls have in common
}

func packWindows(w *weights) windows {
	if w.channels < windowBlock {
		return nil
	}
	p := &blocks{signed: w.signed}
	p.args = windowsArgs{channels: w.channels, zero: w.outZero, lo: w.lo, hi: w.hi}
	for first := 0; first < w.channels; first += windowBlock {
		c0 := min(first, w.channels-windowBlock)
		for t := range 9 {
			for c := range windowBlock {
				p.packed = binary.LittleEndian.AppendUint16(p.packed, uint16(w.codes[9*(c0+c)+t]))
			}
		}
		p.packed = appendRequantisation(p.packed, w, c0, windowBlock)
	}
	return p
}

// appendRequantisation appends what brings n channels' sums to codes: biases,
// left shifts, mantissas, negated right shifts.
func appendRequantisation(b []byte, w *weights, first, n int) []byte {
	scale := w.scale[first:][:n]
	for _, v := range w.bias[first:][:n] {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	for _, m := range scale {
		b = binary.LittleEndian.AppendUint32(b, uint32(m.left))
	}
	for _, m := range scale {
		b = binary.LittleEndian.AppendUint32(b, uint32(m.mantissa))
	}
	for _, m := range scale {
		b = binary.LittleEndian.AppendUint32(b, uint32(-int32(m.right)))
	}
	return b
}

func (p *blocks) pixels(out []byte, taps [9][]byte, step, n int) {
	a := p.args
	_ = out[n*a.channels-1]
	for t := range taps {
		_ = taps[t][(n-1)*step+a.channels-1]
		a.taps[t] = &taps[t][0]
	}
	a.w, a.out, a.step, a.pixels = &p.packed[0], &out[0], step, n
	if p.signed {
		windowsInt8(&a)
	} else {
		windowsUint8(&a)
	}
}
