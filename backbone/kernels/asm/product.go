package main

import (
	"fmt"
	"regexp"
	"strconv"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// tileRows is the number of rows in a tile. Each weight is loaded once per tile.
const tileRows = 4

// wordPairs is the number of pairs of 16-bit values in one iteration of the loop.
const wordPairs = 4

// words generates a routine that multiplies rows of int16, one tile at a time, by panels
// of int16.
func words(rows, vectors int) {
	TEXT(fmt.Sprintf("words%dx%d", rows, 8*vectors), NOSPLIT, "func(x *byte, stride, tiles int, w *byte, steps int, p, out *byte, outStride int)")
	Doc(fmt.Sprintf("words%dx%d multiplies tiles of %s by the weights w and stores %d codes of each row. A row has", rows, 8*vectors, rowCount(rows), 8*vectors),
		"8·steps int16, and rows are stride bytes apart.")
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

// rowCount returns "1 row" for 1 and "n rows" for any other n.
func rowCount(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprint(n, " rows")
}

// ones defines a constant in memory: 16 words, all of them 1.
func ones() Mem {
	m := GLOBL("ones", 8|16) // RODATA|NOPTR
	for i := range 16 {
		DATA(2*i, U16(1))
	}
	return m
}

// bytes generates a routine that multiplies rows of unsigned bytes, one tile at a time,
// by panels of signed bytes, in groups of 8. The routine sums four products in 16 bits,
// so it requires small weights.
func bytes(rows, vectors int, one Mem) {
	TEXT(fmt.Sprintf("bytes%dx%d", rows, 8*vectors), NOSPLIT, "func(x *byte, stride, tiles int, w, offsets *byte, groups int, p, out *byte, outStride int)")
	Doc(fmt.Sprintf("bytes%dx%d multiplies tiles of %s of unsigned bytes by groups of 8 weights and stores %d codes", rows, 8*vectors, rowCount(rows), 8*vectors),
		"of each row. Rows are stride bytes apart. offsets has the position of each group's 8 inputs in a row.")
	Pragma("noescape")
	x, stride := Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	weights, offsets := GP64(), Load(Param("offsets"), GP64())
	groups, panel := Load(Param("groups"), GP64()), Load(Param("p"), GP64())
	out, outStride := Load(Param("out"), GP64()), Load(Param("outStride"), GP64())
	stride3, outStride3 := GP64(), GP64()
	if rows == 4 {
		LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
		LEAQ(Mem{Base: outStride, Index: outStride, Scale: 2}, outStride3)
	}
	at, n := GP64(), GP64()
	ones := YMM()
	VMOVDQU(one, ones)

	Label("tile")
	t := newTile(rows, vectors)
	t.start(panel)
	MOVQ(argument("w"), weights)
	XORQ(n, n)

	Label("depth")
	MOVLQSX(Mem{Base: offsets, Index: n, Scale: 4}, at)
	ADDQ(x, at)
	var side [2][]Op
	for quad := range side {
		for v := range vectors {
			m := Mem{Base: weights, Disp: 32 * (quad*vectors + v)}
			if quad == 1 && v == 1 {
				// All registers are in use, so multiply from memory.
				side[quad] = append(side[quad], m)
				continue
			}
			y := YMM()
			VMOVDQU(m, y)
			side[quad] = append(side[quad], y)
		}
	}
	for r := range rows {
		a, b := YMM(), YMM()
		VPBROADCASTD(rowOf(at, stride, stride3, r, 0), a)
		VPBROADCASTD(rowOf(at, stride, stride3, r, 4), b)
		for v := range vectors {
			u, w := a, b
			if v < vectors-1 {
				u, w = YMM(), YMM()
			}
			VPMADDUBSW(side[0][v], a, u)
			VPMADDUBSW(side[1][v], b, w)
			VPADDW(w, u, u)
			VPMADDWD(ones, u, u)
			VPADDD(u, t[r][v], t[r][v])
		}
	}
	ADDQ(U32(64*vectors), weights)
	INCQ(n)
	CMPQ(n, groups)
	JLT(LabelRef("depth"))

	t.store(panel, out, outStride, outStride3)
	for range rows {
		ADDQ(stride, x)
		ADDQ(outStride, out)
	}
	DECQ(argument("tiles"))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// vnni generates the same routine as bytes, but with AVX-VNNI's dot product, which is
// exact for any weights.
func vnni(rows, vectors int) {
	name := fmt.Sprintf("vex%dx%d", rows, 8*vectors)
	TEXT(name, NOSPLIT, "func(x *byte, stride, tiles int, w, offsets *byte, groups int, p, out *byte, outStride int)")
	Doc(name + " does the same as bytes" + fmt.Sprintf("%dx%d, with AVX-VNNI's dot product, which is exact for any weights.", rows, 8*vectors))
	Pragma("noescape")
	x, stride := Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	weights, offsets := GP64(), Load(Param("offsets"), GP64())
	groups, panel := Load(Param("groups"), GP64()), Load(Param("p"), GP64())
	out, outStride := Load(Param("out"), GP64()), Load(Param("outStride"), GP64())
	stride3, outStride3 := GP64(), GP64()
	if rows == 4 {
		LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
		LEAQ(Mem{Base: outStride, Index: outStride, Scale: 2}, outStride3)
	}
	at, n := GP64(), GP64()

	Label("tile")
	t := newTile(rows, vectors)
	t.start(panel)
	MOVQ(argument("w"), weights)
	XORQ(n, n)

	Label("depth")
	MOVLQSX(Mem{Base: offsets, Index: n, Scale: 4}, at)
	ADDQ(x, at)
	var side [2][]VecVirtual
	for quad := range side {
		for v := range vectors {
			y := YMM()
			VMOVDQU(Mem{Base: weights, Disp: 32 * (quad*vectors + v)}, y)
			side[quad] = append(side[quad], y)
		}
	}
	for r := range rows {
		for quad, weights := range side {
			pixel := YMM()
			VPBROADCASTD(rowOf(at, stride, stride3, r, 4*quad), pixel)
			for v := range vectors {
				dotBytes(weights[v], pixel, t[r][v], true)
			}
		}
	}
	ADDQ(U32(64*vectors), weights)
	INCQ(n)
	CMPQ(n, groups)
	JLT(LabelRef("depth"))

	t.store(panel, out, outStride, outStride3)
	for range rows {
		ADDQ(stride, x)
		ADDQ(outStride, out)
	}
	DECQ(argument("tiles"))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// dotBytes adds the products of four signed and four unsigned bytes to each lane of sum.
// avo does not know the instruction, and Go's assembler knows only its AVX-512 form.
func dotBytes(signed, unsigned, sum Op, vex bool) {
	opcode, isa := "VPDPBUSD", "AVX512_VNNI"
	if vex {
		opcode, isa = vexDot, "AVXVNNI"
	}
	Instruction(&ir.Instruction{
		Opcode:   opcode,
		Operands: []Op{signed, unsigned, sum},
		Inputs:   []Op{signed, unsigned, sum},
		Outputs:  []Op{sum},
		ISA:      []string{isa},
	})
}

// vexDot is a placeholder for the instruction VPDPBUSD. encodeDots replaces the
// placeholder.
const vexDot = "VPDPBUSD_VEX"

var vexDots = regexp.MustCompile(vexDot + ` +Y(\d+), Y(\d+), Y(\d+)`)

// encodeDots replaces each vexDot in source with the bytes of VEX.256.66.0F38.W0 50 /r.
// Source: Intel Software Developer's Manual, volume 2, VPDPBUSD.
func encodeDots(source []byte) []byte {
	return vexDots.ReplaceAllFunc(source, func(line []byte) []byte {
		var y [3]int
		for i, digits := range vexDots.FindSubmatch(line)[1:] {
			y[i], _ = strconv.Atoi(string(digits))
		}
		signed, unsigned, sum := y[0], y[1], y[2]
		return fmt.Appendf(nil, "LONG $0x50%02x%02xc4; BYTE $0x%02x // %s",
			^unsigned&15<<3|5, ^sum>>3&1<<7|1<<6|^signed>>3&1<<5|2, 0xc0|sum&7<<3|signed&7, line)
	})
}

// argument returns the memory operand of a parameter.
func argument(name string) Mem {
	a, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return a.Addr
}

// widen generates a routine that widens bytes to int16.
func widen(signed bool) {
	name, how, load := "widenUnsigned", "unsigned", VPMOVZXBW
	if signed {
		name, how, load = "widenSigned", "signed", VPMOVSXBW
	}
	TEXT(name, NOSPLIT, "func(out, x *byte, n int)")
	Doc(fmt.Sprintf("%s converts 16·n %s bytes to int16.", name, how))
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

// peak generates a routine that only multiplies and adds, as words does, to measure the
// peak speed.
func peak() {
	TEXT("wordsPeak", NOSPLIT, "func(n int)")
	Doc("wordsPeak multiplies 8·16 pairs of int16 and adds the products, n times.")
	n := Load(Param("n"), GP64())
	a, b := YMM(), YMM()
	VPXOR(a, a, a)
	VPXOR(b, b, b)
	var accs [8]VecVirtual
	for i := range accs {
		accs[i] = YMM()
		VPXOR(accs[i], accs[i], accs[i])
	}
	Label("loop")
	for _, acc := range accs {
		product := YMM()
		VPMADDWD(a, b, product)
		VPADDD(product, acc, acc)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
