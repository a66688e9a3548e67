package classifier

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestVectors compares the functions on vectors, which may run assembly, with the formulas of single
// values, for lengths around the size of a block.
func TestVectors(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	special := []float64{0, math.Copysign(0, -1), 1, -1, 0x1p-16, -0x1p-16, 0x1.8p-15, 5e-324, 1 - 0x1p-53}
	for n := range 100 {
		x, y := make([]float64, n), make([]float64, n)
		for i := range x {
			x[i], y[i] = 2*r.Float64()-1, 2*r.Float64()-1
			if r.IntN(4) == 0 {
				x[i] = special[r.IntN(len(special))]
			}
		}
		check := func(name string, got, want float64, i int) {
			t.Helper()
			if math.Float64bits(got) != math.Float64bits(want) {
				t.Fatalf("%s of %d values: got %v at %d, want %v", name, n, got, i, want)
			}
		}
		sum, from := dotGo(x, y)
		for i := from; i < n; i++ {
			sum += float64(x[i] * y[i])
		}
		check("dot", dot(x, y), sum, 0)

		added, unit, root := append([]float64(nil), y...), append([]float64(nil), x...), make([]float64, n)
		axpy(-1.7, x, added)
		norm := Normalize(unit)
		check("length", norm, math.Sqrt(dot(x, x)), 0)
		squareRootsTo(root, x)
		rooted := make([]float64, n)
		for i, v := range x {
			rooted[i] = math.Sqrt(max(v, 0))
		}
		length := math.Sqrt(dot(rooted, rooted))
		rounded, sums := make([]int16, n), append([]float64(nil), y...)
		setFeatures(rounded, x)
		addFeatures(-1, rounded, sums)
		integers, scaled, squared := make([]int32, n), append([]float64(nil), y...), append([]float64(nil), y...)
		for i := range integers {
			integers[i] = int32(r.Uint32())
		}
		addScaled(-1.7, integers, scaled)
		addSquares(-1.7, integers, squared)
		for i, v := range x {
			check("axpy", added[i], y[i]+float64(-1.7*v), i)
			if norm > 0 {
				check("Normalize", unit[i], math.RoundToEven(v/norm*0x1p32)*0x1p-32+0, i)
			}
			if length > 0 {
				check("squareRootsTo", root[i], math.RoundToEven(rooted[i]/length*0x1p32)*0x1p-32+0, i)
			}
			if got, want := rounded[i], int16(min(math.RoundToEven(v*0x1p15), math.MaxInt16)); got != want {
				t.Fatalf("setFeatures of %d values: got %d at %d, want %d", n, got, i, want)
			}
			product := float64(integers[i]) * -1.7
			check("addScaled", scaled[i], y[i]+product, i)
			check("addSquares", squared[i], y[i]+float64(product*product), i)
			check("addFeatures", sums[i], y[i]-float64(rounded[i])*0x1p-15, i)
		}
	}
}

// TestIntegerVectors is like TestVectors, for functions on rounded features.
func TestIntegerVectors(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for n := range 100 {
		a, b, short, differences := make([]int16, n), make([]int16, n), make([]int16, n), make([]int16, n)
		sums := make([]int64, n)
		for i := range a {
			a[i], b[i], short[i], sums[i] = int16(r.Uint32()), int16(r.Uint32()), int16(r.IntN(512)-256), r.Int64N(1<<31)
		}
		before := append([]int64(nil), sums...)
		subtractFeatures(differences, a, b)
		var inner, largest int64
		for i, v := range a {
			if got, want := int(differences[i]), max(math.MinInt16, min(int(v)-int(b[i]), math.MaxInt16)); got != want {
				t.Fatalf("subtractFeatures of %d values: got %d at %d, want %d", n, got, i, want)
			}
			inner += int64(short[i]) * int64(v)
		}
		if got, want := innerOfFeatures(short, a), float64(inner)*0x1p-30; got != want {
			t.Fatalf("innerOfFeatures of %d values: got %v, want %v", n, got, want)
		}
		all := addSquaresOfFeatures(a, sums)
		for i, v := range a {
			if want := before[i] + int64(v)*int64(v); sums[i] != want {
				t.Fatalf("addSquaresOfFeatures of %d values: got %d at %d, want %d", n, sums[i], i, want)
			}
			largest = max(largest, sums[i])
		}
		if got, want := all > math.MaxInt32, largest > math.MaxInt32; got != want {
			t.Fatalf("addSquaresOfFeatures of %d values: got %d for sums up to %d", n, all, largest)
		}
	}
}

func BenchmarkVectors(b *testing.B) {
	x, y, f := make([]float64, 1024), make([]float64, 1024), make([]int16, 1024)
	for i := range x {
		x[i], y[i] = 1/float64(i+1), float64(i)/1024
	}
	for name, do := range map[string]func(){
		"dot": func() { dot(x, y) }, "axpy": func() { axpy(0.5, x, y) }, "Normalize": func() { Normalize(x) },
		"squareRootsTo": func() { squareRootsTo(y, x) }, "setFeatures": func() { setFeatures(f, x) }, "addFeatures": func() { addFeatures(1, f, y) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				do()
			}
		})
	}
}
