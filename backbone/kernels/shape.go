package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// reshaping implements Kernel for RESHAPE, SQUEEZE and EXPAND_DIMS, which copy the
// elements in order.
type reshaping struct{ bytes int }

// NewReshape returns a Kernel for RESHAPE, SQUEEZE or EXPAND_DIMS to the shape of out. If
// the number of elements differs, it returns an error (tensorflow#124982,
// tensorflow#61902).
func NewReshape(in, out *Tensor) (Kernel, error) {
	if err := in.check("reshape: input"); err != nil {
		return nil, err
	}
	if err := out.check("reshape: output"); err != nil {
		return nil, err
	}
	if in.Type != out.Type {
		return nil, fmt.Errorf("reshape: %w: %v to %v", ErrInvalid, in.Type, out.Type)
	}
	if in.Elements() != out.Elements() {
		return nil, fmt.Errorf("reshape: %w: input with shape %v has %d elements, output with shape %v has %d", ErrInvalid, in.Shape, in.Elements(), out.Shape, out.Elements())
	}
	return &reshaping{bytes: in.Bytes()}, nil
}

func (k *reshaping) Parts() int   { return chunks(k.bytes) }
func (k *reshaping) Scratch() int { return 0 }

func (k *reshaping) Run(a *Args, lo, hi int) {
	from, to := span(lo, hi, k.bytes)
	copy(a.Out[from:to], a.In[0][from:to])
}

// padding implements Kernel for PAD and PADV2.
type padding struct {
	// in and out are the lengths of the axes, and before is the padding in front of each
	// axis, outermost first. The last axis is counted in bytes.
	in, out, before []int
	value           []byte // the padding value, one element
	rows            int    // number of rows in the output
}

// NewPad returns a Kernel for PAD or, if value is not nil, PADV2. paddings is a constant
// int32 or int64 tensor of shape (axes, 2), and value a constant of one element. PAD
// fills with the zero point, or 0 if in is not quantized.
func NewPad(in, paddings, value, out *Tensor) (Kernel, error) {
	k, err := newPad(in, paddings, value, out)
	if err != nil {
		return nil, fmt.Errorf("pad: %w", err)
	}
	return k, nil
}

