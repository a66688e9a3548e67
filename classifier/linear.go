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
// without its burst B: T − (I−H)⁻¹(T−F), in the rows and columns of B, with H the matrix
// that turns T into the outputs F.
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
	rest := make([]lower, len(t.burst)) // I − H
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
		u, factors := k.inverse(), newTable(classes, n)
		for c := range factors {
			for i := range n {
				factors[c][i] = target(i, c)
			}
		}
		u.solve(k, factors)
		l.weights = t.combined(factors)
		for c := range factors {
			for i, v := range factors[c] {
				residual[i][c] = lambda * v
			}
		}
		for b, burst := range t.burst {
			if t.leaveOut(b) {
				rest[b] = u.at(burst)
				rest[b].each(func(v float64) float64 { return float64(lambda*v) - 1/float64(n) })
			}
		}
	} else {
		s := t.covariance(false)
		for i := range s {
			s[i][i] += lambda
		}
		if err := s.cholesky(); err != nil {
			return l, nil, err
		}
		l.weights = newTable(classes, t.dim)
		for c, w := range l.weights {
			// Xᵀ·T, in which the means fall out
			for i, m := range t.mean[c] {
				w[i] = float64(t.count[c]) * (m - t.all[i])
			}
		}
		s.inverse().solve(s, l.weights)
		t.eachLeftOut(func(bursts, at []int) {
			r := newTable(len(at), t.dim)
			for k, i := range at {
				t.residual(r[k], i, false)
			}
			for k, row := range products(r, l.weights, t.dim) {
				for c, v := range row {
					residual[at[k]][c] = target(at[k], c) - v
				}
			}
			s.halve(r, 0)
			for _, b := range bursts {
				rest[b] = gram(r[:len(t.burst[b])])
				r = r[len(t.burst[b]):]
				rest[b].each(func(v float64) float64 { return -v - 1/float64(n) })
				for k := range rest[b] {
					rest[b][k][k]++
				}
			}
		})
	}
	for c, w := range l.weights {
		l.bias = append(l.bias, share[c]-dot(t.all, w))
	}
	left = make([][]float64, n)
	for b, burst := range t.burst {
		if rest[b] == nil {
			continue
		}
		rest[b].solveRows(burst, residual)
		for _, i := range burst {
			for c, v := range residual[i] {
				residual[i][c] = target(i, c) + share[c] - v
			}
			left[i] = residual[i]
		}
	}
	return l, left, nil
}

// lda is linear discriminant analysis: S = Σ r·rᵀ/(n−C), in which r is an example
// less its class mean, made regular by λ times the mean of its diagonal; W = S⁻¹M and
// b = −½ M·W for the class means M. left has for each example the outputs of the
// layer that is made without its burst, λ's part in S unchanged.
func (t *training) lda(lambda float64) (l layer, left [][]float64, err error) {
	n, classes := len(t.x), len(t.labels)
	s := float64(max(n-classes, 1))
	var trace float64
	if t.dual() {
		for i, row := range t.pairs {
			trace += row[i]
		}
		for c, k := range t.count {
			trace -= float64(float64(k) * t.means[c][c])
		}
	} else {
		t.covariance(true)
		for i, row := range t.within {
			trace += row[i]
		}
	}
	ridge := lambda * trace / float64(t.dim) // εs, with ε what is added to S
	if !(trace > 1e-9) {
		ridge = 1 // no class has photos that differ: S is the identity
	}
	spread := make([]lower, len(t.burst)) // r·(sS)⁻¹·r within each burst
	across := newTable(n, classes)        // r·(sS)⁻¹·M
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
		u, factors := b.inverse(), newTable(classes, n)
		for c := range factors {
			for i, ci := range t.class {
				factors[c][i] = t.own[i][c] - t.means.at(ci, c)
			}
		}
		u.solve(b, factors)
		for c, v := range factors {
			whole := make([]float64, classes)
			for i, k := range t.class {
				across[i][c] = v[i]
				whole[k] += v[i]
			}
			whole[c]++
			for i, k := range t.class {
				v[i] = (whole[k]/float64(t.count[k]) - v[i]) * (s / ridge)
			}
		}
		l.weights = t.combined(factors)
		for at, burst := range t.burst {
			if t.leaveOut(at) {
				spread[at] = u.at(burst)
				spread[at].each(func(v float64) float64 { return float64(-ridge * v) })
				for k := range burst {
					spread[at][k][k]++
				}
			}
		}
	} else {
		b := t.covariance(true)
		for i := range b {
			b[i][i] += ridge
		}
		if err := b.cholesky(); err != nil {
			return l, nil, err
		}
		l.weights = newTable(classes, t.dim)
		for c, w := range l.weights {
			copy(w, t.mean[c])
		}
		b.inverse().solve(b, l.weights)
		t.eachLeftOut(func(bursts, at []int) {
			r := newTable(len(at), t.dim)
			for k, i := range at {
				t.residual(r[k], i, true)
			}
			for k, row := range products(r, l.weights, t.dim) {
				copy(across[at[k]], row)
			}
			b.halve(r, 0)
			for _, at := range bursts {
				spread[at] = gram(r[:len(t.burst[at])])
				r = r[len(t.burst[at]):]
			}
		})
		for _, w := range l.weights {
			for i := range w {
				w[i] *= s
			}
		}
	}
	between := products(t.mean, l.weights, t.dim) // M·S⁻¹·M
	for c := range l.weights {
		l.bias = append(l.bias, -between[c][c]/2)
	}
	return l, t.withoutEach(s, spread, across, between), nil
}

