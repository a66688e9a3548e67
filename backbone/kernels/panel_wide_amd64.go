//go:build !purego

package kernels

// wideLanes is the number of 32-bit lanes in an AVX-512 vector.
const wideLanes = 16

// A widePanel is the panel for two AVX-512 vectors. Its lanes are in the order of
// channels. The assembly shifts sums left before it scales them.
type widePanel struct {
	half         [2]wideScale
	zero         [2 * wideLanes]int16
	lo, hi, flip [4 * wideLanes]byte
}

// A wideScale has the parameters of one vector of a widePanel.
type wideScale struct {
	bias, mantissa, odd [wideLanes]int32
	round, roundOdd     [wideLanes / 2]int64
	shift, left, least  [wideLanes]int32
}

// limit sets the output's zero point and limits, like panel.limit.
func (p *widePanel) limit(w *weights) {
	var q panel
	q.limit(w.outZero, w.lo, w.hi, w.signed)
	for i := range p.zero {
		p.zero[i] = q.zero[0]
	}
	for i := range p.lo {
		p.lo[i], p.hi[i], p.flip[i] = q.lo[0], q.hi[0], q.flip[0]
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
