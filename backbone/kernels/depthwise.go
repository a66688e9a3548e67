package kernels

import (
	"fmt"
	"unsafe"
)

// DepthwiseConv2DParams are the options of DEPTHWISE_CONV_2D. The shapes determine the
// depth multiplier.
type DepthwiseConv2DParams struct {
	Window
	Activation Activation
	Stage      *Stage // as in Conv2DParams
}

// depthwise implements Kernel for DEPTHWISE_CONV_2D.
type depthwise struct {
	geometry
	*weights         // [channels][kh·kw]
	multiple int     // depth multiplier
	byTap    []int32 // codes as [kh·kw][channels], unless windows is set
	blank    []byte  // a line of input values that all equal the zero point
	windows  windows // for 3×3 windows
	rows     rows    // if not nil, replaces windows
}

// NewDepthwiseConv2D returns a Kernel for DEPTHWISE_CONV_2D. The input has shape (n, h,
// w, c), and the constant filter has shape (1, kh, kw, c·multiplier). The bias and the
// element types are as for [NewConv2D]. Filter scales are along Axis 3.
func NewDepthwiseConv2D(p DepthwiseConv2DParams, in, filter, bias, out *Tensor) (Kernel, error) {
	k, err := newDepthwise(p, in, filter, bias, out)
	if err != nil {
		return nil, fmt.Errorf("depthwise_conv_2d: %w", err)
	}
	return k, nil
}

func newDepthwise(p DepthwiseConv2DParams, in, filter, bias, out *Tensor) (Kernel, error) {
	if isHybrid(in, filter) {
		return newHybridConv(p.Window, p.Activation, true, in, filter, bias, out)
	}
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
		return nil, fmt.Errorf("%w: filter has shape %v for %d input channels", ErrInvalid, filter.Shape, g.inC)
	}
	if err := g.checkOutput(out, channels); err != nil {
		return nil, err
	}
	b, err := biasCodes(bias, channels)
	if err != nil {
		return nil, err
	}
	taps := g.kH * g.kW
	rows := *filter
	rows.Data = make([]byte, len(filter.Data))
	for i, v := range filter.Data {
		rows.Data[i%channels*taps+i/channels] = v
	}
	w, err := newWeights(&rows, channels, b, in, out, p.Activation, in.Type == Int8, p.Stage)
	if err != nil {
		return nil, err
	}
	d := &depthwise{geometry: g, weights: w, multiple: channels / g.inC, blank: make([]byte, g.inW*g.inC)}
	fill(d.blank, byte(in.zero()))
	if d.multiple == 1 && g.kH == 3 && g.kW == 3 && w.stage == nil {
		d.windows, d.rows, err = newRows(w, &g, byte(in.zero()))
	} else {
		d.byTap = make([]int32, len(w.codes))
		for i, v := range w.codes {
			d.byTap[i%taps*channels+i/taps] = int32(v)
		}
	}
	w.codes = nil
	return d, err
}

func (d *depthwise) Parts() int   { return d.n * d.outH }
func (d *depthwise) Scratch() int { return 0 }

func (d *depthwise) Run(a *Args, lo, hi int) {
	if d.rows != nil {
		d.rows.compute(a.Out, a.In[0], d.blank, &d.geometry, lo, hi)
		return
	}
	for row := lo; row < hi; row++ {
		out := a.Out[row*d.outW*d.channels:][:d.outW*d.channels]
		switch {
		case d.windows != nil:
			d.row3x3(out, a.In[0], row)
		case d.signed:
			depthwiseRow(d, out, signed(a.In[0]), signed(d.blank), row)
		default:
			depthwiseRow(d, out, a.In[0], d.blank, row)
		}
	}
}

// signed returns the bytes of b as int8 values, which share memory with b.
func signed(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

// depthwiseBlock is the number of channels that are summed at a time.
const depthwiseBlock = 128

// depthwiseRow computes one row of output pixels for any window and depth multiplier.
func depthwiseRow[T byte | int8](d *depthwise, out []byte, in, blank []T, row int) {
	var sums [depthwiseBlock]int32
	image, oy := row/d.outH, row%d.outH
	y0 := oy*d.StrideH - d.padTop
	for ox := range d.outW {
		pixel := out[ox*d.channels:][:d.channels]
		x0 := ox*d.StrideW - d.padLeft
		for first := 0; first < d.channels; first += depthwiseBlock {
			acc := sums[:min(depthwiseBlock, d.channels-first)]
			copy(acc, d.bias[first:])
			for ky := range d.kH {
				for kx := range d.kW {
					x := tap(&d.geometry, in, blank, image, y0+ky*d.DilationH, x0+kx*d.DilationW)
					w := d.byTap[(ky*d.kW+kx)*d.channels+first:][:len(acc)]
					if d.multiple > 1 {
						for i := range acc {
							acc[i] += int32(x[(first+i)/d.multiple]) * w[i]
						}
						continue
					}
					x = x[first:][:len(acc)]
					for i := range acc {
						acc[i] += int32(x[i]) * w[i]
					}
				}
			}
			if d.stage != nil {
				for i, v := range acc {
					pixel[first+i] = d.stage.code(v, first+i)
				}
				continue
			}
			scale := d.scale[first:][:len(acc)]
			for i, v := range acc {
				pixel[first+i] = byte(clamp(scale[i].apply(v)+d.outZero, d.lo, d.hi))
			}
		}
	}
}

// tap returns the input values from pixel (y, x) on, or blank if the pixel is outside the
// image.
func tap[T byte | int8](g *geometry, in, blank []T, image, y, x int) []T {
	if uint(y) >= uint(g.inH) || uint(x) >= uint(g.inW) {
		return blank
	}
	return in[((image*g.inH+y)*g.inW+x)*g.inC:]
}
