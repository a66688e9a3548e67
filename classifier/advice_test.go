package classifier

import (
	"math"
	"testing"
)

// The class that is found worst is named, unless none is found badly.
func TestAdvice(t *testing.T) {
	examples := kinds(3, 60, 6, 6)
	tr := train(t, examples, false)
	left := newTable(len(examples), 2)
	for i := range left {
		left[i][tr.class[i]] = 1
	}
	if a := tr.advise(left); a != nil {
		t.Errorf("all right: got %+v", a)
	}
	left[7], left[8], left[2] = []float64{1, 0}, []float64{1, 0}, []float64{0, 1}
	a := tr.advise(left)
	if a == nil || a.Label != "b" || a.More != 5 || math.Abs(a.Now-4./6) > 1e-12 {
		t.Fatalf("got %+v, want 5 more of b, of which 4 of 6 are right", a)
	}
	if want := 1 - 2./6*math.Pow(6./11, learning); math.Abs(a.Then-want) > 1e-12 {
		t.Errorf("got %v then, want %v", a.Then, want)
	}
	for i := range left {
		if i%6 > 1 {
			left[i] = nil
		}
	}
	if a := tr.advise(left); a != nil {
		t.Errorf("two photos a class left out: got %+v", a)
	}
}
