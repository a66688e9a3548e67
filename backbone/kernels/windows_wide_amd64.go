//go:build !purego

package kernels

import (
	"math"
	"slices"
	"unsafe"
)

// vectorBytes is the number of bytes in an AVX-512 vector.
const vectorBytes = 64

// wideLines implements rows for AVX-512's dot products of bytes.
type wideLines struct {
	int8                bool // input and output
	signed              bool // the input is signed bytes
	pairs               bool // compute two output rows at a time
	lineBytes, outBytes int  // in an input line and in an output row
	blocks              []wideBlock
	runs                []wideRun
}

// A wideBlock has the parameters of the assembly for 64 codes of a row: 64 channels, or
// all channels of several pixels. In vector q, lanes 4i…4i+3 belong to the codes from
// 16i+4q on.
type wideBlock struct {
	scale [vectorBytes / wideLanes]wideScale
	wideLimits
	pad [vectorBytes]byte // the input's zero point
	// Weights are [column][vector][lane][4]: three rows of a column, then 0. If twice is
	// set, rest is the excess of weights that exceed a byte. If not, it is 0, then the three
	// rows, for an output row one line below.
	w, rest [3][vectorBytes / wideLanes][wideLanes][4]int8
	scaling scaling
	twice   bool // whether rest has weights
	_       [vectorBytes - 2]byte
}

// scaling is how the sums of a wideBlock are scaled.
type scaling byte

const (
	inFloats   scaling = iota
	inIntegers         // because floats is false for a channel
	directly           // with a directScale for each channel
)

// A wideRun is a series of vectors in a row that one call computes.
type wideRun struct {
	at       int    // offset of the first vector's first column in a line; negative in the padding
	distance int    // bytes from one column of a window to the next
	step     int    // bytes from one vector to the next in a line
	outStep  int    // and in the output
	vectors  int    // at least 1
	kept     int    // columns that a vector shares with the next: 0, 1 or 2
	left     uint64 // bytes of the first vector's first column that are in the image
	middle   uint64 // bytes of the last vector's second column that are
	right    uint64 // and of its third column
	pixels   uint64 // groups of 8 codes of a vector that are in the output
	stored   uint64 // mask of as many bytes

	// The assembly does not read the following fields.
	block, outAt int
	half         bool // 32 bytes in a vector, not 64
}

// newWideRows packs weights for AVX-512. pad is the input's zero point. It returns nil for
// unusual weights and windows.
func newWideRows(w *weights, g *geometry, pad byte) rows {
	for c := range w.channels {
		if !w.shiftable(c, w.scale[c].sumShift(true)) {
			return nil
		}
	}
	r := &wideLines{int8: w.signed, signed: w.signed, lineBytes: g.inW * g.inC, outBytes: g.outW * g.inC}
	bias, flip := w.bias, int32(0)
	if w.signed {
		bias, flip = w.shifted(128), 128
	}
	var e exactScale
	directs := make([]directScale, w.channels) // empty if there is none
	for c := range directs {
		directs[c], _ = w.direct(&e, c, bias[c], w.outZero+flip, floatUnit/2, true)
	}
	if !r.pack(w, bias, directs, g, pad, true) && !r.pack(w, bias, directs, g, pad, false) {
		return nil
	}
	r.pairs = g.StrideH == 1 && g.StrideW == 1 && g.DilationH == 1
	for i := range r.blocks {
		r.pairs = r.pairs && r.blocks[i].isDirect()
	}
	return r
}

// isDirect reports whether the routines for pairs and halves can compute the block.
func (b *wideBlock) isDirect() bool { return b.scaling == directly && !b.twice }

// pack plans the runs and packs the weights. If halves is set, runs may have half vectors. It
// reports whether the assembly can compute the windows.
func (r *wideLines) pack(w *weights, bias []int32, directs []directScale, g *geometry, pad byte, halves bool) bool {
	r.runs = nil
	firsts, ok := r.plan(g, halves)
	if !ok {
		return false
	}
	r.blocks = alignedSlice[wideBlock](len(firsts))
	for i, first := range firsts {
		if !r.blocks[i].set(w, bias, first, pad) {
			return false
		}
		r.blocks[i].setDirect(directs, first)
	}
	for i := range r.runs {
		if run := &r.runs[i]; run.half && !r.blocks[run.block].isDirect() {
			return false
		}
	}
	return true
}

