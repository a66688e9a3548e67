package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// windowsBytes is the size of the type kernels.windowsBlock.
const windowsBytes = panelBytes + 5*2*32

// windows generates a routine that computes 3×3 windows of 8 or 16 channels at a time.
// The routine multiplies taps in pairs. The ninth tap is paired with 0.
func windows(channels int, signed bool) {
	name, how := fmt.Sprintf("windows%dunsigned", channels), "unsigned"
	if signed {
		name, how = fmt.Sprintf("windows%dsigned", channels), "signed"
	}
	TEXT(name, NOSPLIT, "func(out *byte, outStep int, taps *byte, step, n int, blocks *byte, channels int)")
	Doc(fmt.Sprintf("%s computes n pixels of 3×3 windows of %s bytes. channels is a multiple of %d.", name, how, channels),
		"taps has the addresses of the first pixel's 9 taps, which advance by step.")
	Pragma("noescape")
	pointers := Load(Param("taps"), GP64())
	var taps [9]GPVirtual
	for t := range taps {
		taps[t] = GP64()
		MOVQ(Mem{Base: pointers, Disp: 8 * t}, taps[t])
	}
	block := Load(Param("blocks"), GP64())
	first, at, out, n := GP64(), GP64(), GP64(), GP64()
	XORQ(first, first)

	Label("block")
	MOVQ(first, at)
	MOVQ(argument("out"), out)
	ADDQ(first, out)
	MOVQ(argument("n"), n)

	Label("pixel")
	tap := func(t int) Mem { return Mem{Base: taps[t], Index: at, Scale: 1} }
	weights := func(t, half int) Mem { return Mem{Base: block, Disp: panelBytes + (t/2*channels/8+half)*32} }
	accs := []VecVirtual{YMM()}
	if channels == 16 {
		accs = append(accs, YMM())
	}
	for v, acc := range accs {
		VMOVDQU(field(block, biasField, v), acc)
	}
	for t := 0; t < 9; t += 2 {
		pairs := pairs8(tap, t, signed)
		if channels == 16 {
			pairs = pairs16(tap, t, signed)
		}
		for v, acc := range accs {
			VPMADDWD(weights(t, v), pairs[v], pairs[v])
			VPADDD(pairs[v], acc, acc)
		}
	}
	for v, acc := range accs {
		requantize(acc, block, v, true)
	}
	a := accs[0]
	VPACKSSDW(accs[len(accs)-1], a, a)
	finish(a, a, block)
	high := XMM()
	VEXTRACTI128(Imm(1), a, high)
	if channels == 16 {
		VPUNPCKLQDQ(high, a.AsX(), a.AsX())
		VMOVDQU(a.AsX(), Mem{Base: out})
	} else {
		VPUNPCKLDQ(high, a.AsX(), a.AsX())
		VMOVQ(a.AsX(), Mem{Base: out})
	}
	ADDQ(argument("step"), at)
	ADDQ(argument("outStep"), out)
	DECQ(n)
	JNZ(LabelRef("pixel"))

	ADDQ(U32(windowsBytes), block)
	ADDQ(Imm(uint64(channels)), first)
	CMPQ(first, argument("channels"))
	JLT(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// pairs16 interleaves taps t and t+1 of 16 channels, in a panel's channel order.
func pairs16(tap func(int) Mem, t int, signed bool) []VecVirtual {
	load := VPMOVZXBW
	if signed {
		load = VPMOVSXBW
	}
	a, b, high := YMM(), YMM(), YMM()
	load(tap(t), a)
	if t < 8 {
		load(tap(t+1), b)
	} else {
		VPXOR(b, b, b)
	}
	VPUNPCKHWD(b, a, high)
	VPUNPCKLWD(b, a, a)
	return []VecVirtual{a, high}
}

// pairs8 interleaves taps t and t+1 of 8 channels.
func pairs8(tap func(int) Mem, t int, signed bool) []VecVirtual {
	a, b, pairs := XMM(), XMM(), YMM()
	VMOVQ(tap(t), a)
	if t < 8 {
		VMOVQ(tap(t+1), b)
	} else {
		VPXOR(b, b, b)
	}
	VPUNPCKLBW(b, a, a)
	if signed {
		VPMOVSXBW(a, pairs)
	} else {
		VPMOVZXBW(a, pairs)
	}
	return []VecVirtual{pairs}
}
