package classifier

import "math"

// The last bit of math.Exp and math.Log depends on the processor: Go has assembly for some
// processors, and on others the compiler may fuse multiplications with additions. A head must
// not depend on the processor, so exp and log use a fixed order of operations without fused
// multiply-add. Their error is at most 2 units in the last place.

// inverseFactorial holds 1/k! at index k.
var inverseFactorial = func() (c [15]float64) {
	f := 1.0
	for k := range c {
		if k > 0 {
			f *= float64(k)
		}
		c[k] = 1 / f
	}
	return c
}()

// exp returns e^x.
func exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 709.78:
		return math.Inf(1)
	case x < -745.2:
		return 0
	}
	// high + low = ln 2. The last bits of high are zeros, so its product with a small integer
	// is exact.
	const high, low = 6.93147180369123816490e-01, 1.90821492927058770002e-10
	k := math.Floor(float64(x*math.Log2E) + 0.5)
	r := x - float64(k*high)
	r -= float64(k * low)
	// With |r| ≤ 0.35, the error of the Taylor series is below 2⁻⁵³.
	sum := inverseFactorial[14]
	for i := 13; i >= 0; i-- {
		sum = inverseFactorial[i] + float64(sum*r)
	}
	if k > -1000 && k < 1000 {
		return sum * math.Float64frombits(uint64(int64(k)+1023)<<52)
	}
	return math.Ldexp(sum, int(k))
}

// log returns the natural logarithm of x > 0.
func log(x float64) float64 {
	f, e := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f, e = 2*f, e-1
	}
	// ln f = 2·artanh(s), and artanh(s) = s + s³/3 + s⁵/5 + …, with |s| ≤ 0.172.
	s := (f - 1) / (f + 1)
	z := float64(s * s)
	sum := 0.0
	for i := 23; i > 0; i -= 2 {
		sum = 1/float64(i) + float64(sum*z)
	}
	return float64(float64(e)*math.Ln2) + float64(2*float64(s*sum))
}
