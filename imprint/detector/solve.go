package detector

import "math"

// Results must not depend on the processor. So sums have a fixed order, and products are converted
// to float64, which keeps compilers from fusing a product with an addition.

// dot returns the inner product of vectors of equal length.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	for len(a) >= 4 {
		s0 += float64(a[0] * b[0])
		s1 += float64(a[1] * b[1])
		s2 += float64(a[2] * b[2])
		s3 += float64(a[3] * b[3])
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		s0 += float64(v * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// cholesky replaces the lower triangle of a positive definite matrix with its Cholesky factor.
func cholesky(m [][]float64) {
	for i, row := range m {
		for j := range i {
			row[j] = (row[j] - dot(row[:j], m[j][:j])) / m[j][j]
		}
		row[i] = math.Sqrt(max(row[i]-dot(row[:i], row[:i]), 1e-12))
	}
}

// solve replaces b with the solution of L·Lᵀ·x = b, given the factor L.
func solve(l [][]float64, b []float64) {
	for i, row := range l {
		b[i] = (b[i] - dot(row[:i], b[:i])) / row[i]
	}
	for i := len(l) - 1; i >= 0; i-- {
		b[i] /= l[i][i]
		for j, v := range l[i][:i] {
			b[j] -= float64(b[i] * v)
		}
	}
}

func newTable(rows, columns int) [][]float64 {
	t, all := make([][]float64, rows), make([]float64, rows*columns)
	for i := range t {
		t[i] = all[i*columns:][:columns:columns]
	}
	return t
}
