package kernels

import (
	"fmt"
	"slices"
)

// TransposeConvParams are the options of TRANSPOSE_CONV. Its window slides over the
// output.
type TransposeConvParams struct {
	Window
	Activation Activation
}

// transposeConv implements Kernel for TRANSPOSE_CONV. Its geometry is that of a
// convolution from the output to the input, of which it is the transpose.
type transposeConv struct {
	geometry
	kind            Type
	depth, channels int // of the input and of the output
	zero            int32
	codes           []int16 // the filter minus its zero point, of codes: [channels][kh][kw][depth]
	biasCodes       []int32
	scale           []multiplier
	outZero, lo, hi int32
	floats, bias    []float32 // the filter and the bias, of float32
	low, high       float32
}

// NewTransposeConv returns a Kernel for TRANSPOSE_CONV on uint8, int8 or float32. shape
// is a constant with the shape of out. The constant filter has shape (channels, kh, kw,
// depth). bias is nil or a constant with one element per channel. An int8 filter may have
// one scale for each channel (Axis 0).
func NewTransposeConv(p TransposeConvParams, shape, filter, in, bias, out *Tensor) (Kernel, error) {
	k, err := newTransposeConv(p, shape, filter, in, bias, out)
	return named("transpose_conv", k, err)
}

func newTransposeConv(p TransposeConvParams, shape, filter, in, bias, out *Tensor) (Kernel, error) {
	for _, t := range []*Tensor{filter, in, out} {
		if err := t.check("operand"); err != nil {
			return nil, err
		}
	}
	want, err := integers("shape", shape)
	if err != nil {
		return nil, err
	}
	if err := checkShape(out, want); err != nil {
		return nil, err
	}
	if len(filter.Shape) != 4 {
		return nil, fmt.Errorf("%w: filter has shape %v, want 4 axes", ErrInvalid, filter.Shape)
	}
	p.DilationH, p.DilationW = 1, 1
	g, err := p.Window.over(out, filter.Shape[1], filter.Shape[2])
	if err != nil {
		return nil, err
	}
	k := &transposeConv{geometry: g, kind: in.Type, channels: filter.Shape[0], depth: filter.Shape[3]}
	if k.channels != g.inC || !slices.Equal(in.Shape, []int{g.n, g.outH, g.outW, k.depth}) {
		return nil, fmt.Errorf("%w: input has shape %v, filter %v and output %v", ErrInvalid, in.Shape, filter.Shape, out.Shape)
	}
	if in.Type == Float32 {
		if err := sameType(in, out); err != nil {
			return nil, err
		}
		if k.floats, k.bias, err = floatWeights(filter, bias, k.channels); err != nil {
			return nil, err
		}
		k.low, k.high, err = floatBounds(p.Activation)
		return k, err
	}
	return k, k.quantize(p.Activation, filter, in, bias, out)
}

// quantize sets the fields for codes.
func (k *transposeConv) quantize(act Activation, filter, in, bias, out *Tensor) error {
	if err := checkFilter(in, filter, out, 0); err != nil {
		return err
	}
	given, err := biasCodes(bias, k.channels)
	if err != nil {
		return err
	}
	k.biasCodes = make([]int32, k.channels)
	copy(k.biasCodes, given)
	if k.scale, err = weightScales(in, filter, out, k.channels, in.Type == Int8); err != nil {
		return err
	}
	k.codes = make([]int16, len(filter.Data))
	for i, b := range filter.Data {
		k.codes[i] = int16(code(filter.Type, int(b)) - filter.zero())
	}
	k.zero, k.outZero = in.zero(), out.zero()
	k.lo, k.hi, err = act.codes(out)
	return err
}

// A part is a row of the output.
func (k *transposeConv) Parts() int   { return k.n * k.inH }
func (k *transposeConv) Scratch() int { return 0 }

func (k *transposeConv) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		for x := range k.inW {
			at := (row*k.inW + x) * k.channels
			for c := range k.channels {
				switch k.kind {
				case Float32:
					putFloat(a.Out, at+c, clampFloat(k.real(a.In[0], row, x, c), k.low, k.high))
				case Int8:
					a.Out[at+c] = byte(clamp(k.scale[c].apply(sumTaps(k, signed(a.In[0]), row, x, c))+k.outZero, k.lo, k.hi))
				default:
					a.Out[at+c] = byte(clamp(k.scale[c].apply(sumTaps(k, a.In[0], row, x, c))+k.outZero, k.lo, k.hi))
				}
			}
		}
	}
}

// source returns the position along an axis of the input that tap of the window adds to
// position at of the output, and whether there is one.
func source(at, pad, tap, stride, size int) (int, bool) {
	at += pad - tap
	return at / stride, at >= 0 && at%stride == 0 && at/stride < size
}

// taps calls f for each pixel of the input that contributes to output pixel x of row,
// with the index of its first element and that of its tap in a filter.
func (k *transposeConv) taps(row, x int, f func(pixel, tap int)) {
	image := row / k.inH
	for ky := range k.kH {
		y, ok := source(row%k.inH, k.padTop, ky, k.StrideH, k.outH)
		if !ok {
			continue
		}
		for kx := range k.kW {
			if x, ok := source(x, k.padLeft, kx, k.StrideW, k.outW); ok {
				f(((image*k.outH+y)*k.outW+x)*k.depth, (ky*k.kW+kx)*k.depth)
			}
		}
	}
}

// sumTaps returns the accumulator of channel c of output pixel x of row.
func sumTaps[T byte | int8](k *transposeConv, in []T, row, x, c int) int32 {
	sum := k.biasCodes[c]
	filter := k.codes[c*k.kH*k.kW*k.depth:][:k.kH*k.kW*k.depth]
	k.taps(row, x, func(pixel, tap int) {
		values, weights := in[pixel:][:k.depth], filter[tap:][:k.depth]
		for i, w := range weights {
			sum += int32(w) * (int32(values[i]) - k.zero)
		}
	})
	return sum
}

// real returns channel c of output pixel x of row, before the activation.
func (k *transposeConv) real(in []byte, row, x, c int) float32 {
	sum := float64(k.bias[c])
	filter := k.floats[c*k.kH*k.kW*k.depth:]
	k.taps(row, x, func(pixel, tap int) {
		for i, w := range filter[tap:][:k.depth] {
			sum += float64(floatAt(in, pixel+i)) * float64(w)
		}
	})
	return float32(sum)
}
