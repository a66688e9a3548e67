package kernels

import (
	"errors"
	"math"
	"testing"
)

// TestStage checks that ties round to even before the zero point is added, and that codes
// are clamped.
func TestStage(t *testing.T) {
	for _, c := range []struct {
		factor       float32
		zero, lo, hi int32
		sum          int32
		out          Type
		want         int32
	}{
		{0.5, 0, 0, 255, 1, Uint8, 0},
		{0.5, 0, 0, 255, 3, Uint8, 2},
		{0.5, 0, 0, 255, 5, Uint8, 2},
		{0.5, 1, 0, 255, 1, Uint8, 1}, // an odd zero point does not change how the tie rounds
		{0.5, 100, 0, 255, -1, Uint8, 100},
		{0.5, 100, 0, 255, -3, Uint8, 98},
		{1, 3, 3, 200, -9, Uint8, 3},
		{1, 3, 3, 200, 1000, Uint8, 200},
		{1, -128, -128, 127, 1 << 30, Int8, 127},
		{math.MaxFloat32, 0, 0, 255, math.MaxInt32, Uint8, 255},
		// The product is rounded to float32: 0.1f·5 is exactly 0.5, a tie.
		{0.1, 0, 0, 255, 5, Uint8, 0},
		{0.3, 10, 0, 255, 5, Uint8, 12}, // slightly above 1.5, rounded to 1.5
	} {
		s, err := (&Stage{Factor: []float32{c.factor}, Zero: c.zero, Lo: c.lo, Hi: c.hi}).prepare(c.out, 3)
		if err != nil {
			t.Fatal(err)
		}
		if got := code(c.out, int(s.code(c.sum, 2))); got != c.want {
			t.Errorf("%d·%v with zero %d: got %d, want %d", c.sum, c.factor, c.zero, got, c.want)
		}
	}
	nan := float32(math.NaN())
	for _, s := range []Stage{
		{Factor: []float32{1, 2}, Hi: 255}, {Hi: 255}, {Factor: []float32{nan}, Hi: 255}, {Factor: []float32{1}, Hi: 256},
		{Factor: []float32{1}, Lo: 5, Hi: 4}, {Factor: []float32{1}, Zero: -1, Hi: 255},
	} {
		if _, err := s.prepare(Uint8, 3); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", s, err)
		}
	}
}

// TestFraction checks that no fraction with a denominator up to maxFraction is closer to
// the quotient than the result of fraction.
func TestFraction(t *testing.T) {
	for _, c := range [][2]float32{{1, 1}, {1, 2}, {0.3, 0.7}, {0.023528477, 0.11639768}, {1e-9, 1}, {1, 65534}, {0.99999, 1}, {3, 3.0000002}} {
		p, q := fraction(c[0], c[1])
		if p < 0 || q < 1 || p > maxFraction || q > maxFraction {
			t.Errorf("%v: got %d/%d", c, p, q)
			continue
		}
		target := float64(c[0]) / float64(c[1])
		best := math.Abs(float64(p)/float64(q) - target)
		for n := 1; n <= maxFraction; n++ {
			if d := math.Abs(math.Round(target*float64(n))/float64(n) - target); d < best-1e-15 {
				t.Errorf("%v: got %d/%d, but %v/%d is closer", c, p, q, math.Round(target*float64(n)), n)
				break
			}
		}
	}
}

