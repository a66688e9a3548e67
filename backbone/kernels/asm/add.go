package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// add generates a routine that adds 16 elements at a time. The first two of its three
// panels scale the operands, and have zero points in place of biases. The third panel
// scales the sums.
func add(signed bool) {
	name, how, load := "addUnsigned", "unsigned", VPMOVZXBD
	if signed {
		name, how, load = "addSigned", "signed", VPMOVSXBD
	}
	TEXT(name, NOSPLIT, "func(out, x, y *byte, n int, panels *byte)")
	Doc(name+" adds x and y, 16·n "+how+" bytes each. Of the three panels, two scale the operands", "and the third scales the sums.")
	Pragma("noescape")
	out, x, y := Load(Param("out"), GP64()), Load(Param("x"), GP64()), Load(Param("y"), GP64())
	n, first := Load(Param("n"), GP64()), Load(Param("panels"), GP64())
	second, third := GP64(), GP64()
	LEAQ(Mem{Base: first, Disp: panelBytes}, second)
	LEAQ(Mem{Base: first, Disp: 2 * panelBytes}, third)
	Label("loop")
	term := func(from, panel Register, half int) VecVirtual {
		v := YMM()
		load(Mem{Base: from, Disp: 8 * half}, v)
		VPSLLD(Imm(21), v, v)
		VPADDD(field(panel, biasField, half), v, v)
		requantize(v, panel, half, true)
		return v
	}
	var sums [2]VecVirtual
	for half := range sums {
		sums[half] = term(x, first, half)
		v := term(y, second, half)
		VPADDD(v, sums[half], sums[half])
		VPADDD(sums[half], sums[half], sums[half])
		requantize(sums[half], third, half, true)
	}
	a, high := sums[0], XMM()
	VPACKSSDW(sums[1], a, a)
	finish(a, a, third)
	VEXTRACTI128(Imm(1), a, high)
	VPUNPCKLDQ(high, a.AsX(), a.AsX())
	VMOVDQU(a.AsX(), Mem{Base: out})
	for _, p := range []Register{x, y, out} {
		ADDQ(Imm(16), p)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// wideAdd generates a routine that adds 64 elements at a time in float32. The two halves of
// its panel have the factors of the operands, and the first half has the offset.
func wideAdd(signed bool, order Mem) {
	name, how, load := "wideAddUnsigned", "unsigned", VPMOVZXBD
	if signed {
		name, how, load = "wideAddSigned", "signed", VPMOVSXBD
	}
	TEXT(name, NOSPLIT, "func(out, x, y *byte, n int, p *byte) (rest int)")
	Doc(name+" adds x and y, 64·n "+how+" bytes each, with one panel for both. It stops before 64 elements",
		"with a sum whose code may be wrong, and returns how many of n are left.")
	Pragma("noescape")
	out, x, y := Load(Param("out"), GP64()), Load(Param("x"), GP64()), Load(Param("y"), GP64())
	n, panel := Load(Param("n"), GP64()), Load(Param("p"), GP64())
	grouped, fraction, offset := ZMM(), ZMM(), ZMM()
	VMOVDQU32(order, grouped)
	VMOVDQU32(Mem{Base: panel, Disp: panelLimits + wideFraction}, fraction)
	VMOVDQU32(wideField(panel, wideOffset, 0), offset)
	factors := [2]VecVirtual{ZMM(), ZMM()}
	for i, f := range factors {
		VMOVDQU32(wideField(panel, wideFactor, i), f)
	}
	Label("loop")
	var sums [4]VecVirtual
	certain := K()
	KXNORW(certain, certain, certain)
	for i := range sums {
		sum, term := ZMM(), ZMM()
		load(Mem{Base: x, Disp: 16 * i}, sum)
		load(Mem{Base: y, Disp: 16 * i}, term)
		VCVTDQ2PS(sum, sum)
		VCVTDQ2PS(term, term)
		VFMADD213PS(offset, factors[1], term)
		VFMADD213PS(term, factors[0], sum)
		VPTESTMD(fraction, sum, certain, certain)
		VPSRAD(Imm(fractionBits), sum, sum)
		sums[i] = sum
	}
	KORTESTW(certain, certain)
	JCC(LabelRef("done"))
	VPACKUSDW(sums[1], sums[0], sums[0])
	VPACKUSDW(sums[3], sums[2], sums[2])
	wideFinish(sums[0], sums[2], Mem{Base: panel, Disp: panelLimits}, true)
	VPERMD(sums[0], grouped, sums[0])
	VMOVDQU8(sums[0], Mem{Base: out})
	for _, p := range []Register{x, y, out} {
		ADDQ(Imm(64), p)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))

	Label("done")
	VZEROUPPER()
	Store(n, ReturnIndex(0))
	RET()
}
