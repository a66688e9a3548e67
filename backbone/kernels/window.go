package kernels

import (
	"fmt"
	"slices"
)

// A Padding selects how a window treats the borders of an image.
type Padding uint8

// The paddings, numbered as in TensorFlow Lite.
const (
	Same  Padding = iota // pads so that the output has size ⌈input/stride⌉
	Valid                // uses only whole windows
)

// A Window slides over the two middle axes of an NHWC tensor.
type Window struct {
	StrideH, StrideW     int
	DilationH, DilationW int // 1 for adjacent pixels
	Padding              Padding
}

// geometry is a Window applied to an input of a given shape.
type geometry struct {
	Window
	n, inH, inW, inC int
	kH, kW           int
	outH, outW       int
	padTop, padLeft  int
}

// over returns the geometry of a kH×kW window over in.
func (w Window) over(in *Tensor, kH, kW int) (geometry, error) {
	g := geometry{Window: w, kH: kH, kW: kW}
	if len(in.Shape) != 4 {
		return g, fmt.Errorf("%w: input has shape %v, want 4 axes", ErrInvalid, in.Shape)
	}
	const limit = 1 << 14
	for _, v := range []int{w.StrideH, w.StrideW, w.DilationH, w.DilationW, kH, kW} {
		if v < 1 || v > limit {
			return g, fmt.Errorf("%w: window %d×%d with strides %d×%d and dilations %d×%d", ErrInvalid, kH, kW, w.StrideH, w.StrideW, w.DilationH, w.DilationW)
		}
	}
	g.n, g.inH, g.inW, g.inC = in.Shape[0], in.Shape[1], in.Shape[2], in.Shape[3]
	var err error
	if g.outH, g.padTop, err = w.axis(g.inH, kH, w.StrideH, w.DilationH); err != nil {
		return g, err
	}
	g.outW, g.padLeft, err = w.axis(g.inW, kW, w.StrideW, w.DilationW)
	return g, err
}

// axis returns the output size and the padding before the input along one axis.
func (w Window) axis(in, k, stride, dilation int) (out, pad int, err error) {
	reach := (k-1)*dilation + 1
	switch w.Padding {
	case Same:
		out = (in + stride - 1) / stride
		pad = max((out-1)*stride+reach-in, 0) / 2
	case Valid:
		if in >= reach {
			out = (in-reach)/stride + 1
		}
	default:
		return 0, 0, fmt.Errorf("%w: unknown padding %d", ErrInvalid, w.Padding)
	}
	if out < 1 {
		return 0, 0, fmt.Errorf("%w: a window of size %d does not fit into an axis of length %d", ErrInvalid, reach, in)
	}
	return out, pad, nil
}

// checkOutput returns an error unless out has the shape that the geometry and channels
// require.
func (g *geometry) checkOutput(out *Tensor, channels int) error {
	if want := []int{g.n, g.outH, g.outW, channels}; !slices.Equal(out.Shape, want) {
		return fmt.Errorf("%w: output has shape %v, want %v", ErrInvalid, out.Shape, want)
	}
	return nil
}
