//go:build !purego

package kernels

import "unsafe"

// blockWindows implements windows for AVX2, 16 or 8 channels at a time.
type blockWindows struct {
	channels int
	signed   bool
	spans    []windowsSpan
}

// A windowsSpan is a range of channels. Two spans may overlap.
type windowsSpan struct {
	first, channels int
	whole           bool // blocks have 16 channels, not 8
	blocks          []windowsBlock
}

// A windowsBlock has the parameters of the assembly for 16 channels.
type windowsBlock struct {
	panel
	// w has the weights of four pairs of taps and of the ninth tap, paired with 0, for
	// both vectors of lanes. For 8 channels there is only one vector.
	w [5 * 2 * panelChannels]int16
}

// newBlockWindows returns nil if AVX2 cannot compute w exactly.
func newBlockWindows(w *weights) windows {
	if w.channels < panelChannels/2 {
		return nil
	}
	if w = w.shiftedLeft(true); w == nil {
		return nil
	}
	b := &blockWindows{channels: w.channels, signed: w.signed}
	whole, rest := w.channels/panelChannels*panelChannels, w.channels%panelChannels
	if whole > 0 {
		b.add(w, 0, whole, true)
	}
	switch half := panelChannels / 2; {
	case rest == 0:
	case rest <= half:
		b.add(w, w.channels-half, half, false)
	case whole > 0:
		b.add(w, w.channels-panelChannels, panelChannels, true)
	default:
		b.add(w, 0, half, false)
		b.add(w, w.channels-half, half, false)
	}
	return b
}

// add appends a span of channels.
func (b *blockWindows) add(w *weights, first, channels int, whole bool) {
	n := panelChannels
	if !whole {
		n /= 2
	}
	s := windowsSpan{first: first, channels: channels, whole: whole, blocks: make([]windowsBlock, channels/n)}
	for i := range s.blocks {
		block := &s.blocks[i]
		block.panel = newPanel(w, first+i*n, whole, true)
		for lane := range n {
			c := first + i*n + laneChannel(lane, whole)
			for t, v := range w.codes[9*c:][:9] {
				block.w[(t/2*n+lane)*2+t%2] = v
			}
		}
	}
	b.spans = append(b.spans, s)
}

func (b *blockWindows) pixels(out []byte, taps [9][]byte, step, n int) {
	last := (n-1)*step + b.channels - 1
	_ = out[n*b.channels-1]
	for i := range b.spans {
		s := &b.spans[i]
		var at [9]*byte
		for t := range at {
			_ = taps[t][last]
			at[t] = &taps[t][s.first]
		}
		to, from, blocks := &out[s.first], (*byte)(unsafe.Pointer(&at)), (*byte)(unsafe.Pointer(&s.blocks[0]))
		switch {
		case s.whole && b.signed:
			windows16signed(to, b.channels, from, step, n, blocks, s.channels)
		case s.whole:
			windows16unsigned(to, b.channels, from, step, n, blocks, s.channels)
		case b.signed:
			windows8signed(to, b.channels, from, step, n, blocks, s.channels)
		default:
			windows8unsigned(to, b.channels, from, step, n, blocks, s.channels)
		}
	}
}
