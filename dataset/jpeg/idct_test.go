package jpeg

import (
	"math"
	"math/rand/v2"
	"testing"
)

// basis returns the weight of coefficient k in sample i of n. See idct.go for the formula.
func basis(i, k, n int) float64 {
	if k == 0 {
		return 1
	}
	return math.Sqrt2 * math.Cos(float64((2*i+1)*k)*math.Pi/float64(2*n))
}

// TestTransform compares transformed blocks with the formula in idct.go, computed in float64.
func TestTransform(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var d Decoder
		for range 1 + r.IntN(12) {
			d.unzigged[natural[r.IntN(1+r.IntN(64))]] = int32(r.IntN(400) - 200)
		}
		d.unzigged[0] += int32(r.IntN(2000) - 1000)
		block := d.unzigged
		for _, n := range []int{1, 2, 4, 8} {
			d.unzigged, d.jpg.size = block, n
			c := component{stride: n, pix: make([]byte, n*n)}
			d.transform(&c, 0, 0, block == [64]int32{block[0]})
			for y := range n {
				for x := range n {
					want := 128.0
					for v := range n {
						for u := range n {
							want += float64(block[8*v+u]) * basis(x, u, n) * basis(y, v, n) / 8
						}
					}
					want = max(0, min(255, want))
					if got := float64(c.pix[y*n+x]); math.Abs(got-want) > 0.75 {
						t.Fatalf("%d×%d pixels of %v: pixel (%d, %d) is %v, want %.2f", n, n, block, x, y, got, want)
					}
				}
			}
		}
	}
}
