package kernels

import (
	"fmt"
	"math"
	"slices"
)

// ResizeParams are the options of RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR. At most
// one of them may be set.
type ResizeParams struct {
	AlignCorners     bool // the centers of the corner pixels stay in place
	HalfPixelCenters bool // pixel i has its center at i + ½
}

// A resize describes an image that is resized.
type resize struct {
	ResizeParams
	n, inH, inW, outH, outW, channels int
}

// over checks the operands. size is a constant with the height and width of out.
func (p ResizeParams) over(in, size, out *Tensor) (r resize, err error) {
	if err := in.check("input"); err != nil {
		return r, err
	}
	if err := out.check("output"); err != nil {
		return r, err
	}
	if err := sameType(in, out); err != nil {
		return r, err
	}
	if p.AlignCorners && p.HalfPixelCenters {
		return r, fmt.Errorf("%w: align_corners and half_pixel_centers exclude each other", ErrInvalid)
	}
	list, err := integers("size", size)
	if err != nil {
		return r, err
	}
	if len(in.Shape) != 4 || len(list) != 2 || !slices.Equal(out.Shape, []int{in.Shape[0], list[0], list[1], in.Shape[3]}) {
		return r, fmt.Errorf("%w: input of shape %v resized to %v, but the output has shape %v", ErrInvalid, in.Shape, list, out.Shape)
	}
	return resize{p, in.Shape[0], in.Shape[1], in.Shape[2], out.Shape[1], out.Shape[2], in.Shape[3]}, nil
}

func (r *resize) Parts() int   { return r.n * r.outH }
func (r *resize) Scratch() int { return 0 }

// scale returns the number of input pixels for one output pixel.
func (r *resize) scale(in, out int) float32 {
	if r.AlignCorners && out > 1 {
		return float32(in-1) / float32(out-1)
	}
	return float32(in) / float32(out)
}

// NewResizeNearestNeighbor returns a Kernel for RESIZE_NEAREST_NEIGHBOR on images of
// shape (n, h, w, c).
func NewResizeNearestNeighbor(p ResizeParams, in, size, out *Tensor) (Kernel, error) {
	r, err := p.over(in, size, out)
	return named("resize_nearest_neighbor", &nearest{r, r.channels * in.elementSize()}, err)
}

// elementSize returns the size of an element in bytes, or 0 if t is nil.
func (t *Tensor) elementSize() int {
	if t == nil {
		return 0
	}
	return t.Type.Size()
}

// nearest implements Kernel for RESIZE_NEAREST_NEIGHBOR.
type nearest struct {
	resize
	pixel int // bytes
}

// at returns the input pixel for output pixel i.
func (k *nearest) at(i int, scale float32, in int) int {
	center := float32(i)
	if k.HalfPixelCenters {
		center += 0.5
	}
	v := float64(float32(center * scale))
	if k.AlignCorners {
		return min(int(math.Round(v)), in-1)
	}
	return min(int(math.Floor(v)), in-1)
}

func (k *nearest) Run(a *Args, lo, hi int) {
	scaleH, scaleW := k.scale(k.inH, k.outH), k.scale(k.inW, k.outW)
	for row := lo; row < hi; row++ {
		y := row/k.outH*k.inH + k.at(row%k.outH, scaleH, k.inH)
		in := a.In[0][y*k.inW*k.pixel:][:k.inW*k.pixel]
		out := a.Out[row*k.outW*k.pixel:][:k.outW*k.pixel]
		for x := range k.outW {
			copy(out[x*k.pixel:][:k.pixel], in[k.at(x, scaleW, k.inW)*k.pixel:])
		}
	}
}

// NewResizeBilinear returns a Kernel for RESIZE_BILINEAR on uint8, int8 or float32 images
// of shape (n, h, w, c). TensorFlow Lite interpolates uint8 in float32 and int8 in fixed
// point.
func NewResizeBilinear(p ResizeParams, in, size, out *Tensor) (Kernel, error) {
	r, err := p.over(in, size, out)
	if err == nil && in.Type != Float32 && !in.Type.quantized() {
		err = fmt.Errorf("%w: input is %v", ErrUnsupported, in.Type)
	}
	return named("resize_bilinear", &bilinear{r, in.elementType()}, err)
}

// elementType returns the element type, or 0 if t is nil.
func (t *Tensor) elementType() Type {
	if t == nil {
		return 0
	}
	return t.Type
}

