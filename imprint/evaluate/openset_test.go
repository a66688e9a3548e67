package evaluate

import (
	"context"
	"testing"

	"github.com/imprintkit/imprint/classifier"
)

func TestEvaluateOpenSet(t *testing.T) {
	ctx := context.Background()
	s := cloud(4, 8, 12, 16, 0.05)
	if err := s.sample(5, 2, false); err != nil {
		t.Fatal(err)
	}
	heads := []classifier.Method{classifier.Mean, classifier.Auto}
	got, err := s.EvaluateOpenSet(ctx, heads, []int{3, 5}, 0.1)
	if err != nil || len(got) != 4 {
		t.Fatalf("got %+v, %v, want 4 results", got, err)
	}
	for i, r := range got {
		want := OpenSet{Head: string(heads[i/2]), Support: 3 + 2*(i%2), TargetFAR: 10, Episodes: 2}
		if r.Head != want.Head || r.Support != want.Support || r.TargetFAR != want.TargetFAR || r.Episodes != want.Episodes {
			t.Errorf("got %+v, want %+v", r, want)
		}
		// Each class lies on its own axis.
		if r.AUC < 0.99 || r.FAR > 20 || r.TPR < 80 || r.Correct > r.TPR || r.Correct < 80 {
			t.Errorf("got %+v, want almost perfect rates", r)
		}
	}

	few := cloud(4, 7, 12, 16, 0.05)
	if err := few.sample(5, 2, false); err != nil {
		t.Fatal(err)
	}
	_, err = few.EvaluateOpenSet(ctx, heads, []int{3}, 0.1)
	wantError(t, err, ErrProtocol)
	_, err = s.EvaluateOpenSet(ctx, heads, []int{6}, 0.1)
	wantError(t, err, ErrProtocol)
	s.Query[1] = s.Query[1][:1] // half of the classes have no query photo
	_, err = s.EvaluateOpenSet(ctx, heads, []int{3}, 0.1)
	wantError(t, err, ErrProtocol)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.EvaluateOpenSet(cancelled, heads, []int{3}, 0.1)
	wantError(t, err, context.Canceled)
}

func TestAreaUnderROC(t *testing.T) {
	for _, test := range []struct {
		name         string
		known, other []float64
		want         float64
	}{
		{"apart", []float64{2, 3}, []float64{0, 1}, 1},
		{"swapped", []float64{0, 1}, []float64{2, 3}, 0},
		{"equal", []float64{1, 1}, []float64{1}, 0.5},
		{"mixed", []float64{1, 3}, []float64{2, 0}, 0.75},
		{"one tie", []float64{1, 2}, []float64{1, 0}, 0.875},
	} {
		if got := areaUnderROC(test.known, test.other); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
