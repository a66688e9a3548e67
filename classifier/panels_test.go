package classifier

import (
	"math"
	"math/rand/v2"
	"slices"
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

// TestAssembly checks that the assembly produces the same bits as plain Go.
func TestAssembly(t *testing.T) {
	if implementations64() == nil {
		t.Skip("no assembly for this processor")
	}
	r := rand.New(rand.NewPCG(1, 2))
	testAssembly(t, implementations64(), multiplyGo[float64], r.NormFloat64)
	testAssembly(t, implementations32(), multiplyGo[float32], func() float32 { return float32(r.NormFloat64()) })
	testAssembly(t, implementationsOfPairs(), multiplyPairsGo, r.Int32)
}

func testAssembly[T element](t *testing.T, all map[string]multiplier[T], reference multiplier[T], random func() T) {
	width := newPanels[T](0, 0).width
	for name, fill := range all {
		for n := range 40 {
			a, b := make([]T, n*width), make([]T, n*width)
			for i := range a {
				a[i], b[i] = random(), random()
			}
			for i := 0; i < width; i += tileRows {
				got, want := make([]T, tileRows*width), make([]T, tileRows*width)
				got[5] = 1 // must be overwritten
				part := a
				if n > 0 {
					part = a[i:]
				}
				fill(got, part, b, n)
				reference(want, part, b, n)
				if !slices.Equal(got, want) {
					t.Fatalf("%s, %T, vectors %d to %d of %d elements: got %v, want %v", name, a, i, i+tileRows-1, n, got, want)
				}
			}
		}
	}
}

func TestProducts(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, c := range [][3]int{{1, 1, 1}, {3, 5, 7}, {4, 4, 8}, {9, 6, 100}, {5, 2, 0}, {40, 70, 33}, {3, 700, 90}} {
		a, b := randomTable(r, c[0], c[2]), randomTable(r, c[1], c[2])
		columns := newTable(c[2], c[1])
		for i, row := range b {
			for j, v := range row {
				columns[j][i] = v
			}
		}
		for name, got := range map[string][][]float64{
			"rows":             products(packRows[float64](a, c[2]), packRows[float64](b, c[2])),
			"columns":          products(packRows[float64](a, c[2]), packColumns(columns, c[1])),
			"single precision": products(packRows[float32](a, c[2]), packRows[float32](b, c[2])),
		} {
			for i := range a {
				for j := range b {
					want, tolerance := 0.0, 0.0
					for k, v := range a[i] {
						want += float64(v * b[j][k])
					}
					if name == "single precision" {
						tolerance = 1e-4
					}
					if math.Abs(got[i][j]-want) > tolerance {
						t.Errorf("%v, %s, row %d, column %d: got %v, want %v", c, name, i, j, got[i][j], want)
					}
				}
			}
		}
	}
}

func TestSolve(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{1, 2, 15, 16, 17, 31, 33, 50, 100} {
		l := gram(packRows[float64](randomTable(r, n, n+3), n+3))
		whole := mat.NewDense(n, n, nil)
		for i := range n {
			for j := range n {
				whole.Set(i, j, l.at(i, j))
			}
		}
		f, err := l.cholesky(0)
		if err != nil {
			t.Fatal(err)
		}
		rows := randomTable(r, 19, n)
		want := mat.NewDense(n, len(rows), nil)
		for k, row := range rows {
			want.SetCol(k, row)
		}
		if err := want.Solve(whole, want); err != nil {
			t.Fatal(err)
		}
		vectors := randomTable(r, 19, n)
		checkForward(t, f, vectors, 1e-6)
		checkForward(t, f.single(), vectors, 3e-2)
		single, err := choleskyOf[float32](n, 0, func(i int) []float64 { return l[i] })
		if err != nil {
			t.Fatal(err)
		}
		checkForward(t, single, vectors, 3e-2)
		f.solve(rows)
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
		u := f.inverse()
		part := gramOf(u, squares(u), at)
		for a := range at {
			for b := range a + 1 {
				if g, w := part[a][b], inverse.At(at[a], at[b]); math.Abs(g-w) > 1e-6*(1+math.Abs(w)) {
					t.Errorf("%d equations, inverse at %d and %d: got %v, want %v", n, at[a], at[b], g, w)
				}
			}
		}
	}
}

// checkForward multiplies the result of forward by L and compares it with the vectors.
func checkForward[T float64 | float32](t *testing.T, f *factor[T], vectors [][]float64, tolerance float64) {
	t.Helper()
	x := packRows[T](vectors, f.rows.n)
	f.forward(x)
	for v, want := range vectors {
		for i, w := range want {
			var got float64
			for k := range i + 1 {
				got += float64(f.rows.at(i, k)) * float64(x.at(v, k))
			}
			if math.Abs(got-w) > tolerance {
				t.Errorf("%d equations, %T, vector %d, element %d: got %v, want %v", f.rows.n, x, v, i, got, w)
			}
		}
	}
}
