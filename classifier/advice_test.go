package classifier

import (
	"math"
	"testing"
)

// TestAdvice checks that advise returns the class with the largest expected gain, or nil if all
// examples are classified correctly or too few were left out.
func TestAdvice(t *testing.T) {
	examples := clusters(3, 60, 6, 6)
	tr := train(t, examples, false)
	left := newTable(len(examples), 2)
	for i := range left {
		left[i][tr.class[i]] = 1
	}
	if a := tr.advise(left); a != nil {
		t.Errorf("all correct: got %+v, want nil", a)
	}
	left[7], left[8], left[2] = []float64{1, 0}, []float64{1, 0}, []float64{0, 1}
	a := tr.advise(left)
	if a == nil || a.Label != "b" || a.Photos != 5 || math.Abs(a.Recall-4./6) > 1e-12 {
		t.Fatalf("got %+v, want 5 photos of b, recall 4/6", a)
	}
	if want := 1 - 2./6*math.Pow(6./11, errorExponent); math.Abs(a.ExpectedRecall-want) > 1e-12 {
		t.Errorf("got expected recall %v, want %v", a.ExpectedRecall, want)
	}
	for i := range left {
		if i%6 > 1 {
			left[i] = nil
		}
	}
	if a := tr.advise(left); a != nil {
		t.Errorf("two photos per class left out: got %+v, want nil", a)
	}
}
