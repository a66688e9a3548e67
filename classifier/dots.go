package classifier

// For vectors outside panels, dot has a fixed order, too. As long as at least eight products remain,
// dot adds the next eight to eight partial sums, one product per sum. It then adds the partial sums
// in halves (sum 0 to sum 4, 1 to 5 and so on), and adds the remaining products one by one.

// dot returns the inner product of a with the first len(a) values of b.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	sum, n := dotBlocks(a, b)
	if n == 0 {
		sum, n = dotGo(a, b)
	}
	for i, v := range a[n:] {
		sum += float64(v * b[n+i])
	}
	return sum
}

// dotGo returns the inner product of the first n values, as many as are in groups of eight.
func dotGo(a, b []float64) (sum float64, n int) {
	n = len(a) &^ 7
	a, b = a[:n], b[:n]
	var s0, s1, s2, s3, s4, s5, s6, s7 float64
	for len(a) >= 8 {
		s0 += float64(a[0] * b[0])
		s1 += float64(a[1] * b[1])
		s2 += float64(a[2] * b[2])
		s3 += float64(a[3] * b[3])
		s4 += float64(a[4] * b[4])
		s5 += float64(a[5] * b[5])
		s6 += float64(a[6] * b[6])
		s7 += float64(a[7] * b[7])
		a, b = a[8:], b[8:]
	}
	return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)), n
}

// axpy adds f·x to y.
func axpy(f float64, x, y []float64) {
	y = y[:len(x)]
	n := axpyBlocks(f, x, y)
	x, y = x[n:], y[n:]
	for i, v := range x {
		y[i] += float64(f * v)
	}
}

// subtract sets dst to a − b.
func subtract(dst, a, b []float64) {
	copy(dst, a)
	axpy(-1, b[:len(a)], dst)
}

func newTable(rows, columns int) [][]float64 {
	t, all := make([][]float64, rows), make([]float64, rows*columns)
	for i := range t {
		t[i] = all[i*columns:][:columns:columns]
	}
	return t
}
