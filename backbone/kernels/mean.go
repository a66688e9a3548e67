package kernels

import (
	"encoding/binary"
	"fmt"
)

// mean implements Kernel for MEAN.
type mean struct {
	shape, step []int // lengths of the output's axes, and their steps in the input
	reduced     []int // lengths of the axes that are summed
	reducedStep []int // their steps in the input
	outputs     int
	count       int32                 // elements in a sum
	finish      func(sum int32) int32 // converts a sum to a code
	kind        Type
}

// newReduction returns the geometry of a reduction over constant axes, and these axes.
func newReduction(keepDims bool, in, axes, out *Tensor) (*mean, []int, error) {
	if err := in.check("input"); err != nil {
		return nil, nil, err
	}
	if err := out.check("output"); err != nil {
		return nil, nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, nil, err
	}
	list, err := integers("axes", axes)
	if err != nil {
		return nil, nil, err
	}
	reduce := make([]bool, len(in.Shape))
	for _, a := range list {
		if a, err = axisOf(a, len(reduce)); err != nil {
			return nil, nil, err
		}
		reduce[a] = true
	}
	k := &mean{outputs: out.Elements(), count: 1, kind: in.Type}
	var want []int
	for i, step := range strides(in.Shape) {
		d := in.Shape[i]
		if reduce[i] {
			if n := len(k.reduced); n > 0 && k.reducedStep[n-1] == d*step {
				k.reduced[n-1] *= d
				k.reducedStep[n-1] = step
			} else {
				k.reduced, k.reducedStep = append(k.reduced, d), append(k.reducedStep, step)
			}
			k.count *= int32(d)
			if keepDims {
				want = append(want, 1)
			}
			continue
		}
		k.shape, k.step = append(k.shape, d), append(k.step, step)
		want = append(want, d)
	}
	return k, list, checkShape(out, want)
}

// NewMean returns a Kernel for MEAN over constant int32 axes on uint8, int8 or float32.
// Negative axes count from the end.
func NewMean(keepDims bool, in, axes, out *Tensor) (Kernel, error) {
	k, err := newMean(keepDims, in, axes, out)
	if err != nil {
		return nil, fmt.Errorf("mean: %w", err)
	}
	return k, nil
}

func newMean(keepDims bool, in, axes, out *Tensor) (Kernel, error) {
	k, list, err := newReduction(keepDims, in, axes, out)
	if err != nil {
		return nil, err
	}
	if in.Type == Float32 {
		return k, nil
	}
	if err := in.checkQuantized("input"); err != nil {
		return nil, err
	}
	if err := out.checkQuantized("output"); err != nil {
		return nil, err
	}
	// TensorFlow Lite has a separate kernel for the mean over an image.
	image := keepDims && len(list) == 2 && len(in.Shape) == 4 &&
		(list[0] == 1 && list[1] == 2 || list[0] == 2 && list[1] == 1)
	k.finish, err = meanCodes(image, k.count, in, out)
	return k, err
}

// meanCodes returns the function that converts a sum of count codes to an output code.
func meanCodes(image bool, count int32, in, out *Tensor) (func(sum int32) int32, error) {
	lo, hi := out.Type.limits()
	n, zero := float32(count), out.zero()
	same := in.scale() == out.scale() && in.zero() == out.zero()
	ratio := in.scale() / out.scale()
	switch {
	case image && in.Type == Uint8:
		m, err := newMultiplier(float64(in.scale() / float32(n*out.scale())))
		bias := float32(float32(in.zero())*in.scale()) / out.scale()
		rounded := int32(float32(bias + 0.5))
		return func(sum int32) int32 {
			return clamp(m.apply(sum)+zero-rounded, lo, hi)
		}, err
	case image:
		// The sum is first scaled, then divided, and rounded both times.
		m, err := newMultiplier(float64(in.scale()) / float64(out.scale()))
		return func(sum int32) int32 {
			return clamp(averaged(m.apply(sum-count*in.zero()), count)+zero, lo, hi)
		}, err
	case same:
		return func(sum int32) int32 { return sum / count }, nil
	}
	bias := float32(float32(-in.zero()) * ratio)
	return func(sum int32) int32 {
		v := float32(float32(float32(sum)/n)*ratio) + bias
		return clamp(roundToInt(v)+zero, lo, hi)
	}, nil
}

