package evaluate

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/reference"
)

// cloud returns a set of classes. The embeddings of each class are scattered around the class's own
// axis.
func cloud(seed uint64, classes, each, dim int, spread float64) *Set {
	r := rand.New(rand.NewPCG(seed, 5))
	s := &Set{Name: "cloud"}
	for c := range classes {
		s.Classes = append(s.Classes, string(rune('a'+c)))
		for range each {
			x := make([]float64, dim)
			for i := range x {
				x[i] = spread * math.Abs(r.NormFloat64())
			}
			x[c%dim]++
			classifier.Normalize(x)
			s.Labels, s.Units, s.Norms = append(s.Labels, c), append(s.Units, x), append(s.Norms, 1)
		}
	}
	return s
}

// outputs trains a ridge regression without the rows in without, and returns its outputs for row.
func outputs(s *Set, row int, without ...int) []float64 {
	var rows []int
	for i := range s.Labels {
		if !slices.Contains(without, i) {
			rows = append(rows, i)
		}
	}
	n, dim := len(rows), len(s.Units[0])
	x, y := mat.NewDense(n, dim+1, nil), mat.NewDense(n, len(s.Classes), nil)
	penalty := mat.NewDense(dim+1, dim+1, nil)
	for i, r := range rows {
		x.SetRow(i, append(slices.Clone(s.Units[r]), 1))
		y.Set(i, s.Labels[r], 1)
	}
	for i := range dim { // the bias is not penalized
		penalty.Set(i, i, suspectLambda)
	}
	var xx, xy, w mat.Dense
	xx.Mul(x.T(), x)
	xx.Add(&xx, penalty)
	xy.Mul(x.T(), y)
	if err := w.Solve(&xx, &xy); err != nil {
		panic(err)
	}
	out := make([]float64, len(s.Classes))
	for c := range out {
		out[c] = w.At(dim, c)
		for j, v := range s.Units[row] {
			out[c] += v * w.At(j, c)
		}
	}
	return out
}

// TestLabelSuspectsByRefit compares the closed form with regressions that are trained again without
// the left-out photos.
func TestLabelSuspectsByRefit(t *testing.T) {
	s := cloud(1, 3, 7, 5, 0.5)
	s.Labels[2], s.Labels[17] = 1, 0 // wrong labels
	compareWithRefit(t, s)
	s.Classes = []string{"a", "none", "b", "none either", "c"}
	for row, c := range s.Labels {
		s.Labels[row] = 2 * c
	}
	compareWithRefit(t, s)
}

func compareWithRefit(t *testing.T, s *Set) {
	t.Helper()
	got, err := s.LabelSuspects(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	margin := func(i int, out []float64) (float64, int) {
		own, answer := out[s.Labels[i]], classifier.ArgMax(out)
		out[s.Labels[i]] = math.Inf(-1)
		return own - slices.Max(out), answer
	}
	want := 0
	for j := range s.Labels {
		var p LabelSuspect
		for i := range s.Labels {
			if i == j {
				continue
			}
			before, was := margin(i, outputs(s, i, i))
			after, is := margin(i, outputs(s, i, i, j))
			p.Margin += after - before
			if is == s.Labels[i] {
				p.Corrected++
			}
			if was == s.Labels[i] {
				p.Corrected--
			}
		}
		_, looks := margin(j, outputs(s, j, j))
		at := slices.IndexFunc(got, func(p LabelSuspect) bool { return p.Row == j })
		if looks == s.Labels[j] || p.Margin <= 0 {
			if at >= 0 {
				t.Errorf("row %d: got %+v, want none", j, got[at])
			}
			continue
		}
		want++
		if at < 0 || !near(got[at].Margin, p.Margin) || got[at].Corrected != p.Corrected || got[at].LooksLike != s.Classes[looks] {
			t.Errorf("row %d: got %+v, want %+v at index %d", j, got, p, at)
		}
	}
	if want != len(got) || want < 2 {
		t.Errorf("got %d suspects, want %d, at least the 2 with wrong labels", len(got), want)
	}
	if first := []int{got[0].Row, got[1].Row}; !slices.Contains(first, 2) || !slices.Contains(first, 17) {
		t.Errorf("got rows %v first, want 2 and 17", first)
	}
}

func TestSuspectRows(t *testing.T) {
	s := cloud(2, 3, maxSuspectRows, 2, 0.1)
	rows, count := s.suspectRows(), make([]int, 3)
	for _, r := range rows {
		count[s.Labels[r]]++
	}
	if want := maxSuspectRows / 3; !slices.Equal(count, []int{want, want, want}) {
		t.Errorf("got %v rows by class, want %d of each", count, want)
	}
	small := cloud(2, 1, 5, 2, 0.1)
	if got, err := small.LabelSuspects(context.Background()); len(got) > 0 || err != nil {
		t.Errorf("one class: got %v, %v, want no suspects", got, err)
	}
}

// TestLabelSuspectsFindWrongLabels gives 20 stored embeddings wrong labels and checks that enough
// of them are among the first 20 suspects.
func TestLabelSuspectsFindWrongLabels(t *testing.T) {
	if testing.Short() {
		t.Skip("relabeling real photos takes seconds")
	}
	for set, least := range map[string]int{"clothing": 3, "flowers17": 10} {
		s, err := ReadSet(reference.Path(t, "embeddings", set), dataset.Squash)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		wrong := make(map[int]bool)
		rows := s.suspectRows()
		for len(wrong) < 20 {
			row := rows[r.IntN(len(rows))]
			if !wrong[row] {
				wrong[row] = true
				s.Labels[row] = (s.Labels[row] + 1 + r.IntN(len(s.Classes)-1)) % len(s.Classes)
			}
		}
		found, err := s.LabelSuspects(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, p := range found[:20] {
			if wrong[p.Row] {
				n++
			}
		}
		t.Logf("%s: %d of the first 20 have a wrong label", set, n)
		if n < least {
			t.Errorf("%s: %d of the first 20 have a wrong label, want at least %d", set, n, least)
		}
	}
}
