package classifier

// An ldaFit holds the intermediate results of a linear discriminant analysis. In its fields, A
// is s·S, with S as defined by lda. solveDual solves one equation per example and solvePrimal
// one per dimension. Their results are equal except for rounding.
type ldaFit struct {
	*training
	s       float64 // degrees of freedom n − C
	ridge   float64 // added to the diagonal of A
	weights func() [][]float64
	spread  []lower     // Rᵀ·A⁻¹·R for the residuals R of each left-out burst
	across  [][]float64 // Rᵀ·A⁻¹·M for each example and class mean; solvePrimal sets it only for those that are left out
	between [][]float64 // M·S⁻¹·M for each pair of class means
}

// lda trains a layer by linear discriminant analysis with a shared covariance. Let R be the
// examples minus their class means and M the class means. Then
//
//	S = RᵀR/(n−C) + λ·tr(S)/d·I    W = S⁻¹M    b = −½ M·W
//
// The outputs for left-out examples use the term λ·tr(S)/d·I computed from all examples.
func (t *training) lda(lambda float64) (*solution, error) {
	classes := len(t.labels)
	f := &ldaFit{
		training: t, s: float64(max(t.n-classes, 1)),
		spread: make([]lower, len(t.bursts)),
	}
	solve := f.solvePrimal
	if t.dual() {
		solve = f.solveDual
	}
	trace := t.withinTrace()
	f.ridge = lambda * trace / float64(t.dim)
	if !(trace > 1e-9) {
		f.ridge = 1 // the photos of each class are identical: let A be the identity
	}
	if err := solve(); err != nil {
		return nil, err
	}
	return &solution{f.leaveOut(), func() layer {
		l := layer{weights: f.weights()}
		for c := range l.weights {
			l.bias = append(l.bias, -f.between[c][c]/2)
		}
		return l
	}}, nil
}

// withinTrace returns the trace of RᵀR.
func (t *training) withinTrace() (trace float64) {
	if t.dual() {
		t.prepareDual()
		for i, row := range t.gram {
			trace += row[i]
		}
		for c, k := range t.count {
			trace -= float64(float64(k) * t.meanGram[c][c])
		}
		return trace
	}
	for i, row := range t.withinScatter() {
		trace += row[i]
	}
	return trace
}

// solveDual computes the weights from the Gram matrix R·Rᵀ of the examples.
func (f *ldaFit) solveDual() error {
	f.prepareDual()
	n, classes := len(f.class), len(f.labels)
	b := newLower(n)
	for i, ci := range f.class {
		for j, cj := range f.class[:i+1] {
			b[i][j] = f.gram[i][j] - f.toMean[i][cj] - f.toMean[j][ci] + f.meanGram.at(ci, cj)
		}
		b[i][i] += f.ridge
	}
	l, err := b.cholesky()
	if err != nil {
		return err
	}
	factors := newTable(classes, n)
	for c := range factors {
		for i, ci := range f.class {
			factors[c][i] = f.toMean[i][c] - f.meanGram.at(ci, c)
		}
	}
	right := packRows[float64](factors, n)
	l.solve(factors)
	f.between = products(right, packRows[float64](factors, n))
	for c, row := range f.between {
		for m, v := range row {
			row[m] = (f.meanGram.at(c, m) - v) * (f.s / f.ridge)
		}
	}
	f.across = newTable(n, classes)
	for c, v := range factors {
		total := make([]float64, classes)
		for i, k := range f.class {
			f.across[i][c] = v[i]
			total[k] += v[i]
		}
		total[c]++
		for i, k := range f.class {
			v[i] = (total[k]/float64(f.count[k]) - v[i]) * (f.s / f.ridge)
		}
	}
	f.weights = func() [][]float64 { return f.combine(factors) }
	u := l.inverse()
	lengths := squares(u)
	for at, burst := range f.bursts {
		if f.leavesOut(at) {
			f.spread[at] = gramOf(u, lengths, burst)
			f.spread[at].apply(func(v float64) float64 { return float64(-f.ridge * v) })
			for k := range burst {
				f.spread[at][k][k]++
			}
		}
	}
	return nil
}

