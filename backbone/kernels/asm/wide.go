package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of the types kernels.wideScale, kernels.wideLimits,
// kernels.widePanel and kernels.wideBlock.
const (
	wideBias = 64 * iota // 16 int32
	wideMantissa
	wideOdd
	wideRound // 8 int64
	wideRoundOdd
	wideShift // 16 int32
	wideLeft
	wideLeast
	wideFactor // 16 float32
	wideOffset
	wideScaleBytes

	wideZero     = 0 // 32 int16
	wideBase     = 64
	wideFraction = 128 // 16 uint32
	wideLow      = 192
	wideHigh     = 256
	wideFlip     = 320
	wideActive   = 384 // bool
	wideLimits   = 448 // size of the limits

	panelLimits = 2 * wideScaleBytes
	evenLanes   = 0x5555
	wideRows    = 8

	// fractionBits is the number of bits of a scaled sum after the binary point.
	fractionBits = 15
)

// wideField returns the operand for 64 bytes of a field of a vector of channels.
func wideField(panel Register, offset, vector int) Mem {
	return Mem{Base: panel, Disp: wideScaleBytes*vector + offset}
}

// order defines the permutation that sorts 4-byte lanes after packing. Packing works within
// blocks of 16 bytes. The permutation takes the first lanes of all blocks, then the second
// lanes, and so on.
func order() Mem {
	m := GLOBL("groupsOf16", 8|16) // RODATA|NOPTR
	for i := range 16 {
		DATA(4*i, U32(i%4*4+i/4))
	}
	return m
}

// A wideScale has the parameters that scale a vector of sums, in registers or in memory.
type wideScale struct{ mantissa, odd, round, roundOdd, shift Op }

// inMemory returns the parameters of a panel in memory.
func inMemory(panel Register, vector int) wideScale {
	f := func(offset int) Op { return wideField(panel, offset, vector) }
	return wideScale{f(wideMantissa), f(wideOdd), f(wideRound), f(wideRoundOdd), f(wideShift)}
}

// load loads the parameters into registers.
func (s wideScale) load() wideScale {
	for _, field := range []*Op{&s.mantissa, &s.odd, &s.round, &s.roundOdd, &s.shift} {
		r := ZMM()
		VMOVDQU32(*field, r)
		*field = r
	}
	return s
}

// upper sets acc to the rounded upper halves of its products with the mantissa, as
// requantize does before its shift.
func (s wideScale) upper(acc VecVirtual, even OpmaskVirtual) {
	odd := ZMM()
	VPSRLQ(Imm(32), acc, odd)
	VPMULDQ(s.mantissa, acc, acc)
	VPMULDQ(s.odd, odd, odd)
	VPADDQ(s.round, acc, acc)
	VPADDQ(s.roundOdd, odd, odd)
	VMOVSHDUP(acc, even, odd)
	VMOVDQA64(odd, acc)
}

// evenMask returns the mask of the even 32-bit lanes.
func evenMask() OpmaskVirtual { return mask32(U32(evenLanes)) }

// mask32 loads a mask of 32 bits.
func mask32(m Op) OpmaskVirtual {
	bits, k := GP32(), K()
	MOVL(m, bits)
	KMOVD(bits, k)
	return k
}

// wideFinish is like finish, but for 64 bytes instead of 32. If floats is set, the words in
// a and b are the upper bits of scaled sums in float32.
func wideFinish(a, b VecVirtual, limits Mem, floats bool) {
	shift := func(v VecVirtual) { VPADDSW(limits.Offset(wideZero), v, v) }
	if floats {
		shift = func(v VecVirtual) { VPSUBUSW(limits.Offset(wideBase), v, v) }
	}
	shift(a)
	if a != b {
		shift(b)
	}
	VPACKUSWB(b, a, a)
	VPMAXUB(limits.Offset(wideLow), a, a)
	VPMINUB(limits.Offset(wideHigh), a, a)
	VPXORD(limits.Offset(wideFlip), a, a)
}

