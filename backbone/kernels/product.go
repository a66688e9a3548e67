package kernels

import (
	"encoding/binary"
	"fmt"
)

// weights are the constant side of a quantised operator, for an implementation
// to pack: it keeps nothing of them. With x the value of an input byte as it is
// in the tensor, −128…127 or 0…255, an accumulator is bias + Σ codes·x.
type weights struct {
	channels, depth int
	codes           []int16 // less their zero point, −255…255: [channels][depth]
	zero            int32   // code + zero is the weight as an unsigned byte
	signed          bool    // input and output are int8
	// With line > 0 a row is made of lines of so many bytes, of which each begins
	// pitch after the one before. Who does not pack for that sets line to 0: rows
	// are then whole.
	line, pitch int
	requantisation
}

// A requantisation brings accumulators to output codes.
type requantisation struct {
	bias            []int32 // zero points of the input folded in
	scale           []multiplier
	outZero, lo, hi int32
	stage           *stage // in place of all but bias, if not nil
}

// newWeights takes rows of depth weights, one row per channel, and bias or nil.
func newWeights(t *Tensor, channels int, bias []int32, in, out *Tensor, act Activation, wide bool, s *Stage) (*weights, error) {
	w := &weights{channels: channels, depth: len(t.Data) / channels, zero: t.zero(), signed: in.Type == Int8}
	if t.Type == Int8 {
		w.zero += 128
	}
	var err error
	if s != nil {
		if w.stage, err = s.prepare(out.Type, channels); err != nil {
			return nil, err
		}
	} else {
		if w.scale, err = weightScales(in, t, out, channels, wide); err != nil {
			return nil, err
		}
		if w.lo, w.hi, err = act.codes(out); err != nil {
			return nil, err
		}
		w.outZero = out.zero()
	}
	w.bias = make([]int32, channels)
	copy(w.bias, bias)
	w.codes = make([]int16, len(t.Data))
	zero, flip := w.zero, byte(0)
	if t.Type == Int8 {
		flip = 0x80
	}
	for c := range channels {
		sum := int32(0)
		codes := w.codes[c*w.depth:][:w.depth]
		for k, b := range t.Data[c*w.depth:][:w.depth] {
			v := int32(b^flip) - zero
			codes[k] = int16(v)
			sum += v
		}
		w.bias[c] -= sum * in.zero()
	}
	return w, nil
}

// shifted is the bias for inputs that have by added to every value.
func (w *weights) shifted(by int32) []int32 {
	bias := make([]int32, w.channels)
	for c := range bias {
		sum := int32(0)
		for _, v := range w.codes[c*w.depth:][:w.depth] {
			sum += int32(v)
		}
		bias[c] = w.bias[c] - by*sum
	}
	return bias
}

// A product multiplies rows of depth bytes by packed weights and stores codes,
// ties rounded up. It is immutable.
type product interface {
	// panels is the number of pieces into which the channels divide.
	panels() int
	// scratch is the number of bytes prepare needs for rows, at most maxRows.
	scratch(rows int) int
	// prepare gives rows, stride bytes apart in x, the form that multiply reads:
	// x and stride themselves or a copy in scratch. The last row ends with x. If
	// rows are of lines, x is changed instead.
	prepare(scratch, x []byte, stride, rows int) ([]byte, int)
	// multiply computes the channels of panels from ≤ p < to for rows that
	// prepare gave, which may be more than maxRows if they are of lines, and stores
	// them. Row r begins at out[r·outStride]; nothing
	// but the channels of these panels is written.
	multiply(x []byte, stride, rows int, out []byte, outStride, from, to int)
}

// maxRows is the number of input rows multiplied in one go.
const maxRows = 64

// newProduct packs weights the best way.
func newProduct(w *weights) (product, error) {
	i, err := chosen()
	if err != nil {
		return nil, err
	}
	if w.channels > MaxElements/w.depth {
		return nil, fmt.Errorf("%w: %d×%d weights", ErrInvalid, w.channels, w.depth)
	}
	if !i.lines || w.stage != nil {
		w.line = 0
	}
	if i.product != nil && w.stage == nil {
		if p := i.product(w); p != nil && (!i.tried || w.agrees(p)) {
			return p, nil
		}
	}
	w.line = 0
	return packLanes(w), nil
}

// agrees reports whether p computes some rows as plain Go does.
func (w *weights) agrees(p product) bool {
	rows := min(max(1<<20/(w.channels*w.depth), 1), 5)
	x, seed := make([]byte, rows*w.depth), uint32(1)
	for i := range x {
		seed = seed*1664525 + 1013904223 // Numerical Recipes' generator
		x[i] = byte(seed >> 24)
	}
	out := make([]byte, rows*w.channels)
	prepared, stride := p.prepare(make([]byte, p.scratch(rows)), x, w.depth, rows)
	p.multiply(prepared, stride, rows, out, w.channels, 0, p.panels())
	for r := range rows {
		row := x[r*w.depth:][:w.depth]
		for c := range w.channels {
			acc := w.bias[c]
			for k, code := range w.codes[c*w.depth:][:w.depth] {
				v := int32(row[k])
				if w.signed {
					v = int32(int8(row[k]))
				}
				acc += int32(code) * v
			}
			if out[r*w.channels+c] != byte(clamp(w.scale[c].applyUp(acc)+w.outZero, w.lo, w.hi)) {
				return false
			}
		}
	}
	return true
}

// weightScales gives the factors from accumulator to output code for each of
// the channels. int8 convolutions compute in float64 throughout; uint8 and
// FULLY_CONNECTED round the product of both scales to float32 first.
func weightScales(in, weights, out *Tensor, channels int, wide bool) ([]multiplier, error) {
	m := make([]multiplier, channels)
	for c := range m {
		ws := weights.Scale[0]
		if len(weights.Scale) > 1 {
			ws = weights.Scale[c]
		}
		product := float64(float32(in.scale() * ws))
		if wide {
			product = float64(in.scale()) * float64(ws)
		}
		var err error
		if m[c], err = newMultiplier(product / float64(out.scale())); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// biasCodes checks and reads a constant bias of int32; nil gives nil.
func biasCodes(bias *Tensor, channels int) ([]int32, error) {
	if bias == nil {
		return nil, nil
	}
	if err := bias.check("bias"); err != nil {
		return nil, err
	}
	if bias.Type != Int32 {
		return nil, fmt.Errorf("%w: bias is %v, want int32", ErrUnsupported, bias.Type)
	}
	if bias.Elements() != channels {
		return nil, fmt.Errorf("%w: bias has %d elements, want %d", ErrInvalid, bias.Elements(), channels)
	}
	if bias.Data == nil {
		return nil, fmt.Errorf("%w: bias is not constant", ErrUnsupported)
	}
	return int32s(bias.Data), nil
}

func int32s(b []byte) []int32 {
	v := make([]int32, len(b)/4)
	for i := range v {
		v[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}