// solvePrimal computes the weights from the scatter matrix RᵀR of the dimensions.
func (f *ldaFit) solvePrimal() error {
	b := f.withinScatter().clone()
	for i := range b {
		b[i][i] += f.ridge
	}
	l, err := b.cholesky()
	if err != nil {
		return err
	}
	weights := newTable(len(f.labels), f.dim)
	for c, w := range weights {
		copy(w, f.classMean[c])
	}
	l.solve(weights)
	center := func(i int) []float64 { return f.classMean[f.class[i]] }
	f.across = f.leftOutRows()
	f.project(l, weights, center, func(b int, outputs [][]float64, spread lower) {
		for k, i := range f.bursts[b] {
			copy(f.across[i], outputs[k])
		}
		f.spread[b] = spread
	})
	for _, w := range weights {
		for i := range w {
			w[i] *= f.s
		}
	}
	f.weights = func() [][]float64 { return weights }
	f.between = products(packRows[float64](f.classMean, f.dim), packRows[float64](weights, f.dim))
	return nil
}

// leaveOut returns, for each left-out example, the outputs of a layer trained without the
// example's burst.
func (f *ldaFit) leaveOut() [][]float64 {
	leftOut := make([][]float64, len(f.class))
	for at, burst := range f.bursts {
		if f.spread[at] != nil {
			f.leaveOutBurst(burst, f.spread[at], leftOut)
		}
	}
	return leftOut
}

// leaveOutBurst sets leftOut for the examples of a burst, by the Sherman–Morrison–Woodbury
// formula. Let class c have k examples with mean m. Of these, b are in the burst, and their
// residuals are the columns of R. Without the burst
//
//	A becomes A − R·Q·Rᵀ with Q⁻¹ = I − 11ᵀ/k
//	m becomes m − R·1/(k−b)
//
// So with P = Rᵀ·A⁻¹·R and K = Q⁻¹ − P, a product xᵀ·A⁻¹·y increases by
// (Rᵀ·A⁻¹·x)ᵀ·K⁻¹·(Rᵀ·A⁻¹·y).
func (f *ldaFit) leaveOutBurst(burst []int, p lower, leftOut [][]float64) {
	c := f.class[burst[0]]
	k, rest := float64(f.count[c]), float64(f.count[c]-len(burst))
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
	if err := root.factorize(); err != nil {
		return // only rounding errors can cause this
	}
	// half holds the columns of Rᵀ·A⁻¹·M without the burst, multiplied by the inverse of root.
	half := newTable(len(f.labels), n)
	length := make([]float64, len(f.labels)) // M·A′⁻¹·M
	var own float64                          // 1ᵀRᵀ·A⁻¹·m
	for m := range half {
		for i, e := range burst {
			half[m][i] = f.across[e][m]
			if m == c {
				own += f.across[e][c]
				half[m][i] -= ones[i] / rest
			}
		}
		length[m] = f.between[m][m] / f.s
		if m == c {
			length[m] += (all/rest - float64(2*own)) / rest
		}
		root.forwardOne(half[m])
		length[m] += dot(half[m], half[m])
	}
	x := make([]float64, n)
	for i, e := range burst {
		for j, o := range burst {
			x[j] = p.at(i, j) + f.across[o][c]
		}
		var sum float64
		for _, v := range x {
			sum += v
		}
		root.forwardOne(x)
		leftOut[e] = make([]float64, len(f.labels))
		for m := range leftOut[e] {
			xm := f.across[e][m] + f.between[c][m]/f.s + dot(x, half[m])
			if m == c {
				xm -= sum / rest
			}
			leftOut[e][m] = float64(f.s * (xm - length[m]/2))
		}
	}
}
