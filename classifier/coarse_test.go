package classifier

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestFeatureProducts compares scatterOfFeatures and gramOfFeatures with sums of single products,
// for examples whose products do and do not fit in 32 bits.
func TestFeatureProducts(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	const dim = 71
	for _, n := range []int{1, 2, 511, 512, 513, 2001} {
		for _, size := range []float64{0.03, 1} {
			x := make([][]int16, n)
			scatter := make([]int64, dim*dim)
			for e := range x {
				x[e] = make([]int16, dim)
				for j := range x[e] {
					x[e][j] = roundFeature(size * (2*r.Float64() - 1))
				}
				for i, v := range x[e] {
					for j, w := range x[e][:i+1] {
						scatter[i*dim+j] += int64(v) * int64(w)
					}
				}
			}
			for i, row := range scatterOfFeatures(x, dim) {
				for j, v := range row {
					if want := float64(scatter[i*dim+j]) * featureStep * featureStep; v != want {
						t.Fatalf("%d examples up to %v, row %d, column %d: got %v, want %v", n, size, i, j, v, want)
					}
				}
			}
			if size == 1 { // the squared length is above 1
				continue
			}
			for i, row := range gramOfFeatures(x[:min(n, 50)], dim) {
				for j, v := range row {
					if want := innerOfFeatures(x[i], x[j]); v != want {
						t.Fatalf("%d examples: inner product of %d and %d: got %v, want %v", n, i, j, v, want)
					}
				}
			}
		}
	}
}

func TestRoundFeature(t *testing.T) {
	for x, want := range map[float64]int16{
		0: 0, 0.1: 3277, -0.1: -3277, 1: 32767, -1: -32768,
		0.5 / 32768: 0, 1.5 / 32768: 2, -0.6 / 32768: -1,
	} {
		if got := roundFeature(x); got != want {
			t.Errorf("%v: got %v, want %v", x, got, want)
		}
	}
}

// TestCoarseLayers trains with so many examples that they are left out in integers.
func TestCoarseLayers(t *testing.T) {
	examples := sortedExamples(clusters(8, 6, 500, 400, 300))
	for i := range examples {
		if i%100 < 2 {
			examples[i].Burst = string(rune('a' + i/100))
		}
	}
	for _, r := range []Recipe{{Mean, 0, false}, {Ridge, 0.3, false}, {LDA, 3, false}, {Ridge, 0.3, true}} {
		tr := train(t, examples, r.Sqrt)
		features := tr.rows()
		if !tr.coarse {
			t.Fatal("examples are not left out in integers")
		}
		got, leftOut, err := tr.layer(r)
		if err != nil {
			t.Fatal(err)
		}
		if r.Method != Mean {
			want := textbook(t, examples, r)
			for c := range want.bias {
				for j, w := range want.weights[c] {
					if g := got.weights[c][j]; math.Abs(g-w) > 1e-8*(1+math.Abs(w)) {
						t.Errorf("%v, class %d, weight %d: got %v, want %v", r, c, j, g, w)
					}
				}
			}
		}
		for _, burst := range [][]int{tr.bursts[0], tr.bursts[30], tr.bursts[len(tr.bursts)-1]} {
			l := refit(t, tr, r, burst)
			for _, i := range burst {
				for c, got := range leftOut[i] {
					want := dot(l.weights[c], features[i]) + l.bias[c]
					if math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
						t.Errorf("%v, example %d, class %d: got %v, want %v", r, i, c, got, want)
					}
				}
			}
		}
	}
}

// TestClosePairs checks that eachClosePair finds all pairs that within finds, and not many more.
func TestClosePairs(t *testing.T) {
	for _, dim := range []int{1, 7, 600} {
		for _, n := range []int{5, 100} {
			examples := clusters(9, dim, n)
			for i := range n / 2 {
				for j := range examples[i].Unit {
					examples[n-1-i].Unit[j] = examples[i].Unit[j] + 0.0002*float64(i%20-10)
				}
				Normalize(examples[n-1-i].Unit)
			}
			limit := 0.02
			found := make(map[[2]int]bool)
			eachClosePair(examples, limit, func(i, j int) { found[[2]int{i, j}] = true })
			close := 0
			for i := range examples {
				for j := range i {
					if !within(examples[i].Unit, examples[j].Unit, limit) {
						continue
					}
					close++
					if !found[[2]int{i, j}] {
						t.Errorf("%d dimensions: examples %d and %d are close, but were not found", dim, i, j)
					}
				}
			}
			if close == 0 || n > 16 && dim > 100 && len(found) > 2*close {
				t.Errorf("%d of %d examples of %d dimensions: found %d pairs, of which %d are close", n, n*(n-1)/2, dim, len(found), close)
			}
		}
	}
}
