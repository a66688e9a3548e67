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
	group     = 6                      // output channels in two words
)

// maxRows is the number of input rows multiplied in one go.
const maxRows = 64

// A matrix is the right side of a quantised product: channels × depth weights.
type matrix struct {
	channels, depth int
	words           [][2]uint64 // [group of channels][depth]
	weightZero      int32       // of the unsigned weights
	bias            []int32     // zero points of the input folded in
	scale           []multiplier
	lo, hi, zero    int32 // of the output
	flip            byte  // 0x80 when input and output are int8
	tiesAway        bool  // gemmlowp's second rounding, not ruy's
}

// packMatrix takes weights as rows of depth codes, one row per channel.
func packMatrix(weights []byte, channels, depth int, weightType Type, weightZero int32, bias []int32, in *Tensor, scale []multiplier) (*matrix, error) {
	if channels > MaxElements/depth {
		return nil, fmt.Errorf("%w: %d×%d weights", ErrInvalid, channels, depth)
	}
	m := &matrix{channels: channels, depth: depth, weightZero: weightZero, scale: scale}
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
	groups := (channels + group - 1) / group
	m.words = make([][2]uint64, groups*depth)
	for c := range channels {
		words := m.words[c/group*depth:][:depth]
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

// multiply computes channels of the given groups for up to maxRows rows of x
// (unsigned bytes, depth apart) and stores them stride apart in out.
func (m *matrix) multiply(x []byte, rows int, out []byte, stride, fromGroup, toGroup int) {
	depth := m.depth
	var rowSum [maxRows]int32
	for r := range rows {
		rowSum[r] = m.weightZero * byteSum(x[r*depth:][:depth])
	}
	var sums [2 * group]uint32
	for g := fromGroup; g < toGroup; g++ {
		words := m.words[g*depth:][:depth]
		first := g * group
		n := min(group, m.channels-first)
		for r := 0; r < rows; r += 2 {
			x0 := x[r*depth:][:depth]
			x1 := x0
			if r+1 < rows {
				x1 = x[(r+1)*depth:][:depth]
			}
			dot2x6(&sums, x0, x1, words)
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
	for i := range out {
		s := scale[i]
		acc := int32(sums[i]) - rowSum + bias[i]
		v := int64(s.doublingHigh(acc))
		if s.right != 0 {
			if m.tiesAway {
				v += v >> 63
			}
			v = (v + 1<<((s.right-1)&31)) >> (s.right & 31)
		}
		out[i] = byte(clamp(int32(v)+m.zero, m.lo, m.hi))
	}
}

// dot2x6 multiplies two rows by six channels.
func dot2x6(sums *[2 * group]uint32, x0, x1 []byte, words [][2]uint64) {
	clear(sums[:])
	for len(x0) > 0 {
		n := min(len(x0), laneDepth)
		if len(x1) < n || len(words) < n {
			return
		}
		var a0, a1, b0, b1 uint64
		p, q, w := x0[:n], x1[:n], words[:n]
		for k := range p {
			u, v := uint64(p[k]), uint64(q[k])
			w0, w1 := w[k][0], w[k][1]
			a0 += u * w0
			a1 += u * w1
			b0 += v * w0
			b1 += v * w1
		}
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
		x0, x1, words = x0[n:], x1[n:], words[n:]
	}
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
