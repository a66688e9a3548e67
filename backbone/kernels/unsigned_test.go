package kernels

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestPassUnsigned compares the codes of a QUANTIZE, two convolutions and a depthwise
// convolution that pass codes as unsigned bytes with those of operators that do not.
func TestPassUnsigned(t *testing.T) {
	eachImplementation(t, func(t *testing.T) {
		skipped := 0
		for seed := range uint64(60) {
			d := draw{rand.New(rand.NewPCG(seed, 3))}
			size, depth, channels, stride := 3+d.IntN(20), 1+d.IntN(40), 1+d.IntN(200), 1+d.IntN(2)
			photo, in := d.tensor(Uint8, 1, size, size, depth), d.tensor(Int8, 1, size, size, depth)
			in.Scale, in.ZeroPoint[0] = photo.Scale, photo.ZeroPoint[0]-128
			window := Window{StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1}
			wide, narrow := d.tensor(Int8, 1, size, size, channels), d.tensor(Int8, 1, (size+stride-1)/stride, (size+stride-1)/stride, channels)
			out := d.tensor(Int8, 1, narrow.Shape[1], narrow.Shape[2], 1+d.IntN(40))
			wide.ZeroPoint[0], narrow.ZeroPoint[0] = -128, -128 // as after ReLU6
			side := 1 + 2*d.IntN(2)
			filters := []*Tensor{d.tensor(Int8, channels, side, side, depth), d.tensor(Int8, 1, 3, 3, channels), d.tensor(Int8, out.Shape[3], 1, 1, channels)}
			var biases []*Tensor
			for i, to := range []*Tensor{wide, narrow, out} {
				bias := &Tensor{Type: Int32, Shape: []int{to.Shape[3]}}
				d.weights(filters[i], bias, to, []int{0, 3, 0}[i], []int{side * side * depth, 9, channels}[i])
				biases = append(biases, bias)
			}
			x := make([]byte, photo.Bytes())
			d.fill(x)
			run := func(pass bool) []byte {
				quantize, err0 := NewQuantize(photo, in)
				same := Window{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
				first, err1 := NewConv2D(Conv2DParams{Window: same, Activation: ReLU6}, in, filters[0], biases[0], wide)
				middle, err2 := NewDepthwiseConv2D(DepthwiseConv2DParams{Window: window, Activation: ReLU6}, wide, filters[1], biases[1], narrow)
				last, err3 := NewConv2D(Conv2DParams{Window: same}, narrow, filters[2], biases[2], out)
				for _, err := range []error{err0, err1, err2, err3} {
					if err != nil {
						t.Fatal(err)
					}
				}
				steps := []Kernel{quantize, first, middle, last}
				if pass {
					PassUnsigned(first, middle)
					PassUnsigned(middle, last)
					if SkipFlip(quantize, first) {
						steps = steps[1:]
						skipped++
					}
				}
				codes := x
				for _, k := range steps {
					to := map[Kernel]*Tensor{quantize: in, first: wide, middle: narrow, last: out}[k]
					a := Args{In: [][]byte{codes}, Out: make([]byte, to.Bytes()), Scratch: make([]byte, k.Scratch())}
					k.Run(&a, 0, k.Parts())
					codes = a.Out
				}
				return codes
			}
			if got, want := run(true), run(false); !bytes.Equal(got, want) {
				t.Fatalf("seed %d: %d×%d×%d, %d channels, stride %d: got %v, want %v", seed, size, size, depth, channels, stride, got, want)
			}
		}
		if name, err := Implementation(); err != nil || (name == "avx512vnni") != (skipped > 0) {
			t.Errorf("%s (error %v) skipped QUANTIZE %d times", name, err, skipped)
		}
	})
}
