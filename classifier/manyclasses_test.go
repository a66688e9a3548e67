package classifier

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestFitManyClasses trains on many classes. The memory must grow with the number of examples that are
// left out, which has a limit, not with all examples: times the number of classes, that is most of it.
func TestFitManyClasses(t *testing.T) {
	const classes, each, dim = 1200, 10, 32
	r := rand.New(rand.NewPCG(1, 2))
	var examples []Example
	for c := range classes {
		center := make([]float64, dim)
		for i := range center {
			center[i] = r.NormFloat64()
		}
		for range each {
			x, norm := make([]float64, dim), 0.0
			for i := range x {
				x[i] = center[i] + r.NormFloat64()/2
				norm += float64(x[i] * x[i])
			}
			for i := range x {
				x[i] /= math.Sqrt(norm)
			}
			examples = append(examples, Example{Label: fmt.Sprintf("%04d", c), Unit: x, Norm: math.Sqrt(norm)})
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := Fit(examples, Auto, false)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if f.Recipe.Method != Ridge || len(f.Head.Labels) != classes || f.Estimate.Total != maxLeftOut {
		t.Errorf("got recipe %v for %d classes, %d left out, want ridge for %d, %d left out", f.Recipe, len(f.Head.Labels), f.Estimate.Total, classes, maxLeftOut)
	}
	if f.Estimate.Correct < f.Estimate.Total/2 {
		t.Errorf("got %d of %d correct, want at least half", f.Estimate.Correct, f.Estimate.Total)
	}
	if got, table := after.TotalAlloc-before.TotalAlloc, uint64(classes*each*classes*8); got > table {
		t.Errorf("got %d bytes allocated, want less than the %d of a value for each example and class", got, table)
	}
}
