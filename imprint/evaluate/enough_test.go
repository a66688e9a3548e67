package evaluate

import (
	"errors"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/reference"
)

// TestJudge checks the verdict and the number of photos to add.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		correct, total, bursts, photos int
		verdict                        Verdict
		more                           int
	}{
		{0, 0, 0, 1, VerdictFew, 5},
		{4, 4, 4, 4, VerdictFew, 1},
		{40, 40, 2, 40, VerdictFew, 3}, // many near-duplicates
		{5, 5, 5, 5, VerdictMore, 4},
		{8, 8, 8, 8, VerdictMore, 1},
		{9, 9, 9, 9, VerdictEnough, 0},
		{18, 20, 20, 20, VerdictMore, 1}, // its interval starts at 69.9 %
		{19, 20, 20, 20, VerdictEnough, 0},
		{90, 100, 100, 100, VerdictEnough, 0},
		{89, 100, 100, 100, VerdictMore, 27}, // 100·(0.11/0.1)^2.5 = 126.9
		{8, 10, 10, 10, VerdictMore, 47},
		{3, 10, 10, 10, VerdictMore, 50},
	} {
		e := classifier.Estimate{Correct: c.correct, Total: c.total, Bursts: c.bursts}
		if got := judge(e, c.photos); got.Verdict != c.verdict || got.More != c.more || got.Correct != c.correct || got.Total != c.total {
			t.Errorf("%d of %d in %d bursts: got %+v, want %s and %d more", c.correct, c.total, c.bursts, got, c.verdict, c.more)
		}
	}
}

// TestSufficiency judges two classes that can't be told apart, one that can and one with few photos.
func TestSufficiency(t *testing.T) {
	s := cloud(3, 4, 12, 30, 0.15)
	alike := cloud(4, 1, 24, 30, 0.15)
	for i := range 24 { // classes a and b look the same
		s.Units[i] = alike.Units[i]
	}
	for row := len(s.Labels) - 1; row >= 39; row-- { // d keeps three photos
		s.Labels, s.Units, s.Norms = slices.Delete(s.Labels, row, row+1), slices.Delete(s.Units, row, row+1), slices.Delete(s.Norms, row, row+1)
	}
	got, err := s.Sufficiency(t.Context(), classifier.Auto)
	if err != nil {
		t.Fatal(err)
	}
	var sum int
	for i, want := range []Sufficiency{
		{Label: "a", Verdict: VerdictConfused, With: "b"},
		{Label: "b", Verdict: VerdictConfused, With: "a"},
		{Label: "c", Verdict: VerdictEnough},
		{Label: "d", Verdict: VerdictFew, More: 2},
	} {
		g := got[i]
		sum += g.Correct
		if g.Correct, g.Total = 0, 0; g != want {
			t.Errorf("got %+v, want %+v", got[i], want)
		}
	}
	ev, err := s.LeaveOneOut(t.Context(), []classifier.Method{classifier.Auto}, nil, 1)
	if err != nil || sum != ev.Heads[0].Estimate.Correct {
		t.Errorf("got %d correct in all classes, want %d; error %v", sum, ev.Heads[0].Estimate.Correct, err)
	}
	s.Classes, s.Labels, s.Units, s.Norms = s.Classes[:1], s.Labels[:12], s.Units[:12], s.Norms[:12]
	if _, err := s.Sufficiency(t.Context(), classifier.Auto); !errors.Is(err, ErrProtocol) {
		t.Errorf("one class: got error %v, want %v", err, ErrProtocol)
	}
}

// TestSufficiencyHolds compares verdicts on a few photos of each class with the recall on all others.
func TestSufficiencyHolds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const good = 0.8
	found := make(map[Verdict][2]int) // classes with good recall, and all
	for _, name := range []string{"clothing", "flowers17"} {
		all, err := ReadSet(reference.Path(t, "embeddings", name), dataset.Squash)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []int{5, 10, 20} {
			for d := range all.Support {
				part := &Set{Classes: all.Classes}
				for c, rows := range all.Support[d] {
					for _, row := range rows[:k] {
						part.Labels, part.Units, part.Norms = append(part.Labels, c), append(part.Units, all.Units[row]), append(part.Norms, all.Norms[row])
					}
				}
				verdicts, err := part.Sufficiency(t.Context(), classifier.Ridge)
				if err != nil {
					t.Fatal(err)
				}
				o, err := all.episode(classifier.Ridge, d, k)
				if err != nil {
					t.Fatal(err)
				}
				correct, queries := make([]int, len(all.Classes)), make([]int, len(all.Classes))
				for _, p := range o.predictions {
					queries[p.class]++
					correct[p.class] += count(p.answer == p.class)
				}
				for c, v := range verdicts {
					f := found[v.Verdict]
					found[v.Verdict] = [2]int{f[0] + count(float64(correct[c]) >= good*float64(queries[c])), f[1] + 1}
				}
			}
		}
	}
	for v, f := range found {
		t.Logf("%s: %d of %d classes have a recall of %v", v, f[0], f[1], good)
	}
	if f := found[VerdictEnough]; f[1] < 100 || f[0] < 95*f[1]/100 {
		t.Errorf("enough: %d of %d classes have a recall of %v, want 95 %% of at least 100", f[0], f[1], good)
	}
}
