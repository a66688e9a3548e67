package kernels

import (
	"encoding/binary"
	"fmt"
)

// weights are the constant operands of a quantized operator. An implementation packs them
// into its own format and does not keep the original. For input values x as stored in the
// tensor, −128…127 or 0…255, an accumulator is bias + Σ codes·x.
type weights struct {
	channels, depth int
	codes           []int16 // minus the zero point, −255…255: [channels][depth]
	zero            int32   // codes + zero are the weights as unsigned bytes
	signed          bool    // input and output are int8
	// If line > 0, a row consists of lines of line bytes each, which start pitch bytes
	// apart. An implementation that cannot read rows in lines sets line to 0.
	line, pitch int
	// tails means that after the three lines of a row follows memory for another, and for
	// tailsPadding bytes. There, prepare may join the last bytes of the lines. Rows are step
	// bytes apart.
	tails bool
	step  int
	requantization
}

const tailsPadding = 64

// A requantization maps accumulators to output codes.
type requantization struct {
	bias            []int32 // includes the effect of the input's zero point
	scale           []multiplier
	outZero, lo, hi int32
	stage           *stage // if not nil, replaces all fields except bias
}

// newWeights returns the weights in t, one row for each channel. bias may be nil. See
// weightScales for wide.
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

// shifted returns the biases that keep the sums unchanged when by is added to every
// input.
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

// A product multiplies rows of depth bytes by packed weights and stores codes. It rounds
// ties up. A product is immutable.
type product interface {
	// panels returns the number of groups that the channels are divided into.
	panels() int
	// scratch returns the size of the scratch memory that prepare needs for the given
	// number of rows, at most maxRows.
	scratch(rows int) int
	// prepare converts rows, which are stride bytes apart in x, to the form that multiply
	// reads. It returns the converted rows, in x or in scratch, and their stride. The
	// last row ends where x ends. If rows consist of lines, prepare changes x instead of
	// copying it.
	prepare(scratch, x []byte, stride, rows int) ([]byte, int)
	// multiply computes and stores the channels of the panels from ≤ p < to, for rows
	// from prepare. If rows consist of lines, there may be more than maxRows rows. Output
	// row r starts at out[r·outStride]. multiply writes only the channels of these
	// panels.
	multiply(x []byte, stride, rows int, out []byte, outStride, from, to int)
}

// maxRows is the largest number of rows that multiply accepts, unless rows consist of
// lines.
const maxRows = 64

// newProduct returns the product of the chosen implementation.
func newProduct(w *weights) (product, error) {
	i, err := chosen()
	if err != nil {
		return nil, err
	}
	if w.channels > MaxElements/w.depth {
		return nil, fmt.Errorf("%w: %d×%d weights are too many", ErrInvalid, w.channels, w.depth)
	}
	if !i.lines || w.stage != nil {
		w.line = 0
	}
	if i.product != nil && w.stage == nil {
		if p := i.product(w); p != nil && (!i.verify || w.matchesGo(p)) {
			return p, nil
		}
	}
	w.line = 0
	return packLanes(w), nil
}

// matchesGo reports whether p and plain Go produce the same codes for some random rows.
func (w *weights) matchesGo(p product) bool {
	rows := min(max(1<<20/(w.channels*w.depth), 1), 5)
	x, seed := make([]byte, rows*w.depth), uint32(1)
	for i := range x {
		seed = seed*1664525 + 1013904223 // the generator of Numerical Recipes
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

// weightScales returns each channel's factor from accumulators to output codes. If wide
// is set, as for int8 convolutions, all arithmetic is in float64. If not, as for uint8
// and FULLY_CONNECTED, the product of both scales is rounded to float32 first.
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

// biasCodes returns the elements of a constant int32 bias. If bias is nil, it returns
// nil.
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