// A wideProduct generates a matrix product with AVX-512.
type wideProduct struct {
	rows, vectors int  // size of a tile
	half          bool // the second vector has only 8 channels
	halves        int  // 2 if each half of a group has its own sums

	x, stride, offsets, panel, out, outStride Register
	at, at4, weights, n, stride3, ahead       GPVirtual
	stored, even                              OpmaskVirtual
	integers                                  GPVirtual // not 0 if the tile is scaled in integers
	words, quads                              VecVirtual

	sums   [][2]VecVirtual // sums of each row
	second [][2]VecVirtual // sums for the second half of each group
}

// wide generates a routine that multiplies rows of unsigned bytes, one tile at a time, by
// panels of 16, 24 or 32 signed bytes. If direct is set, panels have kernels.directScales.
func wide(rows, channels int, direct bool, order Mem) {
	vectors := (channels + 15) / 16
	name, arguments := fmt.Sprintf("%dx%d", rows, channels), "x *byte, stride, tiles int, w, offsets *byte, groups int, p, out *byte, outStride int, mask uint32"
	doc := []string{
		fmt.Sprintf("multiplies tiles of %s of unsigned bytes by groups of 8 weights. Of the %d codes", rowCount(rows), channels),
		"of each row, it stores the codes that mask selects. Rows are stride bytes apart. offsets has two",
		"positions for each group, of 4 inputs in a row each.",
	}
	if direct {
		name = "direct" + name
	} else {
		name, arguments = "wide"+name, arguments+", integers bool"
		doc[2] += " integers means that sums cannot be scaled in"
		doc = append(doc, "float32.")
	}
	TEXT(name, NOSPLIT, "func("+arguments+")")
	doc[0] = name + " " + doc[0]
	Doc(doc...)
	Pragma("noescape")
	p := &wideProduct{rows: rows, vectors: vectors, half: channels == 24}
	p.x, p.stride = Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	p.offsets, p.panel = Load(Param("offsets"), GP64()), Load(Param("p"), GP64())
	p.out, p.outStride = Load(Param("out"), GP64()), Load(Param("outStride"), GP64())
	p.at, p.at4, p.weights, p.n, p.stride3 = GP64(), GP64(), GP64(), GP64(), GP64()
	p.stored = mask32(argument("mask"))
	if !direct {
		p.even, p.integers = evenMask(), GP32()
		MOVBLZX(argument("integers"), p.integers)
	}
	if rows > 1 {
		LEAQ(Mem{Base: p.stride, Index: p.stride, Scale: 2}, p.stride3)
	}

	Label("tile")
	p.start()

	Label("depth")
	p.multiply()
	ADDQ(U32(128*vectors), p.weights)
	INCQ(p.n)
	CMPQ(p.n, argument("groups"))
	JLT(LabelRef("depth"))

	if direct {
		p.scaleDirect()
		p.orders()
		to := GP64()
		MOVQ(p.out, to)
		p.storeDirect(to)
	} else {
		TESTL(p.integers, p.integers)
		JNZ(LabelRef("integers"))
		p.scaleFloats()
		JCC(LabelRef("again"))
		p.store(order, true)
	}

	Label("next")
	for range rows {
		ADDQ(p.stride, p.x)
		ADDQ(p.outStride, p.out)
	}
	DECQ(argument("tiles"))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
	if direct {
		return
	}

	Label("again")
	MOVL(U32(1), p.integers)
	JMP(LabelRef("tile"))

	Label("integers")
	p.scale()
	p.store(order, false)
	MOVBLZX(argument("integers"), p.integers)
	JMP(LabelRef("next"))
}

