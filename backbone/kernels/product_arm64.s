//go:build !purego

#include "go_asm.h"
#include "textflag.h"
#include "neon_arm64.h"

// Both products use:
//
//	R0-R7    rows of x; if there are fewer, the last one repeats
//	R8       number of rows
//	R9       packed weights
//	R10      output of the tile's first row
//	R11      bytes from one output row to the next
//	R12      terms of the rows
//	R13      tiles left
//	R14      depth of the step loaded last
//	R15      depth of the last step
//	R16      steps left
//	R17      arguments
//	R20      output of the current row
#define ARGUMENTS \
	MOVD a+0(FP), R17; \
	MOVD productArgs_x(R17), R0; \
	MOVD productArgs_xStride(R17), R19; \
	MOVD productArgs_rows(R17), R8; \
	MOVD productArgs_w(R17), R9; \
	MOVD productArgs_out(R17), R10; \
	MOVD productArgs_outStride(R17), R11; \
	MOVD productArgs_last(R17), R15; \
	MOVD productArgs_tiles(R17), R13

// ROWAFTER sets row, the address of row i, to one stride after before, or to before
// itself if there are only i rows.
#define ROWAFTER(i, before, row) \
	ADD  R19, before, row; \
	CMP  $(i), R8; \
	CSEL LE, before, row, row

// NEXTSTEP advances R14 by 16, but at most to the last 16 of the depth. The packed
// weights are 0 for the part of the depth that an earlier step covered.
#define NEXTSTEP \
	ADD  $16, R14; \
	CMP  R15, R14; \
	CSEL GT, R15, R14, R14

// RANGE loads the zero point and the limits of the output to V20-V22.
#define RANGE \
	MOVW productArgs_zero(R17), R19; \
	VDUP R19, V20.S4; \
	MOVW productArgs_lo(R17), R19; \
	VDUP R19, V21.H8; \
	MOVW productArgs_hi(R17), R19; \
	VDUP R19, V22.H8

#define SCALE(left, mantissa, right, a) \
	SSHL(left, a, a); \
	TIESUP(mantissa, right, a); \
	ADD4S(20, a, a)

// STORE8 stores a row of eight outputs, and ends if there are only i rows.
#define STORE8(i, a) \
	FMOVD a, (R20); \
	ADD R11, R20; \
	CMP $(i), R8; \
	BLE stored

// The next routines use dot products, for processors with ASIMDDP such as the Cortex-A76.
// Tiles have 8 rows and 8 channels.
//
// V0-V15 hold sums, two for each row, V16-V23 rows, and V24-V25 or V26-V27 the weights of
// a depth of four. A depth of 16 takes 64 dot products, 8 loads of rows and 4 loads of
// pairs of weights, each a quarter ahead of its use. With the loop that is 81
// instructions for 1024 multiplications.
//
// Two dot products are issued per cycle. According to llvm-mca 19, a depth of 16 takes
// 32.0 cycles on a Neoverse N1, a Cortex-A76 for servers: 32 multiplications per cycle.
// The rest of a tile takes 69 cycles more, so there are 15 multiplications per cycle at a
// depth of 32, 25 at 128 and 30 at 512.
#define QUARTER(DOT, i, w0, w1) \
	DOT(i, 16, w0, 0); \
	DOT(i, 16, w1, 1); \
	DOT(i, 17, w0, 2); \
	DOT(i, 17, w1, 3); \
	DOT(i, 18, w0, 4); \
	DOT(i, 18, w1, 5); \
	DOT(i, 19, w0, 6); \
	DOT(i, 19, w1, 7); \
	DOT(i, 20, w0, 8); \
	DOT(i, 20, w1, 9); \
	DOT(i, 21, w0, 10); \
	DOT(i, 21, w1, 11); \
	DOT(i, 22, w0, 12); \
	DOT(i, 22, w1, 13); \
	DOT(i, 23, w0, 14); \
	DOT(i, 23, w1, 15)

// LASTQUARTER multiplies row r of the last quarter, then loads it for the next step.
#define LASTQUARTER(DOT, r, x, a0, a1) \
	DOT(3, x, 26, a0); \
	DOT(3, x, 27, a1); \
	LDRQ(r, 14, x)

#define STARTDOT(a0, a1) \
	VLD1R.P 4(R12), [V28.S4]; \
	VADD V24.S4, V28.S4, a0.S4; \
	VADD V25.S4, V28.S4, a1.S4

