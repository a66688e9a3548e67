//go:build !purego

package kernels

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestDirect compares the codes of directScales with those of multipliers, for all possible
// sums of a channel.
func TestDirect(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	found := 0
	for i := range 60 {
		m, err := newMultiplier(math.Exp2(-12 + 11*random.Float64()))
		if i%10 == 0 {
			m, err = newMultiplier(math.Exp2(float64(-1 - i/10))) // has ties
		}
		if err != nil {
			t.Fatal(err)
		}
		away := i%2 == 1
		w := &weights{channels: 1, depth: 3, codes: make([]int16, 3)}
		w.requantization = requantization{scale: []multiplier{m}, outZero: -128, lo: -128, hi: 127}
		if !away {
			w.outZero += random.Int32N(256)
		}
		for k := range w.codes {
			w.codes[k] = int16(random.IntN(255) - 127)
		}
		bias := random.Int32N(1<<16) - 1<<15
		zero := w.outZero + 128
		s, ok := w.direct(new(exactScale), 0, bias, zero, 1<<15, away)
		if !ok {
			continue
		}
		found++
		least, most := w.sumRange(0, bias)
		for sum := least; sum <= most; sum++ {
			f := math.Float32frombits(uint32(s.bias) + uint32(sum) - uint32(bias))
			got := clamp(int32(fusedMultiplyAdd(f, s.factor, s.offset)-floatZero), w.lo+128, w.hi+128) - 128
			want := m.applyUp(int32(sum))
			if away {
				want = m.apply(int32(sum))
			}
			if want = clamp(want+w.outZero, w.lo, w.hi); got != want {
				t.Fatalf("%d: %+v, away %v: sum %d has code %d, want %d", i, m, away, sum, got, want)
			}
		}
	}
	if found < 30 {
		t.Errorf("%d of 60 channels have a directScale, want at least 30", found)
	}
}

// fusedMultiplyAdd returns x·y + z with one rounding. The exact sum needs less than 64 bits.
func fusedMultiplyAdd(x, y, z float32) float32 {
	product := new(big.Float).SetPrec(64).SetFloat64(float64(x) * float64(y))
	v, _ := product.Add(product, big.NewFloat(float64(z))).Float32()
	return v
}

func TestFirstBetween(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		m := int64(1) << (1 + random.IntN(10))
		a, low := random.Int64N(2*m), random.Int64N(4*m)-2*m
		high := low + random.Int64N(1+m/4)
		want := int64(-1)
		for x := int64(0); x < m && want < 0; x++ {
			if over := (a*x - low) & (m - 1); over <= high-low {
				want = x
			}
		}
		if got := firstBetween(a, m, low, high); got != want && (got >= 0 || want >= 0) {
			t.Fatalf("firstBetween(%d, %d, %d, %d) = %d, want %d", a, m, low, high, got, want)
		}
	}
}
