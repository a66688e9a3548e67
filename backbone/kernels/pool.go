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

type pool struct {
	geometry
	largest bool
	lo, hi  int32
	signed  bool
	// The Edge TPU multiplies the sum less the zero points.
	reciprocal bool
	zero       int32
}

// NewAveragePool2D prepares AVERAGE_POOL_2D of in (n, h, w, c): uint8, int8 or
// float32. Pixels outside of the image do not count.
func NewAveragePool2D(p Pool2DParams, in, out *Tensor) (Kernel, error) {
	k, err := newPool(p, false, in, out)
	if err != nil {
		return nil, fmt.Errorf("average_pool_2d: %w", err)
	}
	return k, nil
}

// NewMaxPool2D prepares MAX_POOL_2D of in (n, h, w, c): uint8, int8 or float32.
func NewMaxPool2D(p Pool2DParams, in, out *Tensor) (Kernel, error) {
	k, err := newPool(p, true, in, out)
	if err != nil {
		return nil, fmt.Errorf("max_pool_2d: %w", err)
	}
	return k, nil
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

// sameCodes verifies that in and out are quantised alike.
func sameCodes(in, out *Tensor) error {
	if err := in.checkQuantised("input"); err != nil {
		return err
	}
	if err := out.checkQuantised("output"); err != nil {
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

func (k *pool) Run(a *Args, lo, hi int) {
	if k.signed {
		runPool(k, signed(a.In[0]), a.Out, lo, hi)
	} else {
		runPool(k, a.In[0], a.Out, lo, hi)
	}
}

// within is the part of a window beginning at start that lies inside 0…size.
func within(start, k, size int) (from, to int) {
	return max(start, 0), min(start+k, size)
}

func runPool[T byte | int8](k *pool, in []T, out []byte, lo, hi int) {
	const block = 128
	var sums [block]int32
	for row := lo; row < hi; row++ {
		image, oy := row/k.outH, row%k.outH
		y0, y1 := within(oy*k.StrideH-k.padTop, k.kH, k.inH)
		for ox := range k.outW {
			x0, x1 := within(ox*k.StrideW-k.padLeft, k.kW, k.inW)
			pixel := out[(row*k.outW+ox)*k.inC:][:k.inC]
			for first := 0; first < k.inC; first += block {
				acc := sums[:min(block, k.inC-first)]
				start := int32(0)
				if k.largest {
					start = -128
				}
				for i := range acc {
					acc[i] = start
				}
				for y := y0; y < y1; y++ {
					for x := x0; x < x1; x++ {
						v := in[((image*k.inH+y)*k.inW+x)*k.inC+first:][:len(acc)]
						if k.largest {
							for i := range acc {
								acc[i] = max(acc[i], int32(v[i]))
							}
						} else {
							for i := range acc {
								acc[i] += int32(v[i])
							}
						}
					}
				}
				count := int32((y1 - y0) * (x1 - x0))
				for i, v := range acc {
					switch {
					case k.reciprocal:
						mean := float32(float32(v-count*k.zero) * (1 / float32(count)))
						v = int32(math.RoundToEven(float64(mean))) + k.zero
					case !k.largest:
						v = averaged(v, count)
					}
					pixel[first+i] = byte(clamp(v, k.lo, k.hi))
				}
			}
		}
	}
}

// averaged is sum/count rounded to nearest, ties away from zero.
func averaged(sum, count int32) int32 {
	if sum < 0 {
		return (sum - count/2) / count
	}
	return (sum + count/2) / count
}
