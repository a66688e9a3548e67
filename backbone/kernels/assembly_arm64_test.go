//go:build !purego

package kernels

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/cpu"
)

// copyGuarded returns a copy of b in guarded memory.
func copyGuarded(t *testing.T, b []byte, atEnd bool) []byte {
	g := guarded(t, len(b), atEnd)
	copy(g, b)
	return g
}

// extremeCodes fills b with random bytes or, half of the time, with values that give the
// largest products.
func extremeCodes(r *rand.Rand, b []byte) {
	ends := []byte{0, 0, 1, 127, 128, 255}
	few := r.IntN(2) == 0
	for i := range b {
		if b[i] = byte(r.Uint32()); few {
			b[i] = ends[r.IntN(len(ends))]
		}
	}
}

// anyScale returns a random multiplier, with left and right shifts.
func anyScale(r *rand.Rand) multiplier {
	m := multiplier{mantissa: 1<<30 + r.Int32N(1<<30)}
	switch r.IntN(8) {
	case 0:
		return multiplier{}
	case 1:
		m.left = uint8(r.IntN(31))
	case 2:
		m.right = uint8(r.IntN(32))
	default:
		m.right = uint8(5 + r.IntN(8))
	}
	switch r.IntN(8) {
	case 0:
		m.mantissa = 1 << 30
	case 1:
		m.mantissa = math.MaxInt32
	}
	return m
}

// anyWeights returns random valid weights. Some sums saturate or wrap.
func anyWeights(r *rand.Rand, channels, depth int) *weights {
	w := &weights{channels: channels, depth: depth, signed: r.IntN(2) == 0}
	w.zero = r.Int32N(256)
	if r.IntN(2) == 0 {
		w.zero = 128
	}
	b := make([]byte, channels*depth)
	extremeCodes(r, b)
	if r.IntN(2) == 0 {
		fill(b, byte(r.IntN(2))*255) // the largest products
	}
	lo, hi := Uint8.limits()
	if w.signed {
		lo, hi = Int8.limits()
	}
	w.codes = make([]int16, len(b))
	for i, v := range b {
		w.codes[i] = int16(int32(v) - w.zero)
	}
	w.outZero = lo + r.Int32N(256)
	w.lo, w.hi = lo, hi
	if r.IntN(2) == 0 {
		w.lo = lo + r.Int32N(128)
		w.hi = w.lo + r.Int32N(hi-w.lo+1)
	}
	for range channels {
		bias := r.Int32N(1<<18) - 1<<17
		if r.IntN(4) == 0 {
			bias = int32(r.Uint32())
		}
		w.bias = append(w.bias, bias)
		w.scale = append(w.scale, anyScale(r))
	}
	if r.IntN(2) == 0 {
		shiftRight(w)
	}
	return w
}

// TestProductsMatchGo compares the assembly's products with plain Go's. The operands are
// in guarded memory.
func TestProductsMatchGo(t *testing.T) {
	for name, pack := range map[string]func(w *weights) product{"dot": packDot, "neon": packNEON} {
		t.Run(name, func(t *testing.T) {
			if name == "dot" && !cpu.ARM64.HasASIMDDP {
				t.Skip("this processor has no dot products")
			}
			safe := 0
			for seed := range uint64(400) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					r := rand.New(rand.NewPCG(seed, 1))
					w := anyWeights(r, 1+r.IntN(40), 1+r.IntN(70))
					p := pack(w).(*tiles)
					if p.routine == routineSafe {
						safe++
					}
					checkProduct(t, r, w, p)
				})
			}
			if name == "neon" && (safe == 0 || safe == 400) {
				t.Errorf("%d of 400 products use routineSafe, want some but not all", safe)
			}
		})
	}
}

