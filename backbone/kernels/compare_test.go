package kernels

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// A draw makes random operands, often with extreme values.
type draw struct{ *rand.Rand }

func (d draw) fill(b []byte) {
	switch d.IntN(4) {
	case 0: // all equal, often an extreme
		fill(b, [4]byte{0, 255, 128, 127}[d.IntN(4)])
	case 1: // extremes
		for i := range b {
			b[i] = [4]byte{0, 255, 128, 127}[d.IntN(4)]
		}
	case 2: // near the middle, as weights are
		for i := range b {
			b[i] = byte(128 + 15*d.NormFloat64())
		}
	default:
		for i := range b {
			b[i] = byte(d.Uint32())
		}
	}
}

func (d draw) tensor(t Type, shape ...int) *Tensor {
	x := &Tensor{Type: t, Shape: shape, Scale: []float32{1}, ZeroPoint: []int64{int64(d.IntN(256))}}
	if t == Int8 {
		x.ZeroPoint[0] -= 128
	}
	return x
}

// weights fills filter and bias, and sets the scale of out so that some sums of depth
// products saturate.
func (d draw) weights(filter, bias, out *Tensor, axis, depth int) {
	filter.Data, bias.Data = make([]byte, filter.Bytes()), make([]byte, bias.Bytes())
	d.fill(filter.Data)
	for i := 0; i < len(bias.Data); i += 4 {
		putInt32(bias.Data[i:], int32(d.IntN(40000)-20000))
	}
	if filter.Type == Int8 {
		filter.ZeroPoint = []int64{0}
		if d.IntN(2) == 0 {
			filter.Axis, filter.Scale, filter.ZeroPoint = axis, nil, nil
			for range filter.Shape[axis] {
				filter.Scale, filter.ZeroPoint = append(filter.Scale, d.Float32()+0.01), append(filter.ZeroPoint, 0)
			}
		}
	}
	// Factors range from above 1, which needs a left shift, to so small that all codes
	// are equal.
	out.Scale[0] = float32(depth) * 4 * (d.Float32() + 0.01)
	switch d.IntN(8) {
	case 0:
		out.Scale[0] = d.Float32() + 0.01
	case 1:
		out.Scale[0] = float32(int(1) << d.IntN(20)) // ties
	}
}

