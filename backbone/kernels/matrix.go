package kernels

import (
	"encoding/binary"
	"fmt"
)

// Plain Go multiplies one pair of integers an instruction, unless several fit
// one register: a 64-bit word carries three weights, 21 bits apart, and one
// multiplication by an 8-bit value gives three products. Products of unsigned
// bytes add up to less than 2²¹ for laneDepth steps; then the lanes are
// emptied into 32-bit sums. Signed bytes are made unsigned by adding 128,
// and zero points are taken out at the end.
const (
	laneBits  = 21
	laneMask  = 1<<laneBits - 1
	laneDepth = laneMask / (255 * 255) // 32
	laneStep  = 4                      // depth is padded to a multiple of it
	group     = 6                      // output channels in two words
)

// maxRows is the number of input rows multiplied in one go.
const maxRows = 64

// A matrix is the right side of a quantised product: channels × depth weights.
type matrix struct {
	channels, depth int
	stride          int         // depth padded to laneStep
	words           [][2]uint64 // [group of channels][stride], laneDepth more at the end
	weightZero      int32       // of the unsigned weights
	bias            []int32     // zero points of the input folded in
	scale           []multiplier
	lo, hi, zero    int32 // of the output
	flip            byte  // 0x80 when input and output are int8
}

// packMatrix takes weights as rows of depth codes, one row per channel.
func packMatrix(weights []byte, channels, depth int, weightType Type, weightZero int32, bias []int32, in *Tensor, scale []multiplier) (*matrix, error) {
	if channels > MaxElements/depth {
		return nil, fmt.Errorf("%w: %d×%d weights", ErrInvalid, channels, depth)
	}
	m := &matrix{channels: channels, depth: depth, weightZero: weightZero, scale: scale}
	m.stride = (depth + laneStep - 1) / laneStep * laneStep
	var flip byte
	if weightType == Int8 {
		flip = 0x80
		m.weightZero += 128
	}
	inZero := in.zero()
	if in.Type == Int8 {
		m.flip = 0x80
		inZero += 128
	}
	m.bias = make([]int32, channels)
	copy(m.bias, bias)
	m.words = make([][2]uint64, m.groups()*m.stride+laneDepth)
	for c := range channels {
		words := m.words[c/group*m.stride:][:depth]
		word, shift := c%group/3, c%3*laneBits
		sum := int32(0)
		for k, w := range weights[c*depth:][:depth] {
			w ^= flip
			sum += int32(w) - m.weightZero
			words[k][word] |= uint64(w) << shift
		}
		m.bias[c] -= sum * inZero
	}
	return m, nil
}

// rowBytes is the memory that multiply needs for rows of input.
func (m *matrix) rowBytes(rows int) int { return rows*m.stride + laneDepth }

// groups is the number of groups of channels, the last perhaps incomplete.
func (m *matrix) groups() int { return (m.channels + group - 1) / group }

// direct reports whether rows of unsigned input can be multiplied where they
// are, without room for padding.
func (m *matrix) direct() bool { return m.depth%laneDepth == 0 }

// rows gives rows of the first input, which has depth columns, to multiply:
// where they are or, to be made unsigned or padded, in the scratch.
func (m *matrix) rows(a *Args, first, rows int) []byte {
	in := a.In[0][first*m.depth:][:rows*m.depth]
	if m.flip == 0 && m.direct() {
		return in
	}
	x := a.Scratch[:m.rowBytes(rows)]
	if m.stride == m.depth {
		copyFlipped(x, in, m.flip)
		return x
	}
	for r := range rows {
		copyFlipped(x[r*m.stride:], in[r*m.depth:][:m.depth], m.flip)
	}
	return x
}

// multiply computes channels of the given groups for up to maxRows rows of x
// and stores them stride apart in out. Rows are unsigned bytes, m.stride apart;
// unless m.direct, laneDepth bytes follow the last. Weights are 0 where rows are
// padded.
func (m *matrix) multiply(x []byte, rows int, out []byte, stride, fromGroup, toGroup int) {
	var rowSum [maxRows]int32
	for r := range rows {
		rowSum[r] = m.weightZero * byteSum(x[r*m.stride:][:m.depth])
	}
	var sums [2 * group]uint32
	for g := fromGroup; g < toGroup; g++ {
		words := m.words[g*m.stride:][:m.stride+laneDepth]
		first := g * group
		n := min(group, m.channels-first)
		for r := 0; r < rows; r += 2 {
			x0 := x[r*m.stride:]
			x1 := x0
			if r+1 < rows {
				x1 = x[(r+1)*m.stride:]
			}
			clear(sums[:])
			for k := 0; k < m.stride; k += laneDepth {
				dot2x6(&sums, (*[laneDepth]byte)(x0[k:]), (*[laneDepth]byte)(x1[k:]), (*[laneDepth][2]uint64)(words[k:]), m.stride-k)
			}
			m.store(out[r*stride+first:][:n], sums[:group], rowSum[r], first)
			if r+1 < rows {
				m.store(out[(r+1)*stride+first:][:n], sums[group:], rowSum[r+1], first)
			}
		}
	}
}

