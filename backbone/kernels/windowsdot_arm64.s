//go:build !purego

#include "go_asm.h"
#include "textflag.h"
#include "neon_arm64.h"

// This routine computes the 3×3 depthwise convolution of all pixels with dot products, 16
// channels at a time: two dot products of four taps each, and a 16-bit product for the
// ninth tap.
//
// V0-V9 hold weights, V10-V17 mantissas and negated right shifts, V18-V21 sums, V22-V25
// inputs. V26-V29 are temporary, to group the four taps of a channel. V30 makes inputs
// signed. The 144 multiplications of a block take 76 instructions: 8 dot products, 4
// other products, 16 to group, 9 loads, 9 to make signed, 2 to widen, 22 to load biases,
// scale and store, and 6 for the loop. Weights of more than 8 bits take 10 more.
// According to llvm-mca 19, the instructions take 32 or 39 cycles on a Neoverse N1,
// compared to 61 with 16-bit products.
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
//	R19      whether there are weights of more than 8 bits
//	R20      biases
//	R21-R22  second numbers of weights of more than 8 bits
//	R23      zero point and limits of the output
#define LOADSIGNED(t, number, x) \
	LDRQ(t, 13, number); \
	VEOR V30.B16, x.B16, x.B16

// FOURTAPS adds the products of four taps of 16 channels to the sums, with weights w0-w3
// and, if R19 is set, those at address.
#define FOURTAPS(t0, t1, t2, t3, w0, w1, w2, w3, address, single) \
	LOADSIGNED(t0, 22, V22); \
	LOADSIGNED(t1, 23, V23); \
	LOADSIGNED(t2, 24, V24); \
	LOADSIGNED(t3, 25, V25); \
	VZIP1 V23.B16, V22.B16, V26.B16; \
	VZIP2 V23.B16, V22.B16, V27.B16; \
	VZIP1 V25.B16, V24.B16, V28.B16; \
	VZIP2 V25.B16, V24.B16, V29.B16; \
	VZIP1 V28.H8, V26.H8, V22.H8; \
	VZIP2 V28.H8, V26.H8, V23.H8; \
	VZIP1 V29.H8, V27.H8, V24.H8; \
	VZIP2 V29.H8, V27.H8, V25.H8; \
	SDOTV(w0, 22, 18); \
	SDOTV(w1, 23, 19); \
	SDOTV(w2, 24, 20); \
	SDOTV(w3, 25, 21); \
	CBZ R19, single; \
	VLD1 (address), [V26.B16, V27.B16, V28.B16, V29.B16]; \
	SDOTV(26, 22, 18); \
	SDOTV(27, 23, 19); \
	SDOTV(28, 24, 20); \
	SDOTV(29, 25, 21); \
single:

// func windowsDot(a *windowsArgs)
TEXT ·windowsDot(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R17
	MOVD windowsArgs_w(R17), R10
	MOVD windowsArgs_step(R17), R15
	MOVD windowsArgs_channels(R17), R16
	SUB  $16, R16, R12
	MOVD ZR, R11
	MOVW windowsArgs_flip(R17), R13
	VDUP R13, V30.B16
	ADD  $windowsArgs_limits, R17, R23

block:
	MOVD (windowsArgs_taps+0)(R17), R0
	MOVD (windowsArgs_taps+8)(R17), R1
	MOVD (windowsArgs_taps+16)(R17), R2
	MOVD (windowsArgs_taps+24)(R17), R3
	MOVD (windowsArgs_taps+32)(R17), R4
	MOVD (windowsArgs_taps+40)(R17), R5
	MOVD (windowsArgs_taps+48)(R17), R6
	MOVD (windowsArgs_taps+56)(R17), R7
	MOVD (windowsArgs_taps+64)(R17), R8
	MOVD windowsArgs_out(R17), R9
	ADD  R11, R9
	MOVD R11, R13
	MOVD windowsArgs_pixels(R17), R14
	MOVD.P 8(R10), R19
	VLD1.P 64(R10), [V0.B16, V1.B16, V2.B16, V3.B16]
	VLD1.P 64(R10), [V4.B16, V5.B16, V6.B16, V7.B16]
	VLD1.P 32(R10), [V8.H8, V9.H8]
	VLD1.P 64(R10), [V10.S4, V11.S4, V12.S4, V13.S4]
	VLD1.P 64(R10), [V14.S4, V15.S4, V16.S4, V17.S4]
	MOVD R10, R20
	ADD  $64, R10, R21
	ADD  $128, R10, R22
	ADD  $192, R10

pixel:
	VLD1 (R20), [V18.S4, V19.S4, V20.S4, V21.S4]
	FOURTAPS(0, 1, 2, 3, 0, 1, 2, 3, R21, single0)
	FOURTAPS(4, 5, 6, 7, 4, 5, 6, 7, R22, single4)
	LOADSIGNED(8, 22, V22)
	SXTLH(22, 23)
	SXTL(22, 22)
	SMLAL16(8, 22, 18)
	SMLAL16H(8, 22, 19)
	SMLAL16(9, 23, 20)
	SMLAL16H(9, 23, 21)
	VLD1 (R23), [V26.H8, V27.H8, V28.H8]
	TIESUP(10, 14, 18)
	TIESUP(11, 15, 19)
	TIESUP(12, 16, 20)
	TIESUP(13, 17, 21)
	SQXTN(18, 18)
	SQXTN(20, 20)
	SQXTNH(19, 18)
	SQXTNH(21, 20)
	SQADD8H(26, 18, 18)
	SQADD8H(26, 20, 20)
	SMAX(27, 18, 18)
	SMAX(27, 20, 20)
	SMIN(28, 18, 18)
	SMIN(28, 20, 20)
	VUZP1 V20.B16, V18.B16, V18.B16
	FMOVQ F18, (R9)
	ADD  R16, R9
	ADD  R15, R13
	SUB  $1, R14
	CBNZ R14, pixel
	CMP  R12, R11
	BGE  done
	ADD  $16, R11
	CMP  R12, R11
	CSEL GT, R12, R11, R11
	B    block

done:
	RET
