package kernels

import (
	"fmt"
	"unsafe"
)

// DepthwiseConv2DParams are the options of DEPTHWISE_CONV_2D. The depth
// multiplier follows from the shapes.
type DepthwiseConv2DParams struct {
	Window
	Activation Activation
}

type depthwise struct {
	geometry
	multiple     int
	weights      []int32 // [kh·kw][channels] less the zero point
	bias         []int32 // the input's zero point folded in
	scale        []multiplier
	lo, hi, zero int32
	blank        []byte // a pixel of the input's zero point
	signed       bool
	nine         []nineTaps // instead of weights, when the window is 3×3
}

// nineTaps is what one channel of a 3×3 window needs, in one place.
type nineTaps struct {
	w     [9]int32
	bias  int32
	scale multiplier
}

// NewDepthwiseConv2D prepares DEPTHWISE_CONV_2D of in (n, h, w, c) with a
// constant filter of shape (1, kh, kw, c·multiplier) and a constant int32 bias
// or nil. Types are as for [NewConv2D], with scales along the filter's axis 3.
func NewDepthwiseConv2D(p DepthwiseConv2DParams, in, filter, bias, out *Tensor) (Kernel, error) {
	k, err := newDepthwise(p, in, filter, bias, out)
	if err != nil {
		return nil, fmt.Errorf("depthwise_conv_2d: %w", err)
	}
	return k, nil
}

func newDepthwise(p DepthwiseConv2DParams, in, filter, bias, out *Tensor) (Kernel, error) {
	if in != nil && in.Type == Float32 {
		return newFloatConv(p.Window, p.Activation, true, in, filter, bias, out)
	}
	if err := checkFilter(in, filter, out, 3); err != nil {
		return nil, err
	}
	g, err := p.Window.over(in, filter.Shape[1], filter.Shape[2])
	if err != nil {
		return nil, err
	}
	channels := filter.Shape[3]
	if filter.Shape[0] != 1 || channels%g.inC != 0 {
		return nil, fmt.Errorf("%w: filter of shape %v for %d channels", ErrInvalid, filter.Shape, g.inC)
	}
	if err := g.checkOutput(out, channels); err != nil {
		return nil, err
	}
	d := &depthwise{geometry: g, multiple: channels / g.inC, zero: out.zero(), signed: in.Type == Int8}
	if d.lo, d.hi, err = p.Activation.codes(out); err != nil {
		return nil, err
	}
	b, err := biasCodes(bias, channels)
	if err != nil {
		return nil, err
	}
	if d.scale, err = weightScales(in, filter, out, channels, d.signed); err != nil {
		return nil, err
	}
	d.bias = make([]int32, channels)
	copy(d.bias, b)
	d.weights = make([]int32, len(filter.Data))
	for i, w := range filter.Data {
		if d.signed {
			d.weights[i] = int32(int8(w))
		} else {
			d.weights[i] = int32(w) - filter.zero()
		}
		d.bias[i%channels] -= d.weights[i] * in.zero()
	}
	if d.multiple == 1 && g.kH == 3 && g.kW == 3 {
		d.nine = make([]nineTaps, channels)
		for c := range d.nine {
			d.nine[c].bias, d.nine[c].scale = d.bias[c], d.scale[c]
			for t := range 9 {
				d.nine[c].w[t] = d.weights[t*channels+c]
			}
		}
		d.weights, d.bias, d.scale = nil, nil, nil
	}
	d.blank = make([]byte, g.inC)
	fill(d.blank, byte(in.zero()))
	return d, nil
}

func (d *depthwise) Parts() int   { return d.n * d.outH }
func (d *depthwise) Scratch() int { return 0 }

func (d *depthwise) Run(a *Args, lo, hi int) {
	if d.signed {
		runDepthwise(d, signed(a.In[0]), signed(d.blank), a.Out, lo, hi)
	} else {
		runDepthwise(d, a.In[0], d.blank, a.Out, lo, hi)
	}
}

// signed is the same memory as int8.
func signed(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

// depthwiseBlock is the number of channels summed at a time.
const depthwiseBlock = 128

// runDepthwise computes output rows.
func runDepthwise[T byte | int8](d *depthwise, in, blank []T, out []byte, lo, hi int) {
	channels := d.inC * d.multiple
	var window [9][]T
	for row := lo; row < hi; row++ {
		image, oy := row/d.outH, row%d.outH
		y0 := oy*d.StrideH - d.padTop
		for ox := range d.outW {
			pixel := out[(row*d.outW+ox)*channels:][:channels]
			x0 := ox*d.StrideW - d.padLeft
			if d.nine == nil {
				depthwisePixel(d, pixel, in, blank, image, y0, x0)
				continue
			}
			for t := range window {
				window[t] = tap(d, in, blank, image, y0+t/3*d.DilationH, x0+t%3*d.DilationW)
			}
			depthwise3x3(d, pixel, &window)
		}
	}
}

// tap is the input pixel at y, x: blank outside of the image.
func tap[T byte | int8](d *depthwise, in, blank []T, image, y, x int) []T {
	if uint(y) >= uint(d.inH) || uint(x) >= uint(d.inW) {
		return blank
	}
	return in[((image*d.inH+y)*d.inW+x)*d.inC:][:d.inC]
}

// depthwise3x3 keeps one sum in a register, for the window nearly all models use.
func depthwise3x3[T byte | int8](d *depthwise, out []byte, window *[9][]T) {
	n := len(out)
	x0, x1, x2 := window[0][:n], window[1][:n], window[2][:n]
	x3, x4, x5 := window[3][:n], window[4][:n], window[5][:n]
	x6, x7, x8 := window[6][:n], window[7][:n], window[8][:n]
	channels := d.nine[:n]
	zero, lo, hi := d.zero, d.lo, d.hi
	for c := range channels {
		t := &channels[c]
		acc := t.bias +
			int32(x0[c])*t.w[0] + int32(x1[c])*t.w[1] + int32(x2[c])*t.w[2] +
			int32(x3[c])*t.w[3] + int32(x4[c])*t.w[4] + int32(x5[c])*t.w[5] +
			int32(x6[c])*t.w[6] + int32(x7[c])*t.w[7] + int32(x8[c])*t.w[8]
		out[c] = byte(clamp(t.scale.apply(acc)+zero, lo, hi))
	}
}

// depthwisePixel computes one pixel for any window and depth multiplier.
func depthwisePixel[T byte | int8](d *depthwise, out []byte, in, blank []T, image, y0, x0 int) {
	channels := len(out)
	var sums [depthwiseBlock]int32
	for first := 0; first < channels; first += depthwiseBlock {
		n := min(depthwiseBlock, channels-first)
		acc := sums[:n]
		copy(acc, d.bias[first:])
		for ky := range d.kH {
			for kx := range d.kW {
				x := tap(d, in, blank, image, y0+ky*d.DilationH, x0+kx*d.DilationW)
				w := d.weights[(ky*d.kW+kx)*channels+first:][:n]
				if d.multiple > 1 {
					for i := range acc {
						acc[i] += int32(x[(first+i)/d.multiple]) * w[i]
					}
					continue
				}
				x = x[first:][:n]
				for i := range acc {
					acc[i] += int32(x[i]) * w[i]
				}
			}
		}
		scale := d.scale[first:][:n]
		for i, v := range acc {
			out[first+i] = byte(clamp(scale[i].apply(v)+d.zero, d.lo, d.hi))
		}
	}
}
