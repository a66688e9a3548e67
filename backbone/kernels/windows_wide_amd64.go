//go:build !purego

package kernels

import "unsafe"

// wideBlocks implements windows for AVX-512's dot products of bytes, 32 channels at a
// time. The last two blocks may overlap.
type wideBlocks struct {
	channels     int
	near, signed bool
	firsts       []int  // first channel of each block
	twice        []bool // whether a block has weights that exceed a byte
	integers     []bool // whether a block is scaled in integers
	blocks       []wideBlock
}

// A wideBlock has the parameters of the assembly for 32 channels.
type wideBlock struct {
	widePanel
	// Weights are [column][half][lane][4]: three rows of a column, then 0. A half has the
	// first or last four of each 8 channels. rest is the excess of weights that exceed a
	// byte.
	w, rest [3][2][wideLanes][4]int8
}

// newWideWindows packs weights for AVX-512. It returns nil for few channels and for
// unusual weights, which AVX2 then computes. See implementation.windows for near.
func newWideWindows(w *weights, near bool) windows {
	const channels = 2 * wideLanes
	if w.channels < channels {
		return newBlockWindows(w, near)
	}
	bias := w.bias
	if w.signed {
		bias = w.shifted(128)
	}
	for c := range w.channels {
		if !w.shiftable(c, w.scale[c].sumShift(true)) {
			return nil
		}
	}
	b := &wideBlocks{channels: w.channels, near: near, signed: w.signed}
	for done := 0; done < w.channels; done += channels {
		first := min(done, w.channels-channels)
		var block wideBlock
		block.limit(w)
		twice, integers := false, false
		for half := range 2 {
			for lane := range wideLanes {
				c := first + lane/4*8 + 4*half + lane%4
				block.half[half].set(lane, bias[c], w.scale[c], true)
				block.half[half].setFloat(lane, int32(block.zero[0]), w.scale[c], 0)
				integers = integers || !w.floats(c, true)
				for t, code := range w.codes[9*c:][:9] {
					part := max(min(code, 127), -128)
					rest := code - part
					if rest != int16(int8(rest)) || rest != 0 && w.signed {
						return newBlockWindows(w, near)
					}
					twice = twice || rest != 0
					block.w[t%3][half][lane][t/3], block.rest[t%3][half][lane][t/3] = int8(part), int8(rest)
				}
			}
		}
		b.firsts, b.blocks = append(b.firsts, first), append(b.blocks, block)
		b.twice, b.integers = append(b.twice, twice), append(b.integers, integers)
	}
	return b
}

func (b *wideBlocks) pixels(out []byte, taps [9][]byte, step, n int) {
	last := (n-1)*step + b.channels - 1
	_ = out[n*b.channels-1]
	for i, first := range b.firsts {
		var at [9]*byte
		for t := range at {
			_ = taps[t][last]
			at[t] = &taps[t][first]
		}
		to, from, block := &out[first], (*byte)(unsafe.Pointer(&at)), (*byte)(unsafe.Pointer(&b.blocks[i]))
		switch {
		case b.signed:
			wideSigned(to, b.channels, from, step, n, block, b.near, b.integers[i])
		case b.twice[i]:
			wideTwice(to, b.channels, from, step, n, block, b.near, b.integers[i])
		default:
			wideUnsigned(to, b.channels, from, step, n, block, b.near, b.integers[i])
		}
	}
}
