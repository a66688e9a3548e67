package classifier

import (
	"fmt"
	"math"
)

// A layer is a linear layer on features, one row a class.
type layer struct {
	weights [][]float64
	bias    []float64
}

// ridge is centred least squares: with X the examples less their mean and T their
// classes as unit vectors less their mean, W = Xᵀ(X·Xᵀ + λI)⁻¹T and b = mean of T −
// W·mean of X. left has for each example the outputs of the layer that is made
// without it: T − (T−F)/(1−h), with h the diagonal of the matrix that turns T into
// the outputs F.
func (t *training) ridge(lambda float64) (l layer, left [][]float64, err error) {
	n, classes := len(t.x), len(t.labels)
	share := make([]float64, classes) // mean of the classes as unit vectors
	for c, k := range t.count {
		share[c] = float64(k) / float64(n)
	}
	target := func(i, c int) float64 {
		if t.class[i] == c {
			return 1 - share[c]
		}
		return -share[c]
	}
	rest := make([]float64, n) // 1 − h
	residual := newTable(n, classes)
	if t.dual() {
		k, row := newLower(n), make([]float64, n)
		var all float64
		for i := range n {
			for j := range n {
				row[i] += t.pairs.at(i, j)
			}
			row[i] /= float64(n)
			all += row[i] / float64(n)
		}
		for i := range k {
			for j := range k[i] {
				k[i][j] = t.pairs[i][j] - row[i] - row[j] + all
			}
			k[i][i] += lambda
		}
		if err := k.cholesky(); err != nil {
			return l, nil, err
		}
		for c := range classes {
			a := make([]float64, n)
			for i := range a {
				a[i] = target(i, c)
			}
			k.solve(a)
			w := make([]float64, t.dim)
			for i, v := range a {
				axpy(v, t.x[i], w)
				residual[i][c] = lambda * v
			}
			l.weights = append(l.weights, w)
		}
		for i, v := range k.inverseDiagonal() {
			rest[i] = float64(lambda*v) - 1/float64(n)
		}
	} else {
		s := t.covariance(false)
		for i := range s {
			s[i][i] += lambda
		}
		if err := s.cholesky(); err != nil {
			return l, nil, err
		}
		for c := range classes {
			// Xᵀ·T, in which the means fall out
			w := make([]float64, t.dim)
			for i, m := range t.mean[c] {
				w[i] = float64(t.count[c]) * (m - t.all[i])
			}
			s.solve(w)
			l.weights = append(l.weights, w)
		}
		r := make([]float64, t.dim)
		for i := range t.x {
			t.residual(r, i, false)
			if !t.leaveOut(i) {
				residual[i] = nil
				continue
			}
			for c, w := range l.weights {
				residual[i][c] = target(i, c) - dot4(r, w)
			}
			rest[i] = 1 - s.norm2(r) - 1/float64(n)
		}
	}
	for c, w := range l.weights {
		l.bias = append(l.bias, share[c]-dot4(t.all, w))
	}
	for i := range residual {
		for c, v := range residual[i] {
			residual[i][c] = target(i, c) + share[c] - v/max(rest[i], 1e-9)
		}
	}
	return l, residual, nil
}

// lda is linear discriminant analysis: S = Σ r·rᵀ/(n−C), in which r is an example
// less its class mean, made regular by λ times the mean of its diagonal; W = S⁻¹M and
// b = −½ M·W for the class means M. left has for each example the outputs of the
// layer that is made without it, λ's part in S unchanged; for one alone in its class
// they mean nothing.
func (t *training) lda(lambda float64) (l layer, left [][]float64, err error) {
	n, classes := len(t.x), len(t.labels)
	s := float64(max(n-classes, 1))
	var trace float64
	r := make([]float64, t.dim)
	for i := range t.x {
		t.residual(r, i, true)
		trace += dot4(r, r)
	}
	ridge := lambda * trace / float64(t.dim) // εs, with ε what is added to S
	if !(ridge > 0) {
		ridge = 1 // no class has photos that differ: S is the identity
	}
	spread := make([]float64, n)   // r·S⁻¹·r
	across := newTable(n, classes) // r·S⁻¹·M
	if t.dual() {
		b := newLower(n)
		for i, ci := range t.class {
			for j, cj := range t.class[:i+1] {
				b[i][j] = t.pairs[i][j] - t.own[i][cj] - t.own[j][ci] + t.means.at(ci, cj)
			}
			b[i][i] += ridge
		}
		if err := b.cholesky(); err != nil {
			return l, nil, err
		}
		for c, m := range t.mean {
			u := make([]float64, n)
			for i, ci := range t.class {
				u[i] = t.own[i][c] - t.means.at(ci, c)
			}
			b.solve(u)
			w := append([]float64(nil), m...)
			whole := make([]float64, classes)
			for i, v := range u {
				across[i][c] = s * v
				axpy(-v, t.x[i], w)
				whole[t.class[i]] += v
			}
			for k, v := range whole {
				axpy(v, t.mean[k], w)
			}
			for i := range w {
				w[i] *= s / ridge
			}
			l.weights = append(l.weights, w)
		}
		for i, v := range b.inverseDiagonal() {
			spread[i] = s * (1 - float64(ridge*v))
		}
	} else {
		b := t.covariance(true)
		for i := range b {
			b[i][i] += ridge
		}
		if err := b.cholesky(); err != nil {
			return l, nil, err
		}
		for _, m := range t.mean {
			w := append([]float64(nil), m...)
			b.solve(w)
			for i := range w {
				w[i] *= s
			}
			l.weights = append(l.weights, w)
		}
		for i := range t.x {
			if !t.leaveOut(i) {
				across[i] = nil
				continue
			}
			t.residual(r, i, true)
			for c, w := range l.weights {
				across[i][c] = dot4(r, w)
			}
			spread[i] = s * b.norm2(r)
		}
	}
	between := newTable(classes, classes) // M·S⁻¹·M
	for c, m := range t.mean {
		for k, w := range l.weights {
			between[c][k] = dot4(m, w)
		}
		l.bias = append(l.bias, -between[c][c]/2)
	}
	return l, t.withoutEach(s, spread, across, between), nil
}