func checkProduct(t *testing.T, r *rand.Rand, w *weights, p *tiles) {
	rows := 1 + r.IntN(maxRows)
	if r.IntN(2) == 0 {
		rows = 1 + r.IntN(9)
	}
	stride := w.depth + r.IntN(2)*r.IntN(40)
	outStride := w.channels + r.IntN(2)*r.IntN(40)
	atEnd := r.IntN(2) == 0
	x := guarded(t, (rows-1)*stride+w.depth, atEnd)
	extremeCodes(r, x)
	from := r.IntN(p.panels())
	to := from + 1 + r.IntN(p.panels()-from)
	if r.IntN(2) == 0 {
		from, to = 0, p.panels()
	}

	want := make([]byte, (rows-1)*outStride+w.channels)
	extremeCodes(r, want)
	got := copyGuarded(t, want, atEnd)
	all := make([]byte, rows*w.channels)
	plain := packLanes(w)
	seen, seenStride := plain.prepare(make([]byte, plain.scratch(rows)), x, stride, rows)
	plain.multiply(seen, seenStride, rows, all, w.channels, 0, plain.panels())
	for row := range rows {
		for c := from * p.channels; c < min(to*p.channels, w.channels); c++ {
			want[row*outStride+c] = all[row*w.channels+c]
		}
	}

	p.packed = copyGuarded(t, p.packed, atEnd)
	scratch := guarded(t, p.scratch(rows), atEnd)
	extremeCodes(r, scratch)
	seen, seenStride = p.prepare(scratch, x, stride, rows)
	p.multiply(seen, seenStride, rows, got, outStride, from, to)
	if !bytes.Equal(got, want) {
		n, first := 0, -1
		for i := range got {
			if got[i] != want[i] {
				if n == 0 {
					first = i
				}
				n++
			}
		}
		t.Errorf("%d rows, stride %d, of %d, signed %v, zero %d, panels %d to %d of %d channels, stride %d: %d bytes differ, byte %d is %d, want %d",
			rows, stride, w.depth, w.signed, w.zero, from, to, w.channels, outStride, n, first, got[first], want[first])
	}
}

// TestScalingMatchesGo compares the assembly's scaling of sums with plain Go's, over the
// whole range of 32 bits. All weights are 0, so that each sum equals its bias.
func TestScalingMatchesGo(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		w := anyWeights(r, 64, 9)
		clear(w.codes)
		w.lo, w.hi = Uint8.limits()
		if w.signed {
			w.lo, w.hi = Int8.limits()
		}
		for c := range w.bias {
			// Scale sums with codes in range, sums that are ties, and the limits of
			// int32.
			m := w.scale[c]
			switch r.IntN(4) {
			case 0:
				w.bias[c] = int32(r.Uint32())
			case 1:
				w.bias[c] = []int32{math.MinInt32, math.MinInt32 + 1, -1, 0, 1, math.MaxInt32}[r.IntN(6)]
			default:
				w.bias[c] = int32((int64(r.IntN(1024)-512)<<(m.right&31))>>m.left) + r.Int32N(3) - 1
			}
		}
		x := make([]byte, 9*64)
		want := make([]byte, 64)
		plain := packLanes(w)
		seen, stride := plain.prepare(make([]byte, plain.scratch(1)), x[:9], 9, 1)
		plain.multiply(seen, stride, 1, want, 64, 0, plain.panels())
		packs := []func(w *weights) product{packNEON}
		if cpu.ARM64.HasASIMDDP {
			packs = append(packs, packDot)
		}
		for i, pack := range packs {
			p := pack(w)
			got := make([]byte, 64)
			seen, stride := p.prepare(make([]byte, p.scratch(1)), x[:9], 9, 1)
			p.multiply(seen, stride, 1, got, 64, 0, p.panels())
			checkScale(t, fmt.Sprint("product ", i), w, got, want)
		}
		var taps [9][]byte
		for i := range taps {
			taps[i] = x[i*64:][:64]
		}
		got := make([]byte, 64)
		plainOf(w).pixels(want, taps, 64, 1)
		packWindows(w).pixels(got, taps, 64, 1)
		checkScale(t, "window", w, got, want)
		if cpu.ARM64.HasASIMDDP {
			tameForDot(w)
			if r.IntN(2) == 0 {
				// Without a right shift, adding the zero point wraps.
				w.scale[0], w.bias[0] = multiplier{mantissa: math.MaxInt32}, math.MaxInt32
			}
			clear(got)
			plainOf(w).pixels(want, taps, 64, 1)
			packWindowsDot(w).pixels(got, taps, 64, 1)
			checkScale(t, "dot window", w, got, want)
		}
	}
}