// store scales sums to codes of the output.
func (m *matrix) store(out []byte, sums []uint32, rowSum int32, first int) {
	bias := m.bias[first:][:len(out)]
	scale := m.scale[first:][:len(out)]
	sums = sums[:len(out)]
	zero, lo, hi := m.zero, m.lo, m.hi
	for i := range out {
		acc := int32(sums[i]) - rowSum + bias[i]
		out[i] = byte(clamp(scale[i].applyUp(acc)+zero, lo, hi))
	}
}

// dot2x6 adds the product of two rows and six channels over depth steps, but
// no more than laneDepth, to sums.
func dot2x6(sums *[2 * group]uint32, p, q *[laneDepth]byte, w *[laneDepth][2]uint64, depth int) {
	a0, a1, b0, b1 := lanes(p, q, w, depth)
	sums[0] += uint32(a0 & laneMask)
	sums[1] += uint32(a0 >> laneBits & laneMask)
	sums[2] += uint32(a0 >> (2 * laneBits))
	sums[3] += uint32(a1 & laneMask)
	sums[4] += uint32(a1 >> laneBits & laneMask)
	sums[5] += uint32(a1 >> (2 * laneBits))
	sums[6] += uint32(b0 & laneMask)
	sums[7] += uint32(b0 >> laneBits & laneMask)
	sums[8] += uint32(b0 >> (2 * laneBits))
	sums[9] += uint32(b1 & laneMask)
	sums[10] += uint32(b1 >> laneBits & laneMask)
	sums[11] += uint32(b1 >> (2 * laneBits))
}

// lanes is the inner loop of everything. It is a function of its own, with
// arrays instead of slices and four steps written out, because that is how its
// four sums stay in registers: twice as fast as the obvious loop.
//
//go:noinline
func lanes(p, q *[laneDepth]byte, w *[laneDepth][2]uint64, depth int) (a0, a1, b0, b1 uint64) {
	for k := 0; k < depth && k <= laneDepth-laneStep; k += laneStep {
		u, v := uint64(p[k]), uint64(q[k])
		a0 += u * w[k][0]
		a1 += u * w[k][1]
		b0 += v * w[k][0]
		b1 += v * w[k][1]
		u, v = uint64(p[k+1]), uint64(q[k+1])
		a0 += u * w[k+1][0]
		a1 += u * w[k+1][1]
		b0 += v * w[k+1][0]
		b1 += v * w[k+1][1]
		u, v = uint64(p[k+2]), uint64(q[k+2])
		a0 += u * w[k+2][0]
		a1 += u * w[k+2][1]
		b0 += v * w[k+2][0]
		b1 += v * w[k+2][1]
		u, v = uint64(p[k+3]), uint64(q[k+3])
		a0 += u * w[k+3][0]
		a1 += u * w[k+3][1]
		b0 += v * w[k+3][0]
		b1 += v * w[k+3][1]
	}
	return a0, a1, b0, b1
}

// byteSum adds the bytes of x.
func byteSum(x []byte) int32 {
	const even = 0x00ff00ff00ff00ff
	var sum uint64
	for len(x) >= 8 {
		v := binary.LittleEndian.Uint64(x)
		sum += (v&even + v>>8&even) * 0x0001000100010001 >> 48
		x = x[8:]
	}
	for _, b := range x {
		sum += uint64(b)
	}
	return int32(sum)
}

// copyFlipped copies src to dst with every byte XORed by flip.
func copyFlipped(dst, src []byte, flip byte) {
	if flip == 0 {
		copy(dst, src)
		return
	}
	mask := uint64(flip) * 0x0101010101010101
	dst = dst[:len(src)]
	i := 0
	for ; i+8 <= len(src); i += 8 {
		binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(src[i:])^mask)
	}
	for ; i < len(src); i++ {
		dst[i] = src[i] ^ flip
	}
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
