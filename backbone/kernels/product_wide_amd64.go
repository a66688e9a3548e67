//go:build !purego

package kernels

import (
	"math"
	"unsafe"
)

// wideRows is the number of rows in a tile of the larger AVX-512 routines.
const wideRows = 8

// wideProduct implements product for AVX-512's dot products of bytes, two vectors of
// channels at a time. The last panel may have only one vector.
type wideProduct struct {
	channels, depth int
	int8            bool // input and output
	signed          bool // the input is signed bytes
	lines           bool
	span            int // bytes from the start of a row to its end
	tails           wideTails
	panels32        []widePanel
	parts           []wideWeights
}

// wideWeights are the weights of one panel.
type wideWeights struct {
	lanes    int
	mask     uint32  // lanes that have channels
	integers bool    // scale in integers
	direct   bool    // scale with a directScale
	shallow  bool    // keep the weights in registers
	quads    int     // number of groups of 4 weights, for the choice of a shallow routine
	packed   []byte  // [group][2][lane][4] int8
	offsets  []int32 // [group][2]: offsets in a row of 4 inputs
}

// newWideProduct packs weights for AVX-512. It leaves rows of few weights, and weights
// that far exceed a byte, to AVX2.
func newWideProduct(w *weights) product {
	v := w.shiftedLeft(false)
	if v == nil {
		return nil
	}
	if w.line > 0 && w.line < wordStep {
		w.line, v.line = 0, 0
	}
	if w.depth < wordStep {
		return newAVX2Product(w)
	}
	m := &wideProduct{channels: w.channels, depth: w.depth, span: w.depth, int8: w.signed, signed: w.signed, lines: w.line > 0}
	if m.lines {
		m.span = (w.depth/w.line-1)*w.pitch + w.line
		if w.tails {
			m.span += w.pitch + 3
			m.setTails(w)
		}
	}
	n := (w.channels + 2*wideLanes - 1) / (2 * wideLanes)
	m.parts, m.panels32 = make([]wideWeights, n), alignedSlice[widePanel](n)
	bias := v.bias
	if m.signed {
		bias = v.shifted(128)
	}
	groups := 0
	for i := range m.parts {
		p, first := &m.parts[i], 2*wideLanes*i
		p.lanes = 2 * wideLanes
		if w.channels-first <= wideLanes {
			p.lanes = wideLanes
		}
		panel := &m.panels32[i]
		panel.limit(v)
		p.mask = uint32(ones(min(p.lanes, w.channels-first)))
		p.direct = panel.setDirect(v, bias, first, p.lanes)
		rows := make([][]int16, p.lanes)
		for lane := range rows {
			c := first + lane
			if p.direct {
				c = first + directChannel(lane, p.lanes)
			}
			if c < w.channels {
				rows[lane] = v.codes[c*w.depth:][:w.depth]
				if p.direct {
					continue
				}
				half, i := &panel.half[lane/wideLanes], lane%wideLanes
				half.set(i, bias[c], v.scale[c], false)
				half.setFloat(i, int32(panel.zero[0]), v.scale[c], v.scale[c].sumShift(false))
				p.integers = p.integers || !v.floats(c, false)
			}
		}
		p.packed, p.offsets, p.quads = packQuads(rows, v)
		if p.quads%2 > 0 && p.quads != 7 {
			p.quads++ // of the odd numbers, only 7 has a shallow routine
		}
		p.shallow = p.direct && p.quads >= 4 && p.quads <= 8
		groups += len(p.offsets) / 2
	}
	if groups > 2*n*(w.depth+7)/8 && !m.lines {
		return newAVX2Product(w)
	}
	m.join()
	return m
}

// wideTails describes how the last bytes of three lines are joined; see weights.tails.
type wideTails struct {
	pitch, first  int    // bytes in a line, and before the first last byte
	vectors, each int    // number of vectors, and bytes in each
	second, third uint64 // bytes of a vector that belong to those lines
}

func (m *wideProduct) setTails(w *weights) {
	t := &m.tails
	t.pitch, t.first = w.pitch, w.line-1
	t.each = vectorBytes / w.step * w.step
	t.vectors = (t.pitch - t.first + t.each - 1) / t.each
	for i := 0; i < t.each; i += w.step {
		t.second |= 2 << i
		t.third |= 4 << i
	}
}

