package classifier

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func randomTable(r *rand.Rand, rows, columns int) [][]float64 {
	t := newTable(rows, columns)
	for _, row := range t {
		for j := range row {
			row[j] = r.NormFloat64()
		}
	}
	return t
}

// TestTilesEqualDots checks that the assembly produces the same bits as dot.
func TestTilesEqualDots(t *testing.T) {
	if fastTile == nil {
		t.Skip("no assembly for this processor")
	}
	for name, fill := range tileImplementations() {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for range 300 {
				n := 8 * (1 + r.IntN(20))
				a, b := randomTable(r, 4, n), randomTable(r, 4, n)
				var got tile
				fill(&got, &[4]*float64{&a[0][0], &a[1][0], &a[2][0], &a[3][0]}, &[4]*float64{&b[0][0], &b[1][0], &b[2][0], &b[3][0]}, n)
				for i := range 4 {
					for j := range 4 {
						if want := dot(a[i], b[j]); got[i][j] != want {
							t.Fatalf("%d values, vectors %d and %d: got %v, want %v", n, i, j, got[i][j], want)
						}
					}
				}
			}
		})
	}
}

func TestProducts(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, c := range [][3]int{{1, 1, 1}, {3, 5, 7}, {4, 4, 8}, {9, 6, 100}, {5, 2, 0}} {
		a, b := randomTable(r, c[0], c[2]), randomTable(r, c[1], c[2])
		got := products(a, b, c[2])
		for i := range a {
			for j := range b {
				if want := dot(a[i], b[j]); got[i][j] != want {
					t.Errorf("%v: row %d, column %d: got %v, want %v", c, i, j, got[i][j], want)
				}
			}
		}
	}
}

func TestSolve(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{1, 2, 15, 16, 17, 31, 50} {
		l := gram(randomTable(r, n, n+3))
		whole := mat.NewDense(n, n, nil)
		for i := range n {
			for j := range n {
				whole.Set(i, j, l.at(i, j))
			}
		}
		if err := l.cholesky(); err != nil {
			t.Fatal(err)
		}
		rows := randomTable(r, 5, n)
		want := mat.NewDense(n, 5, nil)
		for k, row := range rows {
			want.SetCol(k, row)
		}
		if err := want.Solve(whole, want); err != nil {
			t.Fatal(err)
		}
		u := l.inverse()
		u.solve(l, rows)
		for k, row := range rows {
			for i, v := range row {
				if w := want.At(i, k); math.Abs(v-w) > 1e-6*(1+math.Abs(w)) {
					t.Errorf("%d equations: got %v, want %v", n, v, w)
				}
			}
		}
		var inverse mat.Dense
		if err := inverse.Inverse(whole); err != nil {
			t.Fatal(err)
		}
		at := []int{0, n / 2, n - 1}
		part := u.at(at)
		for a := range at {
			for b := range a + 1 {
				if g, w := part[a][b], inverse.At(at[a], at[b]); math.Abs(g-w) > 1e-6*(1+math.Abs(w)) {
					t.Errorf("%d equations, inverse at %d and %d: got %v, want %v", n, at[a], at[b], g, w)
				}
			}
		}
	}
}
