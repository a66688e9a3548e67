//go:build !purego

#include "textflag.h"

// The routines process whole blocks of 8 or 16 values and produce the same bits as vectors.go.

// ADD512 adds elements of x, multiplied by f and raised to a power, to y.
#define ADD512(LOAD, size, POWER) \
	VBROADCASTSD f+0(FP), Z0    \
	MOVQ x_base+8(FP), SI       \
	MOVQ x_len+16(FP), CX       \
	MOVQ y_base+32(FP), DI      \
	SHRQ $3, CX                 \
	JZ   done                   \
loop:                               \
	LOAD                        \
	VMULPD  Z0, Z1, Z1          \
	POWER                       \
	VADDPD  (DI), Z1, Z1        \
	VMOVUPD Z1, (DI)            \
	ADDQ    $(8*size), SI       \
	ADDQ    $64, DI             \
	DECQ    CX                  \
	JNZ     loop                \
done:                               \
	VZEROUPPER                  \
	RET

#define LOAD16 \
	VPMOVSXWD (SI), Y1 \
	VCVTDQ2PD Y1, Z1

#define LOAD32 VCVTDQ2PD (SI), Z1
#define FIRST
#define SECOND VMULPD Z1, Z1, Z1

// func dotAVX512(a, b []float64) float64
TEXT ·dotAVX512(SB), NOSPLIT, $0-56
	MOVQ a_base+0(FP), SI
	MOVQ a_len+8(FP), CX
	MOVQ b_base+24(FP), BX
	VPXORQ Z0, Z0, Z0
	SHRQ $3, CX
	JZ   sum

loop:
	VMOVUPD (SI), Z1
	VMULPD  (BX), Z1, Z1
	VADDPD  Z1, Z0, Z0
	ADDQ    $64, SI
	ADDQ    $64, BX
	DECQ    CX
	JNZ     loop

sum:
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPD        Y1, Y0, Y0
	VEXTRACTF128  $1, Y0, X1
	VADDPD        X1, X0, X0
	VPERMILPD     $1, X0, X1
	VADDSD        X1, X0, X0
	VMOVSD        X0, ret+48(FP)
	VZEROUPPER
	RET

// func axpyAVX512(f float64, x, y []float64)
TEXT ·axpyAVX512(SB), NOSPLIT, $0-56
	VBROADCASTSD f+0(FP), Z0
	MOVQ x_base+8(FP), SI
	MOVQ x_len+16(FP), CX
	MOVQ y_base+32(FP), DI
	SHRQ $3, CX
	JZ   done

loop:
	VMULPD  (SI), Z0, Z1
	VADDPD  (DI), Z1, Z1
	VMOVUPD Z1, (DI)
	ADDQ    $64, SI
	ADDQ    $64, DI
	DECQ    CX
	JNZ     loop

done:
	VZEROUPPER
	RET

// func divideAVX512(v []float64, norm float64)
TEXT ·divideAVX512(SB), NOSPLIT, $0-32
	MOVQ v_base+0(FP), SI
	MOVQ v_len+8(FP), CX
	VBROADCASTSD norm+24(FP), Z0
	MOVQ $0x41F0000000000000, AX // 2³²
	VPBROADCASTQ AX, Z1
	MOVQ $0x3DF0000000000000, AX // 2⁻³²
	VPBROADCASTQ AX, Z2
	MOVQ $0x4338000000000000, AX // 3·2⁵¹
	VPBROADCASTQ AX, Z3
	SHRQ $3, CX
	JZ   done

loop:
	VMOVUPD (SI), Z4
	VDIVPD  Z0, Z4, Z4
	VMULPD  Z1, Z4, Z4
	VADDPD  Z3, Z4, Z4
	VSUBPD  Z3, Z4, Z4
	VMULPD  Z2, Z4, Z4
	VMOVUPD Z4, (SI)
	ADDQ    $64, SI
	DECQ    CX
	JNZ     loop

done:
	VZEROUPPER
	RET

// func rootsAVX512(dst, v []float64)
TEXT ·rootsAVX512(SB), NOSPLIT, $0-48
	MOVQ dst_base+0(FP), DI
	MOVQ v_base+24(FP), SI
	MOVQ v_len+32(FP), CX
	VPXORQ Z0, Z0, Z0
	SHRQ $3, CX
	JZ   done

loop:
	VMAXPD  (SI), Z0, Z1 // the second of two zeros is −0 if v is
	VSQRTPD Z1, Z1
	VMOVUPD Z1, (DI)
	ADDQ    $64, SI
	ADDQ    $64, DI
	DECQ    CX
	JNZ     loop

done:
	VZEROUPPER
	RET

