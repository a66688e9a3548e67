package classifier

import (
	"math"
	"testing"
)

// TestWilson compares intervals with tabulated values and with the closed form for p = 1.
func TestWilson(t *testing.T) {
	for _, tt := range []struct {
		p         float64
		n         int
		low, high float64
	}{
		{0, 0, 0, 1},
		{0.5, 10, 0.2366, 0.7634},
		{0.9, 20, 0.6990, 0.9721},
		{0, 10, 0, 0.2775},
		{1, 20, 20 / (20 + 3.841459), 1},
	} {
		low, high := Wilson(tt.p, tt.n)
		if math.Abs(low-tt.low) > 5e-5 || math.Abs(high-tt.high) > 5e-5 {
			t.Errorf("Wilson(%v, %d) = %v, %v, want %v, %v", tt.p, tt.n, low, high, tt.low, tt.high)
		}
	}
	e := Estimate{Correct: 45, Total: 50, Bursts: 20}
	low, high := e.Interval()
	if wantLow, wantHigh := Wilson(0.9, 20); low != wantLow || high != wantHigh {
		t.Errorf("interval of %+v is %v to %v, want %v to %v for 20 bursts", e, low, high, wantLow, wantHigh)
	}
}
