//go:build !purego

package kernels

import (
	"bytes"
	"encoding/binary"
)

// depthStep is the depth of one iteration of the inner loops.
const depthStep = 16

// A tiling describes the tiles of a product in assembly: the rows and channels that are
// multiplied at a time, and unit, the number of consecutive weights of one channel that
// are adjacent in memory. unit is a power of two.
type tiling struct {
	routine              routine
	rows, channels, unit int
}

// A routine identifies one of the product routines in assembly.
type routine byte

const (
	routineUDOT routine = iota // unsigned bytes
	routineSDOT                // signed bytes
	routineNEON                // bytes made signed
	routineSafe                // routineNEON that can add two products −128·−128
)

// productArgs are the arguments of the assembly, which refers to the fields by name. A
// call computes whole tiles of channels for at most the tiling's number of rows.
type productArgs struct {
	x, w, out    *byte
	terms        *int32 // added to the sums of each row
	xStride      int
	outStride    int
	rows         int
	steps        int
	last         int // start of the last step, which may overlap the one before
	tiles        int
	zero, lo, hi int32
	wide         int32 // for dot products: not 0 if a channel has no right shift
	flip         int32 // XORed by routineNEON with the bytes of x to make them signed
}

//go:noescape
func productUDOT(a *productArgs)

//go:noescape
func productSDOT(a *productArgs)

//go:noescape
func productNEON(a *productArgs)

//go:noescape
func productNEONSafe(a *productArgs)

// byteSums stores the sum of each row's bytes, multiplied by the factor by. The bytes are
// unsigned after an XOR with flip. The depth must be at least depthStep.
//
//go:noescape
func byteSums(sums *int32, x *byte, stride, depth, rows int, flip byte, by int32)

// tiles implements product for NEON, with any tiling.
type tiles struct {
	tiling
	width  int // channels in total
	depth  int // at least depthStep
	short  int // the true depth if it is less than depthStep, else 0
	packed []byte
	size   int // bytes in a packed tile
	// The sums of a row lack byTerm times the sum of its bytes XORed with sumFlip.
	byTerm  int32
	sumFlip byte
	args    productArgs // the same for all calls
}

func packDot(w *weights) product {
	r := routineUDOT
	if w.signed {
		r = routineSDOT
	}
	return pack(w, tiling{r, 8, 8, 4})
}

func packNEON(w *weights) product { return pack(w, tiling{routineNEON, 4, 4, depthStep}) }

// pack packs weights, signed unless they are for routineUDOT.
//
// A tile has the biases of its channels, then the weights in the order [step][unit of the
// step][channel], then the left shifts, mantissas and negated right shifts of the
// channels.
func pack(w *weights, t tiling) *tiles {
	p := &tiles{tiling: t, width: w.channels, depth: max(w.depth, depthStep)}
	steps := (w.depth + depthStep - 1) / depthStep
	p.args = productArgs{steps: steps, last: p.depth - depthStep, zero: w.outZero, lo: w.lo, hi: w.hi}
	if w.depth < depthStep {
		p.short = w.depth
	}
	p.size = t.channels * (steps*depthStep + 4*4)
	p.packed = make([]byte, p.panels()*p.size)

	bias := w.bias
	zero := w.zero // zero point of the packed weights
	flip := byte(0)
	fold := int32(0) // corrects for sums of signed rows that have 128 added to each byte
	if t.routine != routineUDOT {
		zero -= 128
		flip = 0x80
		fold = 128 * zero * int32(w.depth)
	}
	if w.signed {
		p.sumFlip = 0x80
	} else if flip != 0 {
		// The assembly makes inputs signed too.
		p.args.flip = 0x80
		bias = w.shifted(-128)
	}
	p.byTerm = -zero
	for c := range w.channels {
		tile := p.packed[c/t.channels*p.size:][:p.size]
		c0 := c % t.channels
		codes := w.codes[c*w.depth:][:w.depth]
		at := 4 * t.channels
		for s := range steps {
			k0, done := s*depthStep, 0
			if s == steps-1 {
				k0 = p.args.last
				done = s*depthStep - k0 // the step before has these weights
			}
			units := tile[at+c0*t.unit:]
			for j := done; j < min(depthStep, w.depth-k0); j++ {
				within := j & (t.unit - 1)
				units[(j-within)*t.channels+within] = byte(int32(codes[k0+j])+w.zero) ^ flip
			}
			at += depthStep * t.channels
		}
		scale := w.scale[c]
		if scale.right == 0 {
			// There may be a left shift, and adding the zero point may wrap.
			p.args.wide = 1
		}
		for i, v := range []int32{int32(scale.left), scale.mantissa, -int32(scale.right)} {
			binary.LittleEndian.PutUint32(tile[at+4*(i*t.channels+c0):], uint32(v))
		}
		binary.LittleEndian.PutUint32(tile[4*c0:], uint32(bias[c]+fold))
	}
	if t.routine == routineNEON && p.unsafePairs() {
		p.routine = routineSafe
	}
	return p
}