// start sets the sums to the bias. Each row has at least two sums, one for each vector or
// for each half of a group, to hide the latency of additions.
func (p *wideProduct) start() {
	p.sums = make([][2]VecVirtual, p.rows)
	p.halves = 1
	if p.vectors == 1 || p.rows == 1 {
		p.halves = 2
	}
	p.second = make([][2]VecVirtual, p.rows)
	for v := range p.vectors {
		for r := range p.rows {
			p.sums[r][v] = ZMM()
			VMOVDQU32(wideField(p.panel, wideBias, v), p.sums[r][v])
			if p.halves == 2 {
				p.second[r][v] = ZMM()
				VPXORD(p.second[r][v], p.second[r][v], p.second[r][v])
			}
		}
	}
	MOVQ(argument("w"), p.weights)
	XORQ(p.n, p.n)
	p.ahead = GP64()
	if p.rows > 1 {
		// The next panel's weights follow in memory. Two tiles together prefetch these
		// weights: one tile prefetches the first cache lines of each group, the other tile
		// the rest.
		MOVQ(argument("tiles"), p.ahead)
		ANDQ(Imm(uint64(p.vectors-1)), p.ahead)
		SHLQ(Imm(7), p.ahead)
		ADDQ(p.weights, p.ahead)
		MOVQ(argument("groups"), p.at)
		SHLQ(Imm(uint64(6+p.vectors)), p.at)
		ADDQ(p.at, p.ahead)
	}
}

// multiply adds the products of one group of weights to the sums.
func (p *wideProduct) multiply() {
	if p.rows > 1 {
		PREFETCHT1(Mem{Base: p.ahead})
		PREFETCHT1(Mem{Base: p.ahead, Disp: 64})
		ADDQ(U32(128*p.vectors), p.ahead)
	}
	for quad := range 2 {
		MOVLQSX(Mem{Base: p.offsets, Index: p.n, Scale: 8, Disp: 4 * quad}, p.at)
		ADDQ(p.x, p.at)
		if p.rows > 1 {
			LEAQ(Mem{Base: p.at, Index: p.stride, Scale: 4}, p.at4)
		}
		var weights [2]VecVirtual
		for v := range p.vectors {
			weights[v] = ZMM()
			from := Mem{Base: p.weights, Disp: 64 * (quad*p.vectors + v)}
			if p.half && v == 1 {
				VMOVDQU32(from, weights[v].AsY())
			} else {
				VMOVDQU32(from, weights[v])
			}
		}
		for r := range p.rows {
			base := p.at
			if r >= 4 {
				base = p.at4
			}
			inputs := ZMM()
			VPBROADCASTD(rowOf(base, p.stride, p.stride3, r%4, 0), inputs)
			for v := range p.vectors {
				sum := p.sums[r][v]
				if quad >= 2-p.halves+1 {
					sum = p.second[r][v]
				}
				if p.half && v == 1 {
					dotBytes(weights[v].AsY(), inputs.AsY(), sum.AsY(), false)
					continue
				}
				dotBytes(weights[v], inputs, sum, false)
			}
		}
	}
}

// scale multiplies the sums by the factors of their channels.
func (p *wideProduct) scale() {
	for v := range p.vectors {
		scale := inMemory(p.panel, v)
		if p.rows > 1 {
			scale = scale.load()
		}
		for r := range p.rows {
			acc := p.sums[r][v]
			if p.halves == 2 {
				VPADDD(p.second[r][v], acc, acc)
			}
			scale.upper(acc, p.even)
			VPSRAVD(scale.shift, acc, acc)
		}
	}
}

// scaleFloats scales the sums in float32, as the type kernels.wideScale describes. The carry
// flag is clear if a code may be wrong.
func (p *wideProduct) scaleFloats() {
	fraction := ZMM()
	VMOVDQU32(Mem{Base: p.panel, Disp: panelLimits + wideFraction}, fraction)
	var certain [4]OpmaskVirtual // several, to hide the latency of the test
	for i := range certain {
		certain[i] = K()
		KXNORW(certain[i], certain[i], certain[i])
	}
	for v := range p.vectors {
		factor := ZMM()
		VMOVDQU32(wideField(p.panel, wideFactor, v), factor)
		for r := range p.rows {
			acc, k := p.sums[r][v], certain[r%4]
			if p.halves == 2 {
				VPADDD(p.second[r][v], acc, acc)
			}
			VCVTDQ2PS(acc, acc)
			VFMADD213PS(wideField(p.panel, wideOffset, v), factor, acc)
			VPTESTMD(fraction, acc, k, k)
			VPSRAD(Imm(fractionBits), acc, acc)
		}
	}
	for _, k := range certain[1:] {
		KANDW(certain[0], k, certain[0])
	}
	KORTESTW(certain[0], certain[0])
}