func checkScale(t *testing.T, name string, w *weights, got, want []byte) {
	t.Helper()
	for c := range want {
		if got[c] != want[c] {
			t.Fatalf("%s: %d scaled by %+v with zero point %d is %d, want %d", name, w.bias[c], w.scale[c], w.outZero, got[c], want[c])
		}
	}
}

// plainOf returns w's windows in plain Go, whichever implementation is chosen.
func plainOf(w *weights) windows {
	p := plainWindows{signed: w.signed, channels: make([]nineTaps, w.channels), outZero: w.outZero, lo: w.lo, hi: w.hi}
	for c := range p.channels {
		p.channels[c].bias, p.channels[c].scale = w.bias[c], w.scale[c]
		for t := range 9 {
			p.channels[c].w[t] = int32(w.codes[9*c+t])
		}
	}
	return &p
}

// tameForDot changes the limits and factors in w so that dot products can be used. It
// does not change weights, which may be too large.
func tameForDot(w *weights) {
	w.lo = max(w.lo, w.outZero)
	w.hi = max(w.hi, w.lo)
	shiftRight(w)
}

// shiftRight makes all factors less than 1/2, as in sensible models.
func shiftRight(w *weights) {
	for c := range w.scale {
		w.scale[c].left = 0
		w.scale[c].right = max(w.scale[c].right, 1)
	}
}

func TestWindowsMatchGo(t *testing.T) {
	if packWindows(anyWeights(rand.New(rand.NewPCG(1, 1)), windowBlock-1, 9)) != nil {
		t.Error("packWindows accepted fewer channels than a block")
	}
	for name, pack := range map[string]func(w *weights) windows{"dot": packWindowsDot, "neon": packWindows} {
		t.Run(name, func(t *testing.T) {
			if name == "dot" && !cpu.ARM64.HasASIMDDP {
				t.Skip("this processor has no dot products")
			}
			dot := 0
			for seed := range uint64(600) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					r := rand.New(rand.NewPCG(seed, 2))
					w := anyWeights(r, windowBlock+r.IntN(50), 9)
					if r.IntN(4) > 0 {
						tameForDot(w)
					}
					p := pack(w).(*blocks)
					if p.dot {
						dot++
					}
					checkWindows(t, r, w, p)
				})
			}
			if name == "dot" && (dot < 200 || dot == 600) {
				t.Errorf("%d of 600 windows use dot products, want at least 200 but not all", dot)
			}
		})
	}
}

func checkWindows(t *testing.T, r *rand.Rand, w *weights, p *blocks) {
	atEnd := r.IntN(2) == 0
	p.packed = copyGuarded(t, p.packed, atEnd)
	n := 1 + r.IntN(6)
	step := w.channels * (1 + r.IntN(2))
	var taps [9][]byte
	for i := range taps {
		taps[i] = guarded(t, (n-1)*step+w.channels, atEnd)
		extremeCodes(r, taps[i])
	}
	want := make([]byte, n*w.channels)
	got := guarded(t, len(want), atEnd)
	plainOf(w).pixels(want, taps, step, n)
	p.pixels(got, taps, step, n)
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%d pixels of %d channels, step %d, signed %v, zero %d: byte %d is %d, want %d", n, w.channels, step, w.signed, w.zero, i, got[i], want[i])
		}
	}
}

