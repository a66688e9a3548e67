package classifier

import "math"

// sharedLambda is the λ of ridge regression in a sum with many examples, and what LDA then adds to the
// diagonal of RᵀR. It was the best of 0.3, 0.5, 1 and 2 on clothing and Oxford 17 flowers.
const sharedLambda = 0.5

// ridgeAndLDA trains the parts of a sum if there are many examples. With the same λ, both need the
// Cholesky factor of only one matrix. This lowers the log loss of sums (docs/accuracy.md). With few
// examples it would raise the log loss.
func (t *training) ridgeAndLDA() (ridge, lda *solution, err error) {
	f := t.newLDA()
	f.ridge = sharedLambda
	if err := f.solvePrimal(); err != nil {
		return nil, nil, err
	}
	const least = 4 // dimensions per class; with fewer, ridgeFit takes longer than another factor
	if len(t.labels) > t.dim/least {
		ridge, err = t.ridge(sharedLambda)
		return ridge, f.solution(), err
	}
	r, err := f.ridgeFit()
	if err != nil {
		return nil, nil, err
	}
	return r.solution(), f.solution(), nil
}

// ridgeFit returns the ridge regression with λ = f.ridge. Let m be the mean of all examples, and U the
// class means minus m. With the numbers of examples in the diagonal matrix D, ridge regression solves
// equations with the matrix A + U·D·Uᵀ. By the Woodbury formula, with K = I + √D·Uᵀ·A⁻¹·U·√D,
//
//	(A + U·D·Uᵀ)⁻¹ = A⁻¹ − A⁻¹·U·√D·K⁻¹·√D·Uᵀ·A⁻¹    W = √D·K⁻¹·√D·Uᵀ·A⁻¹
func (f *ldaFit) ridgeFit() (*ridgeFit, error) {
	r, classes := f.newRidge(f.ridge), len(f.labels)
	// centered returns v minus its mean over all examples, where v has one value per class.
	centered := func(v []float64) []float64 {
		mean, v := dot(r.prior, v), append([]float64(nil), v[:classes]...)
		for c := range v {
			v[c] -= mean
		}
		return v
	}
	between := newTable(classes, 0) // U·A⁻¹·U
	for c := range between {
		between[c] = centered(f.between[c])
	}
	for k := range classes {
		column := make([]float64, classes)
		for c, row := range between {
			column[c] = row[k]
		}
		for c, v := range centered(column) {
			between[c][k] = v
		}
	}
	roots, k := make([]float64, classes), newLower(classes)
	for c, n := range f.count {
		roots[c] = math.Sqrt(float64(n))
		for j := range c + 1 {
			k[c][j] = float64(float64(roots[c]*roots[j]) * between[c][j])
		}
	}
	factor, err := k.cholesky(1)
	if err != nil {
		return nil, err
	}
	r.weights = func() [][]float64 {
		factors := newTable(classes, classes) // from A⁻¹·(class means) to W
		for c, row := range factors {
			row[c] = roots[c]
		}
		factor.solve(factors)
		for _, row := range factors {
			var sum float64
			for j := range row {
				row[j] = float64(row[j] * (roots[j] / f.s))
				sum += row[j]
			}
			axpy(-sum, r.prior, row)
		}
		return products(packRows[float64](factors, classes), packColumns(f.weights(), f.dim))
	}
	r.residual = r.leftOutRows(classes)
	f.leaveOutOfRidge(r, factor, roots, between, centered)
	return r, nil
}

// leaveOutOfRidge sets r.residual and r.rest.
func (f *ldaFit) leaveOutOfRidge(r *ridgeFit, factor *factor[float64], roots []float64, between [][]float64, centered func([]float64) []float64) {
	var examples []int
	right, own, solved := make([][]float64, len(f.class)), make([]float64, len(f.class)), [][]float64(nil)
	for b, burst := range f.bursts {
		if f.spread[b] == nil {
			continue
		}
		for _, i := range burst {
			// The example minus m is its residual plus the mean of its class minus m.
			c, row := f.class[i], centered(f.across[i])
			own[i] = row[c] + between[c][c]/2
			axpy(1, between[c], row)
			for j := range row {
				row[j] = float64(row[j] * roots[j])
			}
			right[i] = row
			copy(r.residual[i], row)
			solved = append(solved, r.residual[i])
		}
		examples = append(examples, burst...)
	}
	factor.solve(solved)
	for b, burst := range f.bursts {
		if f.spread[b] == nil {
			continue
		}
		spread := newLower(len(burst))
		for k, i := range burst {
			for n, j := range burst[:k+1] {
				spread[k][n] = f.spread[b][k][n] + own[i] + own[j] - dot(right[i], r.residual[j])
			}
		}
		r.setRest(b, spread)
	}
	for _, i := range examples {
		for c, v := range r.residual[i] {
			r.residual[i][c] = r.target(i, c) - float64(v*roots[c])
		}
	}
}