// store converts the sums to codes and stores the codes. If floats is set, scaleFloats has
// scaled the sums. Packing works within blocks of 16
// bytes, so it spreads the codes of each vector of sums over all blocks, 4 bytes in each.
// The permutation in order joins them.
func (p *wideProduct) store(order Mem, floats bool) {
	grouped := ZMM()
	VMOVDQU32(order, grouped)
	to := GP64()
	MOVQ(p.out, to)
	each := min(p.rows, 4/p.vectors) // rows in one vector of codes
	for r := 0; r < p.rows; r += each {
		a := p.pack(p.sums[r:r+each], floats)
		VPERMD(a, grouped, a)
		p.storeRows(a, each, r, to)
	}
}

// storeRows stores the codes of some rows, from row r on, in one vector.
func (p *wideProduct) storeRows(codes VecVirtual, rows, r int, to Register) {
	for i := range rows {
		part := codes
		switch {
		case i > 0 && p.vectors == 2:
			part = ZMM()
			VEXTRACTI64X4(Imm(1), codes, part.AsY())
		case i > 0:
			part = ZMM()
			VEXTRACTI32X4(Imm(uint64(i)), codes, part.AsX())
		}
		if p.vectors == 2 {
			VMOVDQU8(part.AsY(), p.stored, Mem{Base: to})
		} else {
			VMOVDQU8(part.AsX(), p.stored, Mem{Base: to})
		}
		if r+i < p.rows-1 {
			ADDQ(p.outStride, to)
		}
	}
}

// pack converts the sums of 1, 2 or 4 rows to codes in one vector.
func (p *wideProduct) pack(sums [][2]VecVirtual, floats bool) VecVirtual {
	toWords := VPACKSSDW
	if floats {
		toWords = VPACKUSDW
	}
	a := sums[0][0]
	b := a
	switch {
	case p.vectors == 2:
		toWords(sums[0][1], a, a)
		if len(sums) == 2 {
			b = sums[1][0]
			toWords(sums[1][1], b, b)
		}
	case len(sums) == 4:
		b = sums[2][0]
		toWords(sums[1][0], a, a)
		toWords(sums[3][0], b, b)
	default:
		toWords(a, a, a)
	}
	wideFinish(a, b, Mem{Base: p.panel, Disp: panelLimits}, floats)
	return a
}

// flip generates a routine that flips the upper bit of every byte, which converts int8
// codes to uint8 codes and back.
func flip() {
	TEXT("flipBytes", NOSPLIT, "func(out, x *byte, n int)")
	Doc("flipBytes copies 32·n bytes and flips the upper bit of each.")
	Pragma("noescape")
	out, x, n := Load(Param("out"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	upper, y := YMM(), YMM()
	VPCMPEQD(upper, upper, upper)
	VPSLLW(Imm(15), upper, upper)
	VPSRLW(Imm(8), upper, y)
	VPOR(y, upper, upper)
	Label("loop")
	VPXOR(Mem{Base: x}, upper, y)
	VMOVDQU(y, Mem{Base: out})
	ADDQ(Imm(32), x)
	ADDQ(Imm(32), out)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// widePeak generates a routine that measures the peak speed. It has the multiplications and
// additions of wide, and nothing else.
func widePeak() {
	TEXT("widePeak", NOSPLIT, "func(n int)")
	Doc("widePeak multiplies 16·64 pairs of bytes and adds the products, n times.")
	n := Load(Param("n"), GP64())
	a, b := ZMM(), ZMM()
	VPXORD(a, a, a)
	VPXORD(b, b, b)
	var accs [16]VecVirtual
	for i := range accs {
		accs[i] = ZMM()
		VPXORD(accs[i], accs[i], accs[i])
	}
	Label("loop")
	for _, acc := range accs {
		dotBytes(a, b, acc, false)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
