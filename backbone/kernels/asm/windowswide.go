package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of the types kernels.wideBlock and kernels.wideRun.
const (
	quarters     = 4 // vectors of sums for 64 channels
	blockLimits  = quarters * wideScaleBytes
	blockPad     = blockLimits + wideLimits
	blockTaps    = blockPad + 64
	blockRest    = blockTaps + tapsBytes
	blockScaling = blockRest + tapsBytes // byte: inFloats, inIntegers or directly
	tapsBytes    = 3 * quarters * 64     // weights of three columns
	inIntegers   = 1                     // see kernels.scaling

	runAt       = 0
	runDistance = 8
	runStep     = 16
	runOutStep  = 24
	runVectors  = 32
	runKept     = 40
	runLeft     = 48
	runMiddle   = 56
	runRight    = 64
	runPixels   = 72
	runStored   = 80
)

// wideWindow holds the parts of a routine for 3×3 windows of 64 channels.
type wideWindow struct {
	signed, twice bool
	pair          bool // two output rows from four lines, scaled directly
	inRegisters   int  // vectors of weights that stay in registers
	vector        func() VecVirtual
	run, block    Register
	lines         []GPVirtual
	at            [3]GPVirtual // offset of each column in the lines
	ends          VecVirtual   // 0x80 in each byte
	// The three or four bytes of a column are adjacent. If there are three, the third is there
	// twice, because a dot product has four bytes. Each vector has 4 of every 16 channels.
	columns  [3][quarters]VecVirtual
	factors  [quarters]VecVirtual
	weights  [3][quarters]Op
	fraction VecVirtual // with directScales, the float32 for code 0
}

// field returns the operand for a field of the run.
func (w *wideWindow) field(offset int) Mem { return Mem{Base: w.run, Disp: offset} }

// mask loads a mask of the run.
func (w *wideWindow) mask(offset int) OpmaskVirtual {
	k := K()
	KMOVQ(w.field(offset), k)
	return k
}

// load loads column c and makes its bytes unsigned. If masked is not 0, only the bytes in
// that mask of the run are in the image.
func (w *wideWindow) load(c, masked int) {
	if masked == 0 {
		w.loadBytes(c, 0)
		return
	}
	// Masked loads are slow, so avoid them if no byte is in the image.
	some, done := fmt.Sprint("some", c), fmt.Sprint("loaded", c)
	CMPQ(w.field(masked), Imm(0))
	JNE(LabelRef(some))
	for q, v := range w.columns[c] {
		if q > 0 {
			VMOVDQA64(w.columns[c][0], v)
			continue
		}
		VMOVDQU8(Mem{Base: w.block, Disp: blockPad}, v)
		if w.signed {
			VPXORD(w.ends, v, v)
		}
	}
	JMP(LabelRef(done))
	Label(some)
	w.loadBytes(c, masked)
	Label(done)
}

// loadBytes is like load.
func (w *wideWindow) loadBytes(c, masked int) {
	var k OpmaskVirtual
	if masked != 0 {
		k = w.mask(masked)
	}
	lines := make([]VecVirtual, len(w.lines))
	for i := range lines {
		from, v := Mem{Base: w.lines[i], Index: w.at[c], Scale: 1}, w.vector()
		switch {
		case masked != 0:
			VMOVDQU8(Mem{Base: w.block, Disp: blockPad}, v)
			VMOVDQU8(from, k, v)
			if w.signed {
				VPXORD(w.ends, v, v)
			}
		case w.signed:
			VPXORD(from, w.ends, v)
		default:
			VMOVDQU8(from, v)
		}
		lines[i] = v
	}
	low, high, last, lastHigh := w.vector(), w.vector(), w.vector(), w.vector()
	VPUNPCKLBW(lines[1], lines[0], low)
	VPUNPCKHBW(lines[1], lines[0], high)
	VPUNPCKLBW(lines[len(lines)-1], lines[2], last)
	VPUNPCKHBW(lines[len(lines)-1], lines[2], lastHigh)
	VPUNPCKLWD(last, low, w.columns[c][0])
	VPUNPCKHWD(last, low, w.columns[c][1])
	VPUNPCKLWD(lastHigh, high, w.columns[c][2])
	VPUNPCKHWD(lastHigh, high, w.columns[c][3])
}

// move sets column c to the next column.
func (w *wideWindow) move(to, from int) {
	for q := range quarters {
		VMOVDQA64(w.columns[from][q], w.columns[to][q])
	}
}

