package kernels

import (
	"fmt"
	"math"
)

// This file contains the float32 forms of operators. They match TensorFlow Lite to a few
// units in the last place, not bit for bit, because the order of TensorFlow Lite's sums
// depends on the processor. Sums of products are float64. The product of two float32
// values is exact in float64, so fusing it with an addition makes no difference.

func clampFloat(v, lo, hi float32) float32 { return min(max(v, lo), hi) }

// floatBounds returns the smallest and the largest value that act allows.
func floatBounds(act Activation) (lo, hi float32, err error) {
	l, h, err := act.bounds()
	return float32(l), float32(h), err
}

// floats returns the elements of a float32 tensor.
func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = floatAt(b, i)
	}
	return v
}

// floatWeights returns the elements of constant weights and of their bias. A nil bias
// counts as zeros.
func floatWeights(weights, bias *Tensor, channels int) (w, b []float32, err error) {
	if err := weights.check("weights"); err != nil {
		return nil, nil, err
	}
	if weights.Type != Float32 || weights.Data == nil {
		return nil, nil, fmt.Errorf("%w: weights for float32 input are not constant float32", ErrUnsupported)
	}
	if b, err = floatBias(bias, channels); err != nil {
		return nil, nil, err
	}
	return floats(weights.Data), b, nil
}

// floatBias returns the elements of a constant float32 bias. A nil bias counts as zeros.
func floatBias(bias *Tensor, channels int) ([]float32, error) {
	b := make([]float32, channels)
	if bias == nil {
		return b, nil
	}
	if err := bias.check("bias"); err != nil {
		return nil, err
	}
	if bias.Type != Float32 || bias.Data == nil {
		return nil, fmt.Errorf("%w: bias for float32 input is not constant float32", ErrUnsupported)
	}
	if bias.Elements() != channels {
		return nil, fmt.Errorf("%w: bias has %d elements, want %d", ErrInvalid, bias.Elements(), channels)
	}
	copy(b, floats(bias.Data))
	return b, nil
}

type floatFullyConnected struct {
	batch, channels, depth int
	weights, bias          []float32
	lo, hi                 float32
}

func newFloatFullyConnected(p FullyConnectedParams, in, weights, bias, out *Tensor) (Kernel, error) {
	for _, t := range []*Tensor{in, weights, out} {
		if err := t.check("operand"); err != nil {
			return nil, err
		}
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	k := &floatFullyConnected{}
	var err error
	if k.batch, k.channels, k.depth, err = productShape(in, weights, out); err != nil {
		return nil, err
	}
	if k.weights, k.bias, err = floatWeights(weights, bias, k.channels); err != nil {
		return nil, err
	}
	k.lo, k.hi, err = floatBounds(p.Activation)
	return k, err
}

func (k *floatFullyConnected) Parts() int   { return k.batch }
func (k *floatFullyConnected) Scratch() int { return 0 }

func (k *floatFullyConnected) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		in := a.In[0][4*row*k.depth:][:4*k.depth]
		for c := range k.channels {
			sum := float64(k.bias[c])
			for i, w := range k.weights[c*k.depth:][:k.depth] {
				sum += float64(floatAt(in, i)) * float64(w)
			}
			putFloat(a.Out, row*k.channels+c, clampFloat(float32(sum), k.lo, k.hi))
		}
	}
}

type floatConv struct {
	geometry
	depthwise     bool
	channels, per int // per is the number of filter channels or the depth multiplier
	weights, bias []float32
	lo, hi        float32
}

func newFloatConv(w Window, act Activation, depthwise bool, in, filter, bias, out *Tensor) (Kernel, error) {
	g, channels, per, err := floatGeometry(w, depthwise, in, filter, out)
	if err != nil {
		return nil, err
	}
	k := &floatConv{geometry: g, depthwise: depthwise, channels: channels, per: per}
	if k.weights, k.bias, err = floatWeights(filter, bias, k.channels); err != nil {
		return nil, err
	}
	k.lo, k.hi, err = floatBounds(act)
	return k, err
}

// floatGeometry checks the operands of a convolution of float32 values. per is the number
// of filter channels or the depth multiplier.
func floatGeometry(w Window, depthwise bool, in, filter, out *Tensor) (g geometry, channels, per int, err error) {
	for _, t := range []*Tensor{in, filter, out} {
		if err := t.check("operand"); err != nil {
			return g, 0, 0, err
		}
	}
	if err := sameType(in, out); err != nil {
		return g, 0, 0, err
	}
	if len(filter.Shape) != 4 {
		return g, 0, 0, fmt.Errorf("%w: filter has shape %v, want 4 axes", ErrInvalid, filter.Shape)
	}
	if g, err = w.over(in, filter.Shape[1], filter.Shape[2]); err != nil {
		return g, 0, 0, err
	}
	channels, per = filter.Shape[0], filter.Shape[3]
	ok := g.inC == per
	if depthwise {
		channels = filter.Shape[3]
		per = channels / g.inC
		ok = filter.Shape[0] == 1 && channels == per*g.inC && per > 0
	}
	if !ok {
		return g, 0, 0, fmt.Errorf("%w: filter has shape %v for %d input channels", ErrInvalid, filter.Shape, g.inC)
	}
	return g, channels, per, g.checkOutput(out, channels)
}

func (k *floatConv) Parts() int   { return k.n * k.outH }
func (k *floatConv) Scratch() int { return 0 }

func (k *floatConv) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		for ox := range k.outW {
			for c := range k.channels {
				v := k.at(a.In[0], row/k.outH, row%k.outH, ox, c)
				putFloat(a.Out, (row*k.outW+ox)*k.channels+c, clampFloat(v, k.lo, k.hi))
			}
		}
	}
}

