package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// add generates a routine for ADD of 16 elements at a time. The first two of its three
// panels scale the operands and have zero points instead of biases. The third scales the
// sums.
func add(signed bool) {
	name, how, load := "addUnsigned", "unsigned", VPMOVZXBD
	if signed {
		name, how, load = "addSigned", "signed", VPMOVSXBD
	}
	TEXT(name, NOSPLIT, "func(out, x, y *byte, n int, panels *byte)")
	Doc(name + " adds 16·n " + how + " bytes. The first two of the three panels scale the operands, and the third scales the sums.")
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