// wideWindows generates a routine that computes 3×3 windows of 64 channels. If twice is
// set, weights are sums of two bytes. If pair is set, it computes two output rows.
// If half is set, windows have 32 channels, scaled directly.
func wideWindows(signed, twice, half, pair bool) {
	name, how, arguments := "wideUnsigned", "unsigned bytes by signed bytes", "out *byte, lines *byte, run *byte, block *byte"
	switch {
	case signed:
		name, how = "wideSigned", "signed bytes by signed bytes"
	case twice:
		name, how = "wideTwice", "unsigned bytes by sums of two signed bytes"
	}
	channels := 64
	if half {
		name, channels = name+"Half", 32
	}
	doc := []string{how + ". lines has the addresses of three input lines."}
	if pair {
		name, arguments = name+"Pair", arguments+", outStride int"
		doc = []string{how + ", for two output rows that are outStride bytes apart.", "lines has the addresses of four input lines."}
	}
	TEXT(name, NOSPLIT, "func("+arguments+")")
	doc[0] = fmt.Sprintf("%s computes the vectors of a run of 3×3 windows of %d channels. It multiplies ", name, channels) + doc[0]
	Doc(doc...)
	Pragma("noescape")
	w := &wideWindow{signed: signed, twice: twice, pair: pair, vector: ZMM, inRegisters: 6, lines: make([]GPVirtual, 3)}
	if pair {
		w.inRegisters, w.lines = 10, make([]GPVirtual, 4)
	}
	if half {
		w.vector = YMM
	}
	out, pointers := Load(Param("out"), GP64()), Load(Param("lines"), GP64())
	w.run, w.block = Load(Param("run"), GP64()), Load(Param("block"), GP64())
	w.locate(pointers)
	n, kept := GP64(), GP64()
	MOVQ(w.field(runVectors), n)
	MOVQ(w.field(runKept), kept)
	var stored, pixels OpmaskVirtual
	var below GPVirtual
	if pair {
		below = GP64()
		MOVQ(argument("outStride"), below)
		ADDQ(out, below)
	} else {
		stored = w.mask(runStored)
		if !half {
			pixels = w.mask(runPixels)
		}
	}
	w.prepare()
	w.load(0, runLeft)

	Label("second")
	CMPQ(n, Imm(1))
	JE(LabelRef("middle"))
	w.load(1, 0)
	Label("third")
	w.load(2, 0)

	Label("sums")
	var codes VecVirtual
	if pair {
		upper, lower := w.pairCodes()
		VMOVDQU8(upper, Mem{Base: out})
		VMOVDQU8(lower, Mem{Base: below})
		ADDQ(w.field(runOutStep), below)
	} else if half {
		VMOVDQU8(w.directCodes(), stored, Mem{Base: out})
	} else {
		CMPB(Mem{Base: w.block, Disp: blockScaling}, Imm(inIntegers))
		JLT(LabelRef("floats"))
		JE(LabelRef("integers"))
		codes = w.directCodes()

		Label("store")
		CMPB(w.field(runPixels), Imm(0xff))
		JNE(LabelRef("compress"))
		Label("compressed")
		VMOVDQU8(codes, stored, Mem{Base: out})
	}
	ADDQ(w.field(runOutStep), out)
	for _, at := range w.at {
		ADDQ(w.field(runStep), at)
	}
	DECQ(n)
	JZ(LabelRef("done"))
	CMPQ(kept, Imm(1))
	JL(LabelRef("first"))
	JE(LabelRef("keep"))
	w.move(0, 1)
	w.move(1, 2)
	CMPQ(n, Imm(1))
	JNE(LabelRef("third"))
	JMP(LabelRef("last"))
	Label("keep")
	w.move(0, 2)
	JMP(LabelRef("second"))

	Label("first")
	w.load(0, 0)
	JMP(LabelRef("second"))

	Label("middle")
	w.load(1, runMiddle)
	Label("last")
	w.load(2, runRight)
	JMP(LabelRef("sums"))

	if !pair && !half {
		Label("compress")
		VPCOMPRESSQ(codes, pixels, codes)
		JMP(LabelRef("compressed"))

		Label("floats")
		VMOVDQA64(w.floatCodes(), codes)
		JMP(LabelRef("store"))

		Label("integers")
		VMOVDQA64(w.codes(), codes)
		JMP(LabelRef("store"))
	}

	Label("done")
	VZEROUPPER()
	RET()
}

