package evaluate

import (
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/reference"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-4 }

func TestProportion(t *testing.T) {
	tests := []struct {
		share float64
		of    int
		want  Proportion
	}{
		// Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
		{81. / 263, 263, Proportion{0.3080, 0.2553, 0.3662, 263}},
		{15. / 148, 148, Proportion{0.1014, 0.0624, 0.1605, 148}},
		{0, 20, Proportion{0, 0, 0.1611, 20}},
		{1. / 29, 29, Proportion{0.0345, 0.0061, 0.1718, 29}},
		{1, 20, Proportion{1, 0.8389, 1, 20}},
		{0, 0, Proportion{0, 0, 1, 0}},
	}
	for _, test := range tests {
		got := newProportion(test.share, test.of)
		if !near(got.Value, test.want.Value) || !near(got.Low, test.want.Low) || !near(got.High, test.want.High) || got.N != test.want.N {
			t.Errorf("%v of %d: got %+v, want %+v", test.share, test.of, got, test.want)
		}
	}
}

// TestHeadReport sums up answers that are made by hand.
func TestHeadReport(t *testing.T) {
	s := &Set{Classes: []string{"a", "b", "c"}, Labels: []int{0, 0, 1, 1, 2}, Photos: []Photo{{Path: "0.png"}, {Path: "1.png"}, {Path: "2.png"}, {Path: "3.png"}, {Path: "4.png"}}}
	d := s.headReport("mean", "mean", 5, []prediction{
		{row: 0, class: 0, answer: 0, score: 0.95, trueScore: 0.95, uncalibrated: 0.5},
		{row: 1, class: 0, answer: 1, score: 0.85, trueScore: 0.1, uncalibrated: 0.5},
		{row: 1, class: 0, answer: 1, score: 0.75, trueScore: 0.2, uncalibrated: 0.5},
		{row: 1, class: 0, answer: 0, score: 0.65, trueScore: 0.65, uncalibrated: 0.5},
		{row: 2, class: 1, answer: 1, score: 0.91, trueScore: 0.91, uncalibrated: 0.5},
		{row: 3, class: 1, answer: 0, score: 0.45, trueScore: 0.25, uncalibrated: 0.5},
	})
	if a := d.Accuracy; a.Value != 0.5 || a.N != 4 {
		t.Errorf("accuracy: got %+v, want a half of 4 photos", a)
	}
	if want := [][]int{{2, 2, 0}, {1, 1, 0}, {0, 0, 0}}; !reflect.DeepEqual(d.Confusion, want) {
		t.Errorf("confusion: got %v, want %v", d.Confusion, want)
	}
	a, c := d.Classes[0], d.Classes[2]
	if a.Recall.Value != 0.5 || a.Recall.N != 2 || !near(*a.Precision, 2./3) || c.Recall != nil || c.Precision != nil {
		t.Errorf("classes: got %+v, %+v", a, c)
	}
	// Bins: 0.4–0.5 one wrong; 0.6 right; 0.7 wrong; 0.8 wrong; 0.9–1 two right.
	if got, want := d.Calibration.Error, (0.45+0.35+0.75+0.85+0.14)/6; !near(got, want) || len(d.Calibration.Bins) != 5 {
		t.Errorf("calibration: got %+v, want an error of %v", d.Calibration, want)
	}
	if d.Uncalibrated.Error != 0 || !reflect.DeepEqual(d.Uncalibrated.Bins, []Bin{{6, 0.5, 0.5}}) {
		t.Errorf("calibration without temperature: got %+v", d.Uncalibrated)
	}
	wantAccept := []RiskCoverage{{0.95, 1. / 6, 1}, {0.91, 2. / 6, 1}, {0.85, 3. / 6, 2. / 3}, {0.75, 4. / 6, 0.5}, {0.65, 5. / 6, 3. / 5}, {0.45, 1, 0.5}}
	if !reflect.DeepEqual(d.RiskCoverage, wantAccept) {
		t.Errorf("accept: got %+v, want %+v", d.RiskCoverage, wantAccept)
	}
	hard := d.Hardest(9)
	if len(hard) != 2 || hard[0].Row != 3 || hard[1].Name() != "1.png" || hard[1].Answer != "b" || !near(hard[1].Score, 0.8) || hard[1].Wrong != 2 || hard[1].Queries != 3 {
		t.Errorf("hard: got %+v", hard)
	}
	if got := d.Hardest(1); len(got) != 1 {
		t.Errorf("one hard photo: got %d", len(got))
	}
	if got, want := d.Confusions(9), []Confused{{"a", "b", 0.5}, {"b", "a", 0.5}}; !slices.Equal(got, want) {
		t.Errorf("mistakes: got %+v, want %+v", got, want)
	}
}

// TestPredict holds an answer's scores against the softmax.
func TestPredict(t *testing.T) {
	p := predict(3, 0, []float64{0, math.Log(3)}, 0)
	if p.answer != 1 || !near(p.score, 0.75) || !near(p.trueScore, 0.25) || !near(p.uncalibrated, 0.5) || p.row != 3 {
		t.Errorf("got %+v", p)
	}
}

// cloud is a set of classes whose photos lie around a corner each.
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

// outputs are those of ridge regression taught with all rows but some, for one row.
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
	for i := range dim { // the bias is free
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

// TestLabelSuspectsAreRefitted holds the closed form against heads that are really made without
// the two photos.
func TestLabelSuspectsAreRefitted(t *testing.T) {
	s := cloud(1, 3, 7, 5, 0.5)
	s.Labels[2], s.Labels[17] = 1, 0 // wrong labels
	got, err := s.labelSuspects(context.Background())
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
			t.Errorf("row %d: got %+v, want %+v, place %d", j, got, p, at)
		}
	}
	if want != len(got) || want < 2 {
		t.Errorf("got %d, want %d, at least the 2 with wrong labels", len(got), want)
	}
	if first := []int{got[0].Row, got[1].Row}; !slices.Contains(first, 2) || !slices.Contains(first, 17) {
		t.Errorf("got %v first, want those with wrong labels", first)
	}
}

