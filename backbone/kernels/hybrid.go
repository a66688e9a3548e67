package kernels

import (
	"fmt"
	"math"
)

// This file contains the dynamic-range forms of operators, which have float32 inputs and
// outputs and int8 weights. Each batch of the input is quantized to int8 when the
// operator runs. The sums are exact integers, which are then scaled to float32. Results
// equal those of TensorFlow Lite 2.9 bit for bit. Source: its kernels/conv.cc,
// depthwise_conv.cc, fully_connected.cc and internal/reference/portable_tensor_utils.cc.

// isHybrid reports whether an operator has float32 input and quantized weights.
func isHybrid(in, weights *Tensor) bool {
	return in != nil && weights != nil && in.Type == Float32 && weights.Type.quantized()
}

// hybridWeights are the constants of a dynamic-range operator.
type hybridWeights struct {
	codes      []int8
	scale      []float32 // one, or one for each channel
	bias       []float32
	asymmetric bool // the input is quantized with a zero point
	lo, hi     float32
}

// newHybridWeights checks the operands and copies the constants. If there is more than
// one scale, the scales are along axis.
func newHybridWeights(act Activation, in, weights, bias, out *Tensor, channels, axis int) (*hybridWeights, error) {
	for _, t := range []*Tensor{in, weights, out} {
		if err := t.check("operand"); err != nil {
			return nil, err
		}
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	switch {
	case weights.Type != Int8:
		return nil, fmt.Errorf("%w: %v weights for float32 input", ErrUnsupported, weights.Type)
	case weights.Data == nil:
		return nil, fmt.Errorf("%w: weights are not constant", ErrUnsupported)
	case len(weights.Scale) != 1 && (len(weights.Scale) != channels || weights.Axis != axis):
		return nil, fmt.Errorf("%w: weights of shape %v have %d scales along axis %d", ErrInvalid, weights.Shape, len(weights.Scale), weights.Axis)
	}
	for _, z := range weights.ZeroPoint {
		if z != 0 {
			return nil, fmt.Errorf("%w: int8 weights have zero point %d", ErrUnsupported, z)
		}
	}
	h := &hybridWeights{codes: make([]int8, len(weights.Data)), scale: append([]float32(nil), weights.Scale...)}
	copy(h.codes, signed(weights.Data))
	var err error
	if h.bias, err = floatBias(bias, channels); err != nil {
		return nil, err
	}
	h.lo, h.hi, err = floatBounds(act)
	return h, err
}

// factor returns the factor that converts sums of channel c to float32. in is the scale
// of the input.
func (h *hybridWeights) factor(in float32, c int) float32 {
	if len(h.scale) == 1 {
		c = 0
	}
	return in * h.scale[c]
}

// value returns the output of channel c. The product is rounded before the bias is added.
func (h *hybridWeights) value(sum int32, factor float32, c int) float32 {
	return clampFloat(float32(float32(sum)*factor)+h.bias[c], h.lo, h.hi)
}

// quantizeFloats quantizes the float32 values in src to int8 codes in dst, one for each
// value. A code represents the value scale·(code − zero).
func quantizeFloats(dst []int8, src []byte, asymmetric bool) (scale float32, zero int32) {
	lo, hi := floatAt(src, 0), floatAt(src, 0)
	for i := range dst {
		v := floatAt(src, i)
		lo, hi = min(lo, v), max(hi, v)
	}
	if asymmetric {
		return quantizeAsymmetric(dst, src, math.Min(0, float64(lo)), math.Max(0, float64(hi)))
	}
	largest := max(float32(math.Abs(float64(lo))), float32(math.Abs(float64(hi))))
	if largest == 0 || largest != largest {
		clear(dst)
		return 1, 0
	}
	inverse := 127 / largest
	for i := range dst {
		dst[i] = int8(clamp(roundToInt(floatAt(src, i)*inverse), -127, 127))
	}
	return largest / 127, 0
}

// quantizeAsymmetric quantizes values in lo…hi, a range that includes 0, with a zero
// point.
func quantizeAsymmetric(dst []int8, src []byte, lo, hi float64) (scale float32, zero int32) {
	const least, most = -128, 127
	if lo == hi || math.IsNaN(lo) || math.IsNaN(hi) {
		clear(dst)
		return 1, 0
	}
	step := (hi - lo) / (most - least)
	// One zero point represents lo exactly and another hi. Choose the one with the
	// smaller error.
	at := least - lo/step
	if !(-least+math.Abs(lo/step) < most+math.Abs(hi/step)) {
		at = most - hi/step
	}
	switch {
	case at <= least:
		zero = least
	case at >= most:
		zero = most
	default:
		zero = int32(math.Round(at))
	}
	scale = float32(step)
	inverse := 1 / scale
	for i := range dst {
		dst[i] = int8(clamp(roundToInt(float32(zero)+float32(floatAt(src, i)*inverse)), least, most))
	}
	return scale, zero
}

// hybridFullyConnected implements Kernel for FULLY_CONNECTED with int8 weights and
// float32 input.
type hybridFullyConnected struct {
	*hybridWeights
	batch, channels, depth int
}

func newHybridFullyConnected(p FullyConnectedParams, in, weights, bias, out *Tensor) (Kernel, error) {
	if len(weights.Scale) > 1 {
		return nil, fmt.Errorf("%w: int8 weights for float32 input have a scale for each channel", ErrUnsupported)
	}
	batch, channels, depth, err := hybridShape(in, weights, out)
	if err != nil {
		return nil, err
	}
	h, err := newHybridWeights(p.Activation, in, weights, bias, out, channels, 0)
	if err != nil {
		return nil, err
	}
	h.asymmetric = p.AsymmetricInputs
	return &hybridFullyConnected{h, batch, channels, depth}, nil
}

// hybridShape is like productShape, but also checks each operand.
func hybridShape(in, weights, out *Tensor) (batch, channels, depth int, err error) {
	for _, t := range []*Tensor{in, weights, out} {
		if err := t.check("operand"); err != nil {
			return 0, 0, 0, err
		}
	}
	return productShape(in, weights, out)
}

func (k *hybridFullyConnected) Parts() int   { return min(k.channels, 8) }
func (k *hybridFullyConnected) Scratch() int { return k.depth }

func (k *hybridFullyConnected) Run(a *Args, lo, hi int) {
	from, to := lo*k.channels/k.Parts(), hi*k.channels/k.Parts()
	x := signed(a.Scratch[:k.depth])
	for row := range k.batch {
		scale, zero := quantizeFloats(x, a.In[0][4*row*k.depth:][:4*k.depth], k.asymmetric)
		for c := from; c < to; c++ {
			sum := int32(0)
			for i, w := range k.codes[c*k.depth:][:k.depth] {
				sum += (int32(x[i]) - zero) * int32(w)
			}
			putFloat(a.Out, row*k.channels+c, k.value(sum, k.factor(scale, c), c))
		}
	}
}

// hybridConv implements Kernel for CONV_2D and DEPTHWISE_CONV_2D with int8 weights and
// float32 input.
type hybridConv struct {
	geometry
	*hybridWeights
	depthwise     bool
	channels, per int // per is the number of filter channels or the depth multiplier
}

func newHybridConv(w Window, act Activation, depthwise bool, in, filter, bias, out *Tensor) (Kernel, error) {
	g, channels, per, err := floatGeometry(w, depthwise, in, filter, out)
	if err != nil {
		return nil, err
	}
	axis := 0
	if depthwise {
		axis = 3
		if len(filter.Scale) != channels {
			return nil, fmt.Errorf("%w: int8 weights for float32 input have %d scales, want one for each of %d channels", ErrUnsupported, len(filter.Scale), channels)
		}
	}
	k := &hybridConv{geometry: g, depthwise: depthwise, channels: channels, per: per}
	if k.hybridWeights, err = newHybridWeights(act, in, filter, bias, out, channels, axis); err != nil {
		return nil, err
	}
	if !depthwise && len(filter.Scale) > 1 && uniform(filter.Scale) {
		// TensorFlow Lite 2.9 treats equal scales as a single scale.
		return nil, fmt.Errorf("%w: int8 weights for float32 input have %d equal scales", ErrUnsupported, len(filter.Scale))
	}
	k.asymmetric = len(filter.Scale) > 1 || depthwise
	return k, nil
}

func uniform(v []float32) bool {
	for _, x := range v {
		if x != v[0] {
			return false
		}
	}
	return true
}

// imageSize returns the number of values in one image of the input.
func (k *hybridConv) imageSize() int { return k.inH * k.inW * k.inC }

// Parts returns a small number, because each run quantizes a whole image.
func (k *hybridConv) Parts() int   { return min(k.n*k.outH, 16) }
func (k *hybridConv) Scratch() int { return k.imageSize() }

func (k *hybridConv) Run(a *Args, lo, hi int) {
	rows, image := k.n*k.outH, -1
	x := signed(a.Scratch[:k.imageSize()])
	var scale float32
	var zero int32
	for row := lo * rows / k.Parts(); row < hi*rows/k.Parts(); row++ {
		if row/k.outH != image {
			image = row / k.outH
			scale, zero = quantizeFloats(x, a.In[0][4*image*len(x):][:4*len(x)], k.asymmetric)
		}
		for ox := range k.outW {
			for c := range k.channels {
				v := float32(k.sum(x, zero, row%k.outH, ox, c))
				if k.depthwise { // multiply by one scale, then by the other
					v = float32(float32(v*scale)*k.scale[c]) + k.bias[c]
				} else {
					v = float32(v*k.factor(scale, c)) + k.bias[c]
				}
				putFloat(a.Out, (row*k.outW+ox)*k.channels+c, clampFloat(v, k.lo, k.hi))
			}
		}
	}
}

// sum returns the sum of channel c of an output pixel. Pixels outside of the image equal
// the zero point and add nothing.
func (k *hybridConv) sum(x []int8, zero int32, oy, ox, c int) int32 {
	sum := int32(0)
	for ky := range k.kH {
		y := oy*k.StrideH - k.padTop + ky*k.DilationH
		if y < 0 || y >= k.inH {
			continue
		}
		for kx := range k.kW {
			px := ox*k.StrideW - k.padLeft + kx*k.DilationW
			if px < 0 || px >= k.inW {
				continue
			}
			pixel := x[(y*k.inW+px)*k.inC:][:k.inC]
			if k.depthwise {
				sum += (int32(pixel[c/k.per]) - zero) * int32(k.codes[(ky*k.kW+kx)*k.channels+c])
				continue
			}
			for i, w := range k.codes[((c*k.kH+ky)*k.kW+kx)*k.inC:][:k.inC] {
				sum += (int32(pixel[i]) - zero) * int32(w)
			}
		}
	}
	return sum
}
