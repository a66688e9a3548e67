package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
)

// cast implements Kernel for CAST.
type cast struct {
	from, to Type
	n        int
}

// NewCast returns a Kernel for CAST, which converts elements to the type of out and
// ignores quantization. float32 is truncated toward zero. int32 and int64 lose their upper
// bits.
func NewCast(in, out *Tensor) (Kernel, error) {
	if err := in.check("cast: input"); err != nil {
		return nil, err
	}
	if err := out.check("cast: output"); err != nil {
		return nil, err
	}
	if err := sameShape(in, out); err != nil {
		return nil, fmt.Errorf("cast: %w", err)
	}
	if in.Type == Float32 && out.Type.quantized() {
		// In C, the result for values that do not fit is undefined.
		return nil, fmt.Errorf("cast: %w: float32 to %v", ErrUnsupported, out.Type)
	}
	return &cast{from: in.Type, to: out.Type, n: in.Elements()}, nil
}

func (k *cast) Parts() int   { return chunks(k.n) }
func (k *cast) Scratch() int { return 0 }

func (k *cast) Run(a *Args, lo, hi int) {
	from, to := span(lo, hi, k.n)
	for i := from; i < to; i++ {
		if k.from == Float32 && k.to == Float32 {
			putFloat(a.Out, i, floatAt(a.In[0], i))
			continue
		}
		v := k.load(a.In[0], i)
		switch k.to {
		case Float32:
			putFloat(a.Out, i, float32(v))
		case Int32:
			binary.LittleEndian.PutUint32(a.Out[4*i:], uint32(v))
		case Int64:
			binary.LittleEndian.PutUint64(a.Out[8*i:], uint64(v))
		default:
			a.Out[i] = byte(v)
		}
	}
}

// load returns element i of in.
func (k *cast) load(in []byte, i int) int64 {
	switch k.from {
	case Float32:
		return int64(saturate32(math.Trunc(float64(floatAt(in, i)))))
	case Int32:
		return int64(int32(binary.LittleEndian.Uint32(in[4*i:])))
	case Int64:
		return int64(binary.LittleEndian.Uint64(in[8*i:]))
	}
	return int64(code(k.from, int(in[i])))
}