// TestEdgeTPUOperators compares each operator's results with its formula in real numbers,
// for all pairs of codes except near ties.
func TestEdgeTPUOperators(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	tensor := func(typ Type, scale float32, zero int64, shape ...int) *Tensor {
		return &Tensor{Type: typ, Shape: shape, Scale: []float32{scale}, ZeroPoint: []int64{zero}}
	}
	column, row := tensor(Uint8, 0.1, 5, 256, 1), tensor(Uint8, 0.37, 200, 1, 256)
	square := tensor(Uint8, 0.5, 17, 256, 256)
	for name, c := range map[string]struct {
		k       Kernel
		in      [][]byte
		formula func(i int) float64 // in codes minus the zero point
		zero    int
	}{
		"add": {must(NewEdgeTPUAdd(None, column, row, square)), [][]byte{all, all}, func(i int) float64 {
			return (0.1*float64(i/256-5) + 0.37*float64(i%256-200)) / 0.5
		}, 17},
		"mul": {must(NewEdgeTPUMul(None, column, row, square)), [][]byte{all, all}, func(i int) float64 {
			return 0.1 * float64(i/256-5) * 0.37 * float64(i%256-200) / 0.5
		}, 17},
		"quantize": {must(NewEdgeTPUQuantize(tensor(Uint8, 0.1, 5, 256), tensor(Int8, 0.13, -128, 256))), [][]byte{all}, func(i int) float64 {
			return 0.1 * float64(i-5) / 0.13
		}, 0}, // after conversion to uint8
	} {
		n := 256
		if len(c.in) > 1 {
			n = 256 * 256
		}
		out := make([]byte, n)
		c.k.Run(&Args{In: c.in, Out: out, Scratch: make([]byte, c.k.Scratch())}, 0, c.k.Parts())
		for i := range out {
			v := c.formula(i)
			if near := math.Abs(v - math.Floor(v) - 0.5); near < 1e-3 {
				continue
			}
			want := byte(min(max(math.Round(v)+float64(c.zero), 0), 255))
			got := out[i]
			if name == "quantize" {
				got ^= 0x80
			}
			if got != want {
				t.Errorf("%s: element %d is %d, want %d", name, i, got, want)
				break
			}
		}
	}
}

func must(k Kernel, err error) Kernel {
	if err != nil {
		panic(err)
	}
	return k
}

// TestEdgeTPUAveragePool checks that ties round to even before the zero point is added.
func TestEdgeTPUAveragePool(t *testing.T) {
	in := &Tensor{Type: Uint8, Shape: []int{1, 1, 2, 4}, Scale: []float32{1}, ZeroPoint: []int64{3}}
	out := &Tensor{Type: Uint8, Shape: []int{1, 1, 1, 4}, Scale: []float32{1}, ZeroPoint: []int64{3}}
	k, err := NewEdgeTPUAveragePool2D(Pool2DParams{Window: Window{1, 1, 1, 1, Valid}, FilterH: 1, FilterW: 2}, in, out)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	k.Run(&Args{In: [][]byte{{3, 3, 0, 9, 4, 6, 1, 9}}, Out: got}, 0, k.Parts())
	if want := [4]byte{3, 5, 1, 9}; [4]byte(got) != want { // 0.5, 1.5, −2.5 and 6 relative to 3
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestEdgeTPUMean checks that MEAN converts the scale, and that ties round to even before the zero
// point is added.
func TestEdgeTPUMean(t *testing.T) {
	in := &Tensor{Type: Int8, Shape: []int{1, 2, 2, 4}, Scale: []float32{0.5}, ZeroPoint: []int64{-128}}
	axes := &Tensor{Type: Int32, Shape: []int{2}, Data: []byte{1, 0, 0, 0, 2, 0, 0, 0}}
	out := &Tensor{Type: Int8, Shape: []int{1, 4}, Scale: []float32{0.25}, ZeroPoint: []int64{-3}}
	k, err := NewEdgeTPUMean(false, in, axes, out)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 16) // channel c has one value and three zeros
	for i := range raw {
		raw[i] = 0x80 // −128
	}
	for c, v := range []byte{1, 3, 255, 8} {
		raw[c] ^= v
	}
	got := make([]byte, 4)
	k.Run(&Args{In: [][]byte{raw}, Out: got}, 0, k.Parts())
	// 0.5, 1.5, 127.5 and 4 relative to −3
	if want := [4]byte{0xfd, 0xff, 125, 1}; [4]byte(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
