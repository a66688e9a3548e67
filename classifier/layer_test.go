package classifier

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// clusters returns random examples of classes with different means. It returns counts[c]
// examples of class c.
func clusters(seed uint64, dim int, counts ...int) []Example {
	r := rand.New(rand.NewPCG(seed, 7))
	var examples []Example
	for c, n := range counts {
		center := make([]float64, dim)
		for i := range center {
			center[i] = r.Float64()
		}
		for range n {
			x := make([]float64, dim)
			for i, v := range center {
				x[i] = max(0, v+r.NormFloat64()/2)
			}
			norm := Normalize(x)
			examples = append(examples, Example{Label: string(rune('a' + c)), Unit: x, Norm: norm})
		}
	}
	return examples
}

func train(t *testing.T, examples []Example, sqrt bool) *training {
	t.Helper()
	tr, err := newTraining(sortedExamples(examples), sqrt)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// textbook computes a layer directly from its formula, with gonum and one equation per
// dimension.
func textbook(t *testing.T, examples []Example, r Recipe) layer {
	t.Helper()
	tr := train(t, examples, r.Sqrt)
	n, d, classes := len(tr.class), tr.dim, len(tr.labels)
	x, m := mat.NewDense(n, d, nil), mat.NewDense(classes, d, nil)
	target := mat.NewDense(n, classes, nil)
	for c := range classes {
		m.SetRow(c, tr.classMean[c])
	}
	var trace float64
	for i := range n {
		row := tr.row(i, make([]float64, d))
		for j := range row {
			if r.Method == LDA {
				row[j] -= tr.classMean[tr.class[i]][j]
			} else {
				row[j] -= tr.mean[j]
			}
			trace += row[j] * row[j]
		}
		x.SetRow(i, row)
		for c := range classes {
			target.Set(i, c, -float64(tr.count[c])/float64(n))
		}
		target.Set(i, tr.class[i], target.At(i, tr.class[i])+1)
	}
	var s, right, w mat.Dense
	s.Mul(x.T(), x)
	if r.Method == LDA {
		s.Scale(1/float64(n-classes), &s)
		for j := range d {
			s.Set(j, j, s.At(j, j)+r.Lambda*trace/float64(n-classes)/float64(d))
		}
		right.CloneFrom(m.T())
	} else {
		for j := range d {
			s.Set(j, j, s.At(j, j)+r.Lambda)
		}
		right.Mul(x.T(), target)
	}
	if err := w.Solve(&s, &right); err != nil {
		t.Fatal(err)
	}
	var l layer
	for c := range classes {
		row := mat.Col(nil, c, &w)
		l.weights = append(l.weights, row)
		if r.Method == LDA {
			l.bias = append(l.bias, -mat.Dot(m.RowView(c), w.ColView(c))/2)
		} else {
			l.bias = append(l.bias, float64(tr.count[c])/float64(n)-mat.Dot(mat.NewVecDense(d, tr.mean), w.ColView(c)))
		}
	}
	return l
}

var shapes = []struct {
	name   string
	dim    int
	counts []int
}{
	{"fewer examples than dimensions", 40, []int{5, 7, 4}},
	{"more examples than dimensions", 9, []int{9, 4, 6}},
	{"as many examples as dimensions", 12, []int{6, 6}},
	{"class of one example", 30, []int{4, 1, 5}},
	{"small classes", 7, []int{2, 2, 3}},
	{"rounded features, fewer examples than dimensions", 130, []int{50, 40, 30}},
	{"rounded features, more examples than dimensions", 13, []int{50, 40, 30}},
}

func TestLayersEqualTextbook(t *testing.T) {
	for _, sh := range shapes {
		for _, r := range []Recipe{{Ridge, 0.3, false}, {LDA, 3, false}, {Ridge, 0.1, true}} {
			examples := clusters(3, sh.dim, sh.counts...)
			got, _, err := train(t, examples, r.Sqrt).layer(r)
			if err != nil {
				t.Fatal(err)
			}
			want := textbook(t, examples, r)
			for c := range want.bias {
				if d := math.Abs(got.bias[c] - want.bias[c]); d > 1e-8*(1+math.Abs(want.bias[c])) {
					t.Errorf("%s, %v, class %d: got bias %v, want %v", sh.name, r, c, got.bias[c], want.bias[c])
				}
				for j, w := range want.weights[c] {
					if g := got.weights[c][j]; math.Abs(g-w) > 1e-8*(1+math.Abs(w)) {
						t.Errorf("%s, %v, class %d, weight %d: got %v, want %v", sh.name, r, c, j, g, w)
					}
				}
			}
		}
	}
}

// TestLeftOutEqualsRefit compares the outputs for left-out examples with the outputs of a layer
// trained without their burst. LDA keeps the ridge term and n−C of all examples, so refitLDA
// uses the same values.
func TestLeftOutEqualsRefit(t *testing.T) {
	for _, sh := range shapes {
		for _, r := range []Recipe{{Mean, 0, false}, {Ridge, 0.3, false}, {LDA, 3, false}} {
			examples := sortedExamples(clusters(4, sh.dim, sh.counts...))
			for i := range examples {
				if i%5 < 2 {
					examples[i].Burst = "first" // the first burst of its class
				}
			}
			tr := train(t, examples, false)
			_, leftOut, err := tr.layer(r)
			if err != nil {
				t.Fatal(err)
			}
			largest := 0
			for _, burst := range tr.bursts {
				if tr.isWholeClass(burst) {
					if leftOut[burst[0]] != nil {
						t.Errorf("%s, %v: only burst of a class: got outputs, want nil", sh.name, r)
					}
					continue
				}
				largest = max(largest, len(burst))
				l := refit(t, tr, r, burst)
				for _, i := range burst {
					for c := range tr.labels {
						want := dot(l.weights[c], tr.row(i, make([]float64, tr.dim))) + l.bias[c]
						if math.Abs(leftOut[i][c]-want) > 1e-7*(1+math.Abs(want)) {
							t.Errorf("%s, %v, example %d, class %d: got %v, want %v", sh.name, r, i, c, leftOut[i][c], want)
						}
					}
				}
			}
			if largest < 2 && sh.name != "small classes" {
				t.Errorf("%s: no burst has several examples", sh.name)
			}
		}
	}
}

// refit trains a layer without a burst of tr.
func refit(t *testing.T, tr *training, r Recipe, burst []int) layer {
	t.Helper()
	var rest []Example
	for i, e := range tr.examples {
		if !slices.Contains(burst, i) {
			rest = append(rest, e)
		}
	}
	without := train(t, rest, r.Sqrt)
	if r.Method == LDA {
		return refitLDA(t, without, tr, r.Lambda)
	}
	l, _, err := without.layer(r)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// refitLDA trains LDA on the examples of without, but uses n−C and the ridge term of whole.
func refitLDA(t *testing.T, without, whole *training, lambda float64) layer {
	t.Helper()
	s := float64(len(whole.class) - len(whole.labels))
	c := whole.withinScatter()
	var trace float64
	for j := range c {
		trace += c[j][j]
	}
	a := mat.NewDense(whole.dim, whole.dim, nil)
	b := without.withinScatter()
	for i := range whole.dim {
		for j := range whole.dim {
			a.Set(i, j, b.at(i, j)/s)
		}
		a.Set(i, i, a.At(i, i)+lambda*trace/s/float64(whole.dim))
	}
	var l layer
	for _, m := range without.classMean {
		var w mat.VecDense
		if err := w.SolveVec(a, mat.NewVecDense(len(m), m)); err != nil {
			t.Fatal(err)
		}
		l.weights = append(l.weights, w.RawVector().Data)
		l.bias = append(l.bias, -mat.Dot(&w, mat.NewVecDense(len(m), m))/2)
	}
	return l
}

// TestFitHasNoOrder checks that the order of examples does not affect the head.
func TestFitHasNoOrder(t *testing.T) {
	examples := clusters(5, 33, 6, 4, 9)
	for _, m := range Methods() {
		want, err := Fit(examples, m, true)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := slices.Clone(examples)
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got, err := Fit(shuffled, m, true)
		if err != nil {
			t.Fatal(err)
		}
		if got.Recipe != want.Recipe || !slices.Equal(got.Head.Weights, want.Head.Weights) || !slices.Equal(got.Head.Bias, want.Head.Bias) {
			t.Errorf("%s: a different order results in a different head (recipes %v and %v)", m, got.Recipe, want.Recipe)
		}
	}
}

func BenchmarkFit(b *testing.B) {
	for _, size := range []struct {
		name       string
		classes, n int
	}{{"10x20", 10, 20}, {"100x20", 100, 20}, {"100x200", 100, 200}} {
		counts := make([]int, size.classes)
		for i := range counts {
			counts[i] = size.n
		}
		examples := clusters(6, 1024, counts...)
		for _, m := range []Method{Auto, Mean, RidgeLDA, Softmax} {
			if m == Softmax && size.n > 20 {
				continue // it trains on only 2000 examples
			}
			b.Run(size.name+"/"+string(m), func(b *testing.B) {
				for b.Loop() {
					if _, err := Fit(examples, m, true); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
