package classifier

// Training a head mostly means computing inner products. gonum adds the products of elements in
// an order that depends on the processor, but heads must have the same bytes on every processor,
// so dot fixes the order. As long as at least eight products remain, dot adds the next eight to
// eight partial sums, one product per sum. It then adds the partial sums in halves (sum 0 to sum
// 4, 1 to 5 and so on), and adds the remaining products one by one. Each product is converted to
// float64, which keeps the compiler from fusing the multiplication with the addition. The
// assembly produces the same bits.

// dot returns the inner product of a with the first len(a) values of b.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
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
	sum := ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
	for i, v := range a {
		sum += float64(v * b[i])
	}
	return sum
}

// A tile holds the inner products of four vectors with four other vectors.
type tile [4][4]float64

// dotTile sets t[i][j] to the inner product of the first n values of a[i] and b[j]. a and b have
// at most four vectors each.
func dotTile(t *tile, a, b [][]float64, n int) {
	whole := n &^ 7
	if fastTile == nil || whole == 0 {
		for i, x := range a {
			for j, y := range b {
				t[i][j] = dot(x[:n], y)
			}
		}
		return
	}
	// If there are fewer than four vectors, the last one is repeated.
	var pa, pb [4]*float64
	for i := range 4 {
		x, y := a[min(i, len(a)-1)], b[min(i, len(b)-1)]
		_, _ = x[n-1], y[n-1]
		pa[i], pb[i] = &x[0], &y[0]
	}
	fastTile(t, &pa, &pb, whole)
	for i, x := range a {
		for j, y := range b {
			for k := whole; k < n; k++ {
				t[i][j] += float64(x[k] * y[k])
			}
		}
	}
}

// products returns the inner products of all rows of a with all rows of b, over their
// first n values.
func products(a, b [][]float64, n int) [][]float64 {
	table := newTable(len(a), len(b))
	eachTile(a, b, n, func(i, j int, v float64) { table[i][j] = v })
	return table
}

// gram returns the inner products of all pairs of rows.
func gram(rows [][]float64) lower {
	g := newLower(len(rows))
	g.addGram(rows)
	return g
}

// addGram adds the inner products of all pairs of rows to g.
func (g lower) addGram(rows [][]float64) {
	var t tile
	for i := 0; i < len(rows); i += 4 {
		some := rows[i:min(i+4, len(rows))]
		for j := 0; j <= i; j += 4 {
			dotTile(&t, some, rows[j:min(j+4, len(rows))], len(rows[0]))
			for p := range some {
				row := g[i+p][j:min(j+4, i+p+1)]
				for q := range row {
					row[q] += t[p][q]
				}
			}
		}
	}
}

// eachTile calls f with the inner product of each row i of a and row j of b, over
// their first n values.
func eachTile(a, b [][]float64, n int, f func(i, j int, v float64)) {
	var t tile
	for i := 0; i < len(a); i += 4 {
		rows := a[i:min(i+4, len(a))]
		for j := 0; j < len(b); j += 4 {
			others := b[j:min(j+4, len(b))]
			dotTile(&t, rows, others, n)
			for p := range rows {
				for q := range others {
					f(i+p, j+q, t[p][q])
				}
			}
		}
	}
}

// transposed returns the transpose of rows, which have n values each.
func transposed(rows [][]float64, n int) [][]float64 {
	t := newTable(n, len(rows))
	for i, row := range rows {
		for j, v := range row {
			t[j][i] = v
		}
	}
	return t
}

// axpy adds f·x to y.
func axpy(f float64, x, y []float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float64(f * v)
	}
}

// subtract sets dst to a − b.
func subtract(dst, a, b []float64) {
	for j, v := range a {
		dst[j] = v - b[j]
	}
}

func newTable(rows, columns int) [][]float64 {
	t, all := make([][]float64, rows), make([]float64, rows*columns)
	for i := range t {
		t[i] = all[i*columns:][:columns:columns]
	}
	return t
}
