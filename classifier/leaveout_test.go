package classifier

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestLeaveOut holds the logits against heads that are made without the example.
func TestLeaveOut(t *testing.T) {
	examples := kinds(3, 12, 8, 8, 5)
	examples = append(examples, Example{Label: "alone", Unit: examples[0].Unit})
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(examples), func(i, j int) { examples[i], examples[j] = examples[j], examples[i] })
	for _, method := range []Method{Mean, Ridge} {
		f, left, err := LeaveOut(examples, method, false)
		if err != nil {
			t.Fatal(err)
		}
		same, err := Fit(examples, method, false)
		if err != nil || same.Estimate != f.Estimate || same.LogLoss != f.LogLoss {
			t.Errorf("%s: got %+v, want %+v, error %v", method, f.Estimate, same.Estimate, err)
		}
		right := 0
		for i, e := range examples {
			if e.Label == "alone" {
				if left[i] != nil {
					t.Errorf("%s: got %v for an example alone", method, left[i])
				}
				continue
			}
			if f.Head.Labels[Best(left[i])] == e.Label {
				right++
			}
			var rest []Example
			rest = append(append(rest, examples[:i]...), examples[i+1:]...)
			without, err := Fit(rest, method, false)
			if err != nil {
				t.Fatal(err)
			}
			want := make([]float64, len(f.Head.Labels))
			without.Head.Logits(want, e.Unit)
			// The scales of the two differ, and a constant may be added to all.
			for c := range want {
				got := (left[i][c] - left[i][0]) / f.scale
				if w := (want[c] - want[0]) / without.scale; math.Abs(got-w) > 1e-5 {
					t.Errorf("%s, example %d, class %d: got %v, want %v", method, i, c, got, w)
				}
			}
		}
		if right != f.Estimate.Correct {
			t.Errorf("%s: %d right, and the estimate says %d", method, right, f.Estimate.Correct)
		}
	}
}

// What Auto says it chose by is what each recipe's own head says.
func TestTried(t *testing.T) {
	examples := kinds(5, 20, 8, 7, 9)
	f, err := Fit(examples, Auto, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Candidates) != 7 || f.Candidates[6].Method != Mean {
		t.Fatalf("tried %+v, want six recipes and mean", f.Candidates)
	}
	for i, tried := range f.Candidates {
		if !tried.Root {
			own, err := Fit(examples, tried.Method, false)
			if err != nil || math.Abs(own.LogLoss-tried.LogLoss) > 1e-12 || own.Recipe != tried.Recipe || own.Candidates != nil {
				t.Errorf("%v: loss %v, and by itself %v with %v, %v", tried.Recipe, tried.LogLoss, own.Recipe, own.LogLoss, err)
			}
		}
		if chosen := tried.Recipe == f.Recipe; chosen && tried.LogLoss != f.LogLoss || !chosen && i < 6 && tried.LogLoss < f.LogLoss*(1-1e-9) {
			t.Errorf("%v has loss %v, and %v was chosen with %v", tried.Recipe, tried.LogLoss, f.Recipe, f.LogLoss)
		}
	}
	if f, err = Fit(examples[:5], Auto, true); err != nil || f.Candidates != nil {
		t.Errorf("of five examples: %+v, %v", f, err)
	}
}