func (r *wideLines) takesInt8() bool { return r.int8 }

func (r *wideLines) readUnsigned() {
	r.signed = false
	for i := range r.blocks {
		copyFlipped(r.blocks[i].pad[:], r.blocks[i].pad[:], 0x80)
	}
}

func (r *wideLines) writeUnsigned() {
	for i := range r.blocks {
		r.blocks[i].setFlip(0)
	}
}

// plan divides a row into runs. It returns the first channel of each block that they need,
// and false for windows that the assembly cannot compute.
func (r *wideLines) plan(g *geometry, halves bool) (firsts []int, ok bool) {
	if g.DilationW != 1 || g.StrideW > 2 || g.padLeft > 1 {
		return nil, false
	}
	n := g.inC
	if n >= vectorBytes {
		for c := 0; c < n; c += vectorBytes {
			first, width := min(c, n-vectorBytes), vectorBytes // the last two blocks may overlap
			half := halves && n-c <= vectorBytes/2
			if half {
				first, width = n-vectorBytes/2, vectorBytes/2
			}
			run := wideRun{half: half, at: first - g.padLeft*n, outAt: first, distance: n, step: g.StrideW * n, outStep: n, vectors: g.outW, block: len(firsts)}
			firsts = append(firsts, first)
			if !r.add(run, width, 0xff) {
				return nil, false
			}
		}
		return firsts, true
	}
	// A vector has several pixels. If their codes are not adjacent in the input, they must
	// be whole pixels of whole groups of 8 codes.
	if g.StrideW > 1 && (n%8 != 0 || vectorBytes%(n*g.StrideW) != 0) {
		return nil, false
	}
	pixels := uint64(0)
	for i := range vectorBytes / 8 {
		if g.StrideW == 1 || 8*i/n%g.StrideW == 0 {
			pixels |= 1 << i
		}
	}
	width, repeat := vectorBytes/g.StrideW, 1 // codes of a vector that are stored; vectors until the channels repeat
	for repeat*width%n != 0 {
		repeat++
	}
	add := func(outAt, vectors int) bool {
		run := wideRun{at: outAt*g.StrideW - g.padLeft*n, outAt: outAt, distance: n, step: vectorBytes * repeat, outStep: width * repeat, vectors: vectors}
		if run.block = slices.Index(firsts, outAt%n); run.block < 0 {
			run.block = len(firsts)
			firsts = append(firsts, outAt%n)
		}
		return r.add(run, width, pixels)
	}
	ok = r.outBytes >= width
	for i := 0; i < repeat && (i+1)*width <= r.outBytes; i++ {
		ok = ok && add(i*width, (r.outBytes/width-i-1)/repeat+1)
	}
	if r.outBytes%width > 0 {
		ok = ok && add(r.outBytes-width, 1) // overlaps the vector before
	}
	return firsts, ok
}

// add appends a run after setting its masks. It reports whether no bytes that the assembly
// reads, except for masked bytes, are outside the line. A vector stores the given number
// of codes, which are in the groups of 8 that pixels selects.
func (r *wideLines) add(run wideRun, stored int, pixels uint64) bool {
	last, width := run.at+(run.vectors-1)*run.step, vectorBytes
	if run.half {
		width /= 2
	}
	run.left, run.stored, run.pixels = ones(vectorBytes), ones(stored), pixels
	if run.at < 0 {
		run.left <<= -run.at
	}
	run.middle, run.right = ones(r.lineBytes-last-run.distance), ones(r.lineBytes-last-2*run.distance)
	switch run.step {
	case run.distance:
		run.kept = 2
	case 2 * run.distance:
		run.kept = 1
	}
	r.runs = append(r.runs, run)
	inside := run.at+run.distance >= 0 && last+width <= r.lineBytes
	return inside && (run.vectors == 1 || last-run.step+2*run.distance+width <= r.lineBytes)
}

// ones returns a mask of n bits, clamped to 0…64.
func ones(n int) uint64 { return 1<<max(min(n, vectorBytes), 0) - 1 }