func newPad(in, paddings, value, out *Tensor) (Kernel, error) {
	if err := in.check("input"); err != nil {
		return nil, err
	}
	if err := out.check("output"); err != nil {
		return nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	if in.Type.quantized() && len(in.Scale) > 0 {
		if err := sameCodes(in, out); err != nil {
			return nil, err
		}
	}
	axes := len(in.Shape)
	p, err := integers("paddings", paddings)
	if err != nil {
		return nil, err
	}
	if axes == 0 || len(out.Shape) != axes || !slices.Equal(paddings.Shape, []int{axes, 2}) {
		return nil, fmt.Errorf("%w: input has shape %v, paddings %v and output %v", ErrInvalid, in.Shape, paddings.Shape, out.Shape)
	}
	k := &padding{rows: 1}
	for i, d := range in.Shape {
		before, after := p[2*i], p[2*i+1]
		if before < 0 || after < 0 || before > MaxElements || after > MaxElements || d+before+after != out.Shape[i] {
			return nil, fmt.Errorf("%w: axis of length %d with padding %d and %d, but the output has length %d", ErrInvalid, d, before, after, out.Shape[i])
		}
		k.in, k.out, k.before = append(k.in, d), append(k.out, out.Shape[i]), append(k.before, before)
	}
	for _, d := range out.Shape[:axes-1] {
		k.rows *= d
	}
	size := in.Type.Size()
	k.in[axes-1] *= size
	k.out[axes-1] *= size
	k.before[axes-1] *= size
	switch {
	case value != nil:
		if err := value.check("value"); err != nil {
			return nil, err
		}
		if value.Type != in.Type || value.Elements() != 1 || value.Data == nil {
			return nil, fmt.Errorf("%w: padding value is not a constant with one %v element", ErrUnsupported, in.Type)
		}
		k.value = append(k.value, value.Data...)
	case in.Type.quantized():
		k.value = []byte{byte(in.zero())}
	default:
		k.value = make([]byte, size)
	}
	return k, nil
}

// maxIntegers is the maximum length of a list of axes, lengths or the like.
const maxIntegers = 1 << 14

// integers returns the elements of a constant int32 or int64 tensor, saturated to 32 bits.
func integers(name string, t *Tensor) ([]int, error) {
	if err := t.check(name); err != nil {
		return nil, err
	}
	if t.Data == nil {
		return nil, fmt.Errorf("%w: %s is not constant", ErrUnsupported, name)
	}
	if n := t.Elements(); n > maxIntegers {
		return nil, fmt.Errorf("%w: %s has %d elements", ErrUnsupported, name, n)
	}
	v := make([]int, t.Elements())
	for i := range v {
		switch t.Type {
		case Int32:
			v[i] = int(int32(binary.LittleEndian.Uint32(t.Data[4*i:])))
		case Int64:
			v[i] = int(min(max(int64(binary.LittleEndian.Uint64(t.Data[8*i:])), math.MinInt32), math.MaxInt32))
		default:
			return nil, fmt.Errorf("%w: %s has element type %v", ErrUnsupported, name, t.Type)
		}
	}
	return v, nil
}

func (k *padding) Parts() int   { return k.rows }
func (k *padding) Scratch() int { return 0 }

func (k *padding) Run(a *Args, lo, hi int) {
	last := len(k.out) - 1
	for row := lo; row < hi; row++ {
		out := a.Out[row*k.out[last]:][:k.out[last]]
		from, step, rest, inside := 0, k.in[last], row, true
		for i := last - 1; i >= 0; i-- {
			at := rest%k.out[i] - k.before[i]
			rest /= k.out[i]
			inside = inside && at >= 0 && at < k.in[i]
			from += at * step
			step *= k.in[i]
		}
		if !inside {
			k.fill(out)
			continue
		}
		before, n := k.before[last], k.in[last]
		k.fill(out[:before])
		copy(out[before:], a.In[0][from:][:n])
		k.fill(out[before+n:])
	}
}

func (k *padding) fill(b []byte) {
	for i := range b {
		b[i] = k.value[i%len(k.value)]
	}
}

// concatenation implements Kernel for CONCATENATION.
type concatenation struct {
	rows    int
	widths  []int        // bytes in a row of each input
	row     int          // bytes in a row of the output
	mapping []*[256]byte // from codes of each input to codes of the output; nil if they do not change
}

// NewConcatenation returns a Kernel for CONCATENATION along axis, which counts from the
// end if negative. uint8 inputs may be quantized differently from the output, but int8
// inputs may not.
func NewConcatenation(act Activation, axis int, in []*Tensor, out *Tensor) (Kernel, error) {
	k, err := newConcatenation(act, axis, in, out)
	return named("concatenation", k, err)
}

func newConcatenation(act Activation, axis int, in []*Tensor, out *Tensor) (*concatenation, error) {
	if act != None {
		return nil, fmt.Errorf("%w: fused activation", ErrUnsupported)
	}
	if err := out.check("output"); err != nil {
		return nil, err
	}
	axes := len(out.Shape)
	if axis < 0 {
		axis += axes
	}
	if axis < 0 || axis >= axes || len(in) == 0 {
		return nil, fmt.Errorf("%w: cannot concatenate %d inputs along axis %d of %d axes", ErrInvalid, len(in), axis, axes)
	}
	k := &concatenation{rows: 1}
	for _, d := range out.Shape[:axis] {
		k.rows *= d
	}
	k.row = out.Bytes() / k.rows
	total := 0
	for i, t := range in {
		if err := t.check("input"); err != nil {
			return nil, err
		}
		if err := sameType(t, out); err != nil {
			return nil, err
		}
		if len(t.Shape) != axes {
			return nil, fmt.Errorf("%w: input %d has shape %v, output %v", ErrInvalid, i, t.Shape, out.Shape)
		}
		for j, d := range t.Shape {
			if j != axis && d != out.Shape[j] {
				return nil, fmt.Errorf("%w: input %d has shape %v, output %v", ErrInvalid, i, t.Shape, out.Shape)
			}
		}
		total += t.Shape[axis]
		k.widths = append(k.widths, t.Bytes()/k.rows)
		table, err := rescaled(t, out)
		if err != nil {
			return nil, err
		}
		k.mapping = append(k.mapping, table)
	}
	if total != out.Shape[axis] {
		return nil, fmt.Errorf("%w: inputs have length %d along axis %d, output %d", ErrInvalid, total, axis, out.Shape[axis])
	}
	return k, nil
}

// rescaled returns a table that maps codes of in to codes of out, or nil if the codes do
// not change.
func rescaled(in, out *Tensor) (*[256]byte, error) {
	if !in.Type.quantized() || len(in.Scale) == 0 && len(out.Scale) == 0 {
		return nil, nil
	}
	if err := in.checkQuantized("input"); err != nil {
		return nil, err
	}
	if err := out.checkQuantized("output"); err != nil {
		return nil, err
	}
	if in.scale() == out.scale() && in.zero() == out.zero() {
		return nil, nil
	}
	if in.Type == Int8 {
		return nil, fmt.Errorf("%w: int8 input has scale %v and zero point %d, output %v and %d", ErrUnsupported, in.scale(), in.zero(), out.scale(), out.zero())
	}
	factor := float32(in.scale() * (1 / out.scale()))
	bias := float32(float32(-in.zero()) * factor)
	lo, hi := out.Type.limits()
	return &newMapping(in, lo, hi, func(q int32) int32 {
		return roundToInt(float32(float32(q)*factor)+bias) + out.zero()
	}).table, nil
}

func (k *concatenation) Parts() int   { return k.rows }
func (k *concatenation) Scratch() int { return 0 }

func (k *concatenation) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		out := a.Out[row*k.row:][:k.row]
		for i, n := range k.widths {
			in := a.In[i][row*n:][:n]
			if table := k.mapping[i]; table == nil {
				copy(out, in)
			} else {
				for j, b := range in {
					out[j] = table[b]
				}
			}
			out = out[n:]
		}
	}
}