// withoutEach gives the outputs of LDA for each example without its burst, by the
// formula of Sherman, Morrison and Woodbury. With A = sS, k examples in class c and b of
// them in the burst, whose residuals are the columns of R: without the burst A is
// A − R·Q·Rᵀ, Q⁻¹ = I − 11ᵀ/k, and the mean of c is m − R·1/(k−b). So with P = Rᵀ·A⁻¹·R
// and K = Q⁻¹ − P, all products with A⁻¹ gain the product of K⁻¹ with both sides' Rᵀ·A⁻¹.
func (t *training) withoutEach(s float64, spread []lower, across, between [][]float64) [][]float64 {
	left := make([][]float64, len(t.x))
	for at, burst := range t.burst {
		p := spread[at]
		if p == nil {
			continue
		}
		c := t.class[burst[0]]
		k, rest := float64(t.count[c]), float64(t.count[c]-len(burst))
		n := len(burst)
		root := newLower(n) // K, then its Cholesky factor
		ones := make([]float64, n)
		var all float64
		for i := range n {
			for j := range n {
				ones[i] += p.at(i, j)
			}
			all += ones[i]
			for j := range i + 1 {
				root[i][j] = -p[i][j] - 1/k
			}
			root[i][i] = max(root[i][i]+1, 1e-9)
		}
		if err := root.cholesky(); err != nil {
			continue // only rounding can bring it here
		}
		// The columns of Rᵀ·A⁻¹·M without the burst, and what the half of K⁻¹ makes of them.
		half := newTable(len(t.labels), n)
		length := make([]float64, len(t.labels)) // M·A′⁻¹·M
		var own float64                          // of 1ᵀRᵀ·A⁻¹·m
		for m := range half {
			for i, e := range burst {
				half[m][i] = across[e][m]
				if m == c {
					own += across[e][c]
					half[m][i] -= ones[i] / rest
				}
			}
			length[m] = between[m][m] / s
			if m == c {
				length[m] += (all/rest - float64(2*own)) / rest
			}
			root.halfOf(half[m])
			length[m] += dot(half[m], half[m])
		}
		x := make([]float64, n)
		for i, e := range burst {
			for j, o := range burst {
				x[j] = p.at(i, j) + across[o][c]
			}
			var whole float64
			for _, v := range x {
				whole += v
			}
			root.halfOf(x)
			left[e] = make([]float64, len(t.labels))
			for m := range left[e] {
				xm := across[e][m] + between[c][m]/s + dot(x, half[m])
				if m == c {
					xm -= whole / rest
				}
				left[e][m] = float64(s * (xm - length[m]/2))
			}
		}
	}
	return left
}

// imprint is the mean head: normalised class sums.
func (t *training) imprint() (l layer, left [][]float64, err error) {
	left = make([][]float64, len(t.x))
	norms := make([]float64, len(t.labels))
	for c, m := range t.mean {
		w := append([]float64(nil), m...)
		norms[c] = math.Sqrt(dot(w, w))
		if norms[c] == 0 {
			return l, nil, fmt.Errorf("class %q: all its embeddings are zero: %w", t.labels[c], ErrShape)
		}
		for i := range w {
			w[i] /= norms[c]
		}
		l.weights = append(l.weights, w)
	}
	l.bias = make([]float64, len(t.labels))
	rest := make([]float64, t.dim)
	for b, burst := range t.burst {
		if !t.leaveOut(b) {
			continue
		}
		c := t.class[burst[0]]
		for j, v := range t.mean[c] {
			rest[j] = float64(float64(t.count[c]) * v)
		}
		for _, i := range burst {
			axpy(-1, t.x[i], rest)
		}
		norm := math.Sqrt(dot(rest, rest))
		for _, i := range burst {
			left[i] = make([]float64, len(t.labels))
			for k, w := range l.weights {
				left[i][k] = dot(t.x[i], w)
			}
			left[i][c] = -1
			if norm > 0 {
				left[i][c] = dot(t.x[i], rest) / norm
			}
		}
	}
	return l, left, nil
}
