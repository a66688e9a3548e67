//go:build !purego

#include "go_asm.h"
#include "textflag.h"
#include "neon_arm64.h"

// EVERYWORD and EVERYHALF set all lanes of v to a field of the arguments.
#define EVERYWORD(field, v) \
	MOVW field(R3), R4; \
	VDUP R4, v.S4

#define EVERYHALF(field, v) \
	MOVW field(R3), R4; \
	VDUP R4, v.H8

// ADDER computes ADD of eight elements at a time, in 48 instructions.
#define ADDER(WIDEN) \
	MOVD a+0(FP), R3; \
	MOVD adderArgs_x(R3), R0; \
	MOVD adderArgs_y(R3), R1; \
	MOVD adderArgs_out(R3), R2; \
	MOVD adderArgs_blocks(R3), R5; \
	EVERYHALF(adderArgs_zeroX, V16); \
	EVERYHALF(adderArgs_zeroY, V17); \
	EVERYWORD(adderArgs_mantissaX, V18); \
	EVERYWORD(adderArgs_rightX, V19); \
	EVERYWORD(adderArgs_mantissaY, V20); \
	EVERYWORD(adderArgs_rightY, V21); \
	EVERYWORD(adderArgs_mantissa, V22); \
	EVERYWORD(adderArgs_right, V23); \
	EVERYWORD(adderArgs_zero, V24); \
	EVERYHALF(adderArgs_lo, V25); \
	EVERYHALF(adderArgs_hi, V26); \
eight: \
	FMOVD.P 8(R0), F0; \
	FMOVD.P 8(R1), F1; \
	WIDEN(0, 0); \
	WIDEN(1, 1); \
	SUB8H(16, 0, 0); \
	SUB8H(17, 1, 1); \
	SHL7(0, 0); \
	SHL7(1, 1); \
	SSHLL13H(0, 2); \
	SSHLL13H(1, 3); \
	SSHLL13(0, 0); \
	SSHLL13(1, 1); \
	TIESAWAY(18, 19, 4, 0); \
	TIESAWAY(20, 21, 5, 1); \
	TIESAWAY(18, 19, 6, 2); \
	TIESAWAY(20, 21, 7, 3); \
	ADD4S(1, 0, 0); \
	ADD4S(3, 2, 2); \
	TIESAWAY(22, 23, 4, 0); \
	TIESAWAY(22, 23, 5, 2); \
	ADD4S(24, 0, 0); \
	ADD4S(24, 2, 2); \
	NARROW(25, 26, 0, 2); \
	FMOVD.P F0, 8(R2); \
	SUB $1, R5; \
	CBNZ R5, eight; \
	RET

// func addUint8(a *adderArgs)
TEXT ·addUint8(SB), NOSPLIT, $0-8
	ADDER(UXTL)

// func addInt8(a *adderArgs)
TEXT ·addInt8(SB), NOSPLIT, $0-8
	ADDER(SXTL)
