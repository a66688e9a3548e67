//go:build !purego

#include "textflag.h"

// The routines fill a tile of 8 rows of 128 bytes. As in multiplyGo, no multiplication is fused
// with an addition.

// The ROW macros add the products of an element of a with all vectors of b, in Z16 and Z17, to the
// row in s0 and s1. VPDPWSSD multiplies and adds integers, which is exact. Multiplying with a
// broadcast element in memory is 1.5 times as fast on Zen 4 as broadcasting it first, but
// VPMADDWD can't do that.
#define ROWBCST(MULTIPLY, ADD, offset, t0, t1, s0, s1) \
	MULTIPLY offset(SI), Z16, t0 \
	MULTIPLY offset(SI), Z17, t1 \
	ADD      t0, s0, s0          \
	ADD      t1, s1, s1

#define ROW64(offset, v, t0, t1, s0, s1) ROWBCST(VMULPD.BCST, VADDPD, offset, t0, t1, s0, s1)
#define ROW32(offset, v, t0, t1, s0, s1) ROWBCST(VMULPS.BCST, VADDPS, offset, t0, t1, s0, s1)
#define ROWPAIRS(offset, v, t0, t1, s0, s1) \
	VPBROADCASTD offset(SI), v \
	VPMADDWD Z16, v, t0        \
	VPMADDWD Z17, v, t1        \
	VPADDD   t0, s0, s0        \
	VPADDD   t1, s1, s1
#define ROWVNNI(offset, v, t0, t1, s0, s1) \
	VPBROADCASTD offset(SI), v \
	VPDPWSSD     Z16, v, s0    \
	VPDPWSSD     Z17, v, s1

#define FILL512(ROW, size) \
	MOVQ tile_base+0(FP), DI \
	MOVQ a_base+24(FP), SI   \
	MOVQ b_base+48(FP), BX   \
	MOVQ n+72(FP), CX        \
	VPXORQ Z0, Z0, Z0 \
	VPXORQ Z1, Z1, Z1 \
	VPXORQ Z2, Z2, Z2 \
	VPXORQ Z3, Z3, Z3 \
	VPXORQ Z4, Z4, Z4 \
	VPXORQ Z5, Z5, Z5 \
	VPXORQ Z6, Z6, Z6 \
	VPXORQ Z7, Z7, Z7 \
	VPXORQ Z8, Z8, Z8 \
	VPXORQ Z9, Z9, Z9 \
	VPXORQ Z10, Z10, Z10 \
	VPXORQ Z11, Z11, Z11 \
	VPXORQ Z12, Z12, Z12 \
	VPXORQ Z13, Z13, Z13 \
	VPXORQ Z14, Z14, Z14 \
	VPXORQ Z15, Z15, Z15 \
	TESTQ CX, CX \
	JZ done      \
loop:            \
	VMOVUPD (BX), Z16   \
	VMOVUPD 64(BX), Z17 \
	ROW(0*size, Z18, Z20, Z21, Z0, Z1) \
	ROW(1*size, Z19, Z22, Z23, Z2, Z3) \
	ROW(2*size, Z18, Z20, Z21, Z4, Z5) \
	ROW(3*size, Z19, Z22, Z23, Z6, Z7) \
	ROW(4*size, Z18, Z20, Z21, Z8, Z9) \
	ROW(5*size, Z19, Z22, Z23, Z10, Z11) \
	ROW(6*size, Z18, Z20, Z21, Z12, Z13) \
	ROW(7*size, Z19, Z22, Z23, Z14, Z15) \
	ADDQ $128, SI \
	ADDQ $128, BX \
	DECQ CX       \
	JNZ  loop     \
done:             \
	VMOVUPD Z0, 0(DI) \
	VMOVUPD Z1, 64(DI) \
	VMOVUPD Z2, 128(DI) \
	VMOVUPD Z3, 192(DI) \
	VMOVUPD Z4, 256(DI) \
	VMOVUPD Z5, 320(DI) \
	VMOVUPD Z6, 384(DI) \
	VMOVUPD Z7, 448(DI) \
	VMOVUPD Z8, 512(DI) \
	VMOVUPD Z9, 576(DI) \
	VMOVUPD Z10, 640(DI) \
	VMOVUPD Z11, 704(DI) \
	VMOVUPD Z12, 768(DI) \
	VMOVUPD Z13, 832(DI) \
	VMOVUPD Z14, 896(DI) \
	VMOVUPD Z15, 960(DI) \
	VZEROUPPER \
	RET

