//go:build !purego

package kernels

import (
	"encoding/binary"
	"math"
	"unsafe"
)

const (
	wordStep = 8 // depth of one iteration of the loop over 16-bit values
	tileRows = 4 // rows in a tile of the larger routines
)

// panelProduct implements product for AVX2 and AVX-VNNI, one panel of channels at a time.
type panelProduct struct {
	channels, depth int
	signed          bool
	method          method
	steps           int // iterations of the loop over 16-bit values
	parts           []panelWeights
}

// A method is a way of computing sums.
type method uint8

const (
	// inWords widens inputs and weights to 16 bits. AVX2 multiplies pairs of them into
	// 32-bit sums, which is exact for any weights.
	inWords method = iota
	// inBytes multiplies pairs of an unsigned and a signed byte into 16-bit sums, and
	// adds two of those before widening. That is exact if the four weights of a sum add
	// up to at most 128, positive and negative ones separately: 255·128 < 2¹⁵. Most
	// weights do, because they are concentrated around zero. The excess of the others
	// takes another group of weights. An iteration takes 3/4 of the time of inWords, and
	// inputs need no widening.
	inBytes
	// inDots uses an instruction that adds four products of an unsigned and a signed byte
	// to a 32-bit sum. Weights that do not fit in a byte take another group.
	inDots
)

// panelWeights are the weights of one panel, or of half a panel at the end.
type panelWeights struct {
	panel
	lanes   int
	packed  []byte  // inWords: [pair of depth][lane][2] int16; others: [group][2][lane][4] int8
	offsets []int32 // offsets in a row of each group's 8 inputs; nil for inWords
}

func newAVX2Product(w *weights) product { return newPanelProduct(w, inBytes) }

func newAVXProduct(w *weights) product { return newPanelProduct(w, inDots) }

// newPanelProduct packs weights for the method best, or for inWords if that is faster or
// the only exact one.
func newPanelProduct(w *weights, best method) product {
	if w = w.shiftedLeft(false); w == nil {
		return nil
	}
	m := &panelProduct{channels: w.channels, depth: w.depth, signed: w.signed, method: best, steps: (w.depth + wordStep - 1) / wordStep}
	m.parts = make([]panelWeights, (w.channels+panelChannels-1)/panelChannels)
	most := int16(128) // limit of the weights in one sum
	if best != inBytes {
		most = math.MaxInt16
	}
	groups := 0
	for i := range m.parts {
		p := &m.parts[i]
		p.lanes = panelChannels
		if w.channels-i*panelChannels <= panelChannels/2 {
			p.lanes /= 2
		}
		if w.depth >= wordStep && !(w.signed && best == inBytes) {
			rows := make([][]int16, p.lanes)
			for lane := range rows {
				rows[lane] = p.codes(w, i*panelChannels, lane)
			}
			p.packed, p.offsets = packGroups(rows, w, most)
		}
		groups += len(p.offsets)
	}
	switch limit := m.steps * len(m.parts); {
	case groups == 0, best == inBytes && 3*groups > 4*limit, groups > 2*limit:
		m.method = inWords
	}
	v := *w
	if m.signed && m.method != inWords {
		v.bias = w.shifted(128)
	}
	for i := range m.parts {
		p := &m.parts[i]
		p.panel = newPanel(&v, i*panelChannels, p.lanes == panelChannels, false)
		if m.method == inWords {
			p.packWords(w, i*panelChannels, m.steps)
		}
	}
	return m
}

// codes returns the weights of a lane, or nil if the lane has no channel.
func (p *panelWeights) codes(w *weights, first, lane int) []int16 {
	c := first + laneChannel(lane, p.lanes == panelChannels)
	if c >= w.channels {
		return nil
	}
	return w.codes[c*w.depth:][:w.depth]
}

// packWords packs weights for inWords.
func (p *panelWeights) packWords(w *weights, first, steps int) {
	p.packed, p.offsets = aligned(steps*wordStep*p.lanes*2), nil
	for lane := range p.lanes {
		codes := p.codes(w, first, lane)
		at := 4 * lane
		for ; len(codes) >= 2; codes = codes[2:] {
			binary.LittleEndian.PutUint32(p.packed[at:], uint32(uint16(codes[0]))|uint32(codes[1])<<16)
			at += 4 * p.lanes
		}
		if len(codes) > 0 {
			binary.LittleEndian.PutUint16(p.packed[at:], uint16(codes[0]))
		}
	}
}