// NewEdgeTPUMean is like [NewMean], but uses the Edge TPU's arithmetic for codes: the stage in Google's
// compiled models has the factor (scale of in · (1 / scale of out)) · (1 / elements in a sum).
func NewEdgeTPUMean(keepDims bool, in, axes, out *Tensor) (Kernel, error) {
	fail := func(err error) (Kernel, error) { return nil, fmt.Errorf("mean: %w", err) }
	k, err := newMean(keepDims, in, axes, out)
	if err != nil {
		return fail(err)
	}
	mean := k.(*mean)
	if mean.kind == Float32 {
		return k, nil
	}
	s, err := newStage(None, out, in.scale())
	if err != nil {
		return fail(err)
	}
	s.Factor[0] = float32(s.Factor[0] * (1 / float32(mean.count)))
	p, err := s.prepare(out.Type, 1)
	if err != nil {
		return fail(err)
	}
	zeros := mean.count * in.zero()
	mean.finish = func(sum int32) int32 { return int32(p.code(sum-zeros, 0)) }
	return k, nil
}

// meanBlock is the number of outputs in a part.
const meanBlock = 64

func (k *mean) Parts() int   { return (k.outputs + meanBlock - 1) / meanBlock }
func (k *mean) Scratch() int { return 0 }

func (k *mean) Run(a *Args, lo, hi int) {
	in := a.In[0]
	var block [meanBlock]int32
	for o, end := lo*meanBlock, min(hi*meanBlock, k.outputs); o < end; {
		at, rest, together := 0, o, 1
		for i := len(k.shape) - 1; i >= 0; i-- {
			if i == len(k.shape)-1 && k.step[i] == 1 && len(k.reduced) == 1 {
				together = min(meanBlock, end-o, k.shape[i]-rest%k.shape[i])
			}
			at += rest % k.shape[i] * k.step[i]
			rest /= k.shape[i]
		}
		switch {
		case k.kind == Float32:
			k.float(a, o, at)
			o++
			continue
		case together == 1:
			block[0] = 0
			for e := range int(k.count) {
				block[0] += code(k.kind, int(in[at+k.offset(e)]))
			}
		default:
			clear(block[:together])
			addRows(block[:together], in[at:], k.reduced[0], k.reducedStep[0], k.kind == Int8)
		}
		for _, sum := range block[:together] {
			a.Out[o] = byte(k.finish(sum))
			o++
		}
	}
}

// offset returns the position of a sum's element e in the input, relative to the sum's
// first element.
func (k *mean) offset(e int) int {
	p := 0
	for i := len(k.reduced) - 1; i >= 0; i-- {
		p += e % k.reduced[i] * k.reducedStep[i]
		e /= k.reduced[i]
	}
	return p
}

// addRows adds to sums each column of rows of bytes that start step bytes apart. It adds
// sixteen columns at a time, in four words of four 16-bit sums.
func addRows(sums []int32, in []byte, rows, step int, signed bool) {
	const most = 256 // rows whose sums fit in 16 bits
	const even = 0x00ff00ff00ff00ff
	flip, bias := uint64(0), int32(0)
	if signed {
		flip, bias = 0x8080808080808080, 128*int32(rows)
	}
	whole := len(sums) &^ 15
	for first := 0; first < whole; first += 16 {
		block := (*[16]int32)(sums[first:])
		for from := 0; from < rows; from += most {
			var a, b, c, d uint64
			at := from*step + first
			for range min(most, rows-from) {
				bytes := (*[16]byte)(in[at:])
				v, w := binary.LittleEndian.Uint64(bytes[:8])^flip, binary.LittleEndian.Uint64(bytes[8:])^flip
				a += v & even
				b += v >> 8 & even
				c += w & even
				d += w >> 8 & even
				at += step
			}
			for i := 0; i < 8; i += 2 {
				block[i] += int32(a & 0xffff)
				block[i+1] += int32(b & 0xffff)
				block[i+8] += int32(c & 0xffff)
				block[i+9] += int32(d & 0xffff)
				a, b, c, d = a>>16, b>>16, c>>16, d>>16
			}
		}
	}
	for i := whole; i < len(sums); i++ {
		for r := range rows {
			sums[i] += int32(in[r*step+i] ^ byte(flip))
		}
	}
	for i := range sums {
		sums[i] -= bias
	}
}

// float computes output o. Its sum starts at element at of the input.
func (k *mean) float(a *Args, o, at int) {
	var total float32
	for e := range int(k.count) {
		total += floatAt(a.In[0], at+k.offset(e))
	}
	putFloat(a.Out, o, total/float32(k.count))
}
