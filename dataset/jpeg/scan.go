package jpeg

import (
	"io"
	"slices"
)

// natural maps the index of a coefficient in file order, along diagonals, to its index in a
// block, row by row (T.81 figure A.6).
var natural = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
}

// scanned holds the state of a component during a scan.
type scanned struct {
	*component
	dc, ac *huffman
	before int32 // the previous DC coefficient
}

// spectrum describes the part of the coefficients that a scan contains: the coefficients from
// first to last, down to bit low. high is 0 in their first scan, otherwise the lowest bit known
// from earlier scans.
type spectrum struct {
	first, last int
	high, low   uint
}

// scan reads the scan with header s (T.81 B.2.3).
func (d *Decoder) scan(s []byte) error {
	f := &d.jpg
	if f.components == nil {
		return invalid("scan without a frame")
	}
	if len(s) < 6 || len(s) != 4+2*int(s[0]) || int(s[0]) > len(f.components) {
		return invalid("scan header of %d bytes", len(s))
	}
	n := int(s[0])
	var store [3]scanned
	in := store[:n]
	blocks := 0
	for i := range in {
		id, tables := s[1+2*i], s[2+2*i]
		at := slices.IndexFunc(f.components, func(c component) bool { return c.id == id })
		if at < 0 {
			return invalid("scan of component %d, which the frame lacks", id)
		}
		c := &f.components[at]
		if slices.ContainsFunc(in[:i], func(other scanned) bool { return other.component == c }) {
			return invalid("scan with component %d twice", id)
		}
		dc, ac := tables>>4, tables&15
		if dc > 3 || ac > 3 || f.baseline && (dc > 1 || ac > 1) {
			return invalid("scan with Huffman tables %d and %d", dc, ac)
		}
		in[i] = scanned{component: c, dc: &d.dc[dc], ac: &d.ac[ac]}
		if !f.progressive {
			in[i].dc.defaultTo(standardDC, dc)
			in[i].ac.defaultTo(standardAC, ac)
			in[i].ac.prepareSkips()
		}
		blocks += c.h * c.v
	}
	if len(f.components) > 1 && blocks > 10 {
		return invalid("MCU of %d blocks, want at most 10", blocks)
	}
	p := spectrum{last: 63}
	if f.progressive {
		p = spectrum{int(s[1+2*n]), int(s[2+2*n]), uint(s[3+2*n] >> 4), uint(s[3+2*n] & 15)}
		if p.first == 0 && p.last != 0 || p.first > p.last || p.last > 63 || p.first > 0 && n > 1 || p.high != 0 && p.high != p.low+1 {
			return invalid("scan of coefficients %d to %d, bits %d to %d, for %d components", p.first, p.last, p.high, p.low, n)
		}
	}
	if f.wanted.Empty() {
		d.layOut()
	}
	for _, c := range in {
		c.begin(f)
	}
	if err := d.mcus(in, p); err != nil {
		return err
	}
	for _, c := range in {
		for k := p.first; k <= p.last; k++ {
			c.unknown[k] = uint8(p.low)
		}
	}
	return nil
}

