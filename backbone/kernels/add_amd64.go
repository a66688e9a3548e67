//go:build !purego

package kernels

import "unsafe"

// addStep is the number of elements that the assembly adds at a time.
const addStep = 16

// panelAdder implements adder for AVX2. Its first two panels scale the operands, the
// third their sum. All lanes of a panel are equal.
type panelAdder struct {
	panels [3]panel
	signed bool
}

func newPanelAdder(s *sum) adder {
	k := &panelAdder{signed: s.signed}
	k.panels[2].limit(s.zero, s.lo, s.hi, s.signed)
	for lane := range panelChannels {
		for i, t := range s.terms {
			k.panels[i].set(lane, -t.zero<<(addShift+1), t.scale, true)
		}
		k.panels[2].set(lane, 0, s.scale, true)
	}
	return k
}

// add computes the elements beyond the last whole step in another step that overlaps it.
// If there are too few elements for a step, it works on copies of them.
func (k *panelAdder) add(out, x, y []byte) {
	n := len(out)
	x, y = x[:n], y[:n]
	if n < addStep {
		var a, b, sums [addStep]byte
		copy(a[:], x)
		copy(b[:], y)
		k.steps(&sums[0], &a[0], &b[0], 1)
		copy(out, sums[:])
		return
	}
	k.steps(&out[0], &x[0], &y[0], n/addStep)
	last := n - addStep
	k.steps(&out[last], &x[last], &y[last], 1)
}

func (k *panelAdder) steps(out, x, y *byte, n int) {
	panels := (*byte)(unsafe.Pointer(&k.panels))
	if k.signed {
		addSigned(out, x, y, n, panels)
	} else {
		addUnsigned(out, x, y, n, panels)
	}
}
