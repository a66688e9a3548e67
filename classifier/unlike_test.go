package classifier

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestRejectUnlike trains on classes of clusters and asks about other photos of them, and about other
// clusters.
func TestRejectUnlike(t *testing.T) {
	known := clusters(8, 100, 40, 40)
	var others []Example
	for _, e := range clusters(9, 100, 30) {
		others = append(others, Example{Unit: e.Unit})
	}
	for _, sqrt := range []bool{false, true} {
		for _, m := range []Method{Mean, Auto} {
			for _, n := range []int{0, 5} {
				t.Run(fmt.Sprint(m, sqrt, n), func(t *testing.T) {
					var examples, query []Example
					for i, e := range known {
						if i%4 == 0 {
							examples = append(examples, e)
						} else {
							query = append(query, e)
						}
					}
					f, err := Fit(examples, m, sqrt)
					if err != nil {
						t.Fatal(err)
					}
					h, r, err := RejectUnlike(f, examples, others[:n], 0.05)
					if err != nil {
						t.Fatal(err)
					}
					if !r.Own || r.Negatives != n || r.Positives != 20 || r.Rejected > 3 || r.FalseAccepts > 0 {
						t.Errorf("got %+v, want 20 examples left out, and few rejected", r)
					}
					if kept, accepted := kept(h, query), kept(h, others[5:]); kept < 50 || accepted > 12 {
						t.Errorf("kept %d of %d, accepted %d of %d, want at least 50 and at most 12", kept, len(query), accepted, len(others)-5)
					}
					slices.Reverse(examples)
					again, _, err := RejectUnlike(f, examples, others[:n], 0.05)
					if err != nil || !slices.Equal(again.Weights, h.Weights) || !slices.Equal(again.Bias, h.Bias) {
						t.Errorf("got another head for another order of examples, error %v", err)
					}
				})
			}
		}
	}
}

// kept returns for how many examples h does not answer "unknown".
func kept(h *Head, examples []Example) (n int) {
	logits := make([]float64, len(h.Labels))
	for _, e := range examples {
		if h.Logits(logits, e.Unit); h.Labels[ArgMax(logits)] != UnknownLabel {
			n++
		}
	}
	return n
}

func TestRejectUnlikeErrors(t *testing.T) {
	few, enough := clusters(8, 100, 5, 4), clusters(8, 100, 5, 5)
	alone := clusters(8, 100, 5, 4, 1)
	for _, test := range []struct {
		name     string
		examples []Example
		rate     float64
		want     error
	}{
		{"nine photos", few, 0.05, ErrNoNegatives},
		{"ten photos", enough, 0.05, nil},
		{"ten photos of which one is alone in its class", alone, 0.05, ErrNoNegatives},
		{"no rate", enough, 0, ErrRate},
	} {
		f, err := Fit(test.examples, Ridge, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := RejectUnlike(f, test.examples, nil, test.rate); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, err, test.want)
		}
	}
}

// TestWithoutBurst checks that a photo is compared with the mean of photos of other bursts.
func TestWithoutBurst(t *testing.T) {
	a := []Example{{Label: "a", Unit: []float64{1, 0}}, {Label: "a", Unit: []float64{1, 0}}, {Label: "a", Unit: []float64{0, 1}}}
	f := &Fitted{Head: &Head{Labels: []string{"a", "b"}, Dim: 2}, classMeans: [][]float64{{2. / 3, 1. / 3}, {0.6, 0.8}}, classCounts: []int{3, 2}}
	mean := []float64{(2./3 + 0.6) / 2, (1./3 + 0.8) / 2}
	for _, test := range []struct {
		burst []Example
		want  []float64
	}{
		{a[:2], []float64{0.3, 0.3}},
		{a[2:], []float64{0.4}},
		{[]Example{{Label: "b", Unit: []float64{0.6, 0.8}}}, []float64{1./3 + 0.5}},
	} {
		for k, got := range f.withoutBurst(test.burst, mean) {
			if math.Abs(got-test.want[k]) > 1e-12 {
				t.Errorf("%v: got %v, want %v", test.burst, got, test.want[k])
			}
		}
	}
}
