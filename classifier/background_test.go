package classifier

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// backgroundOf returns a background of n embeddings of dim values.
func backgroundOf(t testing.TB, seed uint64, dim, n int, sqrt bool) *Background {
	t.Helper()
	b, err := NewBackground(unitsOf(gridClusters(seed, dim, slices.Repeat([]int{2}, n/2)...)), sqrt, 1)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unitsOf(examples []Example) (units [][]float64) {
	for _, e := range examples {
		units = append(units, e.Unit)
	}
	return units
}

// outputWithout trains the regression of b by solving one equation per dimension, without the rows
// in out, and returns the outputs for these rows.
func outputWithout(b *Background, rows [][]float64, roots, targets []float64, out []int) []float64 {
	dim := len(b.mean)
	a, w := newLower(dim+1), make([]float64, dim+1)
	augmented := func(x []float64) []float64 { return append(slices.Clone(x), math.Sqrt(backgroundOffset)) }
	for i, x := range rows {
		if slices.Contains(out, i) {
			continue
		}
		x = augmented(x)
		for j := range a {
			for k := range a[j] {
				a[j][k] += roots[i] * roots[i] * x[j] * x[k]
			}
			w[j] += roots[i] * roots[i] * targets[i] * x[j]
		}
	}
	for j := range a {
		a[j][j] += backgroundLambda
	}
	if err := a.factorize(); err != nil {
		panic(err)
	}
	a.solveOne(w)
	outputs := make([]float64, len(out))
	for k, i := range out {
		outputs[k] = dot(augmented(rows[i]), w)
	}
	return outputs
}

// TestBackgroundLeavesOut compares the outputs of left-out embeddings with those of regressions
// that are really trained without them.
func TestBackgroundLeavesOut(t *testing.T) {
	for _, sqrt := range []bool{false, true} {
		b := backgroundOf(t, 3, 30, 20, sqrt)
		examples, negatives := sortedExamples(gridClusters(4, 30, 4, 3, 1)), sortedExamples(gridClusters(5, 30, 5))
		examples[0].Burst, examples[2].Burst = "x", "x"
		r, err := b.regress(examples, negatives)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.positives) != len(examples) {
			t.Fatalf("got outputs for %d examples, want all %d", len(r.positives), len(examples))
		}
		rows := slices.Clone(b.centered)
		var roots, targets []float64
		for range b.centered {
			roots, targets = append(roots, 1), append(targets, -1)
		}
		total := 20 + min(negativeWeight, 20.0/5)*5
		for _, e := range examples {
			rows, targets, roots = append(rows, b.center([][]float64{features(e.Unit, sqrt)})...), append(targets, 1), append(roots, math.Sqrt(total/8))
		}
		for _, e := range negatives {
			rows, targets, roots = append(rows, b.center([][]float64{features(e.Unit, sqrt)})...), append(targets, -1), append(roots, 2)
		}
		got := slices.Concat(r.background, r.positives, r.negatives)
		groups := [][]int{{20, 22}}
		for i := range rows {
			if i != 20 && i != 22 {
				groups = append(groups, []int{i})
			}
		}
		for _, out := range groups {
			for k, want := range outputWithout(b, rows, roots, targets, out) {
				if i := out[k]; math.Abs(got[i]-want) > 1e-9 {
					t.Errorf("square roots %v, row %d: got output %v, want %v", sqrt, i, got[i], want)
				}
			}
		}
		x := features(examples[1].Unit, sqrt)
		all := outputWithout(b, append(rows, b.center([][]float64{x})...), append(roots, 0), append(targets, 0), []int{len(rows)})
		if got := dot(r.weights, x) + r.bias; math.Abs(got-all[0]) > 1e-9 {
			t.Errorf("square roots %v: got output %v, want %v", sqrt, got, all[0])
		}
	}
}

