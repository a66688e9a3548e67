package kernels

import (
	"fmt"
	"math"
)

// Pool2DParams are the options of AVERAGE_POOL_2D and MAX_POOL_2D.
type Pool2DParams struct {
	Window
	FilterH, FilterW int
	Activation       Activation
}

// pool implements Kernel for AVERAGE_POOL_2D and MAX_POOL_2D on 8-bit codes.
type pool struct {
	geometry
	largest bool // MAX_POOL_2D
	lo, hi  int32
	signed  bool
	// With reciprocal set, the sum minus the zero points is multiplied by 1/count, as on
	// the Edge TPU.
	reciprocal bool
	zero       int32
}

// NewAveragePool2D returns a Kernel for AVERAGE_POOL_2D on uint8, int8 or float32. The
// input has shape (n, h, w, c). Pixels outside the image do not count.
func NewAveragePool2D(p Pool2DParams, in, out *Tensor) (Kernel, error) {
	k, err := newPool(p, false, in, out)
	if err != nil {
		return nil, fmt.Errorf("average_pool_2d: %w", err)
	}
	return k, nil
}

// NewMaxPool2D returns a Kernel for MAX_POOL_2D on uint8, int8 or float32. The input has
// shape (n, h, w, c).
func NewMaxPool2D(p Pool2DParams, in, out *Tensor) (Kernel, error) {
	k, err := newPool(p, true, in, out)
	if err != nil {
		return nil, fmt.Errorf("max_pool_2d: %w", err)
	}
	return k, nil
}

// NewL2Pool2D returns a Kernel for L2_POOL_2D on float32: the root of the mean of the
// squares. The input has shape (n, h, w, c). Pixels outside the image do not count.
func NewL2Pool2D(p Pool2DParams, in, out *Tensor) (Kernel, error) {
	k, err := newPool(p, false, in, out)
	f, ok := k.(*floatPool)
	if err == nil && !ok {
		err = fmt.Errorf("%w: input is %v", ErrUnsupported, in.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("l2_pool_2d: %w", err)
	}
	f.square = true
	return f, nil
}

func newPool(p Pool2DParams, largest bool, in, out *Tensor) (Kernel, error) {
	if err := in.check("input"); err != nil {
		return nil, err
	}
	if err := out.check("output"); err != nil {
		return nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	p.DilationH, p.DilationW = 1, 1
	g, err := p.Window.over(in, p.FilterH, p.FilterW)
	if err != nil {
		return nil, err
	}
	if err := g.checkOutput(out, g.inC); err != nil {
		return nil, err
	}
	if in.Type == Float32 {
		return newFloatPool(g, largest, p.Activation)
	}
	if err := sameCodes(in, out); err != nil {
		return nil, err
	}
	k := &pool{geometry: g, largest: largest, signed: in.Type == Int8}
	k.lo, k.hi, err = p.Activation.codes(out)
	return k, err
}

// sameCodes returns an error if in and out do not have the same quantization.
func sameCodes(in, out *Tensor) error {
	if err := in.checkQuantized("input"); err != nil {
		return err
	}
	if err := out.checkQuantized("output"); err != nil {
		return err
	}
	d := in.scale() - out.scale()
	if d < -1e-6 || d > 1e-6 || in.zero() != out.zero() {
		return fmt.Errorf("%w: input has scale %v and zero point %d, output %v and %d; they must be equal", ErrInvalid, in.scale(), in.zero(), out.scale(), out.zero())
	}
	return nil
}

func (k *pool) Parts() int   { return k.n * k.outH }
func (k *pool) Scratch() int { return 0 }

// within returns the part of a window of size k, starting at start, that lies in 0…size.
func within(start, k, size int) (from, to int) {
	return max(start, 0), min(start+k, size)
}

// poolBlock is the number of channels that are pooled at a time.
const poolBlock = 128

// A poolWindow is the part of a window that lies in the image.
type poolWindow struct {
	image, y0, y1, x0, x1 int
}

func (k *pool) Run(a *Args, lo, hi int) {
	in := a.In[0]
	var accs [poolBlock]int32
	var w poolWindow
	for row := lo; row < hi; row++ {
		w.image = row / k.outH
		w.y0, w.y1 = within(row%k.outH*k.StrideH-k.padTop, k.kH, k.inH)
		for ox := range k.outW {
			w.x0, w.x1 = within(ox*k.StrideW-k.padLeft, k.kW, k.inW)
			pixel := a.Out[(row*k.outW+ox)*k.inC:][:k.inC]
			for first := 0; first < k.inC; first += poolBlock {
				acc := accs[:min(poolBlock, k.inC-first)]
				switch {
				case !k.largest:
					k.sum(acc, in, w, first)
				case k.signed:
					poolMax(k, acc, signed(in), w, first)
				default:
					poolMax(k, acc, in, w, first)
				}
				k.store(pixel[first:][:len(acc)], acc, w)
			}
		}
	}
}

// poolMax sets acc to the largest values in the window, for the channels from first on.
func poolMax[T byte | int8](k *pool, acc []int32, in []T, w poolWindow, first int) {
	for i := range acc {
		acc[i] = -128
	}
	for y := w.y0; y < w.y1; y++ {
		for x := w.x0; x < w.x1; x++ {
			v := in[((w.image*k.inH+y)*k.inW+x)*k.inC+first:][:len(acc)]
			for i := range acc {
				acc[i] = max(acc[i], int32(v[i]))
			}
		}
	}
}

// sum sets acc to the sums of the window, for the channels from first on.
func (k *pool) sum(acc []int32, in []byte, w poolWindow, first int) {
	clear(acc)
	lines, n := w.y1-w.y0, w.x1-w.x0
	if n == k.inW { // the lines are adjacent
		lines, n = 1, n*lines
	}
	for y := range lines {
		addRows(acc, in[((w.image*k.inH+w.y0+y)*k.inW+w.x0)*k.inC+first:], n, k.inC, k.signed)
	}
}

// store converts sums or maxima to codes and stores the codes.
func (k *pool) store(out []byte, acc []int32, w poolWindow) {
	count := int32((w.y1 - w.y0) * (w.x1 - w.x0))
	for i, v := range acc {
		switch {
		case k.reciprocal:
			mean := float32(float32(v-count*k.zero) * (1 / float32(count)))
			v = int32(math.RoundToEven(float64(mean))) + k.zero
		case !k.largest:
			v = averaged(v, count)
		}
		out[i] = byte(clamp(v, k.lo, k.hi))
	}
}

// averaged returns sum/count rounded to nearest, ties away from zero.
func averaged(sum, count int32) int32 {
	if sum < 0 {
		return (sum - count/2) / count
	}
	return (sum + count/2) / count
}