#define SCALEDOT(a0, a1) \
	SCALE(24, 26, 28, a0); \
	SCALE(25, 27, 29, a1)

#define SCALENARROW(a0, a1) \
	TIESUP(26, 28, a0); \
	TIESUP(27, 29, a1)

// V16 is the zero point, or 0 if it has been added.
#define NARROWDOT(a0, a1) \
	SQXTN(a0, a0); \
	SQXTNH(a1, a0); \
	SQADD8H(16, a0, a0); \
	SMAX(21, a0, a0); \
	SMIN(22, a0, a0); \
	XTN(a0, a0)

#define PRODUCTDOT(DOT) \
	ARGUMENTS; \
	ROWAFTER(1, R0, R1); \
	ROWAFTER(2, R1, R2); \
	ROWAFTER(3, R2, R3); \
	ROWAFTER(4, R3, R4); \
	ROWAFTER(5, R4, R5); \
	ROWAFTER(6, R5, R6); \
	ROWAFTER(7, R6, R7); \
tile: \
	MOVD productArgs_terms(R17), R12; \
	MOVD productArgs_steps(R17), R16; \
	MOVD ZR, R14; \
	FLDPQ.P 32(R9), (F24, F25); \
	STARTDOT(V0, V1); \
	STARTDOT(V2, V3); \
	STARTDOT(V4, V5); \
	STARTDOT(V6, V7); \
	STARTDOT(V8, V9); \
	STARTDOT(V10, V11); \
	STARTDOT(V12, V13); \
	STARTDOT(V14, V15); \
	FLDPQ.P 32(R9), (F24, F25); \
	LDRQ(0, 14, 16); \
	LDRQ(1, 14, 17); \
	LDRQ(2, 14, 18); \
	LDRQ(3, 14, 19); \
	LDRQ(4, 14, 20); \
	LDRQ(5, 14, 21); \
	LDRQ(6, 14, 22); \
	LDRQ(7, 14, 23); \
step: \
	NEXTSTEP; \
	FLDPQ.P 32(R9), (F26, F27); \
	QUARTER(DOT, 0, 24, 25); \
	FLDPQ.P 32(R9), (F24, F25); \
	QUARTER(DOT, 1, 26, 27); \
	FLDPQ.P 32(R9), (F26, F27); \
	QUARTER(DOT, 2, 24, 25); \
	FLDPQ.P 32(R9), (F24, F25); \
	LASTQUARTER(DOT, 0, 16, 0, 1); \
	LASTQUARTER(DOT, 1, 17, 2, 3); \
	LASTQUARTER(DOT, 2, 18, 4, 5); \
	LASTQUARTER(DOT, 3, 19, 6, 7); \
	LASTQUARTER(DOT, 4, 20, 8, 9); \
	LASTQUARTER(DOT, 5, 21, 10, 11); \
	LASTQUARTER(DOT, 6, 22, 12, 13); \
	LASTQUARTER(DOT, 7, 23, 14, 15); \
	SUB $1, R16; \
	CBNZ R16, step; \
	FLDPQ.P 32(R9), (F26, F27); \
	FLDPQ.P 32(R9), (F28, F29); \
	RANGE; \
	VDUP V20.H[0], V16.H8; \
	MOVW productArgs_wide(R17), R19; \
	CBZ R19, narrow; \
	VEOR V16.B16, V16.B16, V16.B16; \
	SCALEDOT(0, 1); \
	SCALEDOT(2, 3); \
	SCALEDOT(4, 5); \
	SCALEDOT(6, 7); \
	SCALEDOT(8, 9); \
	SCALEDOT(10, 11); \
	SCALEDOT(12, 13); \
	SCALEDOT(14, 15); \
	B codes; \
narrow: \
	SCALENARROW(0, 1); \
	SCALENARROW(2, 3); \
	SCALENARROW(4, 5); \
	SCALENARROW(6, 7); \
	SCALENARROW(8, 9); \
	SCALENARROW(10, 11); \
	SCALENARROW(12, 13); \
	SCALENARROW(14, 15); \
codes: \
	NARROWDOT(0, 1); \
	NARROWDOT(2, 3); \
	NARROWDOT(4, 5); \
	NARROWDOT(6, 7); \
	NARROWDOT(8, 9); \
	NARROWDOT(10, 11); \
	NARROWDOT(12, 13); \
	NARROWDOT(14, 15); \
	MOVD R10, R20; \
	STORE8(1, F0); \
	STORE8(2, F2); \
	STORE8(3, F4); \
	STORE8(4, F6); \
	STORE8(5, F8); \
	STORE8(6, F10); \
	STORE8(7, F12); \
	FMOVD F14, (R20); \