// set packs the weights of the channels from first on. It reports whether that is possible.
func (b *wideBlock) set(w *weights, bias []int32, first int, pad byte) bool {
	b.wideLimits.set(w)
	for i := range b.pad {
		b.pad[i] = pad
		q, lane := i/4%4, i/16*4+i%4
		c := (first + i) % w.channels
		b.scale[q].set(lane, bias[c], w.scale[c], true)
		b.scale[q].setFloat(lane, int32(b.zero[0]), w.scale[c], 0)
		if !w.floats(c, true) {
			b.scaling = inIntegers
		}
		for t, code := range w.codes[9*c:][:9] {
			part := max(min(code, 127), -128)
			rest := code - part
			if rest != int16(int8(rest)) || rest != 0 && w.signed {
				return false
			}
			b.twice = b.twice || rest != 0
			b.w[t%3][q][lane][t/3], b.rest[t%3][q][lane][t/3] = int8(part), int8(rest)
		}
	}
	if !b.twice {
		for c := range b.w {
			for q := range b.w[c] {
				for lane, w := range b.w[c][q] {
					b.rest[c][q][lane] = [4]int8{0, w[0], w[1], w[2]}
				}
			}
		}
	}
	return true
}

// setDirect chooses directScales if all channels have one.
func (b *wideBlock) setDirect(directs []directScale, first int) {
	scale := b.scale
	for i := range vectorBytes {
		d := directs[(first+i)%len(directs)]
		if d == (directScale{}) {
			return
		}
		q, lane := &scale[i/4%4], i/16*4+i%4
		q.bias[lane], q.factor[lane], q.offset[lane] = d.bias, d.factor, d.offset
	}
	b.scale, b.scaling = scale, directly
	for i := range b.fraction {
		b.fraction[i] = math.Float32bits(floatZero)
	}
}

// someRows is the number of rows that are computed together. The parameters of many
// channels do not fit into the first-level cache, so fewer rows would read them more often.
const someRows = 8

func (r *wideLines) compute(out, in, blank []byte, g *geometry, lo, hi int) {
	var lines [someRows][4]*byte // the fourth for pairs of rows
	for row := lo; row < hi; row += someRows {
		n := min(someRows, hi-row)
		for i := range n {
			image, oy := (row+i)/g.outH, (row+i)%g.outH
			needed := 3
			if r.pairs && oy+1 < g.outH {
				needed = 4
			}
			for j := range needed {
				line := tap(g, in, blank, image, oy*g.StrideH-g.padTop+j*g.DilationH, 0)
				_ = line[r.lineBytes-1]
				lines[i][j] = &line[0]
			}
		}
		r.some(out[row*r.outBytes:][:n*r.outBytes], lines[:n], row%g.outH, g.outH)
	}
}

// some computes at most someRows output rows from the addresses of their input lines. The
// first is row y of an image with the given height.
func (r *wideLines) some(out []byte, lines [][4]*byte, y, height int) {
	for i := range r.runs {
		run := &r.runs[i]
		block := &r.blocks[run.block]
		fields, weights := (*byte)(unsafe.Pointer(run)), (*byte)(unsafe.Pointer(block))
		for row := 0; row < len(lines); row++ {
			to, from := &out[row*r.outBytes+run.outAt], (*byte)(unsafe.Pointer(&lines[row]))
			pair := r.pairs && row+1 < len(lines) && (y+row+1)%height > 0
			switch {
			case run.half && pair && r.signed:
				wideSignedHalfPair(to, from, fields, weights, r.outBytes)
			case run.half && pair:
				wideUnsignedHalfPair(to, from, fields, weights, r.outBytes)
			case run.half && r.signed:
				wideSignedHalf(to, from, fields, weights)
			case run.half:
				wideUnsignedHalf(to, from, fields, weights)
			case pair && r.signed:
				wideSignedPair(to, from, fields, weights, r.outBytes)
			case pair:
				wideUnsignedPair(to, from, fields, weights, r.outBytes)
			case r.signed:
				wideSigned(to, from, fields, weights)
			case block.twice:
				wideTwice(to, from, fields, weights)
			default:
				wideUnsigned(to, from, fields, weights)
			}
			if pair {
				row++
			}
		}
	}
}
