package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// tileRows is the number of rows that share a load of weights.
const tileRows = 4

// wordPairs is the number of pairs of 16-bit values in one turn of the loop.
const wordPairs = 4

// words multiplies tiles of rows of int16 by panels of int16.
func words(rows, vectors int) {
	TEXT(fmt.Sprintf("words%dx%d", rows, 8*vectors), NOSPLIT, "func(x *byte, stride, tiles int, w *byte, steps int, p, out *byte, outStride int)")
	Doc(fmt.Sprintf("words%dx%d multiplies tiles of %d rows of 8·steps int16, stride bytes apart, by w and stores %d codes of each row.", rows, 8*vectors, rows, 8*vectors))
	Pragma("noescape")
	x, stride := Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	tiles, w := Load(Param("tiles"), GP64()), Load(Param("w"), GP64())
	steps, panel := Load(Param("steps"), GP64()), Load(Param("p"), GP64())
	out, outStride := Load(Param("out"), GP64()), Load(Param("outStride"), GP64())
	stride3, outStride3 := GP64(), GP64()
	if rows == 4 {
		LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
		LEAQ(Mem{Base: outStride, Index: outStride, Scale: 2}, outStride3)
	}
	at, weights, n := GP64(), GP64(), GP64()

	Label("tile")
	t := newTile(rows, vectors)
	t.start(panel)
	MOVQ(x, at)
	MOVQ(w, weights)
	MOVQ(steps, n)

	Label("depth")
	for pair := range wordPairs {
		side := make([]Op, vectors)
		for v := range side {
			y := YMM()
			VMOVDQU(Mem{Base: weights, Disp: 32 * (pair*vectors + v)}, y)
			side[v] = y
		}
		for r := range rows {
			pixel := YMM()
			VPBROADCASTD(rowOf(at, stride, stride3, r, 4*pair), pixel)
			for v := range vectors {
				product := pixel
				if v < vectors-1 {
					product = YMM()
				}
				VPMADDWD(side[v], pixel, product)
				VPADDD(product, t[r][v], t[r][v])
			}
		}
	}
	ADDQ(U32(32*wordPairs*vectors), weights)
	ADDQ(Imm(4*wordPairs), at)
	DECQ(n)
	JNZ(LabelRef("depth"))

	t.store(panel, out, outStride, outStride3)
	for range rows {
		ADDQ(stride, x)
		ADDQ(outStride, out)
	}
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// widen stores n·16 bytes as int16.
func widen(signed bool) {
	name, how, load := "widenUnsigned", "unsigned", VPMOVZXBW
	if signed {
		name, how, load = "widenSigned", "signed", VPMOVSXBW
	}
	TEXT(name, NOSPLIT, "func(out, x *byte, n int)")
	Doc(fmt.Sprintf("%s stores 16·n %s bytes as int16.", name, how))
	Pragma("noescape")
	out, x, n := Load(Param("out"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	Label("loop")
	y := YMM()
	load(Mem{Base: x}, y)
	VMOVDQU(y, Mem{Base: out})
	ADDQ(Imm(16), x)
	ADDQ(Imm(32), out)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
