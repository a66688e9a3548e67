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

	// Made when there are no more examples than dimensions: the inner products of
	// examples, of examples with class means, and of class means; and the features, one
	// row each.
	pairs   lower
	own     [][]float64
	means   lower
	columns [][]float64
	layers  map[Method]*madeLayer

	tried []Candidate // what led to the recipe it is for
	// Made when there are more: Σ r·rᵀ, in which r is each example less its class mean.
	within lower
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
	if t.pairs != nil {
		return true
	}
	t.pairs, t.columns = gram(t.x), transposed(t.x, t.dim)
	t.own, t.means = newTable(len(t.x), len(t.mean)), newLower(len(t.mean))
	for i, c := range t.class {
		for j, v := range t.pairs[i] {
			t.own[i][t.class[j]] += v
			if i != j {
				t.own[j][c] += v
			}
		}
	}
	for i, row := range t.own {
		for c := range row {
			row[c] /= float64(t.count[c])
			if k := t.class[i]; c <= k {
				t.means[k][c] += row[c] / float64(t.count[k])
			}
		}
	}
	return true
}

// combined are sums of examples: each row of factors has one for each example.
func (t *training) combined(factors [][]float64) [][]float64 {
	return products(factors, t.columns, len(t.x))
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
	if t.within == nil {
		t.within = newLower(t.dim)
		const some = 256 // examples, so that what is worked on stays near the processor
		for first := 0; first < len(t.x); first += some {
			r := newTable(min(some, len(t.x)-first), t.dim)
			for i := range r {
				t.residual(r[i], first+i, true)
			}
			t.within.addGram(transposed(r, t.dim))
		}
	}
	s := newLower(t.dim)
	for i := range s {
		copy(s[i], t.within[i])
	}
	if !within {
		r := newTable(len(t.mean), t.dim)
		for c, m := range t.mean {
			root := math.Sqrt(float64(t.count[c]))
			for j, v := range m {
				r[c][j] = root * (v - t.all[j])
			}
		}
		s.addGram(transposed(r, t.dim))
	}
	return s
}

// eachLeftOut calls f for the bursts left out, many together: at are their examples, one
// burst after the other.
func (t *training) eachLeftOut(f func(bursts, at []int)) {
	const some = 256
	var bursts, at []int
	for b, burst := range t.burst {
		if t.leaveOut(b) {
			bursts, at = append(bursts, b), append(at, burst...)
		}
		if len(at) >= some || b == len(t.burst)-1 && len(at) > 0 {
			f(bursts, at)
			bursts, at = bursts[:0], at[:0]
		}
	}
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