// bilinear implements Kernel for RESIZE_BILINEAR.
type bilinear struct {
	resize
	kind Type
}

// A neighbor is one of two pixels along an axis and its weight.
type neighbor[T float32 | int32] struct {
	at     int
	weight T
}

// A neighbors is the pair of pixels between which an output pixel lies.
type neighbors[T float32 | int32] [2]neighbor[T]

// float returns the neighbors of output pixel i, with the weights of uint8 and float32
// images.
func (k *bilinear) float(i, in, out int) neighbors[float32] {
	scale := k.scale(in, out)
	v := float32(float32(i) * scale)
	if k.HalfPixelCenters {
		v = float32((float32(i)+0.5)*scale) - 0.5
	}
	low := min(max(int(math.Floor(float64(v))), 0), in-1)
	high := max(min(int(math.Ceil(float64(v))), in-1), 0)
	part := v - float32(low)
	return neighbors[float32]{{low, 1 - part}, {high, part}}
}

// one is the sum of the weights of an int8 image along an axis.
const one = 1 << 10

// fixed returns the neighbors of output pixel i, with the weights of int8 images.
func (k *bilinear) fixed(i, in, out int) neighbors[int32] {
	whole, count := int64(in), int64(out)
	if k.AlignCorners && out > 1 {
		whole, count = whole-1, count-1
	}
	scale := (one*whole + count/2) / count
	v := int64(i) * scale
	if k.HalfPixelCenters {
		v += scale/2 - one/2
	}
	last := int64(in - 1)
	low, high := min(max(v/one, 0), last), max(min((v+one-1)/one, last), 0)
	part := int32(v - low*one)
	return neighbors[int32]{{int(low), one - part}, {int(high), part}}
}

func (k *bilinear) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		if k.kind == Int8 {
			k.fixedRow(signed(a.Out), signed(a.In[0]), row)
		} else {
			k.floatRow(a, row)
		}
	}
}

// fixedRow computes a row of an int8 image.
func (k *bilinear) fixedRow(out, in []int8, row int) {
	image := row / k.outH * k.inH * k.inW
	y := k.fixed(row%k.outH, k.inH, k.outH)
	for ox := range k.outW {
		x := k.fixed(ox, k.inW, k.outW)
		var pixels [4][]int8
		var weights [4]int64
		for i := range 4 {
			v, h := y[i/2], x[i%2]
			pixels[i] = in[(image+v.at*k.inW+h.at)*k.channels:][:k.channels]
			weights[i] = int64(v.weight) * int64(h.weight)
		}
		pixel := out[(row*k.outW+ox)*k.channels:][:k.channels]
		for c := range pixel {
			sum := int64(pixels[0][c])*weights[0] + int64(pixels[1][c])*weights[1] + int64(pixels[2][c])*weights[2] + int64(pixels[3][c])*weights[3]
			if sum > 0 {
				sum += one * one / 2
			} else {
				sum -= one * one / 2
			}
			pixel[c] = int8(sum / (one * one))
		}
	}
}

// floatRow computes a row of a uint8 or float32 image.
func (k *bilinear) floatRow(a *Args, row int) {
	image := row / k.outH * k.inH * k.inW
	y := k.float(row%k.outH, k.inH, k.outH)
	in, out := a.In[0], a.Out
	for ox := range k.outW {
		x := k.float(ox, k.inW, k.outW)
		var at [4]int
		var w [4]float32
		for i := range 4 {
			v, h := y[i/2], x[i%2]
			at[i] = (image + v.at*k.inW + h.at) * k.channels
			w[i] = float32(v.weight * h.weight)
		}
		to := (row*k.outW + ox) * k.channels
		if k.kind == Float32 {
			for c := range k.channels {
				sum := float32(floatAt(in, at[0]+c) * w[0])
				for i := 1; i < 4; i++ {
					sum += float32(floatAt(in, at[i]+c) * w[i])
				}
				putFloat(out, to+c, sum)
			}
			continue
		}
		p0, p1, p2, p3 := in[at[0]:][:k.channels], in[at[1]:][:k.channels], in[at[2]:][:k.channels], in[at[3]:][:k.channels]
		for c := range out[to:][:k.channels] {
			sum := float32(float32(p0[c])*w[0]) + float32(float32(p1[c])*w[1])
			sum += float32(float32(p2[c]) * w[2])
			sum += float32(float32(p3[c]) * w[3])
			out[to+c] = byte(int32(sum + 0.5))
		}
	}
}