// locate loads the addresses of the lines and the offsets of the first vector's columns.
func (w *wideWindow) locate(lines Register) {
	for i := range w.lines {
		w.lines[i] = GP64()
		MOVQ(Mem{Base: lines, Disp: 8 * i}, w.lines[i])
	}
	distance := GP64()
	MOVQ(w.field(runDistance), distance)
	for c := range w.at {
		w.at[c] = GP64()
	}
	MOVQ(w.field(runAt), w.at[0])
	LEAQ(Mem{Base: w.at[0], Index: distance, Scale: 1}, w.at[1])
	LEAQ(Mem{Base: w.at[1], Index: distance, Scale: 1}, w.at[2])
}

// prepare loads what stays in registers.
func (w *wideWindow) prepare() {
	w.fraction = w.vector()
	VMOVDQU32(Mem{Base: w.block, Disp: blockLimits + wideFraction}, w.fraction)
	if w.signed {
		w.ends = w.vector()
		minus, odd := w.vector(), w.vector()
		VPTERNLOGD(Imm(0xff), minus, minus, minus)
		VPSLLW(Imm(15), minus, w.ends)
		VPSRLW(Imm(8), w.ends, odd)
		VPORD(odd, w.ends, w.ends)
	}
	for q := range quarters {
		if !w.pair {
			w.factors[q] = w.vector()
			VMOVDQU32(wideField(w.block, wideFactor, q), w.factors[q])
		}
		for c := range w.columns {
			w.columns[c][q] = w.vector()
			w.weights[c][q] = w.tap(blockTaps, c, q)
			if quarters*c+q < w.inRegisters {
				r := w.vector()
				VMOVDQU32(w.weights[c][q], r)
				w.weights[c][q] = r
			}
		}
	}
}

// tap returns the operand for the weights of a column and a quarter of the channels.
func (w *wideWindow) tap(offset, column, quarter int) Mem {
	return Mem{Base: w.block, Disp: offset + 64*(quarters*column+quarter)}
}

// sums computes the sums of a vector from its columns.
func (w *wideWindow) sums() (sums [quarters]VecVirtual) {
	for q := range sums {
		sums[q] = w.vector()
		VMOVDQU32(wideField(w.block, wideBias, q), sums[q])
	}
	for c, column := range w.columns {
		for q, sum := range sums {
			dotBytes(w.weights[c][q], column[q], sum, false)
			if w.twice {
				dotBytes(w.tap(blockRest, c, q), column[q], sum, false)
			}
		}
	}
	return sums
}

// floatCodes is like codes, but scales in float32, as the type kernels.wideScale describes.
// It jumps to the label integers if a code may be wrong.
func (w *wideWindow) floatCodes() VecVirtual {
	sums := w.sums()
	doubtful := [quarters]OpmaskVirtual{K(), K(), K(), K()}
	for q, sum := range sums {
		VCVTDQ2PS(sum, sum)
		VFMADD213PS(wideField(w.block, wideOffset, q), w.factors[q], sum)
		VPTESTNMD(w.fraction, sum, doubtful[q])
		VPSRAD(Imm(fractionBits), sum, sum)
	}
	KORW(doubtful[0], doubtful[1], doubtful[0])
	KORW(doubtful[2], doubtful[3], doubtful[2])
	KORTESTW(doubtful[0], doubtful[2])
	JNZ(LabelRef("integers"))
	VPACKUSDW(sums[1], sums[0], sums[0])
	VPACKUSDW(sums[3], sums[2], sums[2])
	wideFinish(sums[0], sums[2], Mem{Base: w.block, Disp: blockLimits}, true)
	return sums[0]
}

// codes computes the codes of a vector from its columns.
func (w *wideWindow) codes() VecVirtual {
	even := evenMask()
	sums := w.sums()
	for q, sum := range sums {
		above, one := K(), ZMM()
		VPSLLVD(wideField(w.block, wideLeft, q), sum, sum)
		VPCMPGTD(wideField(w.block, wideLeast, q), sum, above)
		scale := inMemory(w.block, q)
		scale.upper(sum, even)
		VPTERNLOGD(Imm(0xff), one, one, one) // −1
		VPSUBD(one, sum, above, sum)
		VPSRAVD(scale.shift, sum, sum)
	}
	VPACKSSDW(sums[1], sums[0], sums[0])
	VPACKSSDW(sums[3], sums[2], sums[2])
	wideFinish(sums[0], sums[2], Mem{Base: w.block, Disp: blockLimits}, false)
	return sums[0]
}
