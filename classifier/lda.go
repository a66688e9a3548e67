package classifier

import "math"

// An ldaFit holds the intermediate results of a linear discriminant analysis. In its fields, A
// is s·S, with S as defined by lda. solveDual solves one equation per example and solvePrimal
// one per dimension. Their results are equal except for rounding.
type ldaFit struct {
	*training
	s       float64 // degrees of freedom n − C
	ridge   float64 // added to the diagonal of A
	weights func() [][]float64
	bias    func(c int) float64 // −½ M·S⁻¹·M for the mean of a class
	spread  []lower             // Rᵀ·A⁻¹·R for the residuals R of each left-out burst
	across  [][]float64         // Rᵀ·A⁻¹·M for each example and class mean; solvePrimal sets it only for those that are left out
	between [][]float64         // M·A⁻¹·M for each pair of class means
	lengths []float64           // the diagonal of between
	// With an origin, features and means are relative to it, and across and between have a column for
	// the origin itself.
}

// lda trains a layer by linear discriminant analysis with a shared covariance. Let R be the
// examples minus their class means and M the class means. Then
//
//	S = RᵀR/(n−C) + λ·tr(S)/d·I    W = S⁻¹M    b = −½ M·W
//
// The outputs for left-out examples use the term λ·tr(S)/d·I computed from all examples.
func (t *training) lda(lambda float64) (*solution, error) {
	f := t.newLDA()
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
	return f.solution(), nil
}

func (t *training) newLDA() *ldaFit {
	return &ldaFit{training: t, s: float64(max(t.n-len(t.labels), 1)), spread: make([]lower, len(t.bursts))}
}

