package main

// This file has the parts of routines that scale sums as kernels.directScale describes.

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// directOrder defines the permutations of storeDirect: of words, which take the lower halves of
// 4-byte lanes, and of the 8-byte lanes of 4 rows.
func directOrder() {
	GLOBL("evenWords", 8|16)
	for i := range 32 {
		DATA(2*i, U16(2*i))
	}
	GLOBL("evenQuads", 8|16)
	for i, quad := range []uint64{0, 2, 4, 6, 1, 3, 5, 7} {
		DATA(8*i, U64(quad))
	}
}

// limitBytes clamps the bytes in vectors and flips their upper bits, if limits say so. It can be
// used once in a routine.
func limitBytes(limits Mem, vectors ...VecVirtual) {
	CMPB(limits.Offset(wideActive), Imm(0))
	JE(LabelRef("limited"))
	for _, v := range vectors {
		VPMAXUB(limits.Offset(wideLow), v, v)
		VPMINUB(limits.Offset(wideHigh), v, v)
		VPXORD(limits.Offset(wideFlip), v, v)
	}
	Label("limited")
}

// scaleDirect scales the sums as the type kernels.directScale describes.
func (p *wideProduct) scaleDirect() {
	for v := range p.vectors {
		factor, offset := ZMM(), ZMM()
		VMOVDQU32(wideField(p.panel, wideFactor, v), factor)
		VMOVDQU32(wideField(p.panel, wideOffset, v), offset)
		for r := range p.rows {
			acc := p.sums[r][v]
			if p.halves == 2 {
				VPADDD(p.second[r][v], acc, acc)
			}
			VFMADD213PS(offset, factor, acc)
		}
	}
}

// orders loads the permutations that storeDirect needs.
func (p *wideProduct) orders() {
	p.words = ZMM()
	VMOVDQU32(NewDataAddr(Symbol{Name: "evenWords", Static: true}, 0), p.words)
	if p.vectors == 1 {
		p.quads = ZMM()
		VMOVDQU32(NewDataAddr(Symbol{Name: "evenQuads", Static: true}, 0), p.quads)
	}
}

// storeDirect converts the sums that scaleDirect has scaled to codes and stores the codes.
// The order of channels in kernels.directChannel is such that packing sorts two vectors.
// It moves to, which is the address of the first row, to that of the last.
func (p *wideProduct) storeDirect(to Register) {
	var codes []VecVirtual
	each := min(p.rows, 4/p.vectors) // rows in one vector of codes
	for r := 0; r < p.rows; r += each {
		var a, b VecVirtual
		switch s := p.sums[r : r+each]; {
		case p.vectors == 2:
			a, b = s[0][0], s[0][1]
			VPERMT2W(s[each-1][0], p.words, a)
			VPERMT2W(s[each-1][1], p.words, b)
		case each == 4:
			a, b = s[0][0], s[2][0]
			VPERMT2W(s[1][0], p.words, a)
			VPERMT2W(s[3][0], p.words, b)
		default:
			a, b = s[0][0], s[0][0]
			VPERMT2W(a, p.words, a)
		}
		VPACKUSWB(b, a, a)
		codes = append(codes, a)
	}
	limitBytes(Mem{Base: p.panel, Disp: panelLimits}, codes...)
	for i, v := range codes {
		if p.vectors == 1 {
			VPERMQ(v, p.quads, v)
		}
		p.storeRows(v, each, i*each, to)
	}
}

// directCodes is like codes, but scales as the type kernels.directScale describes.
func (w *wideWindow) directCodes() VecVirtual {
	sums := w.sums()
	for q, sum := range sums {
		VFMADD213PS(wideField(w.block, wideOffset, q), w.factors[q], sum)
		VPSUBD(w.fraction, sum, sum)
	}
	VPACKSSDW(sums[1], sums[0], sums[0])
	VPACKSSDW(sums[3], sums[2], sums[2])
	VPACKUSWB(sums[2], sums[0], sums[0])
	limitBytes(Mem{Base: w.block, Disp: blockLimits}, sums[0])
	return sums[0]
}

// pairCodes is like directCodes, for a vector of each of two output rows. The upper row's
// weights for the last line are 0, and so are the lower row's for the first line.
func (w *wideWindow) pairCodes() (upper, lower VecVirtual) {
	var words [2][2]VecVirtual // of each row
	for half := range 2 {
		var sums [2][2]VecVirtual
		for i := range 2 {
			sums[0][i], sums[1][i] = w.vector(), w.vector()
			VMOVDQU32(wideField(w.block, wideBias, 2*half+i), sums[0][i])
			VMOVDQA64(sums[0][i], sums[1][i])
		}
		for c, column := range w.columns {
			for i := range 2 {
				q := 2*half + i
				dotBytes(w.weights[c][q], column[q], sums[0][i], false)
				dotBytes(w.tap(blockRest, c, q), column[q], sums[1][i], false)
			}
		}
		for i := range 2 {
			factor, offset := w.vector(), w.vector()
			VMOVDQU32(wideField(w.block, wideFactor, 2*half+i), factor)
			VMOVDQU32(wideField(w.block, wideOffset, 2*half+i), offset)
			for r := range sums {
				VFMADD213PS(offset, factor, sums[r][i])
				VPSUBD(w.fraction, sums[r][i], sums[r][i])
			}
		}
		for r, s := range sums {
			VPACKSSDW(s[1], s[0], s[0])
			words[r][half] = s[0]
		}
	}
	limits := Mem{Base: w.block, Disp: blockLimits}
	for _, v := range words {
		VPACKUSWB(v[1], v[0], v[0])
	}
	limitBytes(limits, words[0][0], words[1][0])
	return words[0][0], words[1][0]
}
