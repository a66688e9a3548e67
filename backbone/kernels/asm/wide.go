package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of type widePanel in package kernels: of each half, and
// of what both have in common.
const (
	wideBias = 64 * iota // 16 int32
	wideMantissa
	wideOdd
	wideRound // 8 int64
	wideRoundOdd
	wideShift // 16 int32
	wideLeft
	wideLeast
	wideHalf // their size

	wideZero  = 2 * wideHalf // 32 int16
	wideLow   = wideZero + 64
	wideHigh  = wideLow + 64
	wideFlip  = wideHigh + 64
	wideBytes = wideFlip + 64
	wideBlock = wideBytes + 2*wideTaps
	wideTaps  = 3 * 2 * 64 // weights of three columns
	evenLanes = 0x5555
	wideRows  = 8
)

// wideField is 64 bytes of a panel's half.
func wideField(panel Register, offset, half int) Mem {
	return Mem{Base: panel, Disp: wideHalf*half + offset}
}

// order is how lanes of four bytes are put together that instructions have
// packed within 16 bytes: one of four, then the next.
func order() Mem {
	m := GLOBL("groupsOf16", 8|16) // RODATA|NOPTR
	for i := range 16 {
		DATA(4*i, U32(i%4*4+i/4))
	}
	return m
}

// eights is how the first 8 bytes of each 16 are put together.
func eights() Mem {
	m := GLOBL("groupsOf8", 8|16) // RODATA|NOPTR
	for i := range 8 {
		DATA(8*i, U64(i%4*2))
	}
	return m
}

// A wideScale is what scales sums of a panel's half, in registers or in memory.
type wideScale struct{ mantissa, odd, round, roundOdd, shift Op }

func inMemory(panel Register, half int) wideScale {
	f := func(offset int) Op { return wideField(panel, offset, half) }
	return wideScale{f(wideMantissa), f(wideOdd), f(wideRound), f(wideRoundOdd), f(wideShift)}
}

func (s wideScale) load() wideScale {
	for _, field := range []*Op{&s.mantissa, &s.odd, &s.round, &s.roundOdd, &s.shift} {
		r := ZMM()
		VMOVDQU32(*field, r)
		*field = r
	}
	return s
}

// upper leaves the rounded products of acc with the mantissa in acc, less what
// is still to be shifted, as requantise does.
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

// evenMask is the mask of the even lanes of 32 bits.
func evenMask() OpmaskVirtual { return mask32(U32(evenLanes)) }

func mask32(m Op) OpmaskVirtual {
	bits, k := GP32(), K()
	MOVL(m, bits)
	KMOVD(bits, k)
	return k
}

// wideFinish is finish for 64 bytes.
func wideFinish(a, b VecVirtual, panel Register) {
	common := func(offset int) Mem { return Mem{Base: panel, Disp: offset} }
	VPADDSW(common(wideZero), a, a)
	if a != b {
		VPADDSW(common(wideZero), b, b)
	}
	VPACKUSWB(b, a, a)
	VPMAXUB(common(wideLow), a, a)
	VPMINUB(common(wideHigh), a, a)
	VPXORD(common(wideFlip), a, a)
}