// packGroups packs the weights of lanes into groups of 8 bytes for each lane. A lane
// without a channel is nil. most is the limit of the weights in one sum.
func packGroups(lanes [][]int16, w *weights, most int16) (packed []byte, offsets []int32) {
	width := 8 * len(lanes)
	line, lines, pitch := w.depth, 1, 0
	if w.line > 0 {
		line, lines, pitch = w.line, w.depth/w.line, w.pitch
	}
	groups := (line + 7) / 8 * lines
	packed = make([]byte, 0, (groups+groups/8+1)*width)
	left := make([]eight, len(lanes))
	for done := 0; done < w.depth; {
		// The last group of a line starts 8 inputs before its end. Its weights are 0 for
		// inputs that belong to the group before.
		l, at := done/line, done%line
		from := min(at, line-8)
		packed = append(packed, make([]byte, width)...)
		offsets = append(offsets, int32(l*pitch+from))
		group := packed[len(packed)-width:]
		over := false
		for lane, codes := range lanes {
			if codes == nil {
				continue
			}
			v := eight(codes[l*line+from:])
			clear(v[:at-from])
			part := v
			if !v.fit(most) {
				part = v.take(most)
				left[lane] = v
				over = over || v != eight{}
			}
			part.put(group, len(lanes), lane)
		}
		for over {
			over = false
			packed = append(packed, make([]byte, width)...)
			offsets = append(offsets, offsets[len(offsets)-1])
			group := packed[len(packed)-width:]
			for lane := range lanes {
				part := left[lane].take(most)
				part.put(group, len(lanes), lane)
				over = over || left[lane] != eight{}
			}
		}
		done += min(8, line-at)
	}
	exact := aligned(len(packed))
	copy(exact, packed)
	return exact, offsets
}

// eight holds the weights of one channel in a group. One sum has weights 0, 1, 4 and 5,
// the other has the rest.
type eight [8]int16

// fit reports whether one group can hold all of v.
func (v *eight) fit(most int16) bool {
	a, b, c, d := int(v[0]), int(v[1]), int(v[2]), int(v[3])
	e, f, g, h := int(v[4]), int(v[5]), int(v[6]), int(v[7])
	if ((a+128)|(b+128)|(c+128)|(d+128)|(e+128)|(f+128)|(g+128)|(h+128))&^255 != 0 {
		return false
	}
	positive := above(a) + above(b) + above(e) + above(f)
	positive1 := above(c) + above(d) + above(g) + above(h)
	return max(positive, positive1, positive-(a+b+e+f), positive1-(c+d+g+h)) <= int(most)
}

// above returns max(v, 0) without a branch.
func above(v int) int { return v &^ (v >> 63) }

// take removes and returns as much of v as one group can hold.
func (v *eight) take(most int16) (part eight) {
	for pair := 0; pair < 4; pair += 2 {
		positive, negative := most, -most
		for _, k := range [4]int{pair, pair + 1, pair + 4, pair + 5} {
			w := max(min(v[k], positive, 127), negative, -128)
			v[k] -= w
			positive -= max(w, 0)
			negative -= min(w, 0)
			part[k] = w
		}
	}
	return part
}

// put stores v as the bytes of a lane.
func (v *eight) put(group []byte, lanes, lane int) {
	b := func(k int) uint32 { return uint32(uint8(v[k])) }
	binary.LittleEndian.PutUint32(group[4*lane:], b(0)|b(1)<<8|b(2)<<16|b(3)<<24)
	binary.LittleEndian.PutUint32(group[4*(lanes+lane):], b(4)|b(5)<<8|b(6)<<16|b(7)<<24)
}

func (m *panelProduct) panels() int { return len(m.parts) }

func (m *panelProduct) scratch(rows int) int {
	switch {
	case m.method == inWords:
		return rows * m.width()
	case m.signed:
		return rows * m.depth
	}
	return 0
}

// width returns the size of a row in the form that the assembly reads, in bytes.
func (m *panelProduct) width() int {
	if m.method == inWords {
		return m.steps * wordStep * 2
	}
	return m.depth
}