// func roundAVX512(x []int16, v []float64)
TEXT ·roundAVX512(SB), NOSPLIT, $0-48
	MOVQ x_base+0(FP), DI
	MOVQ v_base+24(FP), SI
	MOVQ v_len+32(FP), CX
	MOVQ $0x40E0000000000000, AX // 2¹⁵
	VPBROADCASTQ AX, Z0
	MOVL $32767, AX
	VPBROADCASTD AX, Z3
	SHRQ $4, CX
	JZ   done

loop:
	VMULPD       (SI), Z0, Z1
	VMULPD       64(SI), Z0, Z2
	VCVTPD2DQ    Z1, Y1
	VCVTPD2DQ    Z2, Y2
	VINSERTI64X4 $1, Y2, Z1, Z1
	VPMINSD      Z3, Z1, Z1
	VPMOVDW      Z1, (DI)
	ADDQ         $128, SI
	ADDQ         $32, DI
	DECQ         CX
	JNZ          loop

done:
	VZEROUPPER
	RET

// func addFeaturesAVX512(f float64, x []int16, y []float64)
TEXT ·addFeaturesAVX512(SB), NOSPLIT, $0-56
	ADD512(LOAD16, 2, FIRST)

// func addScaledAVX512(f float64, x []int32, y []float64)
TEXT ·addScaledAVX512(SB), NOSPLIT, $0-56
	ADD512(LOAD32, 4, FIRST)

// func addSquaresAVX512(f float64, x []int32, y []float64)
TEXT ·addSquaresAVX512(SB), NOSPLIT, $0-56
	ADD512(LOAD32, 4, SECOND)

// func subtractIntegersAVX512(dst, a, b []int16)
TEXT ·subtractIntegersAVX512(SB), NOSPLIT, $0-72
	MOVQ dst_base+0(FP), DI
	MOVQ a_base+24(FP), SI
	MOVQ b_base+48(FP), BX
	MOVQ b_len+56(FP), CX
	SHRQ $5, CX
	JZ   done

loop:
	VMOVUPD (SI), Z0
	VPSUBSW (BX), Z0, Z0
	VMOVUPD Z0, (DI)
	ADDQ    $64, SI
	ADDQ    $64, BX
	ADDQ    $64, DI
	DECQ    CX
	JNZ     loop

done:
	VZEROUPPER
	RET

// func dotIntegersAVX512(a, b []int16) int32
TEXT ·dotIntegersAVX512(SB), NOSPLIT, $0-52
	MOVQ a_base+0(FP), SI
	MOVQ a_len+8(FP), CX
	MOVQ b_base+24(FP), BX
	VPXORQ Z0, Z0, Z0
	SHRQ $5, CX
	JZ   sum

loop:
	VMOVUPD  (SI), Z1
	VPMADDWD (BX), Z1, Z1
	VPADDD   Z1, Z0, Z0
	ADDQ     $64, SI
	ADDQ     $64, BX
	DECQ     CX
	JNZ      loop

sum:
	VEXTRACTI64X4 $1, Z0, Y1
	VPADDD        Y1, Y0, Y0
	VEXTRACTI128  $1, Y0, X1
	VPADDD        X1, X0, X0
	VPSHUFD       $0x4E, X0, X1
	VPADDD        X1, X0, X0
	VPSHUFD       $0xB1, X0, X1
	VPADDD        X1, X0, X0
	VMOVD         X0, AX
	MOVL          AX, ret+48(FP)
	VZEROUPPER
	RET

// func sumSquaresAVX512(x []int16, sums []int64) int64
TEXT ·sumSquaresAVX512(SB), NOSPLIT, $0-56
	MOVQ x_base+0(FP), SI
	MOVQ x_len+8(FP), CX
	MOVQ sums_base+24(FP), DI
	VPXORQ Z0, Z0, Z0
	SHRQ $3, CX
	JZ   done

loop:
	VPMOVSXWQ (SI), Z1
	VPMULDQ   Z1, Z1, Z1
	VPADDQ    (DI), Z1, Z1
	VMOVUPD   Z1, (DI)
	VPORQ     Z1, Z0, Z0
	ADDQ      $16, SI
	ADDQ      $64, DI
	DECQ      CX
	JNZ       loop

done:
	VEXTRACTI64X4 $1, Z0, Y1
	VPOR          Y1, Y0, Y0
	VEXTRACTI128  $1, Y0, X1
	VPOR          X1, X0, X0
	VPSHUFD       $0x4E, X0, X1
	VPOR          X1, X0, X0
	VMOVQ         X0, AX
	MOVQ          AX, ret+48(FP)
	VZEROUPPER
	RET
