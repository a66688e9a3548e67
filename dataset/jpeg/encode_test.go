package jpeg

import (
	"encoding/binary"
	"image"
	"math"
)

// encoder writes baseline JPEGs with any sampling factors and the standard Huffman tables.
// We found no other encoder that can do this. All quantization factors are 1.
type encoder struct {
	width, height int
	factors       [3][2]int // h, v of each component
	sample        func(c int, x, y float64) float64
	noTables      bool // omit the Huffman tables
	dnl           bool // define the height after the scan
	oneByOne      bool // write a scan for each component
	restart       int  // restart interval in MCUs, or 0

	b    []byte
	acc  uint32
	bits int
	dc   [3]int
}

// encode returns the JPEG file, with EOI at the end.
func (e *encoder) encode() []byte {
	e.b = []byte{0xff, 0xd8}
	quant := make([]byte, 65)
	for i := range 64 {
		quant[1+i] = 1
	}
	e.segment(markerDQT, quant...)
	if !e.noTables {
		for slot := range 2 {
			e.segment(markerDHT, append([]byte{byte(slot)}, standardDC[slot]...)...)
			e.segment(markerDHT, append([]byte{0x10 | byte(slot)}, standardAC[slot]...)...)
		}
	}
	height := e.height
	if e.dnl {
		height = 0
	}
	sof := []byte{8, byte(height >> 8), byte(height), byte(e.width >> 8), byte(e.width), 3}
	for c, f := range e.factors {
		sof = append(sof, byte(c+1), byte(f[0]<<4|f[1]), 0)
	}
	e.segment(markerSOF0, sof...)
	if e.restart > 0 {
		e.segment(markerDRI, byte(e.restart>>8), byte(e.restart))
	}
	scans := [][]int{{0, 1, 2}}
	if e.oneByOne {
		scans = [][]int{{0}, {1}, {2}}
	}
	for i, components := range scans {
		e.scan(components)
		if e.dnl && i == 0 {
			e.segment(markerDNL, byte(e.height>>8), byte(e.height))
		}
	}
	return append(e.b, 0xff, 0xd9)
}

func (e *encoder) segment(marker byte, s ...byte) {
	e.b = append(e.b, 0xff, marker)
	e.b = append(binary.BigEndian.AppendUint16(e.b, uint16(len(s)+2)), s...)
}

func (e *encoder) scan(components []int) {
	header := []byte{byte(len(components))}
	for _, c := range components {
		header = append(header, byte(c+1), byte(min(c, 1)*0x11))
	}
	e.segment(markerSOS, append(header, 0, 63, 0)...)
	h, v := e.maxFactors()
	mcus := image.Pt(ceilDiv(e.width, 8*h), ceilDiv(e.height, 8*v))
	if len(components) == 1 {
		f := e.factors[components[0]]
		mcus = image.Pt(ceilDiv(ceilDiv(e.width*f[0], h), 8), ceilDiv(ceilDiv(e.height*f[1], v), 8))
	}
	e.dc = [3]int{}
	for n := range mcus.X * mcus.Y {
		if e.restart > 0 && n > 0 && n%e.restart == 0 {
			e.flush()
			e.b = append(e.b, 0xff, markerRST0+byte(n/e.restart-1)&7)
			e.dc = [3]int{}
		}
		for _, c := range components {
			f := e.factors[c]
			if len(components) == 1 {
				f = [2]int{1, 1}
			}
			for i := range f[0] * f[1] {
				e.block(c, n%mcus.X*f[0]+i%f[0], n/mcus.X*f[1]+i/f[0])
			}
		}
	}
	e.flush()
}

// maxFactors returns the largest sampling factors.
func (e *encoder) maxFactors() (h, v int) {
	for _, f := range e.factors {
		h, v = max(h, f[0]), max(v, f[1])
	}
	return h, v
}

// block writes block (x, y) of component c.
func (e *encoder) block(c, bx, by int) {
	h, v := e.maxFactors()
	// A sample lies in the center of the pixels that it covers.
	sx, sy := float64(h)/float64(e.factors[c][0]), float64(v)/float64(e.factors[c][1])
	var s [8][8]float64
	for y := range 8 {
		for x := range 8 {
			px, py := (float64(8*bx+x)+0.5)*sx-0.5, (float64(8*by+y)+0.5)*sy-0.5
			s[y][x] = e.sample(c, min(px, float64(e.width-1)), min(py, float64(e.height-1))) - 128
		}
	}
	var q [64]int
	for k, at := range natural {
		u, w := int(at)%8, int(at)/8
		sum := 0.0
		for y := range 8 {
			for x := range 8 {
				sum += s[y][x] * basis(x, u, 8) * basis(y, w, 8)
			}
		}
		q[k] = int(math.Round(sum / 8))
	}
	table := min(c, 1)
	diff := q[0] - e.dc[c]
	e.dc[c] = q[0]
	e.code(standardDC[table], 0, diff)
	run := 0
	for k := 1; k < 64; k++ {
		if q[k] == 0 {
			run++
			continue
		}
		for ; run > 15; run -= 16 {
			e.symbol(standardAC[table], 0xf0)
		}
		e.code(standardAC[table], run, q[k])
		run = 0
	}
	if run > 0 {
		e.symbol(standardAC[table], 0)
	}
}

// code writes a run of zeros and the value v after them, as a Huffman code and the bits of v.
func (e *encoder) code(table []byte, run, v int) {
	size, bits := 0, v
	for a := max(v, -v); a > 0; a >>= 1 {
		size++
	}
	if v < 0 {
		bits = v + 1<<size - 1
	}
	e.symbol(table, byte(run<<4|size))
	e.put(bits, size)
}

// symbol writes the Huffman code of a symbol (T.81 C.2).
func (e *encoder) symbol(table []byte, symbol byte) {
	code, at := 0, 16
	for n := 1; n <= 16; n++ {
		for range table[n-1] {
			if table[at] == symbol {
				e.put(code, n)
				return
			}
			code, at = code+1, at+1
		}
		code <<= 1
	}
	panic("the standard tables lack the symbol")
}

func (e *encoder) put(v, n int) {
	for i := n - 1; i >= 0; i-- {
		e.acc, e.bits = e.acc<<1|uint32(v>>i&1), e.bits+1
		if e.bits == 8 {
			e.b = append(e.b, byte(e.acc))
			if byte(e.acc) == 0xff {
				e.b = append(e.b, 0)
			}
			e.acc, e.bits = 0, 0
		}
	}
}

// flush fills the last byte with ones and writes it.
func (e *encoder) flush() {
	for e.bits > 0 {
		e.put(1, 1)
	}
}
