package kernels

import "math"

// This file contains gemmlowp's functions on 16-bit fixed-point numbers. A value with i
// integer bits is an integer divided by 2^(15−i). Constants are those of gemmlowp's
// fixedpoint.h, which are 32-bit, rounded to 16 bits.

// one16 represents 1 without integer bits.
const one16 = math.MaxInt16

// sixteenBits rounds a 32-bit constant to 16 bits.
func sixteenBits(c int32) int32 { return shiftAway(c, 16) }

// expNegative returns e^a without integer bits, for a ≤ 0 with the given integer bits.
func expNegative(a int32, integerBits int) int32 {
	if a == 0 {
		return one16
	}
	// a is the sum of a value from −¼ to 0 and of negative powers of two.
	quarter := int32(1) << (15 - integerBits - 2)
	small := a&(quarter-1) - quarter
	rest := small - a
	result := expSmall(saturate16(small << integerBits))
	for i, c := range [...]int32{1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242} { // e^−2^(i−2)
		if exponent := i - 2; exponent < integerBits && rest>>(15-integerBits+exponent)&1 != 0 {
			result = doublingHigh16(result, sixteenBits(c))
		}
	}
	if integerBits > 5 && a < -32<<(15-integerBits) {
		return 0
	}
	return result
}

// expSmall returns e^a for −¼ ≤ a < 0 by a Taylor series around −⅛.
func expSmall(a int32) int32 {
	const e8, third = 1895147668, 715827883 // e^−⅛ and ⅓
	x := a + 1<<12
	x2 := doublingHigh16(x, x)
	x3 := doublingHigh16(x2, x)
	x4 := doublingHigh16(x2, x2)
	// x⁴/24 + x³/6 + x²/2
	rest := shiftAway(doublingHigh16(shiftAway(x4, 2)+x3, sixteenBits(third))+x2, 1)
	return saturate16(sixteenBits(e8) + doublingHigh16(sixteenBits(e8), x+rest))
}

// reciprocal16 returns 2/(1 + a) with two integer bits, for 0 ≤ a ≤ 1 without integer
// bits, by three steps of Newton's method.
func reciprocal16(a int32) int32 {
	const c48over17, c32over17, one = 1515870810, -1010580540, 1 << 13
	half := (a + one16 + 1) / 2
	x := sixteenBits(c48over17) + doublingHigh16(half, sixteenBits(c32over17))
	for range 3 {
		x += saturate16(doublingHigh16(x, one-doublingHigh16(half, x)) << 2)
	}
	return x
}

// logistic16 returns 1/(1 + e^−a) without integer bits, for a with three integer bits.
func logistic16(a int32) int32 {
	if a == 0 {
		return 1 << 14
	}
	positive := saturate16(reciprocal16(expNegative(min(a, -a), 3)) << 1)
	if a > 0 {
		return positive
	}
	return one16 - positive
}

// tanh16 returns tanh a without integer bits, for a with the given integer bits.
func tanh16(a int32, integerBits int) int32 {
	if a == 0 {
		return 0
	}
	negative := min(a, max(-a, math.MinInt16))
	t := saturate16((reciprocal16(expNegative(negative, integerBits+1)) - 1<<13) << 2)
	if a < 0 {
		return -t
	}
	return t
}
