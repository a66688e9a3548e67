package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of type panel in package kernels.
const (
	biasField     = 64 * iota // 16 int32
	mantissaField             // 16 int32, for the even lanes
	oddField                  // for the odd lanes, moved to the even ones
	roundField                // 8 int64, for the even lanes
	roundOddField
	shiftField // 16 int32
	leastField // 16 int32
	zeroField  // 16 int16
	lowField   = zeroField + 32
	highField  = lowField + 32
	flipField  = highField + 32
	panelBytes = flipField + 32
)

// field returns the operand for 32 bytes of a panel's field: half 0 or 1 of its 16 int32.
func field(panel Register, offset, half int) Mem {
	return Mem{Base: panel, Disp: offset + 32*half}
}

// requantize maps eight accumulators, half of a panel, to codes minus the zero point. It
// rounds only once, in the upper half of the product with the mantissa. The result is
// that of multiplier.applyUp or, if away is set, of multiplier.apply.
func requantize(acc VecVirtual, panel Register, half int, away bool) {
	odd, even := YMM(), YMM()
	VPSRLQ(Imm(32), acc, odd)
	VPMULDQ(field(panel, mantissaField, half), acc, even)
	VPMULDQ(field(panel, oddField, half), odd, odd)
	VPADDQ(field(panel, roundField, half), even, even)
	VPADDQ(field(panel, roundOddField, half), odd, odd)
	VPSRLQ(Imm(32), even, even)
	if !away {
		VPBLENDD(Imm(0xaa), odd, even, acc)
	} else {
		VPCMPGTD(field(panel, leastField, half), acc, acc)
		VPBLENDD(Imm(0xaa), odd, even, even)
		VPSUBD(acc, even, acc)
	}
	VPSRAVD(field(panel, shiftField, half), acc, acc)
}

// finish adds the zero point to a and b, two rows of 16 int16 each, and clamps and packs
// them to bytes in a. Each half of the result has bytes of a before bytes of b.
func finish(a, b VecVirtual, panel Register) {
	VPADDSW(field(panel, zeroField, 0), a, a)
	if a != b {
		VPADDSW(field(panel, zeroField, 0), b, b)
	}
	VPACKUSWB(b, a, a)
	VPMAXUB(field(panel, lowField, 0), a, a)
	VPMINUB(field(panel, highField, 0), a, a)
	VPXOR(field(panel, flipField, 0), a, a)
}

// A tile holds the accumulators of several rows of 8 or 16 channels. In a panel of 16
// channels the first vector has channels 0…3 and 8…11, and the second has the others,
// because the pack instructions arrange channels in this order.
type tile [][]VecVirtual

func newTile(rows, vectors int) tile {
	t := make(tile, rows)
	for r := range t {
		for range vectors {
			t[r] = append(t[r], YMM())
		}
	}
	return t
}

// start sets the accumulators to the bias.
func (t tile) start(panel Register) {
	for _, row := range t {
		for v, acc := range row {
			VMOVDQU(field(panel, biasField, v), acc)
		}
	}
}

// store requantizes the tile and stores row r at out + r·stride.
func (t tile) store(panel Register, out, stride, stride3 Register) {
	row := func(r int) Mem { return rowOf(out, stride, stride3, r, 0) }
	for _, accs := range t {
		for v, acc := range accs {
			requantize(acc, panel, v, false)
		}
		if len(accs) == 2 {
			VPACKSSDW(accs[1], accs[0], accs[0])
		}
	}
	switch {
	case len(t[0]) == 2 && len(t) == 1:
		a := t[0][0]
		finish(a, a, panel)
		VPERMQ(Imm(0xd8), a, a)
		VMOVDQU(a.AsX(), row(0))
	case len(t[0]) == 2:
		for r := 0; r < len(t); r += 2 {
			a := t[r][0]
			finish(a, t[r+1][0], panel)
			VPERMQ(Imm(0xd8), a, a)
			VMOVDQU(a.AsX(), row(r))
			VEXTRACTI128(Imm(1), a, row(r+1))
		}
	case len(t) == 1:
		a, high := t[0][0], YMM()
		VPACKSSDW(a, a, a)
		finish(a, a, panel)
		VEXTRACTI128(Imm(1), a, high.AsX())
		VPUNPCKLDQ(high.AsX(), a.AsX(), a.AsX())
		VMOVQ(a.AsX(), row(0))
	default:
		for r := 0; r < len(t); r += 4 {
			a, b := t[r][0], t[r+2][0]
			VPACKSSDW(t[r+1][0], a, a)
			VPACKSSDW(t[r+3][0], b, b)
			finish(a, b, panel)
			high, pair := YMM(), YMM()
			VEXTRACTI128(Imm(1), a, high.AsX())
			VPUNPCKLDQ(high.AsX(), a.AsX(), pair.AsX())
			VPUNPCKHDQ(high.AsX(), a.AsX(), a.AsX())
			VMOVQ(pair.AsX(), row(r))
			VPEXTRQ(Imm(1), pair.AsX(), row(r+1))
			VMOVQ(a.AsX(), row(r+2))
			VPEXTRQ(Imm(1), a.AsX(), row(r+3))
		}
	}
}

// rowOf returns the address of row 0…3 of a tile. stride3 is 3·stride.
func rowOf(base, stride, stride3 Register, row, disp int) Mem {
	switch row {
	case 0:
		return Mem{Base: base, Disp: disp}
	case 1:
		return Mem{Base: base, Index: stride, Scale: 1, Disp: disp}
	case 2:
		return Mem{Base: base, Index: stride, Scale: 2, Disp: disp}
	}
	return Mem{Base: base, Index: stride3, Scale: 1, Disp: disp}
}