// TestBackgroundReject checks that the prediction is UnknownLabel if and only if the accept score
// is below the threshold, and that the other rows do not change.
func TestBackgroundReject(t *testing.T) {
	negatives := gridClusters(9, 40, 7)
	for _, m := range []Method{Mean, Ridge, RidgeLDA, Softmax, Auto} {
		for _, counts := range [][]int{{1}, {5}, {6, 6, 6, 6}, {30, 25, 20, 9}} {
			examples := gridClusters(8, 40, counts...)
			f, err := Fit(examples, m, true)
			if err != nil {
				t.Fatal(err)
			}
			b := backgroundOf(t, 3, 40, 60, f.Head.Sqrt)
			h, r, err := b.Reject(f, examples, negatives, 0.1)
			if err != nil {
				t.Fatal(err)
			}
			if r.Negatives != 67 || r.FalseAccepts > 6 || r.Rejected > (r.Positives+19)/20 || r.Positives != min(f.Estimate.Total, len(sampleForBackground(classCounts(sortedExamples(examples))))) {
				t.Errorf("%s, %v: got %+v, want at most 6 of 67 accepted, and a 20th of the left-out examples rejected", m, counts, r)
			}
			last := len(h.Labels) - 1
			if h.Labels[last] != UnknownLabel || !slices.Equal(h.Weights[:len(f.Head.Weights)], f.Head.Weights) || !slices.Equal(h.Bias[:last], f.Head.Bias) {
				t.Fatalf("%s, %v: the rows of the classes have changed", m, counts)
			}
			logits := make([]float64, last+1)
			unknown := func(examples []Example) (n int) {
				for _, e := range examples {
					if h.Logits(logits, e.Unit); ArgMax(logits) == last {
						n++
					}
				}
				return n
			}
			if got, of := unknown(examples), unknown(negatives); got > 1 || of != len(negatives) {
				t.Errorf("%s, %v: %d examples and %d negatives are unknown, want at most 1 and all %d", m, counts, got, of, len(negatives))
			}
		}
	}
}

// TestSeparate moves a threshold of 8, with the scores 0 to 9 of other things.
func TestSeparate(t *testing.T) {
	for _, test := range []struct {
		name                    string
		own                     []float64
		lowest, rate            float64
		want                    float64
		falseAccepts, positives int
		rejected                int
	}{
		{"nothing left out", nil, 5, 0.05, 8, 2, 0, 0},
		{"a class below the threshold", []float64{7, 6, 9}, 5, 0.05, 6, 4, 3, 0},
		{"a twentieth of a class below it", append(slices.Repeat([]float64{9}, 19), 7), 5, 0.05, 8, 2, 20, 1},
		{"a class far below it", []float64{2, 3, 9}, 5, 0.05, 5, 5, 3, 2},
		{"a class below it, but no lower threshold", []float64{2, 3, 9}, 8, 0.05, 8, 2, 3, 2},
		{"a class just above it", []float64{8.5, 20, 30}, 5, 0.25, 8.25, 1, 3, 0},
		{"a class far above it", []float64{19, 23, 30}, 5, 0.25, 11, 0, 3, 0}, // half of the way to 14
		{"at a high rate", []float64{19, 23, 30}, 5, 0.5, 8, 2, 3, 0},
	} {
		r := &Rejection{Threshold: 8, TargetFAR: test.rate, Negatives: 10}
		r.separate(test.own, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, test.lowest)
		if r.Threshold != test.want || r.FalseAccepts != test.falseAccepts || r.Positives != test.positives || r.Rejected != test.rejected {
			t.Errorf("%s: got %+v, want %+v", test.name, *r, test)
		}
	}
}

// TestBackgroundWithTheClasses checks that photos of a class are kept if some pictures of the background
// show the same, and rejected if negatives do.
func TestBackgroundWithTheClasses(t *testing.T) {
	var examples, query, alike []Example
	for i, e := range clusters(8, 100, 40, 40) {
		switch {
		case i%4 == 0:
			examples = append(examples, e)
		case len(alike) < 10:
			alike = append(alike, e)
		default:
			query = append(query, e)
		}
	}
	f, err := Fit(examples, Ridge, false)
	if err != nil {
		t.Fatal(err)
	}
	units := append(unitsOf(clusters(3, 100, slices.Repeat([]int{1}, 246)...)), unitsOf(alike)...)
	b, err := NewBackground(units, false, 0.4)
	if err != nil {
		t.Fatal(err)
	}
	rejected := func(negatives []Example) (n int) {
		h, _, err := b.Reject(f, examples, negatives, 0.05)
		if err != nil {
			t.Fatal(err)
		}
		logits := make([]float64, len(h.Labels))
		for _, e := range query {
			if h.Logits(logits, e.Unit); ArgMax(logits) == len(logits)-1 {
				n++
			}
		}
		return n
	}
	if got := rejected(nil); got > 5 {
		t.Errorf("%d of %d are unknown, want at most 5", got, len(query))
	}
	if got := rejected(alike); got < 15 {
		t.Errorf("with negatives, %d of %d are unknown, want at least 15", got, len(query))
	}
}

