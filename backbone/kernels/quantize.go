package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
)

// NewQuantize returns a Kernel for QUANTIZE: from float32 to uint8 or int8, or from 8-bit
// codes to codes with another scale, zero point or type.
func NewQuantize(in, out *Tensor) (Kernel, error) {
	k, err := newQuantize(in, out)
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	return k, nil
}

// quantizer implements Kernel for QUANTIZE from float32.
type quantizer struct {
	scale        float32
	zero, lo, hi int32
	n            int
}

func newQuantize(in, out *Tensor) (Kernel, error) {
	if err := in.check("input"); err != nil {
		return nil, err
	}
	if err := out.checkQuantized("output"); err != nil {
		return nil, err
	}
	if err := sameShape(in, out); err != nil {
		return nil, err
	}
	lo, hi := out.Type.limits()
	if in.Type == Float32 {
		return &quantizer{scale: out.scale(), zero: out.zero(), lo: lo, hi: hi, n: in.Elements()}, nil
	}
	if err := in.checkQuantized("input"); err != nil {
		return nil, err
	}
	m, err := newMultiplier(float64(in.scale()) / float64(out.scale()))
	if err != nil {
		return nil, err
	}
	return newMapping(in, lo, hi, func(q int32) int32 {
		return m.apply(q-in.zero()) + out.zero()
	}), nil
}

func (k *quantizer) Parts() int   { return chunks(k.n) }
func (k *quantizer) Scratch() int { return 0 }

func (k *quantizer) Run(a *Args, lo, hi int) {
	from, to := span(lo, hi, k.n)
	scale := float64(k.scale) // TensorFlow Lite divides in float64 here
	for i := from; i < to; i++ {
		q := math.Round(float64(floatAt(a.In[0], i)) / scale)
		a.Out[i] = byte(clamp(saturate32(q+float64(k.zero)), k.lo, k.hi))
	}
}

// NewDequantize returns a Kernel for DEQUANTIZE, from uint8 or int8 to float32.
func NewDequantize(in, out *Tensor) (Kernel, error) {
	k, err := newDequantize(in, out)
	if err != nil {
		return nil, fmt.Errorf("dequantize: %w", err)
	}
	return k, nil
}

// dequantizer implements Kernel for DEQUANTIZE.
type dequantizer struct {
	table [256]float32 // values, indexed by code
	n     int
}

func newDequantize(in, out *Tensor) (Kernel, error) {
	if err := in.checkQuantized("input"); err != nil {
		return nil, err
	}
	if err := out.check("output"); err != nil {
		return nil, err
	}
	if out.Type != Float32 {
		return nil, fmt.Errorf("%w: output is %v, want float32", ErrUnsupported, out.Type)
	}
	if err := sameShape(in, out); err != nil {
		return nil, err
	}
	k := &dequantizer{n: in.Elements()}
	for b := range k.table {
		k.table[b] = in.scale() * float32(code(in.Type, b)-in.zero())
	}
	return k, nil
}

func (k *dequantizer) Parts() int   { return chunks(k.n) }
func (k *dequantizer) Scratch() int { return 0 }

func (k *dequantizer) Run(a *Args, lo, hi int) {
	from, to := span(lo, hi, k.n)
	for i := from; i < to; i++ {
		putFloat(a.Out, i, k.table[a.In[0][i]])
	}
}

// floatAt returns element i of a float32 tensor.
func floatAt(b []byte, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
}

// putFloat sets element i of a float32 tensor.
func putFloat(b []byte, i int, v float32) {
	binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
}
