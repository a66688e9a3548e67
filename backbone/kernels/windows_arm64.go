//go:build !purego

package kernels

import "encoding/binary"

// Number of channels that the assembly computes at a time.
const (
	windowBlock    = 8  // with 16-bit products
	windowBlockDot = 16 // with dot products
)

// windowsArgs are the arguments of the assembly. The assembly refers to the fields by
// name.
type windowsArgs struct {
	taps         [9]*byte
	w, out       *byte
	step         int // bytes from one input pixel to the next
	pixels       int
	channels     int // at least one block
	zero, lo, hi int32
	flip         int32       // XORed by windowsDot with input bytes to convert them to signed
	limits       [3][8]int16 // zero, lo and hi for windowsDot
}

//go:noescape
func windowsUint8(a *windowsArgs)

//go:noescape
func windowsInt8(a *windowsArgs)

//go:noescape
func windowsDot(a *windowsArgs)

// blocks implements windows for NEON, whole blocks of channels at a time.
type blocks struct {
	packed      []byte // the last block may overlap the block before
	signed, dot bool
	args        windowsArgs // the same for all calls
}

// packWindows packs weights for 16-bit products.
//
// A block has the weights of all taps, then biases, left shifts, mantissas and negated
// right shifts.
func packWindows(w *weights) windows {
	if w.channels < windowBlock {
		return nil
	}
	p := &blocks{signed: w.signed}
	p.args = windowsArgs{channels: w.channels, zero: w.outZero, lo: w.lo, hi: w.hi}
	for first := 0; first < w.channels; first += windowBlock {
		c0 := min(first, w.channels-windowBlock)
		for t := range 9 {
			p.appendTap16(w, c0, windowBlock, t)
		}
		scale := w.scale[c0:][:windowBlock]
		p.append32(w.bias[c0:][:windowBlock])
		p.append32(shiftsLeft(scale))
		p.append32(mantissas(scale))
		p.append32(shiftsRight(scale))
	}
	return p
}

// packWindowsDot packs weights for dot products. A weight may be the sum of two 8-bit
// numbers. Weights that break an assumption of the assembly are left to packWindows. The
// assembly assumes that every channel has a right shift. Then there are no left shifts,
// and adding the zero point does not wrap. The assembly also assumes that codes below
// the zero point are clamped, as after a ReLU. Then it does not matter how their ties
// are rounded.
//
// A block starts with 8 bytes, which are 1 if some weight is the sum of two numbers, and
// otherwise 0. Then come the weights of taps 0 to 3, one channel after another, the
// weights of taps 4 to 7, and the weights of tap 8 in 16 bits. Mantissas, negated right
// shifts and biases follow, and finally the second numbers of the weights of taps 0 to 3
// and 4 to 7.
func packWindowsDot(w *weights) windows {
	if w.channels < windowBlockDot || w.lo < w.outZero {
		return packWindows(w)
	}
	for _, m := range w.scale {
		if m.right == 0 {
			return packWindows(w)
		}
	}
	for _, v := range w.codes {
		if v > 2*127 {
			return packWindows(w)
		}
	}
	p := &blocks{dot: true, args: windowsArgs{channels: w.channels}}
	for i := range 8 {
		p.args.limits[0][i], p.args.limits[1][i], p.args.limits[2][i] = int16(w.outZero), int16(w.lo), int16(w.hi)
	}
	bias := w.bias
	if !w.signed {
		p.args.flip = 0x80
		bias = w.shifted(-128)
	}
	for first := 0; first < w.channels; first += windowBlockDot {
		c0 := min(first, w.channels-windowBlockDot)
		var near, rest [8 * windowBlockDot]byte
		sums := uint64(0)
		for c := range windowBlockDot {
			for t, v := range w.codes[9*(c0+c):][:8] {
				at := (t/4*windowBlockDot+c)*4 + t%4
				part := int16(clamp(int32(v), -128, 127))
				near[at], rest[at] = byte(part), byte(v-part)
				if v != part {
					sums = 1
				}
			}
		}
		p.packed = binary.LittleEndian.AppendUint64(p.packed, sums)
		p.packed = append(p.packed, near[:]...)
		p.appendTap16(w, c0, windowBlockDot, 8)
		scale := w.scale[c0:][:windowBlockDot]
		p.append32(mantissas(scale))
		p.append32(shiftsRight(scale))
		p.append32(bias[c0:][:windowBlockDot])
		p.packed = append(p.packed, rest[:]...)
	}
	return p
}

// appendTap16 packs the weights of one tap of n channels in 16 bits.
func (p *blocks) appendTap16(w *weights, first, n, tap int) {
	for c := range n {
		p.packed = binary.LittleEndian.AppendUint16(p.packed, uint16(w.codes[9*(first+c)+tap]))
	}
}

func (p *blocks) append32(values []int32) {
	for _, v := range values {
		p.packed = binary.LittleEndian.AppendUint32(p.packed, uint32(v))
	}
}

func mantissas(scale []multiplier) []int32 {
	v := make([]int32, len(scale))
	for i, m := range scale {
		v[i] = m.mantissa
	}
	return v
}

func shiftsLeft(scale []multiplier) []int32 {
	v := make([]int32, len(scale))
	for i, m := range scale {
		v[i] = int32(m.left)
	}
	return v
}

// shiftsRight returns negated right shifts, because the instructions shift left.
func shiftsRight(scale []multiplier) []int32 {
	v := make([]int32, len(scale))
	for i, m := range scale {
		v[i] = -int32(m.right)
	}
	return v
}

func (p *blocks) pixels(out []byte, taps [9][]byte, step, n int) {
	a := p.args
	_ = out[n*a.channels-1]
	for t := range taps {
		_ = taps[t][(n-1)*step+a.channels-1]
		a.taps[t] = &taps[t][0]
	}
	a.w, a.out, a.step, a.pixels = &p.packed[0], &out[0], step, n
	switch {
	case p.dot:
		windowsDot(&a)
	case p.signed:
		windowsInt8(&a)
	default:
		windowsUint8(&a)
	}
}
