package classifier

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBurstsAreLeftOutTogether trains on three near-duplicates of each of 20 random photos, with
// labels that do not depend on the photos. If near-duplicates were left out one at a time, the
// others would reveal their label, and the accuracy would be near 1.
func TestBurstsAreLeftOutTogether(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var examples []Example
	for label := range 4 {
		for range 5 {
			x := make([]float64, 60) // does not depend on label
			for i := range x {
				x[i] = r.Float64()
			}
			for range 3 {
				near := slices.Clone(x)
				for i := range near {
					near[i] += r.Float64() / 20
				}
				Normalize(near)
				examples = append(examples, Example{Label: string(rune('a' + label)), Unit: near})
			}
		}
	}
	for _, m := range []Method{Mean, Ridge, LDA} {
		f, err := Fit(examples, m, false)
		if err != nil {
			t.Fatal(err)
		}
		if e := f.Estimate; e.Total != 60 || e.Bursts != 20 || e.Accuracy() > 0.5 {
			t.Errorf("%s: got %+v, want 60 photos in 20 bursts and an accuracy of at most 0.5", m, e)
		}
	}
	s := sumsOf(t, examples)
	if e := s.LeaveOneOut(sortedExamples(examples)); e.Total != 60 || e.Bursts != 20 || e.Accuracy() > 0.5 {
		t.Errorf("sums: got %+v, want 60 photos in 20 bursts and an accuracy of at most 0.5", e)
	}
}

func TestGroupBursts(t *testing.T) {
	examples := clusters(2, 60, 4, 3)
	examples[1].Burst, examples[3].Burst, examples[5].Burst = "12:00", "12:00", "12:00"
	examples[2].Unit = slices.Clone(examples[0].Unit)
	examples[6].Unit = examples[0].Unit // a near-duplicate in another class
	got := groupBursts(examples)
	want := [][]int{{0, 2}, {1, 3}, {4}, {5}, {6}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}
