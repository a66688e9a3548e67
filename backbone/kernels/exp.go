package kernels

import "math"

// exp returns e^v rounded to float32.
func exp(v float32) float32 { return float32(Exp(float64(v))) }

// Exp returns e^x with an error of less than one unit in the last place, the same on every
// processor. It does not use math.Exp, whose last bit differs between processors. Every product is
// explicitly converted to float64, so that no compiler fuses it with an addition.
func Exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 710:
		return math.Inf(1)
	case x < -746:
		return 0
	}
	const (
		// ln 2 in two parts. The upper part has trailing zeros, so its product with a
		// small integer is exact.
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
	)
	k := math.Floor(float64(x*math.Log2E) + 0.5)
	r := x - float64(k*ln2Hi)
	r -= float64(k * ln2Lo)
	// The Taylor series has an error below 2⁻⁵² for |r| ≤ 0.35.
	sum := 1.0
	for i := 14; i > 0; i-- {
		sum = 1 + float64(sum*r)/float64(i)
	}
	return math.Ldexp(sum, int(k))
}
