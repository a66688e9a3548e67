package kernels

import (
	"math/rand/v2"
	"testing"
)

// TestMatchesGo checks that matchesGo accepts correct products and rejects products with
// another bias.
func TestMatchesGo(t *testing.T) {
	for _, i := range implementations() {
		if !i.available() || i.product == nil {
			continue
		}
		for seed := range uint64(40) {
			r := rand.New(rand.NewPCG(seed, 3))
			w := &weights{channels: 1 + r.IntN(40), depth: 1 + r.IntN(90), signed: seed%2 == 1}
			for range w.channels * w.depth {
				code := int16(r.IntN(255) - 127)
				w.codes = append(w.codes, code)
			}
			if w.zero = 128; !w.signed {
				w.zero = 127
			}
			w.lo, w.hi, w.outZero = 0, 255, 120
			if w.signed {
				w.lo, w.hi, w.outZero = -128, 127, 0
			}
			for range w.channels {
				m, err := newMultiplier(0.0002 + r.Float64()/10000)
				if err != nil {
					t.Fatal(err)
				}
				w.scale, w.bias = append(w.scale, m), append(w.bias, int32(r.IntN(20000)-10000))
			}
			p := i.product(w)
			if p == nil {
				continue
			}
			if !w.matchesGo(p) {
				t.Errorf("%s, seed %d, %d×%d: does not match plain Go", i.name, seed, w.channels, w.depth)
			}
			w.bias[w.channels-1] += 400000
			if w.matchesGo(p) {
				t.Errorf("%s, seed %d: matches plain Go with another bias", i.name, seed)
			}
		}
	}
}
