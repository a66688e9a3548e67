package jpeg

import (
	"bytes"
	"encoding/binary"
)

// lookahead is the length in bits of the longest code that one table lookup decodes.
const lookahead = 10

// huffman decodes the symbols of one table (T.81 annex C).
type huffman struct {
	// byBits maps the next bits of the file to symbol·256 + length of the code, or to 0 if the
	// code is longer than lookahead.
	byBits [1 << lookahead]uint16
	// A code of n bits, padded with zeros to 16 bits, satisfies
	// limit[n-1] ≤ code < limit[n].
	limit [17]uint32
	// The symbol of a code of n bits is symbols[first[n]+code].
	first   [17]int
	symbols [256]byte

	// skips speeds up skipping coefficients. It maps the next bits of the file to the run of AC
	// coefficients that these bits contain completely. A value is count·256 + length in bits,
	// plus skipsEnd if the run ends the block. The end then counts as one more coefficient. A
	// value of 0 means that coefficients must be read one by one.
	skips    [1 << skipBits]uint16
	hasSkips bool
	defined  bool
}

const (
	skipBits = 11
	skipsEnd = 0x80
)

// prepareSkips computes h.skips if necessary.
func (h *huffman) prepareSkips() {
	if h.hasSkips {
		return
	}
	h.hasSkips = true
	for i := range h.skips {
		acc := uint64(i) << (64 - skipBits)
		bits, coefficients := 0, 0
		end := uint16(0)
		for end == 0 {
			e := h.byBits[acc>>(64-lookahead)]
			length, size, run := int(e&255), int(e>>8)&15, int(e>>12)
			if e == 0 || bits+length+size > skipBits || size == 0 && run > 0 && run < 15 {
				break
			}
			if size == 0 && run == 0 {
				end = skipsEnd
			}
			bits += length + size
			coefficients += run + 1
			acc <<= length + size
		}
		if coefficients <= 64 {
			h.skips[i] = uint16(coefficients)<<8 | end | uint16(bits)
		}
	}
}

// huffmanTables reads Huffman tables (T.81 B.2.4.2).
func (d *Decoder) huffmanTables(s []byte) error {
	for len(s) > 0 {
		if len(s) < 17 {
			return invalid("Huffman table of %d bytes", len(s))
		}
		class, slot := s[0]>>4, s[0]&15
		if class > 1 || slot > 3 || d.jpg.baseline && slot > 1 {
			return invalid("Huffman table %d of class %d", slot, class)
		}
		h := &d.dc[slot]
		if class == 1 {
			h = &d.ac[slot]
		}
		n, err := h.define(s[1:])
		if err != nil {
			return err
		}
		s = s[1+n:]
	}
	return nil
}

// define reads a table from s and returns its size in bytes.
func (h *huffman) define(s []byte) (int, error) {
	codes := 0
	for _, n := range s[:16] {
		codes += int(n)
	}
	if codes == 0 || codes > 256 || len(s) < 16+codes {
		return 0, invalid("Huffman table of %d codes in %d bytes", codes, len(s))
	}
	*h = huffman{defined: true}
	copy(h.symbols[:], s[16:16+codes])
	code, at := 0, 0
	for n := 1; n <= 16; n++ {
		code <<= 1
		h.first[n] = at - code
		for range s[n-1] {
			if code >= 1<<n {
				return 0, invalid("Huffman table with too many codes of %d bits", n)
			}
			if n <= lookahead {
				from := code << (lookahead - n)
				for i := range 1 << (lookahead - n) {
					h.byBits[from+i] = uint16(h.symbols[at])<<8 | uint16(n)
				}
			}
			code++
			at++
		}
		h.limit[n] = uint32(code) << (16 - n)
	}
	return 16 + codes, nil
}

// defaultTo sets h to the standard table for slot if the file does not define h. Slot 0 is for
// luma, slot 1 for chroma.
func (h *huffman) defaultTo(tables [2][]byte, slot byte) {
	if !h.defined && slot < 2 {
		h.define(tables[slot])
	}
}

// long is like a lookup in byBits, but for codes longer than lookahead. It returns 0 if the
// leftmost bits of acc are not a code.
func (h *huffman) long(acc uint64) uint16 {
	code := uint32(acc >> 48)
	for n := lookahead + 1; n <= 16; n++ {
		if code < h.limit[n] {
			return uint16(h.symbols[h.first[n]+int(code>>(16-n))])<<8 | uint16(n)
		}
	}
	return 0
}

// slack is the number of zero bytes that follow the coded bytes in memory. No block is longer
// than slack, and bitReader.over is checked after each block.
const slack = 512

// bitReader reads the coded bytes of a scan up to the next marker.
type bitReader struct {
	coded []byte // unstuffed, followed by slack zeros
	end   int    // end of the coded bytes
	pos   int    // position of the next byte for acc
	// The next n bits are the leftmost bits of acc. The bits after these may already have the
	// values that the next fill writes.
	acc uint64
	n   uint
}

// start reads coded bytes from b, where ff 00 encodes the byte ff (T.81 F.1.2.3), up to the next
// marker. It returns the rest of b, beginning with the marker.
func (r *bitReader) start(b []byte) (rest []byte) {
	coded := r.coded[:0]
	if cap(coded) < len(b)+slack {
		coded = make([]byte, 0, len(b)+slack)
	}
	for {
		i := bytes.IndexByte(b, 0xff)
		if i < 0 {
			coded = append(coded, b...)
			b = nil
			break
		}
		if i+1 == len(b) || b[i+1] != 0 {
			coded = append(coded, b[:i]...)
			b = b[i:]
			break
		}
		coded = append(coded, b[:i+1]...)
		b = b[i+2:]
	}
	r.end = len(coded)
	var zeros [slack]byte
	*r = bitReader{coded: append(coded, zeros[:]...), end: r.end}
	return b
}

// fill reads bytes until n is at least 56.
func (r *bitReader) fill() {
	r.acc |= binary.BigEndian.Uint64(r.coded[r.pos:]) >> r.n
	r.pos += int(63-r.n) >> 3
	r.n |= 56
}

// skip drops k ≤ n bits.
func (r *bitReader) skip(k uint) {
	r.acc <<= k
	r.n -= k
}

// take returns the next k ≤ 16 bits.
func (r *bitReader) take(k uint) int {
	if r.n < 16 {
		r.fill()
	}
	v := int(r.acc >> 1 >> (63 - k))
	r.skip(k)
	return v
}

// last returns the last byte from which bits were read.
func (r *bitReader) last() byte {
	return r.coded[max(0, (8*r.pos-int(r.n)-1)/8)]
}

// over reports whether more bits were read than the scan has.
func (r *bitReader) over() bool { return 8*r.pos-int(r.n) > 8*r.end }

// extend returns the signed number in the leftmost k bits of acc. The number is negative
// if the first bit is 0 (T.81 F.2.2.1).
func extend(acc uint64, k uint) int32 {
	v := int32(acc >> 1 >> (63 - k&63))
	return v + int32(^(int64(acc)>>63))&(1-int32(1)<<(k&31))
}