// TestBackgroundIsTheSameEverywhere checks that the row has the same bytes on every processor and
// in any order of the embeddings.
func TestBackgroundIsTheSameEverywhere(t *testing.T) {
	units, examples, negatives := unitsOf(gridClusters(3, 40, 9, 9, 9)), gridClusters(1, 40, 6, 9, 1, 4), gridClusters(2, 40, 3)
	for name, reorder := range map[string]func(){
		"given":    func() {},
		"reversed": func() { slices.Reverse(units); slices.Reverse(examples); slices.Reverse(negatives) },
	} {
		reorder()
		f, err := Fit(examples, Auto, false)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewBackground(units, false, 1)
		if err != nil {
			t.Fatal(err)
		}
		h, r, err := b.Reject(f, examples, negatives, 0.1)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := headHash(h), "a4f25abb96c314a1"; got != want {
			t.Errorf("%s: got %s for threshold %v, want %s", name, got, r.Threshold, want)
		}
	}
}

func TestBackgroundRefuses(t *testing.T) {
	examples := gridClusters(8, 20, 4, 4)
	f, err := Fit(examples, Ridge, false)
	if err != nil {
		t.Fatal(err)
	}
	taken := gridClusters(8, 20, 4, 4)
	for i := range taken {
		taken[i].Label += UnknownLabel[1:]
		if i < 4 {
			taken[i].Label = UnknownLabel
		}
	}
	named, err := Fit(taken, Ridge, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		b    *Background
		f    *Fitted
		rate float64
		want error
	}{
		{"rate 0", backgroundOf(t, 1, 20, 10, false), f, 0, ErrRate},
		{"rate 1", backgroundOf(t, 1, 20, 10, false), f, 1, ErrRate},
		{"label", backgroundOf(t, 1, 20, 10, false), named, 0.1, ErrLabelTaken},
		{"dimensions", backgroundOf(t, 1, 21, 10, false), f, 0.1, ErrShape},
		{"square roots", backgroundOf(t, 1, 20, 10, true), f, 0.1, ErrShape},
	} {
		if _, _, err := test.b.Reject(test.f, examples, nil, test.rate); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	for name, test := range map[string]struct {
		units [][]float64
		want  error
	}{
		"none":       {nil, ErrNoNegatives},
		"one":        {[][]float64{{1}}, ErrNoNegatives},
		"no values":  {[][]float64{{}, {}}, ErrShape},
		"dimensions": {[][]float64{{1, 0}, {1}}, ErrShape},
	} {
		if _, err := NewBackground(test.units, false, 1); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	for _, share := range []float64{0, -1, 1.1, math.NaN()} {
		if _, err := NewBackground([][]float64{{1}, {1}}, false, share); !errors.Is(err, ErrRate) {
			t.Errorf("share %v: got %v, want ErrRate", share, err)
		}
	}
}

// TestSampleForBackground checks that every class is in the sample as long as there is room.
func TestSampleForBackground(t *testing.T) {
	for _, test := range []struct{ classes, each, want int }{{1, 1, 1}, {1, 200, 64}, {10, 20, 60}, {60, 5, 180}, {300, 5, 192}} {
		examples := sortedExamples(clusters(1, 3, slices.Repeat([]int{test.each}, test.classes)...))
		sample := sampleForBackground(classCounts(examples))
		classes := make(map[string]bool)
		for _, i := range sample {
			classes[examples[i].Label] = true
		}
		if len(sample) != test.want || len(classes) != min(test.classes, test.want) {
			t.Errorf("%d classes of %d: got %d examples of %d classes, want %d", test.classes, test.each, len(sample), len(classes), test.want)
		}
	}
}

func BenchmarkBackground(b *testing.B) {
	examples := clusters(6, 1024, slices.Repeat([]int{20}, 10)...)
	f, err := Fit(examples, Ridge, false)
	if err != nil {
		b.Fatal(err)
	}
	units := unitsOf(clusters(3, 1024, slices.Repeat([]int{4}, 64)...))
	b.Run("prepare", func(b *testing.B) {
		for b.Loop() {
			if _, err := NewBackground(units, false, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	background, err := NewBackground(units, false, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("10x20", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := background.Reject(f, examples, nil, 0.02); err != nil {
				b.Fatal(err)
			}
		}
	})
}