// unsafePairs reports whether routineNEON would add two products of weights of −128.
func (p *tiles) unsafePairs() bool {
	for first := 0; first < len(p.packed); first += p.size {
		codes := p.packed[first+4*p.channels:][:p.args.steps*depthStep*p.channels]
		if bytes.IndexByte(codes, 0x80) < 0 {
			continue
		}
		for i := 0; i < len(codes); i += depthStep {
			for j := range depthStep / 2 {
				if codes[i+j] == 0x80 && codes[i+depthStep/2+j] == 0x80 {
					return true
				}
			}
		}
	}
	return false
}

func (p *tiles) panels() int { return (p.width + p.channels - 1) / p.channels }

func (p *tiles) scratch(rows int) int {
	if p.short == 0 {
		return 0
	}
	return rows * depthStep
}

// prepare pads rows shorter than depthStep.
func (p *tiles) prepare(scratch, x []byte, stride, rows int) ([]byte, int) {
	if p.short == 0 {
		return x, stride
	}
	scratch = scratch[:rows*depthStep]
	fill(scratch, p.sumFlip) // adds 0 to the sum of a row
	for r := range rows {
		copy(scratch[r*depthStep:], x[r*stride:][:p.short])
	}
	return scratch, depthStep
}

// resident is the size in bytes of the weights that are multiplied by all rows before the
// next weights are read. They fit in the L2 cache of a Cortex-A72 or A76.
const resident = 128 << 10

func (p *tiles) multiply(x []byte, stride, rows int, out []byte, outStride, from, to int) {
	_ = x[(rows-1)*stride+p.depth-1]
	_ = out[(rows-1)*outStride+min(to*p.channels, p.width)-1]
	var terms [maxRows]int32
	if p.byTerm != 0 {
		byteSums(&terms[0], &x[0], stride, p.depth, rows, p.sumFlip, p.byTerm)
	}
	a := p.args
	a.xStride = stride
	for whole := min(to, p.width/p.channels); from < whole; from += a.tiles {
		a.w = &p.packed[from*p.size]
		a.tiles = min(whole-from, max(resident/p.size, 1))
		a.outStride = outStride
		for r := 0; r < rows; r += p.rows {
			a.rows = min(p.rows, rows-r)
			a.x, a.terms, a.out = &x[r*stride], &terms[r], &out[r*outStride+from*p.channels]
			p.call(&a)
		}
	}
	if from == to {
		return
	}
	// The last tile has channels beyond those of the output.
	var edge [8 * 8]byte
	a.w, a.tiles, a.out, a.outStride = &p.packed[from*p.size], 1, &edge[0], p.channels
	for r := 0; r < rows; r += p.rows {
		a.rows = min(p.rows, rows-r)
		a.x, a.terms = &x[r*stride], &terms[r]
		p.call(&a)
		for i := range a.rows {
			copy(out[(r+i)*outStride+from*p.channels:][:p.width%p.channels], edge[i*p.channels:])
		}
	}
}

// call calls the routine. A function pointer would make the arguments escape to the heap.
func (p *tiles) call(a *productArgs) {
	switch p.routine {
	case routineUDOT:
		productUDOT(a)
	case routineSDOT:
		productSDOT(a)
	case routineNEON:
		productNEON(a)
	default:
		productNEONSafe(a)
	}
}
