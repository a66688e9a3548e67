package kernels

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"
)

// TestSumsBetweenCodes compares products and windows with multipliers, for the sums around
// the first sum of every code. These are the sums that other arithmetic would round wrongly.
func TestSumsBetweenCodes(t *testing.T) {
	eachImplementation(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 4))
		for i := range 360 {
			signed := i%2 == 1
			scale := math.Exp2(-10 + 6*random.Float64())
			if i%5 == 0 {
				scale = math.Exp2(float64(-i % 9)) // has ties
			}
			m, err := newMultiplier(scale)
			if err != nil {
				t.Fatal(err)
			}
			lo, hi := Uint8.limits()
			if signed {
				lo, hi = Int8.limits()
			}
			zero := lo
			if i%3 == 0 {
				zero += random.Int32N(256)
			}
			r := requantization{scale: make([]multiplier, []int{16, 64}[i/4%2]), outZero: zero, lo: lo, hi: hi}
			for c := range r.scale {
				r.scale[c] = m
			}
			rows := []int{1, maxRows}[i%7%2] // in one call
			weight := int16(127)
			if i%4 == 0 {
				weight = 254 // exceeds a byte with a sign
			}
			t.Run(fmt.Sprint("product", i), func(t *testing.T) { aroundCodes(t, r, signed, 32, weight, m.applyUp, runProduct(rows)) })
			t.Run(fmt.Sprint("windows", i), func(t *testing.T) { aroundCodes(t, r, signed, 9, weight, m.apply, runWindows) })
			t.Run(fmt.Sprint("rows", i), func(t *testing.T) { aroundCodes(t, r, signed, 9, weight, m.apply, runRows) })
		}
	})
}

// aroundCodes runs an operator on one row of inputs for each code. The
// first weight is 1, so that the inputs can give any sum. The biases of the channels spread
// the sums.
func aroundCodes(t *testing.T, r requantization, signed bool, depth int, weight int16, scale func(int32) int32, run func(*testing.T, *weights, []byte) []byte) {
	var firsts []int32 // the first sum of each code
	for code := r.lo + 1; code <= r.hi; code++ {
		first := sort.Search(1<<20, func(i int) bool { return scale(int32(i-1<<19))+r.outZero >= code }) - 1<<19
		firsts = append(firsts, int32(first))
	}
	channels := len(r.scale)
	w := &weights{channels: channels, depth: depth, signed: signed, requantization: r}
	if signed {
		w.zero = 128
	}
	total := int32(0)
	for c := range channels {
		for k := range depth {
			code := weight
			if k == 0 {
				code = 1
			}
			w.codes = append(w.codes, code)
			if c == 0 {
				total += int32(code)
			}
		}
		bias := firsts[0] + int32(c-channels/2)
		if signed {
			bias += 128 * total
		}
		w.bias = append(w.bias, bias)
	}
	var x []byte
	for _, first := range firsts {
		rest := first - firsts[0]
		row := make([]byte, depth)
		row[0] = byte(rest % int32(weight))
		for k, rest := 1, rest/int32(weight); k < depth; k++ {
			row[k] = byte(min(rest, 255))
			rest -= int32(row[k])
		}
		if signed {
			copyFlipped(row, row, 0x80)
		}
		x = append(x, row...)
	}
	out := run(t, w, x)
	for row, first := range firsts {
		if first-firsts[0] > 255*int32(weight)*int32(depth-1) {
			continue // the inputs cannot give so large a sum
		}
		for c := range channels {
			sum := first + int32(c-channels/2)
			if got, want := out[row*channels+c], byte(clamp(scale(sum)+r.outZero, r.lo, r.hi)); got != want {
				t.Fatalf("scale %v, zero point %d: got code %d for sum %d, want %d", r.scale[0], r.outZero, got, sum, want)
			}
		}
	}
}

// runProduct returns a function that multiplies the given number of rows at a time.
func runProduct(most int) func(*testing.T, *weights, []byte) []byte {
	return func(t *testing.T, w *weights, x []byte) []byte {
		p, err := newProduct(w)
		if err != nil {
			t.Fatal(err)
		}
		var out []byte
		for len(x) > 0 {
			rows := min(len(x)/w.depth, most)
			codes := make([]byte, rows*w.channels)
			prepared, stride := p.prepare(make([]byte, p.scratch(rows)), x[:rows*w.depth], w.depth, rows)
			p.multiply(prepared, stride, rows, codes, w.channels, 0, p.panels())
			out, x = append(out, codes...), x[rows*w.depth:]
		}
		return out
	}
}

func runWindows(t *testing.T, w *weights, x []byte) []byte {
	k, err := newWindows(w)
	if err != nil {
		t.Fatal(err)
	}
	var taps [9][]byte
	n := len(x) / 9
	for i, v := range x {
		for range w.channels {
			taps[i%9] = append(taps[i%9], v)
		}
	}
	out := make([]byte, n*w.channels)
	k.pixels(out, taps, w.channels, n)
	return out
}

// runRows is like runWindows. It computes rows of four pixels, whose first window is that of a code.
func runRows(t *testing.T, w *weights, x []byte) []byte {
	const pixels = 4
	n := w.channels
	g := geometry{Window: Window{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}, n: 1, inH: 3, inW: pixels + 2, inC: n, outH: 1, outW: pixels}
	_, r, err := newRows(w, &g, 0)
	if err != nil {
		t.Fatal(err)
	}
	if r == nil {
		t.Skip("no rows")
	}
	var out []byte
	row := make([]byte, pixels*n)
	for ; len(x) > 0; x = x[9:] {
		var in []byte
		for i := range 3 * g.inW {
			in = append(in, bytes.Repeat(x[3*(i/g.inW)+i%g.inW%3:][:1], n)...)
		}
		r.compute(row, in, nil, &g, 0, 1)
		out = append(out, row[:n]...)
	}
	return out
}

// TestAddAllCodes compares ADD with its tables for all pairs of codes.
func TestAddAllCodes(t *testing.T) {
	eachImplementation(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(5, 6))
		for i := range 40 {
			typ := []Type{Uint8, Int8}[i%2]
			lo, _ := typ.limits()
			tensor := func(scale float64) *Tensor {
				return &Tensor{Type: typ, Shape: []int{1 << 16}, Scale: []float32{float32(scale)}, ZeroPoint: []int64{int64(lo + random.Int32N(256))}}
			}
			out := math.Exp2(3*random.Float64() - 2)
			operands := []*Tensor{tensor(math.Exp2(2*random.Float64() - 1)), tensor(math.Exp2(2*random.Float64() - 1))}
			kernel, err := NewAdd(None, operands[0], operands[1], tensor(out))
			if err != nil {
				t.Fatal(err)
			}
			a := Args{In: [][]byte{make([]byte, 1<<16), make([]byte, 1<<16)}, Out: make([]byte, 1<<16)}
			for j := range a.Out {
				a.In[0][j], a.In[1][j] = byte(j>>8), byte(j)
			}
			kernel.Run(&a, 0, kernel.Parts())
			k := kernel.(*elementwise)
			for j, got := range a.Out {
				sum := k.a[a.In[0][j]] + k.b[a.In[1][j]]
				if want := byte(clamp(k.scale.apply(sum)+k.zero, k.lo, k.hi)); got != want {
					t.Fatalf("%d: got code %d for %d and %d, want %d", i, got, a.In[0][j], a.In[1][j], want)
				}
			}
		}
	})
}