func (f *ldaFit) solution() *solution {
	return &solution{f.leaveOut(), func() layer {
		l := layer{weights: f.weights()}
		for c := range l.weights {
			l.bias = append(l.bias, f.bias(c))
		}
		return l
	}}
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
	l, err := f.newDualSolver(f.ridge, f.withinRows())
	if err != nil {
		return err
	}
	defer l.release()
	factors := newTable(classes, n)
	for c := range factors {
		for i, ci := range f.class {
			factors[c][i] = f.toMean[c][i] - f.meanGram.at(ci, c)
		}
	}
	right := packRows[float64](factors, n)
	l.solve(factors)
	solved := packRows[float64](factors, n)
	f.between = products(right, solved)
	right.release()
	solved.release()
	lengths := make([]float64, classes) // M·S⁻¹·M
	for c, row := range f.between {
		for m, v := range row {
			v = (f.meanGram.at(c, m) - v) * (f.s / f.ridge)
			if m == c {
				lengths[c] = v
			}
			row[m] = v / f.s
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
	f.bias = func(c int) float64 { return -lengths[c] / 2 }
	for at, burst := range f.bursts {
		if f.leavesOut(at) {
			f.spread[at] = l.inverse(burst)
			f.spread[at].apply(func(v float64) float64 { return float64(-f.ridge * v) })
			for k := range burst {
				f.spread[at][k][k]++
			}
		}
	}
	return nil
}

// withinRows returns a function that returns the rows of R·Rᵀ, as [choleskyOf] needs it.
func (f *ldaFit) withinRows() func(i int) []float64 {
	next := rowsInTurn(len(f.class))
	return func(i int) []float64 {
		row, gram, c := next(i), f.gram[i], f.class[i]
		f.eachClass(i+1, func(k, from, to int) {
			ofMean, means := f.toMean[k][i], f.meanGram.at(c, k)
			out, gram, toMean := row[from:to], gram[from:to], f.toMean[c][from:to]
			for j := range out {
				out[j] = gram[j] - ofMean - toMean[j] + means
			}
		})
		return row
	}
}

// rowsInTurn returns a function that returns memory for row i of a lower triangular matrix of n rows, in
// turn, as [choleskyOf] needs it.
func rowsInTurn(n int) func(i int) []float64 {
	rows := newTable(panelBytes/4, n) // the largest group of panels
	return func(i int) []float64 { return rows[i%len(rows)][:i+1] }
}

// solvePrimal computes the weights from the scatter matrix RᵀR of the dimensions.
func (f *ldaFit) solvePrimal() error {
	l, err := f.withinScatter().cholesky(f.ridge)
	if err != nil {
		return err
	}
	defer l.rows.release()
	classes, origin := len(f.labels), f.origin()
	rows, means := newTable(classes+1, f.dim), newTable(classes+1, f.dim)
	for c, m := range f.classMean {
		copy(rows[c], m)
		subtract(means[c], m, origin)
	}
	copy(rows[classes], origin)
	copy(means[classes], origin)
	l.solve(rows)
	weights, moved := rows[:classes], newTable(classes+1, f.dim)
	for c, w := range weights {
		subtract(moved[c], w, rows[classes])
	}
	copy(moved[classes], rows[classes])
	if !f.coarse {
		moved, means = moved[:classes], means[:classes]
	}
	f.across = f.leftOutRows(len(moved))
	p := &projection{factor: l, weights: moved, centers: f.classMean, center: func(i int) int { return f.class[i] }}
	f.project(p, func(b int, outputs [][]float64, spread lower) {
		for k, i := range f.bursts[b] {
			copy(f.across[i], outputs[k])
		}
		f.spread[b] = spread
	})
	f.between = productsOfRows(means, moved, f.dim)
	for _, w := range weights {
		for i := range w {
			w[i] *= f.s
		}
	}
	f.weights = func() [][]float64 { return weights }
	f.bias = func(c int) float64 { return -dot(f.classMean[c], weights[c]) / 2 }
	return nil
}

// leaveOut returns, for each left-out example, the outputs of a layer trained without the
// example's burst.
func (f *ldaFit) leaveOut() [][]float64 {
	leftOut := f.leftOutRows(len(f.labels))
	f.lengths = nil
	for m, row := range f.between {
		f.lengths = append(f.lengths, row[m])
	}
	for at, burst := range f.bursts {
		switch {
		case f.spread[at] == nil:
		case len(burst) == 1:
			f.leaveOutOne(burst[0], f.spread[at][0][0], leftOut[burst[0]])
		default:
			f.leaveOutBurst(burst, f.spread[at], leftOut)
		}
	}
	return leftOut
}

// leaveOutOne is like leaveOutBurst for a burst of one example e.
func (f *ldaFit) leaveOutOne(e int, p float64, outputs []float64) {
	c, across := f.class[e], f.across[e]
	k, between := float64(f.count[c]), f.between[c]
	root, rest := math.Sqrt(max(1-p-1/k, 1e-9)), k-1
	x := (p + across[c]) / root
	ownHalf := (across[c] - p/rest) / root
	ownProduct := across[c] + between[c] + float64(x*ownHalf) - (p+across[c])/rest
	ownLength := between[c] + (p/rest-float64(2*across[c]))/rest + float64(ownHalf*ownHalf)
	var constant float64
	if o := len(outputs); o < len(across) {
		half := across[o] / root
		length := f.lengths[o] + float64(half*half)
		constant = across[o] + between[o] + float64(x*half) + length/2
	}
	across, between, lengths := across[:len(outputs)], between[:len(outputs)], f.lengths[:len(outputs)]
	for m, v := range across {
		half := v / root
		product := v + between[m] + float64(x*half)
		outputs[m] = float64(f.s * (product - (lengths[m]+float64(half*half))/2 + constant))
	}
	outputs[c] = float64(f.s * (ownProduct - ownLength/2 + constant))
}

// leaveOutBurst sets leftOut for the examples of a burst, by the Sherman–Morrison–Woodbury
// formula. Let class c have k examples with mean m. Of these, b are in the burst, and their
// residuals are the columns of R. Without the burst
//
//	A becomes A − R·Q·Rᵀ with Q⁻¹ = I − 11ᵀ/k
//	m becomes m − R·1/(k−b)
//
// So with P = Rᵀ·A⁻¹·R and K = Q⁻¹ − P, a product xᵀ·A⁻¹·y increases by
// (Rᵀ·A⁻¹·x)ᵀ·K⁻¹·(Rᵀ·A⁻¹·y). With features x + o and means M + o for an origin o, all outputs are
// larger by s·(xᵀ·A⁻¹·o + ½ o·A⁻¹·o).
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
		for _, e := range burst {
			leftOut[e] = nil // only rounding errors can cause this
		}
		return
	}
	// half holds the columns of Rᵀ·A⁻¹·M without the burst, multiplied by the inverse of root.
	columns := len(f.across[burst[0]])
	half, length := make([]float64, columns*n), make([]float64, columns) // length: M·A′⁻¹·M
	var own float64                                                      // 1ᵀRᵀ·A⁻¹·m
	for i, e := range burst {
		own += f.across[e][c]
		for m, v := range f.across[e] {
			half[m*n+i] = v
		}
		half[c*n+i] -= ones[i] / rest
	}
	for m := range length {
		length[m] = f.lengths[m]
		if m == c {
			length[m] += (all/rest - float64(2*own)) / rest
		}
		h := half[m*n:][:n]
		root.forwardOne(h)
		for _, v := range h {
			length[m] += float64(v * v)
		}
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
		f.setLeftOut(leftOut[e], e, x, half, length, sum/rest)
	}
}

// setLeftOut sets outputs for example e. The other arguments are those of leaveOutBurst.
func (f *ldaFit) setLeftOut(outputs []float64, e int, x, half, length []float64, less float64) {
	c, n := f.class[e], len(x)
	product := func(m int) float64 { // xᵀ·A′⁻¹·M
		xm := f.across[e][m] + f.between[c][m]
		for j, v := range x {
			xm += float64(v * half[m*n+j])
		}
		if m == c {
			xm -= less
		}
		return xm
	}
	var constant float64
	if o := len(outputs); o < len(length) {
		constant = product(o) + length[o]/2
	}
	for m := range outputs {
		outputs[m] = float64(f.s * (product(m) - length[m]/2 + constant))
	}
}
