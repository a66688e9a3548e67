package detector

import "slices"

const (
	// folds is the largest number of groups of photos. Each is left out once, to learn how well
	// the predictions for other photos can be trusted.
	folds = 5
	// penalty is the strength of the regularization, relative to the mean variance of a feature.
	// See docs/detector.md for how it was chosen.
	penalty = 100
	// The target of the regression rises from 0 to 1 between these overlaps of box and truth.
	lowOverlap, fullOverlap = 0.2, 0.8
	// targetUnit is the value of targets that stands for 1. Whole numbers have exact sums.
	targetUnit = 256
)

// sums are sums over places of a level: of features, targets and their products. They are exact, so
// they do not depend on the order of photos.
type sums struct {
	n        int64
	features []int64
	targets  []int64   // by anchor
	cross    [][]int64 // by anchor and feature
	gram     [][]int64 // by feature and feature, lower triangle
}

func newSums(dim, anchors int) *sums {
	table := func(n int, columns func(int) int) [][]int64 {
		t := make([][]int64, n)
		for i := range t {
			t[i] = make([]int64, columns(i))
		}
		return t
	}
	return &sums{features: make([]int64, dim), targets: make([]int64, anchors),
		cross: table(anchors, func(int) int { return dim }), gram: table(dim, func(i int) int { return i + 1 })}
}

// add adds a place, given its features that are not zero and its targets that are not zero.
func (s *sums) add(index []int, value []int64, targets []target) {
	s.n++
	for k, i := range index {
		v := value[k]
		s.features[i] += v
		row := s.gram[i]
		for j, at := range index[:k+1] {
			row[at] += v * value[j]
		}
	}
	for _, t := range targets {
		s.targets[t.row] += t.value
		row := s.cross[t.row]
		for k, i := range index {
			row[i] += t.value * value[k]
		}
	}
}

// minus returns s without the places of o, which may be nil.
func (s *sums) minus(o *sums) *sums {
	if o == nil {
		return s
	}
	difference := func(a, b []int64) []int64 {
		d := slices.Clone(a)
		for i, v := range b {
			d[i] -= v
		}
		return d
	}
	d := &sums{n: s.n - o.n, features: difference(s.features, o.features), targets: difference(s.targets, o.targets)}
	for a, row := range s.cross {
		d.cross = append(d.cross, difference(row, o.cross[a]))
	}
	for i, row := range s.gram {
		d.gram = append(d.gram, difference(row, o.gram[i]))
	}
	return d
}

// plus adds the places of o to s.
func (s *sums) plus(o *sums) {
	add := func(a, b []int64) {
		for i, v := range b {
			a[i] += v
		}
	}
	s.n += o.n
	add(s.features, o.features)
	add(s.targets, o.targets)
	for a, row := range o.cross {
		add(s.cross[a], row)
	}
	for i, row := range o.gram {
		add(s.gram[i], row)
	}
}

// regress returns the ridge regression from features to the target of each anchor. The mean
// target is in the bias.
func (s *sums) regress() filter {
	n := float64(s.n)
	dim := len(s.features)
	mean := make([]float64, dim)
	for i, v := range s.features {
		mean[i] = float64(v) / n
	}
	m := newTable(dim, dim)
	trace := 0.0
	for i, row := range s.gram {
		for j, v := range row {
			m[i][j] = float64(v)/n - float64(mean[i]*mean[j])
		}
		trace += m[i][i]
	}
	ridge := float64(penalty*trace)/float64(dim) + 1e-6
	for i := range m {
		m[i][i] += ridge
	}
	cholesky(m)
	f := filter{bias: make([]float64, len(s.targets))}
	for a, row := range s.cross {
		y := float64(s.targets[a]) / n
		w := make([]float64, dim)
		for i, v := range row {
			w[i] = (float64(v)/n - float64(mean[i]*y)) / targetUnit
		}
		solve(m, w)
		f.weights = append(f.weights, w)
		f.bias[a] = y/targetUnit - dot(w, mean)
	}
	return f
}

// predict writes the predictions for the anchors of a place.
func (f filter) predict(dst []float64, index []int, value []int64) {
	for a, w := range f.weights {
		sum := f.bias[a]
		for k, i := range index {
			sum += float64(w[i] * float64(value[k]))
		}
		dst[a] = sum
	}
}