stored: \
	ADD $8, R10; \
	SUB $1, R13; \
	CBNZ R13, tile; \
	RET

// func productUDOT(a *productArgs)
TEXT ·productUDOT(SB), NOSPLIT, $0-8
	PRODUCTDOT(UDOT)

// func productSDOT(a *productArgs)
TEXT ·productSDOT(SB), NOSPLIT, $0-8
	PRODUCTDOT(SDOT)

// The next routines are for processors without ASIMDDP, such as the Cortex-A72. Tiles
// have 4 rows and 4 channels.
//
// V0-V15 hold sums, four for each row, each of every fourth pair of the depth. V16-V19
// hold rows, V24-V27 the weights of each channel, V28-V31 products. XOR with V23 makes
// the bytes of x signed. A depth of 16 takes 62 instructions for 256 multiplications: 48
// of arithmetic, 4 to flip, 5 to load and 5 for the loop.
//
// Of these, the 32 that multiply are issued one per cycle, and the 16 that add run in
// parallel. According to llvm-mca 19, a depth of 16 takes 32.1 cycles on a Cortex-A72: 8
// multiplications per cycle, compared to 4 with a 16-bit SMLAL. The rest of a tile takes
// 35 cycles more, so there are 5 multiplications per cycle at a depth of 32, 7.1 at 128
// and 7.8 at 512.
//
// The sum of two products −128·−128 does not fit in the 16 bits of SMLAL. Weights of −128
// that could be added there use PAIRSAFE, with 78 instructions.
#define PAIR(x, a0, a1, a2, a3) \
	SMULL8(24, x, 28); \
	SMULL8(25, x, 29); \
	SMULL8(26, x, 30); \
	SMULL8(27, x, 31); \
	SMLAL8H(24, x, 28); \
	SMLAL8H(25, x, 29); \
	SMLAL8H(26, x, 30); \
	SMLAL8H(27, x, 31); \
	SADALP(28, a0); \
	SADALP(29, a1); \
	SADALP(30, a2); \
	SADALP(31, a3)

#define PAIRSAFE(x, a0, a1, a2, a3) \
	SMULL8(24, x, 28); \
	SMULL8(25, x, 29); \
	SMULL8(26, x, 30); \
	SMULL8(27, x, 31); \
	SADALP(28, a0); \
	SADALP(29, a1); \
	SADALP(30, a2); \
	SADALP(31, a3); \
	SMULL8H(24, x, 28); \
	SMULL8H(25, x, 29); \
	SMULL8H(26, x, 30); \
	SMULL8H(27, x, 31); \
	SADALP(28, a0); \
	SADALP(29, a1); \
	SADALP(30, a2); \
	SADALP(31, a3)

#define LOADFLIPPED(r, number, x) \
	LDRQ(r, 14, number); \
	VEOR V23.B16, x.B16, x.B16

// SCALEROW adds up and scales the sums of a row's four channels in a0. V24 holds the
// biases, V25-V27 the left shifts, mantissas and negated right shifts.
#define SCALEROW(a0, a1, a2, a3) \
	ADDP4S(a1, a0, a0); \
	ADDP4S(a3, a2, a2); \
	ADDP4S(a2, a0, a0); \
	VLD1R.P 4(R12), [V28.S4]; \
	ADD4S(24, 28, 28); \
	ADD4S(28, a0, a0); \
	SCALE(25, 26, 27, a0)

#define STORE4(i, lane) \
	VST1 lane, (R20); \
	ADD R11, R20; \
	CMP $(i), R8; \
	BLE stored

#define PRODUCTNEON(PAIR) \
	ARGUMENTS; \
	ROWAFTER(1, R0, R1); \
	ROWAFTER(2, R1, R2); \
	ROWAFTER(3, R2, R3); \
	RANGE; \
	MOVW productArgs_flip(R17), R19; \
	VDUP R19, V23.B16; \