// at returns channel c of output pixel (oy, ox), before the activation.
func (k *floatConv) at(in []byte, image, oy, ox, c int) float32 {
	sum := float64(k.bias[c])
	for ky := range k.kH {
		y := oy*k.StrideH - k.padTop + ky*k.DilationH
		if y < 0 || y >= k.inH {
			continue
		}
		for kx := range k.kW {
			x := ox*k.StrideW - k.padLeft + kx*k.DilationW
			if x < 0 || x >= k.inW {
				continue
			}
			pixel := ((image*k.inH+y)*k.inW + x) * k.inC
			if k.depthwise {
				sum += float64(floatAt(in, pixel+c/k.per)) * float64(k.weights[(ky*k.kW+kx)*k.channels+c])
				continue
			}
			for i, w := range k.weights[((c*k.kH+ky)*k.kW+kx)*k.inC:][:k.inC] {
				sum += float64(floatAt(in, pixel+i)) * float64(w)
			}
		}
	}
	return float32(sum)
}

type floatPool struct {
	geometry
	largest bool // MAX_POOL_2D
	square  bool // L2_POOL_2D
	lo, hi  float32
}

func newFloatPool(g geometry, largest bool, act Activation) (Kernel, error) {
	k := &floatPool{geometry: g, largest: largest}
	var err error
	k.lo, k.hi, err = floatBounds(act)
	return k, err
}

func (k *floatPool) Parts() int   { return k.n * k.outH }
func (k *floatPool) Scratch() int { return 0 }

func (k *floatPool) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		image, oy := row/k.outH, row%k.outH
		y0, y1 := within(oy*k.StrideH-k.padTop, k.kH, k.inH)
		for ox := range k.outW {
			x0, x1 := within(ox*k.StrideW-k.padLeft, k.kW, k.inW)
			for c := range k.inC {
				var sum float32
				largest := float32(math.Inf(-1))
				for y := y0; y < y1; y++ {
					for x := x0; x < x1; x++ {
						v := floatAt(a.In[0], ((image*k.inH+y)*k.inW+x)*k.inC+c)
						if k.square {
							sum += float32(v * v) // without fused multiply-add
							continue
						}
						sum += v
						largest = max(largest, v)
					}
				}
				v := sum / float32((y1-y0)*(x1-x0))
				switch {
				case k.largest:
					v = largest
				case k.square:
					v = float32(math.Sqrt(float64(v)))
				}
				putFloat(a.Out, (row*k.outW+ox)*k.inC+c, clampFloat(v, k.lo, k.hi))
			}
		}
	}
}

type floatBinary struct {
	plan   broadcast
	kind   byte
	lo, hi float32
}

func newFloatBinary(kind byte, act Activation, plan broadcast) (Kernel, error) {
	k := &floatBinary{plan: plan, kind: kind}
	var err error
	k.lo, k.hi, err = floatBounds(act)
	return k, err
}

func (k *floatBinary) Parts() int   { return k.plan.parts() }
func (k *floatBinary) Scratch() int { return 0 }

func (k *floatBinary) Run(a *Args, lo, hi int) {
	for p := lo; p < hi; p++ {
		r := k.plan.part(p)
		for i := range r.n {
			x, y := floatAt(a.In[0], r.a+i*r.stepA), floatAt(a.In[1], r.b+i*r.stepB)
			putFloat(a.Out, r.out+i, clampFloat(calculate(k.kind, x, y), k.lo, k.hi))
		}
	}
}

type floatSoftmax struct {
	rows, n int
	beta    float32
}

func (k *floatSoftmax) Parts() int   { return k.rows }
func (k *floatSoftmax) Scratch() int { return 0 }

func (k *floatSoftmax) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		in, out := a.In[0][4*row*k.n:][:4*k.n], a.Out[4*row*k.n:][:4*k.n]
		top := float32(math.Inf(-1))
		for i := range k.n {
			top = max(top, floatAt(in, i))
		}
		var sum float32
		for i := range k.n {
			e := exp(float32((floatAt(in, i) - top) * k.beta))
			sum += e
			putFloat(out, i, e)
		}
		for i := range k.n {
			putFloat(out, i, floatAt(out, i)/sum)
		}
	}
}

type floatL2 struct{ rows, n int }

func (k *floatL2) Parts() int   { return k.rows }
func (k *floatL2) Scratch() int { return 0 }

func (k *floatL2) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		in, out := a.In[0][4*row*k.n:][:4*k.n], a.Out[4*row*k.n:][:4*k.n]
		var squares float32
		for i := range k.n {
			v := floatAt(in, i)
			squares += float32(v * v)
		}
		// TensorFlow Lite divides by at least 10⁻⁶.
		length := max(float32(math.Sqrt(float64(squares))), 1e-6)
		for i := range k.n {
			putFloat(out, i, floatAt(in, i)/length)
		}
	}
}

type floatMapping struct {
	n int
	f func(float32) float32
}

func newFloatMapping(in, out *Tensor, f func(float32) float32) (Kernel, error) {
	if err := in.check("input"); err != nil {
		return nil, err
	}
	if err := out.check("output"); err != nil {
		return nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	return &floatMapping{n: in.Elements(), f: f}, sameShape(in, out)
}

func (k *floatMapping) Parts() int   { return chunks(k.n) }
func (k *floatMapping) Scratch() int { return 0 }

func (k *floatMapping) Run(a *Args, lo, hi int) {
	from, to := span(lo, hi, k.n)
	for i := from; i < to; i++ {
		putFloat(a.Out, i, k.f(floatAt(a.In[0], i)))
	}
}