// mcus reads the MCUs of a scan. In a scan of one component each block of the image is an
// MCU, and there are no padding blocks.
func (d *Decoder) mcus(in []scanned, p spectrum) error {
	across, down := d.jpg.mcus.X, d.jpg.mcus.Y
	if len(in) == 1 {
		across, down = in[0].wide, in[0].high
	}
	d.b = d.bits.start(d.b)
	restart, left := byte(markerRST0), d.interval
	for my := range down {
		for mx := range across {
			if d.interval > 0 {
				if left == 0 {
					if err := d.restart(in, restart); err != nil {
						return err
					}
					restart, left = markerRST0+(restart+1)&7, d.interval
				}
				left--
			}
			for i := range in {
				c := &in[i]
				if len(in) == 1 {
					if err := d.block(c, mx, my, p); err != nil {
						return err
					}
					continue
				}
				for y := my * c.v; y < (my+1)*c.v; y++ {
					for x := mx * c.h; x < (mx+1)*c.h; x++ {
						if err := d.block(c, x, y, p); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return nil
}

// restart reads the next marker, which must be the given restart marker, and starts reading the
// coded bytes after it.
func (d *Decoder) restart(in []scanned, marker byte) error {
	m, err := d.marker()
	if err != nil {
		return err
	}
	if m != marker {
		return invalid("marker %#x instead of restart %#x", m, marker)
	}
	d.b = d.bits.start(d.b)
	for i := range in {
		in[i].before = 0
	}
	d.eobRun = 0
	return nil
}

// block reads the part of block (x, y) of a component that is in the scan.
func (d *Decoder) block(c *scanned, x, y int, p spectrum) error {
	var err error
	if d.jpg.progressive {
		err = d.refineBlock(c, &c.blocks[y*c.across+x], p)
	} else {
		w := d.jpg.wanted
		x, y = x-w.Min.X*c.h, y-w.Min.Y*c.v
		inside := uint(x) < uint(w.Dx()*c.h) && uint(y) < uint(w.Dy()*c.v)
		last := 0
		if inside {
			last = d.jpg.last
		}
		var dcOnly bool
		dcOnly, err = d.sequentialBlock(c, last)
		if inside && err == nil {
			d.transform(c.component, x, y, dcOnly)
		}
	}
	// Check for the end of the data first, because errors in the zeros after it are
	// meaningless.
	if d.bits.over() {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errCode = invalid("invalid Huffman code")

// difference reads the difference between a DC coefficient and the previous one (T.81
// F.2.2.1).
func (r *bitReader) difference(h *huffman) (int32, error) {
	if r.n < 32 {
		r.fill()
	}
	e := h.byBits[r.acc>>(64-lookahead)]
	if e == 0 {
		if e = h.long(r.acc); e == 0 {
			return 0, errCode
		}
	}
	size := uint(e >> 8)
	if size > 16 {
		return 0, unsupported("DC coefficient of %d bits", size)
	}
	r.skip(uint(e & 255))
	v := extend(r.acc, size)
	r.skip(size)
	return v, nil
}

// sequentialBlock reads all coefficients of a block. It dequantizes the coefficients up to last
// into d.unzigged and skips the others. dcOnly reports whether only the first coefficient is
// nonzero.
func (d *Decoder) sequentialBlock(c *scanned, last int) (dcOnly bool, err error) {
	r := d.bits // a local copy makes decoding twice as fast
	v, err := r.difference(c.dc)
	if err != nil {
		return false, err
	}
	c.before += v
	b, quant := &d.unzigged, &d.quant[c.table]
	if !d.clean {
		*b = [64]int32{}
		d.clean = true
	}
	b[0] = c.before * quant[0]
	if d.eobRun > 0 { // see below; valid baseline files never get here
		d.eobRun--
		d.bits = r
		return true, nil
	}
	h := c.ac
	for k := 1; k < 64; k++ {
		if r.n < 32 {
			r.fill()
		}
		if k > last {
			if e := h.skips[r.acc>>(64-skipBits)]; e != 0 && k+int(e>>8) <= 64 {
				r.skip(uint(e & 63))
				if e&skipsEnd != 0 {
					break
				}
				k += int(e>>8) - 1
				continue
			}
		}
		e := h.byBits[r.acc>>(64-lookahead)]
		if e == 0 {
			if e = h.long(r.acc); e == 0 {
				err = errCode
				break
			}
		}
		r.skip(uint(e & 63))
		size, run := uint(e>>8)&15, int(e>>12)
		if size == 0 {
			if run == 15 {
				k += 15
				continue
			}
			if run > 0 {
				// Only progressive files may end several blocks at once. Like image/jpeg, allow
				// it in sequential files, too.
				d.eobRun = 1<<run + r.take(uint(run)) - 1
			}
			break
		}
		if k += run; k > 63 {
			break
		}
		if k <= last {
			b[natural[k&63]] = extend(r.acc, size) * quant[k&63]
			d.clean = false
		}
		r.skip(size)
	}
	d.bits = r
	return d.clean, err
}