// withoutEach gives the outputs of LDA for each example without it, by the formula of
// Sherman and Morrison: without x of class c, (n−C)·S loses k/(k−1)·r·rᵀ and the mean
// of c loses r/(k−1), k being the number of its examples.
func (t *training) withoutEach(s float64, spread []float64, across, between [][]float64) [][]float64 {
	left := newTable(len(t.x), len(t.labels))
	for i, c := range t.class {
		k := float64(t.count[c])
		if across[i] == nil {
			left[i] = nil
		}
		if k < 2 || left[i] == nil {
			continue
		}
		rr, rm := spread[i], across[i]
		lost := k / (k - 1) / s
		f := lost / max(1-float64(lost*rr), 1e-9)
		rx := rr + rm[c]
		for m := range left[i] {
			xm := rm[m] + between[c][m] + float64(float64(f*rx)*rm[m])
			mm := between[m][m] + float64(float64(f*rm[m])*rm[m])
			if m == c {
				xr := rx + float64(float64(f*rx)*rr)
				mr := rm[c] + float64(float64(f*rm[c])*rr)
				r2 := rr + float64(float64(f*rr)*rr)
				xm -= xr / (k - 1)
				mm += (r2/(k-1) - float64(2*mr)) / (k - 1)
			}
			left[i][m] = xm - mm/2
		}
	}
	return left
}

// imprint is the mean head: normalised class sums.
func (t *training) imprint() (l layer, left [][]float64, err error) {
	left = newTable(len(t.x), len(t.labels))
	norms := make([]float64, len(t.labels))
	for c, m := range t.mean {
		w := append([]float64(nil), m...)
		norms[c] = math.Sqrt(dot4(w, w))
		if norms[c] == 0 {
			return l, nil, fmt.Errorf("class %q: all its embeddings are zero: %w", t.labels[c], ErrShape)
		}
		for i := range w {
			w[i] /= norms[c]
		}
		l.weights = append(l.weights, w)
	}
	l.bias = make([]float64, len(t.labels))
	for i, c := range t.class {
		for k, w := range l.weights {
			left[i][k] = dot4(t.x[i], w)
		}
		// (S−x)·x over |S−x|, with S = count·mean
		n := float64(t.count[c])
		sx, xx := n*norms[c]*left[i][c], dot4(t.x[i], t.x[i])
		rest := float64(n*norms[c])*float64(n*norms[c]) - float64(2*sx) + xx
		left[i][c] = -1
		if rest > 0 {
			left[i][c] = (sx - xx) / math.Sqrt(rest)
		}
	}
	return l, left, nil
}

// leaveOut reports whether example i is among those left out.
func (t *training) leaveOut(i int) bool {
	return i%((len(t.x)+mostLeftOut-1)/mostLeftOut) == 0
}

// norm2 is r·A⁻¹·r for the Cholesky factor l of A.
func (l lower) norm2(r []float64) float64 {
	v := append([]float64(nil), r...)
	for i, row := range l {
		v[i] = (v[i] - dot4(row[:i], v[:i])) / row[i]
	}
	return dot4(v, v)
}

func newTable(rows, columns int) [][]float64 {
	t, all := make([][]float64, rows), make([]float64, rows*columns)
	for i := range t {
		t[i] = all[i*columns:][:columns:columns]
	}
	return t
}
