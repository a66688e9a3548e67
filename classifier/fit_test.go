package classifier

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestLeaveOneOutLogits compares the logits of each example with the logits of a head trained
// without the example.
func TestLeaveOneOutLogits(t *testing.T) {
	examples := clusters(3, 12, 8, 8, 5)
	examples = append(examples, Example{Label: "alone", Unit: examples[0].Unit})
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(examples), func(i, j int) { examples[i], examples[j] = examples[j], examples[i] })
	for _, method := range []Method{Mean, Ridge} {
		f, leftOut, err := LeaveOneOut(examples, method, false)
		if err != nil {
			t.Fatal(err)
		}
		same, err := Fit(examples, method, false)
		if err != nil || same.Estimate != f.Estimate || same.LogLoss != f.LogLoss {
			t.Errorf("%s: got %+v, want %+v, error %v", method, f.Estimate, same.Estimate, err)
		}
		correct := 0
		for i, e := range examples {
			if e.Label == "alone" {
				if leftOut[i] != nil {
					t.Errorf("%s: only example of a class: got %v, want nil", method, leftOut[i])
				}
				continue
			}
			if f.Head.Labels[ArgMax(leftOut[i])] == e.Label {
				correct++
			}
			var rest []Example
			rest = append(append(rest, examples[:i]...), examples[i+1:]...)
			without, err := Fit(rest, method, false)
			if err != nil {
				t.Fatal(err)
			}
			want := make([]float64, len(f.Head.Labels))
			without.Head.Logits(want, e.Unit)
			// The two heads have different scales, and their logits may differ by a constant.
			for c := range want {
				got := (leftOut[i][c] - leftOut[i][0]) / f.scale
				if w := (want[c] - want[0]) / without.scale; math.Abs(got-w) > 1e-5 {
					t.Errorf("%s, example %d, class %d: got %v, want %v", method, i, c, got, w)
				}
			}
		}
		if correct != f.Estimate.Correct {
			t.Errorf("%s: %d logits predict the correct class, but the estimate counts %d", method, correct, f.Estimate.Correct)
		}
	}
}

// TestCandidates compares the log loss of each candidate with the result of Fit for the
// candidate's method, and checks that Auto chose the smallest.
func TestCandidates(t *testing.T) {
	examples := clusters(5, 20, 8, 7, 9)
	f, err := Fit(examples, Auto, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Candidates) != 7 || f.Candidates[6].Method != Mean {
		t.Fatalf("got candidates %+v, want six recipes and mean", f.Candidates)
	}
	for i, candidate := range f.Candidates {
		if !candidate.Sqrt {
			own, err := Fit(examples, candidate.Method, false)
			if err != nil || math.Abs(own.LogLoss-candidate.LogLoss) > 1e-12 || own.Recipe != candidate.Recipe || own.Candidates != nil {
				t.Errorf("%v: got log loss %v, but Fit returned %v with log loss %v, error %v", candidate.Recipe, candidate.LogLoss, own.Recipe, own.LogLoss, err)
			}
		}
		if chosen := candidate.Recipe == f.Recipe; chosen && candidate.LogLoss != f.LogLoss || !chosen && i < 6 && candidate.LogLoss < f.LogLoss*(1-1e-9) {
			t.Errorf("%v has log loss %v, but Auto chose %v with %v", candidate.Recipe, candidate.LogLoss, f.Recipe, f.LogLoss)
		}
	}
	if f, err = Fit(examples[:5], Auto, true); err != nil || f.Candidates != nil {
		t.Errorf("five examples: got %+v, error %v, want no candidates", f, err)
	}
}

// TestCompareInSinglePrecision compares recipes in both precisions.
func TestCompareInSinglePrecision(t *testing.T) {
	examples := sortedExamples(clusters(8, 130, 20, 40, 61))
	double, single := comparison{examples: examples, trainings: make(map[bool]*training)}, comparison{examples: examples, single: true, trainings: make(map[bool]*training)}
	want, err := double.best(true)
	if err != nil {
		t.Fatal(err)
	}
	got, err := single.best(true)
	if err != nil || got != want || len(single.candidates) != len(double.candidates) {
		t.Fatalf("got %v and %d candidates, error %v, want %v and %d", got, len(single.candidates), err, want, len(double.candidates))
	}
	for i, c := range double.candidates {
		if loss := single.candidates[i].LogLoss; !(math.Abs(loss-c.LogLoss) < 1e-4) {
			t.Errorf("%v: got log loss %v, want %v", c.Recipe, loss, c.LogLoss)
		}
	}
}