func TestByteSums(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for depth := depthStep; depth < 70; depth++ {
		rows, stride := 1+r.IntN(5), depth+r.IntN(20)
		x := guarded(t, (rows-1)*stride+depth, r.IntN(2) == 0)
		extremeCodes(r, x)
		flip := byte(r.IntN(2)) << 7
		by := r.Int32N(512) - 256
		got := make([]int32, rows)
		byteSums(&got[0], &x[0], stride, depth, rows, flip, by)
		for row := range rows {
			want := int32(0)
			for _, b := range x[row*stride:][:depth] {
				want += by * int32(b^flip)
			}
			if got[row] != want {
				t.Errorf("row %d of %d bytes: got %d, want %d", row, depth, got[row], want)
			}
		}
	}
}

func TestAdderMatchesGo(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for range 300 {
		s := anySum(r)
		n := 1 + r.IntN(40)
		atEnd := r.IntN(2) == 0
		x, y, got := guarded(t, n, atEnd), guarded(t, n, atEnd), guarded(t, n, atEnd)
		extremeCodes(r, x)
		extremeCodes(r, y)
		newBlockAdder(s).add(got, x, y)
		of := Uint8
		if s.signed {
			of = Int8
		}
		for i := range got {
			sum := int32(0)
			for j, b := range []byte{x[i], y[i]} {
				term := s.terms[j]
				sum += term.scale.apply((code(of, int(b)) - term.zero) << addShift)
			}
			if want := byte(clamp(s.scale.apply(sum)+s.zero, s.lo, s.hi)); got[i] != want {
				t.Fatalf("%+v: %d and %d give %d, want %d", s, x[i], y[i], got[i], want)
			}
		}
	}
}

// anySum returns a random sum with scales like those from NewAdd.
func anySum(r *rand.Rand) *sum {
	s := &sum{signed: r.IntN(2) == 0}
	lo, hi := Uint8.limits()
	if s.signed {
		lo, hi = Int8.limits()
	}
	for i := range s.terms {
		s.terms[i].zero = lo + r.Int32N(256)
		s.terms[i].scale = multiplier{mantissa: 1<<30 + r.Int32N(1<<30), right: uint8(r.IntN(10))}
	}
	s.scale = multiplier{mantissa: 1<<30 + r.Int32N(1<<30), right: uint8(r.IntN(32))}
	switch r.IntN(3) {
	case 0:
		s.scale.right = uint8(18 + r.IntN(6))
	case 1:
		// Use small terms, many of them ties, so that all of their bits affect the
		// output.
		s.scale = multiplier{mantissa: 1 << 30, right: uint8(r.IntN(4))}
		for i := range s.terms {
			s.terms[i].scale = multiplier{mantissa: 1 << 30, right: uint8(18 + r.IntN(6))}
		}
	}
	s.zero = lo + r.Int32N(256)
	s.lo = lo + r.Int32N(128)
	s.hi = s.lo + r.Int32N(hi-s.lo+1)
	return s
}

// TestAssemblyDoesNotAllocate checks that no routine makes its arguments escape to the
// heap.
func TestAssemblyDoesNotAllocate(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	w := anyWeights(r, 37, 40)
	x, out := make([]byte, 10*40), make([]byte, 10*37)
	packs := []func(w *weights) product{packNEON}
	if cpu.ARM64.HasASIMDDP {
		packs = append(packs, packDot)
	}
	for i, pack := range packs {
		p := pack(w)
		if n := testing.AllocsPerRun(5, func() { p.multiply(x, 40, 10, out, 37, 0, p.panels()) }); n != 0 {
			t.Errorf("product %d allocates %v times", i, n)
		}
	}
	v := packWindows(anyWeights(r, 37, 9))
	var taps [9][]byte
	for i := range taps {
		taps[i] = x
	}
	if n := testing.AllocsPerRun(5, func() { v.pixels(out, taps, 37, 10) }); n != 0 {
		t.Errorf("windows allocate %v times", n)
	}
	add := newBlockAdder(anySum(r))
	if n := testing.AllocsPerRun(5, func() { add.add(out[:35], x, x) }); n != 0 {
		t.Errorf("adder allocates %v times", n)
	}
}
