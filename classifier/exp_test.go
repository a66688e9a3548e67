package classifier

import (
	"math"
	"testing"
)

func TestExpAndLog(t *testing.T) {
	for x := -745.0; x < 709; x += 0.37 {
		if got, want := exp(x), math.Exp(x); math.Abs(got-want) > 2e-15*want+5e-324 {
			t.Errorf("exp(%v): got %v, want %v", x, got, want)
		}
	}
	for x := 1e-300; x < 1e300; x *= 1.7 {
		if got, want := log(x), math.Log(x); math.Abs(got-want) > 4e-16*max(math.Abs(want), 1) {
			t.Errorf("log(%v): got %v, want %v", x, got, want)
		}
	}
	for _, c := range []struct{ x, want float64 }{{math.Inf(1), math.Inf(1)}, {math.Inf(-1), 0}, {0, 1}} {
		if got := exp(c.x); got != c.want {
			t.Errorf("exp(%v): got %v, want %v", c.x, got, c.want)
		}
	}
	if !math.IsNaN(exp(math.NaN())) {
		t.Error("exp(NaN) is not NaN")
	}
}
