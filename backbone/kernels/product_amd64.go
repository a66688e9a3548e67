//go:build !purego

package kernels

import (
	"encoding/binary"
	"unsafe"
)

// wordStep is the depth of one turn of the loop over 16-bit values.
const wordStep = 8

// tileRows is the number of rows of the larger routines.
const tileRows = 4

// wordProduct multiplies in 16 bits: exact for any weights.
type wordProduct struct {
	channels, depth int
	steps           int    // turns of the loop
	packed          []byte // [panel][pair of depth][lane][2] int16
	requants        []panel
	signed          bool
}

func newWordProduct(w *weights) product {
	if !w.tame() {
		return nil
	}
	m := &wordProduct{channels: w.channels, depth: w.depth, steps: (w.depth + wordStep - 1) / wordStep, signed: w.signed}
	m.requants = make([]panel, (w.channels+panelChannels-1)/panelChannels)
	m.packed = aligned(m.start(len(m.requants)))
	for i := range m.requants {
		first, n := i*panelChannels, m.lanes(i)
		m.requants[i] = newPanel(w, w.bias, first, n == panelChannels)
		to := m.packed[m.start(i):m.start(i+1)]
		for lane := range n {
			c := first + laneChannel(lane, n == panelChannels)
			if c >= w.channels {
				continue
			}
			for k, v := range w.codes[c*w.depth:][:w.depth] {
				binary.LittleEndian.PutUint16(to[(k/2*n+lane)*4+k%2*2:], uint16(v))
			}
		}
	}
	return m
}

// lanes is the number of channels that the assembly computes for panel i.
func (m *wordProduct) lanes(i int) int {
	if m.channels-i*panelChannels <= panelChannels/2 {
		return panelChannels / 2
	}
	return panelChannels
}

// start is where the weights of panel i begin.
func (m *wordProduct) start(i int) int {
	lanes := i * panelChannels
	if i == len(m.requants) {
		lanes += m.lanes(i-1) - panelChannels
	}
	return lanes * m.steps * wordStep * 2
}

func (m *wordProduct) panels() int { return len(m.requants) }

func (m *wordProduct) scratch(rows int) int { return rows * m.steps * wordStep * 2 }

func (m *wordProduct) prepare(scratch, x []byte, stride, rows int) ([]byte, int) {
	to := m.steps * wordStep * 2
	scratch = scratch[:rows*to]
	if stride == m.depth && 2*m.depth == to {
		widen(scratch, x[:rows*stride], m.signed)
		return scratch, to
	}
	for r := range rows {
		row := scratch[r*to:][:to]
		widen(row[:2*m.depth], x[r*stride:][:m.depth], m.signed)
		clear(row[2*m.depth:])
	}
	return scratch, to
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

func (m *wordProduct) multiply(x []byte, stride, rows int, out []byte, outStride, from, to int) {
	var block [maxRows * panelChannels]byte
	for i := from; i < to; i++ {
		first, n := i*panelChannels, m.lanes(i)
		w, p := &m.packed[m.start(i)], &m.requants[i]
		if first+n <= m.channels {
			m.run(x, stride, rows, w, p, n, out[first:], outStride)
			continue
		}
		m.run(x, stride, rows, w, p, n, block[:], n)
		for r := range rows {
			copy(out[r*outStride+first:][:m.channels-first], block[r*n:])
		}
	}
}

// run computes one panel. Rows that fill no tile are computed in one that
// begins earlier, if there are as many rows.
func (m *wordProduct) run(x []byte, stride, rows int, w *byte, p *panel, n int, out []byte, outStride int) {
	_ = out[(rows-1)*outStride+n-1]
	_ = x[(rows-1)*stride+m.steps*wordStep*2-1]
	q := (*byte)(unsafe.Pointer(p))
	if rows < tileRows {
		if n == panelChannels {
			words1x16(&x[0], stride, rows, w, m.steps, q, &out[0], outStride)
		} else {
			words1x8(&x[0], stride, rows, w, m.steps, q, &out[0], outStride)
		}
		return
	}
	m.tiles(x, stride, rows/tileRows, w, q, n, out, outStride)
	if rest := rows % tileRows; rest > 0 {
		first := rows - tileRows
		m.tiles(x[first*stride:], stride, 1, w, q, n, out[first*outStride:], outStride)
	}
}

func (m *wordProduct) tiles(x []byte, stride, tiles int, w, q *byte, n int, out []byte, outStride int) {
	if n == panelChannels {
		words4x16(&x[0], stride, tiles, w, m.steps, q, &out[0], outStride)
	} else {
		words4x8(&x[0], stride, tiles, w, m.steps, q, &out[0], outStride)
	}
}