tile: \
	MOVD R9, R20; \
	ADD $16, R9; \
	MOVD productArgs_terms(R17), R12; \
	MOVD productArgs_steps(R17), R16; \
	MOVD ZR, R14; \
	VEOR V0.B16, V0.B16, V0.B16; \
	VEOR V1.B16, V1.B16, V1.B16; \
	VEOR V2.B16, V2.B16, V2.B16; \
	VEOR V3.B16, V3.B16, V3.B16; \
	VEOR V4.B16, V4.B16, V4.B16; \
	VEOR V5.B16, V5.B16, V5.B16; \
	VEOR V6.B16, V6.B16, V6.B16; \
	VEOR V7.B16, V7.B16, V7.B16; \
	VEOR V8.B16, V8.B16, V8.B16; \
	VEOR V9.B16, V9.B16, V9.B16; \
	VEOR V10.B16, V10.B16, V10.B16; \
	VEOR V11.B16, V11.B16, V11.B16; \
	VEOR V12.B16, V12.B16, V12.B16; \
	VEOR V13.B16, V13.B16, V13.B16; \
	VEOR V14.B16, V14.B16, V14.B16; \
	VEOR V15.B16, V15.B16, V15.B16; \
	LOADFLIPPED(0, 16, V16); \
	LOADFLIPPED(1, 17, V17); \
	LOADFLIPPED(2, 18, V18); \
	LOADFLIPPED(3, 19, V19); \
step: \
	NEXTSTEP; \
	VLD1.P 64(R9), [V24.B16, V25.B16, V26.B16, V27.B16]; \
	PAIR(16, 0, 1, 2, 3); \
	LOADFLIPPED(0, 16, V16); \
	PAIR(17, 4, 5, 6, 7); \
	LOADFLIPPED(1, 17, V17); \
	PAIR(18, 8, 9, 10, 11); \
	LOADFLIPPED(2, 18, V18); \
	PAIR(19, 12, 13, 14, 15); \
	LOADFLIPPED(3, 19, V19); \
	SUB $1, R16; \
	CBNZ R16, step; \
	FMOVQ (R20), F24; \
	VLD1.P 48(R9), [V25.S4, V26.S4, V27.S4]; \
	SCALEROW(0, 1, 2, 3); \
	SCALEROW(4, 5, 6, 7); \
	SCALEROW(8, 9, 10, 11); \
	SCALEROW(12, 13, 14, 15); \
	NARROW(21, 22, 0, 4); \
	NARROW(21, 22, 8, 12); \
	MOVD R10, R20; \
	STORE4(1, V0.S[0]); \
	STORE4(2, V0.S[1]); \
	STORE4(3, V8.S[0]); \
	VST1 V8.S[1], (R20); \
stored: \
	ADD $4, R10; \
	SUB $1, R13; \
	CBNZ R13, tile; \
	RET

// func productNEON(a *productArgs)
TEXT ·productNEON(SB), NOSPLIT, $0-8
	PRODUCTNEON(PAIR)

// func productNEONSafe(a *productArgs)
TEXT ·productNEONSafe(SB), NOSPLIT, $0-8
	PRODUCTNEON(PAIRSAFE)

// func byteSums(sums *int32, x *byte, stride, depth, rows int, flip byte, by int32)
TEXT ·byteSums(SB), NOSPLIT, $0-48
	MOVD  sums+0(FP), R0
	MOVD  x+8(FP), R1
	MOVD  stride+16(FP), R2
	MOVD  depth+24(FP), R3
	MOVD  rows+32(FP), R4
	MOVBU flip+40(FP), R5
	MOVW  by+44(FP), R6
	VDUP  R5, V3.B16

	// The last load overlaps the one before, so mask out the bytes already summed.
	MOVD $masks<>(SB), R7
	AND  $15, R3, R8
	LDRQ(7, 8, 4)
	SUB  $16, R3, R9

row:
	VEOR V0.B16, V0.B16, V0.B16
	MOVD ZR, R14

sixteen:
	LDRQ(1, 14, 1)
	VEOR V3.B16, V1.B16, V1.B16
	UADDLP(1, 1)
	UADALP(1, 0)
	ADD  $16, R14
	CMP  R9, R14
	BLE  sixteen
	LDRQ(1, 9, 1)
	VEOR V3.B16, V1.B16, V1.B16
	VAND V4.B16, V1.B16, V1.B16
	UADDLP(1, 1)
	UADALP(1, 0)
	VADDV V0.S4, V0
	VMOV  V0.S[0], R10
	MULW  R6, R10, R10
	MOVW.P R10, 4(R0)
	ADD   R2, R1
	SUB   $1, R4
	CBNZ  R4, row
	RET

DATA masks<>+0(SB)/8, $0
DATA masks<>+8(SB)/8, $0
DATA masks<>+16(SB)/8, $-1
DATA masks<>+24(SB)/8, $-1
GLOBL masks<>(SB), RODATA|NOPTR, $32
