package classifier

import (
	"errors"
	"slices"
	"testing"
)

// imprinted returns examples of clusters, with other labels, and their sums and mean head. The head
// applies to raw embeddings.
func imprinted(t *testing.T, seed uint64, first rune, counts ...int) ([]Example, *Sums, *Head) {
	t.Helper()
	examples, sums, norm := gridClusters(seed, 60, counts...), new(Sums), 0.0
	for i, e := range examples {
		examples[i].Label = string(rune(e.Label[0]) - 'a' + first)
		if err := sums.Add(examples[i].Label, e.Unit); err != nil {
			t.Fatal(err)
		}
		norm += e.Norm / float64(len(examples))
	}
	h, err := sums.Mean()
	if err != nil {
		t.Fatal(err)
	}
	for i := range h.Weights {
		h.Weights[i] /= float32(norm)
	}
	return examples, sums, h
}

// TestExtendUnknown adds two classes to five, and asks about photos of both, and of the background.
func TestExtendUnknown(t *testing.T) {
	old, _, base := imprinted(t, 1, 'A', 8, 8, 8, 8, 8)
	examples, sums, _ := imprinted(t, 2, 'x', 6, 6)
	b := backgroundOf(t, 3, 60, 100, false)
	plain, err := sums.Extend(base, sortedExamples(examples))
	if err != nil {
		t.Fatal(err)
	}
	h, r, err := b.Extend(sums, base, examples, nil, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"A", "B", "C", "D", "E", "x", "y", UnknownLabel}; !slices.Equal(h.Labels, want) {
		t.Fatalf("got classes %v, want %v", h.Labels, want)
	}
	if r.TargetFAR != 0.1 || r.Negatives != 100 || r.FalseAccepts > 20 || r.Positives != 12 || r.Rejected > 2 {
		t.Errorf("got %+v, want a rejection with 100 negatives and 12 examples left out", r)
	}
	answers := func(h *Head, units [][]float64) (labels []string) {
		for _, u := range units {
			labels = append(labels, h.Labels[ArgMax(h.logits(Example{Unit: u}))])
		}
		return labels
	}
	count := func(labels []string, which ...string) (n int) {
		for _, l := range labels {
			if slices.Contains(which, l) {
				n++
			}
		}
		return n
	}
	if got := answers(h, unitsOf(old)); count(got, base.Labels...) < 38 {
		t.Errorf("photos of the old classes: got %v", got)
	}
	if got := answers(h, unitsOf(examples)); count(got, "x", "y") < 10 {
		t.Errorf("photos of the new classes: got %v", got)
	}
	// Half of the background has a larger logit than the row for unknown things.
	got := answers(h, b.features)
	if n := count(got, base.Labels...); n < 45 || n > 50 || count(got, UnknownLabel) < 40 {
		t.Errorf("the background: got %v", got)
	}
	// The best old class and the best new class are those of a head without the row.
	for _, u := range slices.Concat(unitsOf(old), unitsOf(examples), b.features) {
		got, want := h.logits(Example{Unit: u}), plain.logits(Example{Unit: u})
		if ArgMax(got[:5]) != ArgMax(want[:5]) || ArgMax(got[5:7]) != ArgMax(want[5:7]) {
			t.Errorf("got logits %v, want the order of %v", got, want)
		}
	}

	slices.Reverse(examples)
	if again, _, err := b.Extend(sums, base, examples, nil, 0.1); err != nil || !slices.Equal(again.Weights, h.Weights) || !slices.Equal(again.Bias, h.Bias) {
		t.Errorf("got another head for another order of the examples, error %v", err)
	}
	// Negatives that look like a class are accepted less.
	near, _, _ := imprinted(t, 2, 'x', 9, 9)
	near = slices.Concat(near[6:9], near[15:])
	sharper, _, err := b.Extend(sums, base, examples, near, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	if before, after := count(answers(h, unitsOf(near)), "x", "y"), count(answers(sharper, unitsOf(near)), "x", "y"); after >= before {
		t.Errorf("accepted %d of %d negatives, want less than %d", after, len(near), before)
	}
}

func TestExtendUnknownErrors(t *testing.T) {
	_, _, base := imprinted(t, 1, 'A', 8, 8)
	examples, sums, _ := imprinted(t, 2, 'x', 6, 6)
	plain, roots := backgroundOf(t, 3, 60, 100, false), backgroundOf(t, 3, 60, 100, true)
	taken := *base
	taken.Labels = []string{"A", UnknownLabel}
	small := &Head{Labels: []string{"A"}, Dim: 5, Weights: make([]float32, 5), Bias: make([]float32, 1)}
	for _, test := range []struct {
		name string
		b    *Background
		base *Head
		rate float64
		want error
	}{
		{"rate", plain, base, 1, ErrRate},
		{"square roots", roots, base, 0.1, ErrShape},
		{"dimensions", plain, small, 0.1, ErrShape},
		{"label", plain, &taken, 0.1, ErrLabelTaken},
	} {
		if _, _, err := test.b.Extend(sums, test.base, examples, nil, test.rate); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, err, test.want)
		}
	}
}

// TestChangesWithout compares with a head that is imprinted without a burst.
func TestChangesWithout(t *testing.T) {
	examples, sums, _ := imprinted(t, 2, 'x', 6, 1)
	examples[1].Burst, examples[2].Burst = "b", "b"
	examples = sortedExamples(examples)
	without := new(Sums)
	var e Example
	for _, x := range examples {
		if x.Burst == "" {
			if err := without.Add(x.Label, x.Unit); err != nil {
				t.Fatal(err)
			}
		} else {
			e = x
		}
	}
	before, _ := sums.Mean()
	after, err := without.Mean()
	if err != nil {
		t.Fatal(err)
	}
	want := after.logits(e)[0] - before.logits(e)[0]
	at := slices.IndexFunc(examples, func(x Example) bool { return &x.Unit[0] == &e.Unit[0] })
	if got := sums.changesWithout(examples, []int{at, 6}); got[0]-want > 1e-4 || want-got[0] > 1e-4 || got[1] == got[1] {
		t.Errorf("got changes %v, want %v and NaN", got, want)
	}
}
