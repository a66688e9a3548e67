package jpeg

import (
	"math"
	"math/bits"
)

// progressBlock is a block of a progressive file. It holds the coefficients that have been read
// so far.
type progressBlock struct {
	// Bit k of nonzero is set if coefficient k is not zero. Bit 0 is never set.
	nonzero      uint64
	coefficients [64]int16 // in file order
}

// refineBlock reads a block in a scan of a progressive file (T.81 annex G).
func (d *Decoder) refineBlock(c *scanned, b *progressBlock, p spectrum) error {
	switch {
	case p.first == 0 && p.high == 0:
		v, err := d.bits.difference(c.dc)
		if err != nil {
			return err
		}
		c.before += v
		b.coefficients[0] = narrow(int64(c.before) << p.low)
	case p.first == 0:
		b.coefficients[0] |= int16(d.bits.take(1) << p.low)
	case p.high == 0:
		return d.firstBits(c.ac, b, p)
	default:
		return d.furtherBits(c.ac, b, p)
	}
	return nil
}

// narrow clamps v to 16 bits. The values of a valid file need no clamping.
func narrow(v int64) int16 { return int16(max(math.MinInt16, min(math.MaxInt16, v))) }

// code reads a run and a size. A size of 0 with a run below 15 ends this block and possibly the
// following blocks: code sets d.eobRun to the number of these blocks.
func (d *Decoder) code(h *huffman) (run int, size uint, err error) {
	r := &d.bits
	if r.n < 32 {
		r.fill()
	}
	e := h.byBits[r.acc>>(64-lookahead)]
	if e == 0 {
		if e = h.long(r.acc); e == 0 {
			return 0, 0, errCode
		}
	}
	r.skip(uint(e & 255))
	run, size = int(e>>12), uint(e>>8)&15
	if size == 0 && run < 15 {
		d.eobRun = 1<<run + r.take(uint(run))
	}
	return run, size, nil
}

// firstBits reads AC coefficients in their first scan (T.81 G.1.2.2).
func (d *Decoder) firstBits(h *huffman, b *progressBlock, p spectrum) error {
	if d.eobRun > 0 {
		d.eobRun--
		return nil
	}
	for k := p.first; k <= p.last; k++ {
		run, size, err := d.code(h)
		if err != nil {
			return err
		}
		if d.eobRun > 0 {
			d.eobRun--
			return nil
		}
		k += run
		if size == 0 { // 16 zeros, including this one
			continue
		}
		if k > p.last {
			return nil
		}
		if d.bits.n < 16 {
			d.bits.fill()
		}
		b.set(k, narrow(int64(extend(d.bits.acc, size))<<p.low))
		d.bits.skip(size)
	}
	return nil
}

// furtherBits reads one more bit of each nonzero AC coefficient, and the first bit of
// coefficients that become nonzero (T.81 G.1.2.3).
func (d *Decoder) furtherBits(h *huffman, b *progressBlock, p spectrum) error {
	k := p.first
	for ; d.eobRun == 0 && k <= p.last; k++ {
		run, size, err := d.code(h)
		if err != nil {
			return err
		}
		var v int16
		switch size {
		case 0:
			if d.eobRun > 0 {
				return d.endBlock(b, k, p)
			}
		case 1:
			v = narrow(int64(2*d.bits.take(1)-1) << p.low)
		default:
			return invalid("new coefficient of %d bits, want 1", size)
		}
		if k = d.furtherBit(b, k, run, p); k > p.last {
			return invalid("more than 64 coefficients")
		}
		if v != 0 {
			b.set(k, v)
		}
	}
	if d.eobRun > 0 {
		return d.endBlock(b, k, p)
	}
	return nil
}

// endBlock refines the rest of a block that has no new coefficients.
func (d *Decoder) endBlock(b *progressBlock, k int, p spectrum) error {
	d.eobRun--
	d.furtherBit(b, k, 64, p)
	return nil
}

// furtherBit reads one more bit of each nonzero coefficient from k on. It skips the given number
// of zero coefficients, stops at the next zero coefficient and returns its index.
func (d *Decoder) furtherBit(b *progressBlock, k, zeros int, p spectrum) int {
	for left := b.nonzero >> k << k; ; left &= left - 1 {
		next := min(bits.TrailingZeros64(left), p.last+1)
		if zeros < next-k {
			return k + zeros
		}
		if next > p.last {
			return next
		}
		zeros -= next - k
		if d.bits.take(1) != 0 {
			v := &b.coefficients[next]
			// The bit moves the value away from zero.
			*v = narrow(int64(*v) + int64(1|*v>>15)<<p.low)
		}
		k = next + 1
	}
}

// set changes coefficient k from zero to v.
func (b *progressBlock) set(k int, v int16) {
	b.coefficients[k&63] = v
	b.nonzero |= 1 << k
}

// transformAll computes the wanted pixels of a progressive file.
func (d *Decoder) transformAll() {
	w := d.jpg.wanted
	for i := range d.jpg.components {
		c := &d.jpg.components[i]
		if !c.seen {
			continue
		}
		quant := &d.quant[c.table]
		for y := w.Min.Y * c.v; y < min(w.Max.Y*c.v, c.high); y++ {
			for x := w.Min.X * c.h; x < min(w.Max.X*c.h, c.wide); x++ {
				b := &c.blocks[y*c.across+x]
				d.unzigged = [64]int32{int32(b.coefficients[0]) * quant[0]}
				needed := b.nonzero & (2<<d.jpg.last - 1)
				for left := needed; left != 0; left &= left - 1 {
					k := bits.TrailingZeros64(left)
					d.unzigged[natural[k]] = int32(b.coefficients[k]) * quant[k]
				}
				d.transform(c, x-w.Min.X*c.h, y-w.Min.Y*c.v, needed == 0)
			}
		}
	}
	d.clean = false
}
