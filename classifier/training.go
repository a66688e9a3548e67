package classifier

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// A training holds examples as features, in an order of its own.
type training struct {
	labels []string
	dim    int
	x      [][]float64 // features of each example, of length 1
	class  []int       // of each example
	count  []int       // of examples in each class
	mean   [][]float64 // of each class
	all    []float64   // mean of all examples
	burst  [][]int     // examples that are left out together
	length []float64   // of each embedding, before it was made a unit vector

	examples []Example // sorted
	at       []int     // where each was among those there are, nil if these are all
	root     bool

	// Inner products, made when there are no more examples than dimensions.
	pairs lower       // of examples
	own   [][]float64 // of examples with class means
	means lower       // of class means
}

// newTraining takes examples sorted by label, as unit embeddings or, when root is
// set, as the square roots of those.
func newTraining(examples []Example, root bool) (*training, error) {
	if len(examples) == 0 {
		return nil, fmt.Errorf("no examples: %w", ErrShape)
	}
	t := &training{dim: len(examples[0].Unit), examples: examples, root: root}
	for _, e := range examples {
		if len(e.Unit) != t.dim || t.dim == 0 {
			return nil, fmt.Errorf("an example of %d values among others of %d: %w", len(e.Unit), t.dim, ErrShape)
		}
		if n := len(t.labels); n == 0 || t.labels[n-1] != e.Label {
			t.labels, t.count = append(t.labels, e.Label), append(t.count, 0)
			t.mean = append(t.mean, make([]float64, t.dim))
		}
		c := len(t.labels) - 1
		x := e.Unit
		if root {
			x = roots(x)
		}
		t.x, t.class, t.length = append(t.x, x), append(t.class, c), append(t.length, e.Norm)
		t.count[c]++
		axpy(1, x, t.mean[c])
	}
	t.all = make([]float64, t.dim)
	for c, m := range t.mean {
		axpy(1, m, t.all)
		for i := range m {
			m[i] /= float64(t.count[c])
		}
	}
	for i := range t.all {
		t.all[i] /= float64(len(t.x))
	}
	t.burst = bursts(examples)
	return t, nil
}

// dual reports whether solving among the examples is less work than among the
// dimensions, and prepares it.
func (t *training) dual() bool {
	if len(t.x) > t.dim {
		return false
	}
	if t.pairs == nil {
		t.pairs, t.means = gram(t.x), gram(t.mean)
		for _, x := range t.x {
			row := make([]float64, len(t.mean))
			for c, m := range t.mean {
				row[c] = dot4(x, m)
			}
			t.own = append(t.own, row)
		}
	}
	return true
}

// sorted returns the examples by label and values, so that what is made of them does
// not depend on the order in which they came.
func sorted(examples []Example) []Example {
	s := slices.Clone(examples)
	slices.SortFunc(s, byLabel)
	return s
}

func byLabel(a, b Example) int {
	return cmp.Or(cmp.Compare(a.Label, b.Label), slices.Compare(a.Unit, b.Unit))
}

// roots are the features √x, scaled to length 1 again. Values below 0, which no
// embedding behind a ReLU has, count as 0.
func roots(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = math.Sqrt(max(v, 0))
	}
	Unit(y)
	return y
}

// covariance is the lower half of Σ r·rᵀ, in which r is each example less its class
// mean, or less the mean of all.
func (t *training) covariance(within bool) lower {
	s := newLower(t.dim)
	r := make([]float64, t.dim)
	for i := range t.x {
		t.residual(r, i, within)
		for j, v := range r {
			if v != 0 {
				axpy(v, r[:j+1], s[j])
			}
		}
	}
	return s
}

func (t *training) residual(r []float64, i int, within bool) {
	from := t.all
	if within {
		from = t.mean[t.class[i]]
	}
	for j, v := range t.x[i] {
		r[j] = v - from[j]
	}
}
