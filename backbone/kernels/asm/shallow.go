package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// shallow generates a routine that is like wide with direct, for rows of few quads of
// inputs. All weights stay in registers, so the routine computes one row after the other, and
// the processor scales one row while it multiplies the next.
func shallow(quads, vectors int) {
	rows := 4 / vectors // whose codes fill a vector
	name := fmt.Sprintf("shallow%dx%d", quads, 16*vectors)
	TEXT(name, NOSPLIT, "func(x *byte, stride, tiles int, w, offsets, p, out *byte, outStride int, mask uint32)")
	Doc(fmt.Sprintf("%s multiplies tiles of %s of unsigned bytes by %d weights. Of the %d codes", name, rowCount(rows), 4*quads, 16*vectors),
		"of each row, it stores the codes that mask selects. Rows are stride bytes apart. offsets has the",
		"position of each 4 inputs in a row.")
	Pragma("noescape")
	p := &wideProduct{rows: rows, vectors: vectors}
	p.x, p.stride = Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	p.offsets, p.panel = Load(Param("offsets"), GP64()), Load(Param("p"), GP64())
	p.out, p.outStride = Load(Param("out"), GP64()), Load(Param("outStride"), GP64())
	p.at, p.stride3 = GP64(), GP64()
	p.stored = mask32(argument("mask"))
	LEAQ(Mem{Base: p.stride, Index: p.stride, Scale: 2}, p.stride3)
	w := Load(Param("w"), GP64())
	weights := make([][2]VecVirtual, quads)
	for q := range weights {
		for v := range vectors {
			weights[q][v] = ZMM()
			VMOVDQU32(Mem{Base: w, Disp: 64 * (q*vectors + v)}, weights[q][v])
		}
	}
	var factor, offset [2]VecVirtual
	for v := range vectors {
		factor[v], offset[v] = ZMM(), ZMM()
		VMOVDQU32(wideField(p.panel, wideFactor, v), factor[v])
		VMOVDQU32(wideField(p.panel, wideOffset, v), offset[v])
	}
	p.orders()

	Label("tile")
	p.sums = make([][2]VecVirtual, rows)
	for r := range rows {
		for v := range vectors {
			p.sums[r][v] = ZMM()
			VMOVDQU32(wideField(p.panel, wideBias, v), p.sums[r][v])
		}
	}
	for q := range quads {
		MOVLQSX(Mem{Base: p.offsets, Disp: 4 * q}, p.at)
		ADDQ(p.x, p.at)
		for r := range rows {
			inputs := ZMM()
			VPBROADCASTD(rowOf(p.at, p.stride, p.stride3, r, 0), inputs)
			for v := range vectors {
				dotBytes(weights[q][v], inputs, p.sums[r][v], false)
			}
		}
	}
	for range rows {
		ADDQ(p.stride, p.x)
	}
	for r := range rows {
		for v := range vectors {
			VFMADD213PS(offset[v], factor[v], p.sums[r][v])
		}
	}
	p.storeDirect(p.out)
	ADDQ(p.outStride, p.out)
	DECQ(argument("tiles"))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// tails generates a routine that joins bytes of three lines.
func tails() {
	TEXT("joinTails", NOSPLIT, "func(out, lines *byte, pitch, vectors, each int, second, third uint64)")
	Doc("joinTails copies bytes of the first of three lines, pitch bytes apart, to out. The bytes that the",
		"masks second and third select come from the other lines, from 1 and 2 bytes before. Of each vector",
		"of 64 bytes, the next overwrites all but each.")
	Pragma("noescape")
	out, first, pitch := Load(Param("out"), GP64()), Load(Param("lines"), GP64()), Load(Param("pitch"), GP64())
	n, each := Load(Param("vectors"), GP64()), Load(Param("each"), GP64())
	k2, k3 := K(), K()
	KMOVQ(argument("second"), k2)
	KMOVQ(argument("third"), k3)
	Label("loop")
	a, b, c := ZMM(), ZMM(), ZMM()
	VMOVDQU8(Mem{Base: first}, a)
	VMOVDQU8(Mem{Base: first, Index: pitch, Scale: 1, Disp: -1}, b)
	VMOVDQU8(Mem{Base: first, Index: pitch, Scale: 2, Disp: -2}, c)
	VMOVDQU8(b, k2, a)
	VMOVDQU8(c, k3, a)
	VMOVDQU8(a, Mem{Base: out})
	ADDQ(each, first)
	ADDQ(each, out)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
