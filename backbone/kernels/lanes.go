package kernels

import "encoding/binary"

// Plain Go has no vector instructions, but several lanes fit in a register: a 64-bit word
// holds three weights 21 bits apart, and one multiplication by an 8-bit value gives three
// products. The products of laneDepth steps add up to less than 2²¹ if the bytes are
// unsigned. After that many steps, the lanes are added to 32-bit sums. Signed bytes
// become unsigned by adding 128, and the sums are corrected for all zero points at the
// end.
const (
	laneBits  = 21
	laneMask  = 1<<laneBits - 1
	laneDepth = laneMask / (255 * 255) // 32
	laneStep  = 4                      // depth is padded to a multiple of laneStep
	group     = 6                      // output channels, in two words
)

// lanes implements product in plain Go.
type lanes struct {
	channels, depth int
	stride          int         // depth padded to laneStep
	words           [][2]uint64 // [group of channels][stride], then laneDepth more
	weightZero      int32
	requantization
	flip byte // 0x80 if input and output are int8
}

func packLanes(w *weights) *lanes {
	m := &lanes{channels: w.channels, depth: w.depth, weightZero: w.zero, requantization: w.requantization}
	m.stride = (w.depth + laneStep - 1) / laneStep * laneStep
	if w.signed {
		m.flip = 0x80
		m.bias = w.shifted(128)
	}
	m.words = make([][2]uint64, m.panels()*m.stride+laneDepth)
	for c := range w.channels {
		words := m.words[c/group*m.stride:][:w.depth]
		word, shift := c%group/3, c%3*laneBits
		for k, v := range w.codes[c*w.depth:][:w.depth] {
			words[k][word] |= uint64(int32(v)+w.zero) << shift
		}
	}
	return m
}

// panels returns the number of channel groups. The last group may be incomplete.
func (m *lanes) panels() int { return (m.channels + group - 1) / group }

func (m *lanes) scratch(rows int) int {
	if m.flip == 0 && m.depth%laneDepth == 0 {
		return 0
	}
	return rows*m.stride + laneDepth
}

// prepare makes rows unsigned, pads each to a multiple of laneStep and leaves room for
// reads of laneDepth bytes.
func (m *lanes) prepare(scratch, x []byte, stride, rows int) ([]byte, int) {
	if m.flip == 0 && m.depth%laneDepth == 0 {
		return x, stride
	}
	for r := range rows {
		copyFlipped(scratch[r*m.stride:], x[r*stride:][:m.depth], m.flip)
	}
	return scratch, m.stride
}

// multiply relies on the weights being 0 where rows are padded.
func (m *lanes) multiply(x []byte, stride, rows int, out []byte, outStride, from, to int) {
	var rowSum [maxRows]int32
	for r := range rows {
		rowSum[r] = m.weightZero * byteSum(x[r*stride:][:m.depth])
	}
	var sums [2 * group]uint32
	for g := from; g < to; g++ {
		words := m.words[g*m.stride:][:m.stride+laneDepth]
		first := g * group
		n := min(group, m.channels-first)
		for r := 0; r < rows; r += 2 {
			x0 := x[r*stride:]
			x1 := x0
			if r+1 < rows {
				x1 = x[(r+1)*stride:]
			}
			clear(sums[:])
			for k := 0; k < m.stride; k += laneDepth {
				dot2x6(&sums, (*[laneDepth]byte)(x0[k:]), (*[laneDepth]byte)(x1[k:]), (*[laneDepth][2]uint64)(words[k:]), m.stride-k)
			}
			m.store(out[r*outStride+first:][:n], sums[:group], rowSum[r], first)
			if r+1 < rows {
				m.store(out[(r+1)*outStride+first:][:n], sums[group:], rowSum[r+1], first)
			}
		}
	}
}

// store converts sums to output codes and stores the codes.
func (m *lanes) store(out []byte, sums []uint32, rowSum int32, first int) {
	bias := m.bias[first:][:len(out)]
	if m.stage != nil {
		for i := range out {
			out[i] = m.stage.code(int32(sums[i])-rowSum+bias[i], first+i)
		}
		return
	}
	scale := m.scale[first:][:len(out)]
	sums = sums[:len(out)]
	zero, lo, hi := m.outZero, m.lo, m.hi
	for i := range out {
		acc := int32(sums[i]) - rowSum + bias[i]
		out[i] = byte(clamp(scale[i].applyUp(acc)+zero, lo, hi))
	}
}

// dot2x6 adds the products of two rows and six channels to sums, over the next depth
// steps, or laneDepth steps if depth is larger.
func dot2x6(sums *[2 * group]uint32, p, q *[laneDepth]byte, w *[laneDepth][2]uint64, depth int) {
	a0, a1, b0, b1 := laneSums(p, q, w, depth)
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

// laneSums is the innermost loop. As a separate function, with arrays instead of slices
// and four steps unrolled, it keeps its four sums in registers. That is twice as fast as
// the obvious loop.
//
//go:noinline
func laneSums(p, q *[laneDepth]byte, w *[laneDepth][2]uint64, depth int) (a0, a1, b0, b1 uint64) {
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

// byteSum returns the sum of the bytes of x.
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

// copyFlipped copies src to dst with every byte XORed with flip.
func copyFlipped(dst, src []byte, flip byte) {
	if flip == 0 {
		copy(dst, src)
		return
	}
	mask := uint64(flip) * 0x0101010101010101
	dst = dst[:len(src)]
	i := 0
	for ; i+32 <= len(src); i += 32 {
		from, to := (*[32]byte)(src[i:]), (*[32]byte)(dst[i:])
		for k := 0; k < 32; k += 8 {
			binary.LittleEndian.PutUint64(to[k:], binary.LittleEndian.Uint64(from[k:])^mask)
		}
	}
	for ; i < len(src); i++ {
		dst[i] = src[i] ^ flip
	}
}
