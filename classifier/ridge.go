package classifier

import "math"

// A ridgeFit holds the intermediate results of a ridge regression. solveDual solves one
// equation per example and solvePrimal one per dimension. Their results are equal except for
// rounding.
type ridgeFit struct {
	*training
	lambda   float64
	prior    []float64          // proportion of examples in each class
	weights  func() [][]float64 // one row per class
	residual [][]float64        // T − F of each example; solvePrimal sets it only for those that are left out
	// rest holds I − H within each left-out burst, and nil for the other bursts. H is the hat
	// matrix, which maps the targets T to the outputs F.
	rest []lower
}

// ridge trains a layer by ridge regression on centered examples. Let m be the mean of the
// examples, and p the mean of their one-hot classes. Let X be the examples minus m, and T the
// one-hot classes minus p. Then
//
//	W = Xᵀ(X·Xᵀ + λI)⁻¹T    b = p − Wᵀ·m
//
// The outputs for a left-out burst B are p + T − (I−H)⁻¹(T−F), restricted to the rows and
// columns of B.
func (t *training) ridge(lambda float64) (*solution, error) {
	f := t.newRidge(lambda)
	solve := f.solvePrimal
	if t.dual() {
		solve = f.solveDual
	}
	if err := solve(); err != nil {
		return nil, err
	}
	return f.solution(), nil
}

func (t *training) newRidge(lambda float64) *ridgeFit {
	f := &ridgeFit{training: t, lambda: lambda, rest: make([]lower, len(t.bursts))}
	for _, k := range t.count {
		f.prior = append(f.prior, float64(k)/float64(t.n))
	}
	return f
}

func (f *ridgeFit) solution() *solution {
	return &solution{f.leaveOut(), func() layer {
		l := layer{weights: f.weights()}
		for c, w := range l.weights {
			l.bias = append(l.bias, f.prior[c]-dot(f.mean, w))
		}
		return l
	}}
}

// target returns element c of T for example i.
func (f *ridgeFit) target(i, c int) float64 {
	if f.class[i] == c {
		return 1 - f.prior[c]
	}
	return -f.prior[c]
}

// solveDual computes the weights from the centered Gram matrix X·Xᵀ of the examples.
func (f *ridgeFit) solveDual() error {
	f.prepareDual()
	n, classes := len(f.class), len(f.labels)
	rowMean := make([]float64, n)
	var mean float64
	for i, row := range f.gram {
		var sum float64
		for _, v := range row {
			sum += v
		}
		rowMean[i] = sum
		axpy(1, row[:i], rowMean)
	}
	for i := range rowMean {
		rowMean[i] /= float64(n)
		mean += rowMean[i] / float64(n)
	}
	next := rowsInTurn(n)
	l, err := f.newDualSolver(f.lambda, func(i int) []float64 {
		row, own := next(i), rowMean[i]
		for j, v := range f.gram[i] {
			row[j] = v - own - rowMean[j] + mean
		}
		return row
	})
	if err != nil {
		return err
	}
	defer l.release()
	factors := newTable(classes, n)
	for c := range factors {
		for i := range n {
			factors[c][i] = f.target(i, c)
		}
	}
	l.solve(factors)
	f.weights = func() [][]float64 { return f.combine(factors) }
	f.residual = newTable(n, classes)
	for c := range factors {
		for i, v := range factors[c] {
			f.residual[i][c] = f.lambda * v
		}
	}
	for b, burst := range f.bursts {
		if f.leavesOut(b) {
			f.rest[b] = l.inverse(burst)
			f.rest[b].apply(func(v float64) float64 { return float64(f.lambda*v) - 1/float64(n) })
		}
	}
	return nil
}

// solvePrimal computes the weights from the scatter matrix Xᵀ·X of the dimensions.
func (f *ridgeFit) solvePrimal() error {
	l, err := f.totalScatter().cholesky(f.lambda)
	if err != nil {
		return err
	}
	defer l.rows.release()
	classes := len(f.labels)
	rows := newTable(classes+1, f.dim)
	weights := rows[:classes]
	for c, w := range weights {
		// This is a row of (Xᵀ·T)ᵀ, in which the means cancel.
		for i, m := range f.classMean[c] {
			w[i] = float64(f.count[c]) * (m - f.mean[i])
		}
	}
	subtract(rows[classes], f.mean, f.origin())
	l.solve(rows)
	f.weights, f.residual = func() [][]float64 { return weights }, f.leftOutRows(classes)
	p := &projection{factor: l, weights: rows, centers: [][]float64{f.mean}, center: func(int) int { return 0 }, solved: classes}
	f.project(p, func(b int, outputs [][]float64, spread lower) {
		for k, i := range f.bursts[b] {
			for c, v := range outputs[k][:classes] {
				f.residual[i][c] = f.target(i, c) - v
			}
		}
		f.setRest(b, spread)
	})
	return nil
}

// setRest sets I − H within burst b. It overwrites spread.
func (f *ridgeFit) setRest(b int, spread lower) {
	f.rest[b] = spread
	spread.apply(func(v float64) float64 { return -v - 1/float64(f.n) })
	for k := range spread {
		spread[k][k]++
	}
}

// leaveOut returns, for each left-out example, the outputs of a layer trained without the
// example's burst. It overwrites the residuals.
func (f *ridgeFit) leaveOut() [][]float64 {
	leftOut := make([][]float64, len(f.class))
	for b, burst := range f.bursts {
		if f.rest[b] == nil {
			continue
		}
		if len(burst) == 1 {
			root, row := math.Sqrt(max(f.rest[b][0][0], 1e-9)), f.residual[burst[0]]
			for c, v := range row {
				row[c] = v / root / root
			}
		} else {
			f.rest[b].solveRows(burst, f.residual)
		}
		for _, i := range burst {
			for c, v := range f.residual[i] {
				f.residual[i][c] = f.target(i, c) + f.prior[c] - v
			}
			leftOut[i] = f.residual[i]
		}
	}
	return leftOut
}