func putInt32(b []byte, v int32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

// operators makes random operands for every operator with more than one implementation.
var operators = map[string]func(d draw) (make func() (Kernel, error), in []*Tensor, out *Tensor){
	"conv1x1": func(d draw) (func() (Kernel, error), []*Tensor, *Tensor) {
		return d.conv(1, 1, 1, 1+d.IntN(100), 1+d.IntN(70))
	},
	"conv": func(d draw) (func() (Kernel, error), []*Tensor, *Tensor) {
		return d.conv(1+d.IntN(4), 1+d.IntN(4), 1+d.IntN(2), 1+d.IntN(20), 1+d.IntN(40))
	},
	"fullyconnected": func(d draw) (func() (Kernel, error), []*Tensor, *Tensor) {
		typ, batch, depth, channels := d.typ(), 1+d.IntN(70), 1+d.IntN(300), 1+d.IntN(70)
		in, w, out := d.tensor(typ, batch, depth), d.tensor(typ, channels, depth), d.tensor(typ, batch, channels)
		bias := &Tensor{Type: Int32, Shape: []int{channels}}
		d.weights(w, bias, out, 0, depth)
		return func() (Kernel, error) { return NewFullyConnected(FullyConnectedParams{}, in, w, bias, out) }, []*Tensor{in}, out
	},
	"depthwise": func(d draw) (func() (Kernel, error), []*Tensor, *Tensor) {
		typ, h, w, channels := d.typ(), 1+d.IntN(9), 1+d.IntN(9), 1+d.IntN(70)
		window := Window{StrideH: 1 + d.IntN(3), StrideW: 1 + d.IntN(3), DilationH: 1 + d.IntN(2), DilationW: 1 + d.IntN(2)}
		in, filter := d.tensor(typ, 1, h, w, channels), d.tensor(typ, 1, 3, 3, channels)
		g, err := window.over(in, 3, 3)
		if err != nil {
			panic(err)
		}
		out, bias := d.tensor(typ, 1, g.outH, g.outW, channels), &Tensor{Type: Int32, Shape: []int{channels}}
		d.weights(filter, bias, out, 3, 9)
		p := DepthwiseConv2DParams{Window: window, Activation: Activation(d.IntN(3))}
		return func() (Kernel, error) { return NewDepthwiseConv2D(p, in, filter, bias, out) }, []*Tensor{in}, out
	},
	"add": func(d draw) (func() (Kernel, error), []*Tensor, *Tensor) {
		typ, n := d.typ(), 1+d.IntN(100)
		if d.IntN(8) == 0 {
			n += 2 * chunk
		}
		x, y, out := d.tensor(typ, n), d.tensor(typ, n), d.tensor(typ, n)
		x.Scale[0], y.Scale[0] = d.Float32()+0.01, d.Float32()+0.01
		if d.IntN(4) == 0 {
			x.Scale[0], y.Scale[0], out.Scale[0] = 1, 0.5, 4 // ties
		}
		act := Activation(d.IntN(2))
		return func() (Kernel, error) { return NewAdd(act, x, y, out) }, []*Tensor{x, y}, out
	},
}

func (d draw) typ() Type { return [2]Type{Uint8, Int8}[d.IntN(2)] }

func (d draw) conv(kh, kw, stride, depth, channels int) (func() (Kernel, error), []*Tensor, *Tensor) {
	typ, h, w := d.typ(), 4+d.IntN(9), 4+d.IntN(9)
	if d.IntN(3) == 0 {
		w += d.IntN(90) // for more than one block of pixels, and for rows that use strips
	}
	window := Window{StrideH: stride, StrideW: stride, DilationH: 1 + d.IntN(4)/3, DilationW: 1 + d.IntN(9)/8, Padding: Padding(d.IntN(2))}
	if h <= kh*2 || w <= kw*2 {
		window.DilationH, window.DilationW = 1, 1
	}
	in, filter := d.tensor(typ, 1, h, w, depth), d.tensor(typ, channels, kh, kw, depth)
	g, err := window.over(in, kh, kw)
	if err != nil {
		panic(err)
	}
	out, bias := d.tensor(typ, 1, g.outH, g.outW, channels), &Tensor{Type: Int32, Shape: []int{channels}}
	d.weights(filter, bias, out, 0, kh*kw*depth)
	p := Conv2DParams{Window: window, Activation: Activation(d.IntN(3))}
	return func() (Kernel, error) { return NewConv2D(p, in, filter, bias, out) }, []*Tensor{in}, out
}

// TestImplementationsMatchGo compares every implementation with plain Go. Operands start
// or end at a page without access.
func TestImplementationsMatchGo(t *testing.T) {
	eachImplementation(t, func(t *testing.T) {
		for name, operator := range operators {
			t.Run(name, func(t *testing.T) {
				for seed := range uint64(300) {
					d := draw{rand.New(rand.NewPCG(seed, 1))}
					make, in, out := operator(d)
					testMatchesGo(t, d, fmt.Sprintf("seed %d, input %+v, output %+v", seed, *in[0], *out), make, in, out)
				}
			})
		}
	})
}

func testMatchesGo(t *testing.T, d draw, what string, newKernel func() (Kernel, error), in []*Tensor, out *Tensor) {
	t.Helper()
	k, err := newKernel()
	if err != nil {
		t.Fatal(what, err)
	}
	var plain Kernel
	asPlainGo(t, func() { plain, err = newKernel() })
	if err != nil {
		t.Fatal(what, err)
	}
	atEnd := d.IntN(2) == 0
	var a Args
	for _, x := range in {
		b := guarded(t, x.Bytes(), atEnd)
		d.fill(b)
		a.In = append(a.In, b)
	}
	a.Out = make([]byte, out.Bytes())
	a.Scratch = make([]byte, plain.Scratch())
	plain.Run(&a, 0, plain.Parts())
	want := a.Out
	a.Out, a.Scratch = guarded(t, out.Bytes(), atEnd), guarded(t, k.Scratch(), atEnd)
	d.fill(a.Out)
	d.fill(a.Scratch)
	k.Run(&a, 0, k.Parts())
	if !bytes.Equal(a.Out, want) {
		for i := range want {
			if a.Out[i] != want[i] {
				t.Fatalf("%s: element %d is %d, want %d as in plain Go", what, i, a.Out[i], want[i])
			}
		}
	}
}