// wide multiplies tiles of rows of unsigned bytes by panels of 16 or 32 signed
// bytes, with AVX-512.
func wide(rows, vectors int, order Mem) {
	name := fmt.Sprintf("wide%dx%d", rows, 16*vectors)
	TEXT(name, NOSPLIT, "func(x *byte, stride, tiles int, w, offsets *byte, turns int, p, out *byte, outStride int, mask uint32)")
	Doc(fmt.Sprintf("%s multiplies tiles of %d rows of unsigned bytes, stride bytes apart, by turns", name, rows),
		"of 8 weights, each for the 8 bytes at an offset, and stores those codes of each",
		fmt.Sprintf("row, of %d, that mask has.", 16*vectors))
	Pragma("noescape")
	x, stride := Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	offsets, panel := Load(Param("offsets"), GP64()), Load(Param("p"), GP64())
	out, outStride := Load(Param("out"), GP64()), Load(Param("outStride"), GP64())
	at, at4, weights, n, stride3 := GP64(), GP64(), GP64(), GP64(), GP64()
	stored, even := mask32(argument("mask")), evenMask()
	if rows > 1 {
		LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	}

	Label("tile")
	// Two sums of each row, of both vectors or of both halves of a turn: each
	// addition takes a while.
	sums := make([][2]VecVirtual, rows)
	halves := 1
	if vectors == 1 || rows == 1 {
		halves = 2
	}
	second := make([][2]VecVirtual, rows) // of the other half
	for v := range vectors {
		for r := range rows {
			sums[r][v] = ZMM()
			VMOVDQU32(wideField(panel, wideBias, v), sums[r][v])
			if halves == 2 {
				second[r][v] = ZMM()
				VPXORD(second[r][v], second[r][v], second[r][v])
			}
		}
	}
	MOVQ(argument("w"), weights)
	XORQ(n, n)
	ahead := GP64()
	if rows > 1 {
		// The next panel's weights lie behind these. Two tiles fetch all of them:
		// one the first lines of each turn, one the others.
		MOVQ(argument("tiles"), ahead)
		ANDQ(Imm(uint64(vectors-1)), ahead)
		SHLQ(Imm(7), ahead)
		ADDQ(weights, ahead)
		MOVQ(argument("turns"), at)
		SHLQ(Imm(uint64(6+vectors)), at)
		ADDQ(at, ahead)
	}

	Label("depth")
	MOVLQSX(Mem{Base: offsets, Index: n, Scale: 4}, at)
	ADDQ(x, at)
	if rows > 1 {
		LEAQ(Mem{Base: at, Index: stride, Scale: 4}, at4)
		PREFETCHT1(Mem{Base: ahead})
		PREFETCHT1(Mem{Base: ahead, Disp: 64})
		ADDQ(U32(128*vectors), ahead)
	}
	for quad := range 2 {
		var side [2]VecVirtual
		for v := range vectors {
			side[v] = ZMM()
			VMOVDQU32(Mem{Base: weights, Disp: 64 * (quad*vectors + v)}, side[v])
		}
		for r := range rows {
			base := at
			if r >= 4 {
				base = at4
			}
			pixel := ZMM()
			VPBROADCASTD(rowOf(base, stride, stride3, r%4, 4*quad), pixel)
			for v := range vectors {
				sum := sums[r][v]
				if quad >= 2-halves+1 {
					sum = second[r][v]
				}
				dotBytes(side[v], pixel, sum, false)
			}
		}
	}
	ADDQ(U32(128*vectors), weights)
	INCQ(n)
	CMPQ(n, argument("turns"))
	JLT(LabelRef("depth"))

	for v := range vectors {
		scale := inMemory(panel, v)
		if rows > 1 {
			scale = scale.load()
		}
		for r := range rows {
			acc := sums[r][v]
			if halves == 2 {
				VPADDD(second[r][v], acc, acc)
			}
			scale.upper(acc, even)
			VPSRAVD(scale.shift, acc, acc)
		}
	}
	// What is packed first comes to lie in 4 bytes of each 16, and so on.
	grouped := ZMM()
	VMOVDQU32(order, grouped)
	to := GP64()
	MOVQ(out, to)
	store := func(codes VecVirtual, last bool) {
		if vectors == 2 {
			VMOVDQU8(codes.AsY(), stored, Mem{Base: to})
		} else {
			VMOVDQU8(codes.AsX(), stored, Mem{Base: to})
		}
		if !last {
			ADDQ(outStride, to)
		}
	}
	each := min(rows, 4/vectors) // rows in one vector of codes
	for r := 0; r < rows; r += each {
		packs := sums[r : r+each]
		a := packs[0][0]
		b := a
		switch {
		case vectors == 2:
			VPACKSSDW(packs[0][1], a, a)
			if each == 2 {
				b = packs[1][0]
				VPACKSSDW(packs[1][1], b, b)
			}
		case each == 4:
			b = packs[2][0]
			VPACKSSDW(packs[1][0], a, a)
			VPACKSSDW(packs[3][0], b, b)
		default:
			VPACKSSDW(a, a, a)
		}
		wideFinish(a, b, panel)
		VPERMD(a, grouped, a)
		for i := range each {
			part := a
			switch {
			case i > 0 && vectors == 2:
				part = ZMM()
				VEXTRACTI64X4(Imm(1), a, part.AsY())
			case i > 0:
				part = ZMM()
				VEXTRACTI32X4(Imm(uint64(i)), a, part.AsX())
			}
			store(part, r+i == rows-1)
		}
	}
	for range rows {
		ADDQ(stride, x)
		ADDQ(outStride, out)
	}
	DECQ(argument("tiles"))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// wideWindows computes 3×3 windows of 32 channels at a time. The bytes of a
// column of three rows lie side by side, for an instruction that adds products
// of four; near windows find two of their columns in the one before. twice is for
// weights that are the sum of two.
func wideWindows(signed, twice bool, eights Mem) {
	name, how := "wideUnsigned", "unsigned bytes by a signed byte"
	switch {
	case signed:
		name, how = "wideSigned", "signed bytes by a signed byte"
	case twice:
		name, how = "wideTwice", "unsigned bytes by the sum of two signed bytes"
	}
	TEXT(name, NOSPLIT, "func(out *byte, outStep int, taps *byte, step, n int, block *byte, near bool)")
	Doc(fmt.Sprintf("%s computes n pixels of 3×3 windows over 32 channels, each of", name),
		how+". taps has 9 addresses in the first pixel, which move by step.",
		"With near set, what one sees of the second and third column the next sees of the first two.")
	Pragma("noescape")
	pointers := Load(Param("taps"), GP64())
	var taps [9]GPVirtual
	for t := range taps {
		taps[t] = GP64()
		MOVQ(Mem{Base: pointers, Disp: 8 * t}, taps[t])
	}
	block, out, at, n := Load(Param("block"), GP64()), Load(Param("out"), GP64()), GP64(), GP64()
	MOVQ(argument("n"), n)
	XORQ(at, at)
	even := evenMask()
	one, ends, endsLast, eight := ZMM(), ZMM(), ZMM(), ZMM()
	VPTERNLOGD(Imm(0xff), one, one, one) // −1
	VMOVDQU64(eights, eight)
	if signed {
		// 0x80 in each byte, and in each even one.
		VPSLLW(Imm(15), one, ends)
		VPSRLW(Imm(8), ends, endsLast)
		VPORD(endsLast, ends, ends)
	}
	var columns [3][2]VecVirtual
	for c := range columns {
		columns[c] = [2]VecVirtual{ZMM(), ZMM()}
	}
	load := func(c int) {
		first, second, third := ZMM(), ZMM(), ZMM()
		for r, v := range []VecVirtual{first, second, third} {
			VPMOVZXBW(Mem{Base: taps[3*r+c], Index: at, Scale: 1}, v)
		}
		VPSLLW(Imm(8), second, second)
		if signed {
			VPTERNLOGD(Imm(0x56), ends, second, first) // (first | second) ^ ends
			VPXORD(endsLast, third, third)
		} else {
			VPORD(second, first, first)
		}
		VPUNPCKLWD(third, first, columns[c][0])
		VPUNPCKHWD(third, first, columns[c][1])
	}
	load(0)
	load(1)
	JMP(LabelRef("pixel"))

	Label("far")
	load(0)
	load(1)

	Label("pixel")
	load(2)
	var sums [2]VecVirtual
	for half := range sums {
		sums[half] = ZMM()
		VMOVDQU32(wideField(block, wideBias, half), sums[half])
	}
	for c, column := range columns {
		for half, sum := range sums {
			weights := Mem{Base: block, Disp: wideBytes + 64*(2*c+half)}
			dotBytes(weights, column[half], sum, false)
			if twice {
				weights.Disp += wideTaps
				dotBytes(weights, column[half], sum, false)
			}
		}
	}
	for half, sum := range sums {
		VPSLLVD(wideField(block, wideLeft, half), sum, sum)
		above := K()
		VPCMPGTD(wideField(block, wideLeast, half), sum, above)
		scale := inMemory(block, half)
		scale.upper(sum, even)
		VPSUBD(one, sum, above, sum)
		VPSRAVD(scale.shift, sum, sum)
	}
	a := sums[0]
	VPACKSSDW(sums[1], a, a)
	wideFinish(a, a, block)
	VPERMQ(a, eight, a)
	VMOVDQU(a.AsY(), Mem{Base: out})
	ADDQ(argument("outStep"), out)
	ADDQ(argument("step"), at)
	DECQ(n)
	JZ(LabelRef("done"))
	CMPB(argument("near"), Imm(0))
	JE(LabelRef("far"))
	for half := range 2 {
		VMOVDQA64(columns[1][half], columns[0][half])
		VMOVDQA64(columns[2][half], columns[1][half])
	}
	JMP(LabelRef("pixel"))

	Label("done")
	VZEROUPPER()
	RET()
}

// flip copies bytes with their upper bit turned, which makes signed ones unsigned.
func flip() {
	TEXT("flipBytes", NOSPLIT, "func(out, x *byte, n int)")
	Doc("flipBytes stores 32·n bytes with their upper bit turned.")
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

// widePeak does nothing but the arithmetic of wide.
func widePeak() {
	TEXT("widePeak", NOSPLIT, "func(n int)")
	Doc("widePeak multiplies and adds 16·64 bytes n times.")
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
