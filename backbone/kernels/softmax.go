package kernels

import "fmt"

// softmax implements Kernel for SOFTMAX on 8-bit codes.
type softmax struct {
	table        [256]float32 // e^(−scale·beta·i), where i is the distance to the largest code
	rows, n      int
	scale        float32
	zero, lo, hi int32
	flip         byte
}

// NewSoftmax returns a Kernel for SOFTMAX over the last axis, e^(beta·x) divided by the
// sum, on uint8, int8 or float32.
func NewSoftmax(beta float32, in, out *Tensor) (Kernel, error) {
	k, err := newSoftmax(beta, in, out)
	if err != nil {
		return nil, fmt.Errorf("softmax: %w", err)
	}
	return k, nil
}

func newSoftmax(beta float32, in, out *Tensor) (Kernel, error) {
	rows, n, err := rowsOf(in, out)
	if err != nil {
		return nil, err
	}
	if in.Type == Float32 && out.Type == Float32 {
		return &floatSoftmax{rows: rows, n: n, beta: beta}, nil
	}
	if err := checkMapping(in, out); err != nil {
		return nil, err
	}
	if err := sameType(in, out); err != nil {
		return nil, err
	}
	k := &softmax{rows: rows, n: n, scale: out.scale(), zero: out.zero()}
	if in.Type == Int8 {
		k.flip = 0x80
	}
	k.lo, k.hi = out.Type.limits()
	step := float32(-in.scale() * beta)
	for i := range k.table {
		k.table[i] = exp(float32(step * float32(i)))
	}
	return k, nil
}

// rowsOf returns the number of rows along the last axis and their length. It returns an
// error unless in and out are valid operands of the same shape with at least one axis.
func rowsOf(in, out *Tensor) (rows, n int, err error) {
	if err := in.check("input"); err != nil {
		return 0, 0, err
	}
	if err := out.check("output"); err != nil {
		return 0, 0, err
	}
	if err := sameShape(in, out); err != nil {
		return 0, 0, err
	}
	if len(in.Shape) == 0 {
		return 0, 0, fmt.Errorf("%w: input is a scalar", ErrInvalid)
	}
	n = in.Shape[len(in.Shape)-1]
	return in.Elements() / n, n, nil
}

func (k *softmax) Parts() int   { return k.rows }
func (k *softmax) Scratch() int { return 0 }

func (k *softmax) Run(a *Args, lo, hi int) {
	for row := lo; row < hi; row++ {
		in := a.In[0][row*k.n:][:k.n]
		out := a.Out[row*k.n:][:k.n]
		var top byte
		for _, b := range in {
			top = max(top, b^k.flip)
		}
		var sum float32
		for _, b := range in {
			sum += k.table[top-b^k.flip]
		}
		inverse := 1 / float32(sum*k.scale)
		var codes [256]byte // of the distances; a long row has many equal codes
		if k.n > len(codes) {
			for d := range codes {
				codes[d] = k.code(byte(d), inverse)
			}
			for i, b := range in {
				out[i] = codes[top-b^k.flip]
			}
			continue
		}
		for i, b := range in {
			out[i] = k.code(top-b^k.flip, inverse)
		}
	}
}

// code returns the output code for a distance to the largest code.
func (k *softmax) code(distance byte, inverse float32) byte {
	p := float32(k.table[distance] * inverse)
	return byte(clamp(roundToInt(p)+k.zero, k.lo, k.hi))
}