// TestLabelSuspectsOfMany looks at as many photos of each class.
func TestLabelSuspectsOfMany(t *testing.T) {
	s := cloud(2, 3, maxSuspectRows, 2, 0.1)
	rows, count := s.suspectRows(), make([]int, 3)
	for _, r := range rows {
		count[s.Labels[r]]++
	}
	if want := maxSuspectRows / 3; !slices.Equal(count, []int{want, want, want}) {
		t.Errorf("got %v of each class, want %d", count, want)
	}
	small := cloud(2, 1, 5, 2, 0.1)
	if got, err := small.labelSuspects(context.Background()); len(got) > 0 || err != nil {
		t.Errorf("one class: got %v, %v", got, err)
	}
}

func TestNearDuplicates(t *testing.T) {
	s := cloud(3, 4, 300, 64, 2) // several blocks
	nudge := func(to, from int) {
		s.Units[to] = slices.Clone(s.Units[from])
		s.Units[to][0] += 0.01
		classifier.Normalize(s.Units[to])
	}
	nudge(299, 3)
	nudge(601, 299) // joined through 299
	nudge(1199, 1198)
	s.Hashes = make([]uint64, len(s.Labels))
	s.Hashes[20], s.Hashes[950] = 0xf0f0f0f00f0f0f0f, 0xf0f0f0f00f0f0f0f
	s.Hashes[30], s.Hashes[31] = 1, 1 // hardly a contrast
	got, err := s.nearDuplicates(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]int
	for _, g := range got {
		var r []int
		for _, p := range g.Photos {
			r = append(r, p.Row)
		}
		rows = append(rows, r)
		if hash := r[0] == 20; g.SameHash != hash || (g.Cosine > classifier.NearDuplicateCosine) == hash || g.Labels != map[int]int{3: 2, 20: 2, 1198: 1}[r[0]] {
			t.Errorf("got %+v", g)
		}
	}
	if want := [][]int{{3, 299, 601}, {20, 950}, {1198, 1199}}; !reflect.DeepEqual(rows, want) {
		t.Errorf("got %v, want %v", rows, want)
	}
}

// BenchmarkEvaluate is imprint eval without the time that photos take.
func BenchmarkEvaluate(b *testing.B) {
	for _, set := range []string{"clothing", "flowers17"} {
		s, err := ReadSet(reference.Path(b, "embeddings", set), dataset.Crop)
		if err != nil {
			b.Fatal(err)
		}
		for _, shots := range [][]int{{1}, {1, 5, 10, 20}} {
			b.Run(set, func(b *testing.B) {
				b.ReportMetric(float64(len(s.Labels)), "photos")
				for b.Loop() {
					if _, err := s.Evaluate(context.Background(), []classifier.Method{classifier.Auto, classifier.Mean}, shots); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// TestLabelSuspectsFindWrongLabels gives real photos wrong labels.
func TestLabelSuspectsFindWrongLabels(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
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
		found, err := s.labelSuspects(context.Background())
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
			t.Errorf("%s: %d of the first 20 have a wrong label, want %d at least", set, n, least)
		}
	}
}