// ROW256 adds the products of an element of a with the vectors of b in Y8 and Y9 to the row in s0
// and s1.
#define ROW256(BROADCAST, MULTIPLY, ADD, offset, s0, s1) \
	BROADCAST offset(SI), Y10 \
	MULTIPLY  Y8, Y10, Y11    \
	MULTIPLY  Y9, Y10, Y12    \
	ADD       Y11, s0, s0     \
	ADD       Y12, s1, s1

// FILL256 fills four rows of 64 bytes.
#define FILL256(BROADCAST, MULTIPLY, ADD, size) \
	MOVQ tile+0(FP), DI \
	MOVQ a+8(FP), SI    \
	MOVQ b+16(FP), BX   \
	MOVQ n+24(FP), CX   \
	VXORPD Y0, Y0, Y0 \
	VXORPD Y1, Y1, Y1 \
	VXORPD Y2, Y2, Y2 \
	VXORPD Y3, Y3, Y3 \
	VXORPD Y4, Y4, Y4 \
	VXORPD Y5, Y5, Y5 \
	VXORPD Y6, Y6, Y6 \
	VXORPD Y7, Y7, Y7 \
loop:                   \
	VMOVUPD (BX), Y8    \
	VMOVUPD 32(BX), Y9  \
	ROW256(BROADCAST, MULTIPLY, ADD, 0*size, Y0, Y1) \
	ROW256(BROADCAST, MULTIPLY, ADD, 1*size, Y2, Y3) \
	ROW256(BROADCAST, MULTIPLY, ADD, 2*size, Y4, Y5) \
	ROW256(BROADCAST, MULTIPLY, ADD, 3*size, Y6, Y7) \
	ADDQ $128, SI \
	ADDQ $128, BX \
	DECQ CX       \
	JNZ  loop     \
	VMOVUPD Y0, 0(DI) \
	VMOVUPD Y1, 32(DI) \
	VMOVUPD Y2, 128(DI) \
	VMOVUPD Y3, 160(DI) \
	VMOVUPD Y4, 256(DI) \
	VMOVUPD Y5, 288(DI) \
	VMOVUPD Y6, 384(DI) \
	VMOVUPD Y7, 416(DI) \
	VZEROUPPER \
	RET

// func multiply64AVX512(tile, a, b []float64, n int)
TEXT ·multiply64AVX512(SB), NOSPLIT, $0-80
	FILL512(ROW64, 8)

// func multiply32AVX512(tile, a, b []float32, n int)
TEXT ·multiply32AVX512(SB), NOSPLIT, $0-80
	FILL512(ROW32, 4)

// func multiplyPairsAVX512(tile, a, b []int32, n int)
TEXT ·multiplyPairsAVX512(SB), NOSPLIT, $0-80
	FILL512(ROWPAIRS, 4)

// func multiplyPairsVNNI(tile, a, b []int32, n int)
TEXT ·multiplyPairsVNNI(SB), NOSPLIT, $0-80
	FILL512(ROWVNNI, 4)

// func quarter64AVX2(tile, a, b *float64, n int)
TEXT ·quarter64AVX2(SB), NOSPLIT, $0-32
	FILL256(VBROADCASTSD, VMULPD, VADDPD, 8)

// func quarter32AVX2(tile, a, b *float32, n int)
TEXT ·quarter32AVX2(SB), NOSPLIT, $0-32
	FILL256(VBROADCASTSS, VMULPS, VADDPS, 4)

// func quarterPairsAVX2(tile, a, b *int32, n int)
TEXT ·quarterPairsAVX2(SB), NOSPLIT, $0-32
	FILL256(VPBROADCASTD, VPMADDWD, VPADDD, 4)