func (m *panelProduct) prepare(scratch, x []byte, stride, rows int) ([]byte, int) {
	to := m.width()
	switch {
	case m.method != inWords && !m.signed:
		return x, stride
	case m.method != inWords:
		flipRows(scratch, x, stride, rows, to)
	case 2*stride == to:
		// The bytes between rows are multiplied by weights of 0.
		n := (rows-1)*stride + m.depth
		widen(scratch[:2*n], x[:n], m.signed)
	default:
		for r := range rows {
			widen(scratch[r*to:][:2*m.depth], x[r*stride:][:m.depth], m.signed)
		}
	}
	return scratch[:rows*to], to
}

// widen stores the bytes of x as int16.
func widen(out, x []byte, signed bool) {
	n := len(x) &^ 15
	switch {
	case n == 0:
	case signed:
		widenSigned(&out[0], &x[0], n/16)
	default:
		widenUnsigned(&out[0], &x[0], n/16)
	}
	for i := n; i < len(x); i++ {
		v := uint16(x[i])
		if signed {
			v = uint16(int8(x[i]))
		}
		binary.LittleEndian.PutUint16(out[2*i:], v)
	}
}

func (m *panelProduct) multiply(x []byte, stride, rows int, out []byte, outStride, from, to int) {
	var block [maxRows * panelChannels]byte
	for i := from; i < to; i++ {
		p := &m.parts[i]
		first := i * panelChannels
		if first+p.lanes <= m.channels {
			m.rows(p, x, stride, rows, out[first:], outStride)
			continue
		}
		m.rows(p, x, stride, rows, block[:], p.lanes)
		for r := range rows {
			copy(out[r*outStride+first:][:m.channels-first], block[r*p.lanes:])
		}
	}
}

// rows computes one panel. Rows left after the last whole tile are computed in a tile that
// overlaps it, if there are enough rows.
func (m *panelProduct) rows(p *panelWeights, x []byte, stride, rows int, out []byte, outStride int) {
	_, _ = out[(rows-1)*outStride+p.lanes-1], x[(rows-1)*stride+m.width()-1]
	if rows < tileRows {
		m.tiles(p, 1, &x[0], stride, rows, &out[0], outStride)
		return
	}
	m.tiles(p, tileRows, &x[0], stride, rows/tileRows, &out[0], outStride)
	if rows%tileRows > 0 {
		first := rows - tileRows
		m.tiles(p, tileRows, &x[first*stride], stride, 1, &out[first*outStride], outStride)
	}
}

// tiles computes tiles of 1 or tileRows rows of one panel.
func (m *panelProduct) tiles(p *panelWeights, rows int, x *byte, stride, tiles int, out *byte, outStride int) {
	q, w := (*byte)(unsafe.Pointer(&p.panel)), &p.packed[0]
	// The names of the routines contain the rows and channels of a tile.
	const x16, many = 1, 2
	size := 0
	if p.lanes == panelChannels {
		size = x16
	}
	if rows == tileRows {
		size |= many
	}
	if m.method == inWords {
		switch size {
		case many | x16:
			words4x16(x, stride, tiles, w, m.steps, q, out, outStride)
		case many:
			words4x8(x, stride, tiles, w, m.steps, q, out, outStride)
		case x16:
			words1x16(x, stride, tiles, w, m.steps, q, out, outStride)
		default:
			words1x8(x, stride, tiles, w, m.steps, q, out, outStride)
		}
		return
	}
	const dots = 4
	if m.method == inDots {
		size |= dots
	}
	offsets, groups := (*byte)(unsafe.Pointer(&p.offsets[0])), len(p.offsets)
	switch size {
	case many | x16:
		bytes4x16(x, stride, tiles, w, offsets, groups, q, out, outStride)
	case many:
		bytes4x8(x, stride, tiles, w, offsets, groups, q, out, outStride)
	case x16:
		bytes1x16(x, stride, tiles, w, offsets, groups, q, out, outStride)
	case 0:
		bytes1x8(x, stride, tiles, w, offsets, groups, q, out, outStride)
	case dots | many | x16:
		vex4x16(x, stride, tiles, w, offsets, groups, q, out, outStride)
	case dots | many:
		vex4x8(x, stride, tiles, w, offsets, groups, q, out, outStride)
	case dots | x16:
		vex1x16(x, stride, tiles, w, offsets, groups, q, out, outStride)
	case dots:
		vex1x8(x, stride, tiles, w, offsets, groups, q, out, outStride)
	}
}