// packQuads packs the weights of lanes into quads of 4 bytes for each lane, an even number of
// them, and returns how many of them hold weights. A lane without a channel is nil. The excess
// of weights that exceed a byte goes into another quad with the same inputs.
func packQuads(lanes [][]int16, w *weights) (packed []byte, offsets []int32, used int) {
	line, pitch, width := w.depth, 0, 4*len(lanes)
	if w.line > 0 {
		line, pitch = w.line, w.pitch
	}
	quads := (line + 3) / 4 * (w.depth / line)
	packed = make([]byte, 0, (quads+quads/8+1)*width)
	left := make([][4]int16, len(lanes))
	for done := 0; done < w.depth; {
		// The last quad of a line ends with the line. Its weights are 0 for inputs that
		// belong to the previous quad.
		l, at := done/line, done%line
		from := min(at, line-4)
		if w.line > 0 && w.tails && at == line-1 {
			done++
			continue
		}
		for lane, codes := range lanes {
			if codes != nil {
				left[lane] = [4]int16(codes[l*line+from:])
				clear(left[lane][:at-from])
			}
		}
		for over := true; over; {
			packed, over = appendQuad(packed, left)
			offsets = append(offsets, int32(l*pitch+from))
		}
		done += min(4, line-at)
	}
	if w.line > 0 && w.tails {
		for lane, codes := range lanes {
			left[lane] = [4]int16{}
			for l := range len(codes) / line {
				left[lane][l] = codes[l*line+line-1]
			}
		}
		for over := true; over; {
			packed, over = appendQuad(packed, left)
			offsets = append(offsets, int32(w.depth/line*pitch+line-1))
		}
	}
	if used = len(offsets); used%2 > 0 {
		packed = append(packed, make([]byte, width)...)
		offsets = append(offsets, offsets[len(offsets)-1])
	}
	exact := aligned(len(packed))
	copy(exact, packed)
	return exact, offsets, used
}

// appendQuad appends as much of the weights in left as one quad can hold, and removes it
// from left. It reports whether weights are left.
func appendQuad(packed []byte, left [][4]int16) (_ []byte, over bool) {
	for lane := range left {
		v := &left[lane]
		part := *v
		if a, b, c, d := int(v[0]), int(v[1]), int(v[2]), int(v[3]); ((a+128)|(b+128)|(c+128)|(d+128))&^255 != 0 {
			for i, code := range part {
				part[i] = max(min(code, math.MaxInt8), math.MinInt8)
			}
			over = true
		}
		packed = append(packed, byte(part[0]), byte(part[1]), byte(part[2]), byte(part[3]))
		for i, code := range part {
			v[i] -= code
		}
	}
	return packed, over
}

// join moves the packed weights of all panels into one allocation, because the assembly
// prefetches the memory after the current panel.
func (m *wideProduct) join() {
	size := 0
	for i := range m.parts {
		size += len(m.parts[i].packed)
	}
	all := aligned(size)
	for i := range m.parts {
		p := &m.parts[i]
		n := copy(all, p.packed)
		p.packed, all = all[:n:n], all[n:]
	}
}

func (m *wideProduct) takesInt8() bool { return m.int8 }

func (m *wideProduct) readUnsigned() { m.signed = false }

func (m *wideProduct) writeUnsigned() {
	for i := range m.panels32 {
		m.panels32[i].setFlip(0)
	}
}

func (m *wideProduct) panels() int { return len(m.parts) }

func (m *wideProduct) scratch(rows int) int {
	if m.signed && !m.lines {
		return rows * m.depth
	}
	return 0
}

func (m *wideProduct) prepare(scratch, x []byte, stride, rows int) ([]byte, int) {
	if m.lines && m.signed {
		flipAll(x, x)
	}
	if t := &m.tails; t.vectors > 0 {
		_ = x[4*t.pitch+tailsPadding-1]
		joinTails(&x[3*t.pitch+t.first], &x[t.first], t.pitch, t.vectors, t.each, t.second, t.third)
	}
	if m.lines || !m.signed {
		return x, stride
	}
	return flipRows(scratch, x, stride, rows, m.depth), m.depth
}

// flipRows converts rows of depth int8 codes, stride bytes apart in x, to uint8 codes in
// scratch.
func flipRows(scratch, x []byte, stride, rows, depth int) []byte {
	scratch = scratch[:rows*depth]
	if stride == depth {
		flipAll(scratch, x[:len(scratch)])
		return scratch
	}
	for r := range rows {
		flipAll(scratch[r*depth:][:depth], x[r*stride:][:depth])
	}
	return scratch
}

