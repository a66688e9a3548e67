//go:build !purego

#include "go_asm.h"
#include "textflag.h"
#include "neon_arm64.h"

// These routines compute the 3×3 depthwise convolution of all pixels, 8 channels at a
// time.
//
// V0-V8 hold weights, V9-V16 biases, left shifts, mantissas and negated right shifts,
// V17-V19 the zero point and limits of the output, V20-V21 sums, and V22-V30 inputs. The
// 72 multiplications of a block take 60 instructions: 18 multiply, 9 load, 9 widen, 20
// scale and store, and 4 are for the loop. According to llvm-mca 19, the multiplications
// take 22 cycles on a Cortex-A72, and all instructions together take 30.
//
//	R0-R8    addresses of the taps, without R13
//	R9       output of the pixel
//	R10      weights
//	R11      first channel of the block
//	R12      first channel of the last block
//	R13      offset of the pixel from R0-R8
//	R14      pixels left
//	R15      bytes from one input pixel to the next
//	R16      bytes from one output pixel to the next
//	R17      arguments

// TAP loads input t and widens it to 16 bits.
#define TAP(WIDEN, t, f, x) \
	FMOVD (t)(R13), f; \
	WIDEN(x, x)

#define MULTIPLY(t, x) \
	SMLAL16(t, x, 20); \
	SMLAL16H(t, x, 21)

#define SCALE(left, mantissa, right, a) \
	SSHL(left, a, a); \
	TIESAWAY(mantissa, right, 31, a); \
	ADD4S(17, a, a)

#define WINDOWS(WIDEN) \
	MOVD a+0(FP), R17; \
	MOVD windowsArgs_w(R17), R10; \
	MOVD windowsArgs_step(R17), R15; \
	MOVD windowsArgs_channels(R17), R16; \
	SUB  $8, R16, R12; \
	MOVD ZR, R11; \
	MOVW windowsArgs_zero(R17), R13; \
	VDUP R13, V17.S4; \
	MOVW windowsArgs_lo(R17), R13; \
	VDUP R13, V18.H8; \
	MOVW windowsArgs_hi(R17), R13; \
	VDUP R13, V19.H8; \
block: \
	MOVD (windowsArgs_taps+0)(R17), R0; \
	MOVD (windowsArgs_taps+8)(R17), R1; \
	MOVD (windowsArgs_taps+16)(R17), R2; \
	MOVD (windowsArgs_taps+24)(R17), R3; \
	MOVD (windowsArgs_taps+32)(R17), R4; \
	MOVD (windowsArgs_taps+40)(R17), R5; \
	MOVD (windowsArgs_taps+48)(R17), R6; \
	MOVD (windowsArgs_taps+56)(R17), R7; \
	MOVD (windowsArgs_taps+64)(R17), R8; \
	MOVD windowsArgs_out(R17), R9; \
	ADD  R11, R9; \
	MOVD R11, R13; \
	MOVD windowsArgs_pixels(R17), R14; \
	VLD1.P 64(R10), [V0.H8, V1.H8, V2.H8, V3.H8]; \
	VLD1.P 64(R10), [V4.H8, V5.H8, V6.H8, V7.H8]; \
	VLD1.P 16(R10), [V8.H8]; \
	VLD1.P 64(R10), [V9.S4, V10.S4, V11.S4, V12.S4]; \
	VLD1.P 64(R10), [V13.S4, V14.S4, V15.S4, V16.S4]; \
pixel: \
	TAP(WIDEN, R0, F22, 22); \
	TAP(WIDEN, R1, F23, 23); \
	TAP(WIDEN, R2, F24, 24); \
	TAP(WIDEN, R3, F25, 25); \
	TAP(WIDEN, R4, F26, 26); \
	TAP(WIDEN, R5, F27, 27); \
	TAP(WIDEN, R6, F28, 28); \
	TAP(WIDEN, R7, F29, 29); \
	TAP(WIDEN, R8, F30, 30); \
	VMOV V9.B16, V20.B16; \
	VMOV V10.B16, V21.B16; \
	MULTIPLY(0, 22); \
	MULTIPLY(1, 23); \
	MULTIPLY(2, 24); \
	MULTIPLY(3, 25); \
	MULTIPLY(4, 26); \
	MULTIPLY(5, 27); \
	MULTIPLY(6, 28); \
	MULTIPLY(7, 29); \
	MULTIPLY(8, 30); \
	SCALE(11, 13, 15, 20); \
	SCALE(12, 14, 16, 21); \
	NARROW(18, 19, 20, 21); \
	FMOVD F20, (R9); \
	ADD R16, R9; \
	ADD R15, R13; \
	SUB $1, R14; \
	CBNZ R14, pixel; \
	CMP  R12, R11; \
	BGE  done; \
	ADD  $8, R11; \
	CMP  R12, R11; \
	CSEL GT, R12, R11, R11; \
	B    block; \
done: \
	RET

// func windowsUint8(a *windowsArgs)
TEXT ·windowsUint8(SB), NOSPLIT, $0-8
	WINDOWS(UXTL)

// func windowsInt8(a *windowsArgs)
TEXT ·windowsInt8(SB), NOSPLIT, $0-8
	WINDOWS(SXTL)
