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
		if err != nil || same.Estimate != f.Estimate || same.Loss != f.Loss {
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
		if right != f.Estimate.Right {
			t.Errorf("%s: %d right, and the estimate says %d", method, right, f.Estimate.Right)
		}
	}
}