// flipAll copies x to out with the upper bit of every byte flipped.
func flipAll(out, x []byte) {
	n := len(x) &^ 31
	if n > 0 {
		_ = out[n-1]
		flipBytes(&out[0], &x[0], n/32)
	}
	copyFlipped(out[n:], x[n:], 0x80)
}

func (m *wideProduct) multiply(x []byte, stride, rows int, out []byte, outStride, from, to int) {
	_ = x[(rows-1)*stride+m.span-1]
	for i := from; i < to; i++ {
		first, p := i*2*wideLanes, &m.parts[i]
		_ = out[(rows-1)*outStride+min(first+2*wideLanes, m.channels)-1]
		tile := wideRows
		if p.shallow {
			tile = vectorBytes / p.lanes
		}
		whole := rows / tile
		m.tiles(i, tile, x, stride, whole, out[first:], outStride)
		// One or two remaining rows are computed one by one. More than two are computed
		// in a tile that overlaps the previous tile.
		done := whole * tile
		if rows-done > 2 && whole > 0 {
			last := rows - tile
			m.tiles(i, tile, x[last*stride:], stride, 1, out[last*outStride+first:], outStride)
		} else if done < rows {
			m.tiles(i, 1, x[done*stride:], stride, rows-done, out[done*outStride+first:], outStride)
		}
	}
}

// tiles computes tiles of one panel. They have a single row, or as many as the panel's routine
// computes together.
func (m *wideProduct) tiles(i, rows int, x []byte, stride, tiles int, out []byte, outStride int) {
	if tiles == 0 {
		return
	}
	p := &m.parts[i]
	q, w := (*byte)(unsafe.Pointer(&m.panels32[i])), &p.packed[0]
	offsets, groups := (*byte)(unsafe.Pointer(&p.offsets[0])), len(p.offsets)/2
	switch two := p.lanes == 2*wideLanes; {
	case p.shallow && rows > 1:
		p.shallowTiles(&x[0], stride, tiles, q, &out[0], outStride)
	case p.direct && rows > 1 && two && p.mask>>24 == 0:
		direct8x24(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask)
	case p.direct && rows > 1 && two:
		direct8x32(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask)
	case p.direct && rows > 1:
		direct8x16(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask)
	case p.direct && two:
		direct1x32(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask)
	case p.direct:
		direct1x16(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask)
	case rows > 1 && two && p.mask>>24 == 0:
		wide8x24(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask, p.integers)
	case rows > 1 && two:
		wide8x32(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask, p.integers)
	case rows > 1:
		wide8x16(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask, p.integers)
	case two:
		wide1x32(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask, p.integers)
	default:
		wide1x16(&x[0], stride, tiles, w, offsets, groups, q, &out[0], outStride, p.mask, p.integers)
	}
}

// shallowTiles computes tiles of a shallow panel.
func (p *wideWeights) shallowTiles(x *byte, stride, tiles int, panel, out *byte, outStride int) {
	w, offsets := &p.packed[0], (*byte)(unsafe.Pointer(&p.offsets[0]))
	switch [2]int{p.quads, p.lanes / wideLanes} {
	case [2]int{4, 1}:
		shallow4x16(x, stride, tiles, w, offsets, panel, out, outStride, p.mask)
	case [2]int{4, 2}:
		shallow4x32(x, stride, tiles, w, offsets, panel, out, outStride, p.mask)
	case [2]int{6, 1}:
		shallow6x16(x, stride, tiles, w, offsets, panel, out, outStride, p.mask)
	case [2]int{6, 2}:
		shallow6x32(x, stride, tiles, w, offsets, panel, out, outStride, p.mask)
	case [2]int{7, 1}:
		shallow7x16(x, stride, tiles, w, offsets, panel, out, outStride, p.mask)
	case [2]int{7, 2}:
		shallow7x32(x, stride, tiles, w, offsets, panel, out, outStride, p.mask)
	case [2]int{8, 1}:
		shallow8x16(x, stride, tiles, w, offsets, panel, out, outStride, p.mask)
	default:
		shallow8x32(x, stride, tiles, w, offsets, panel, out, outStride, p.mask)
	}
}
