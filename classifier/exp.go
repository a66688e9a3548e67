package classifier

import "math"

// The last bit of math.Exp and math.Log depends on the processor: Go has assembly for some
// processors, and on others the compiler may fuse multiplications with additions. A head must
// not depend on the processor, so exp and log use a fixed order of operations without fused
// multiply-add. Their error is at most 2 units in the last place.

// expSteps is the number of steps per factor of 2 for which expTable holds values.
const expSteps = 32

// expTable holds 2^(j/expSteps) at index j.
var expTable = func() (table [expSteps]float64) {
	for j := range table {
		x := math.Ln2 / expSteps * float64(j)
		table[j] = 1
		for i := 22; i > 0; i-- { // the Taylor series by Horner's rule
			table[j] = 1 + float64(x*table[j])/float64(i)
		}
	}
	return table
}()

// reciprocals holds 1/i at odd indexes i. Dividing in log would take most of its time.
var reciprocals = func() (table [24]float64) {
	for i := 1; i < len(table); i += 2 {
		table[i] = 1 / float64(i)
	}
	return table
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
	n := math.Floor(float64(x*(expSteps*math.Log2E)) + 0.5)
	r := x - float64(n*(high/expSteps))
	r -= float64(n * (low / expSteps))
	// With |r| ≤ 0.011, the error of the Taylor series is below 2⁻⁵⁷.
	z := float64(r * r)
	p := float64(z*(0.5+float64(r*(1./6)))) + float64(float64(z*z)*(1./24+float64(r*(1./120))+float64(z*(1./720))))
	i := int64(n)
	power := expTable[i&(expSteps-1)]
	sum := power + float64(power*(r+p))
	k := i / expSteps
	if i < 0 {
		k = -((expSteps - 1 - i) / expSteps)
	}
	if k > -1000 && k < 1000 {
		return sum * math.Float64frombits(uint64(k+1023)<<52)
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
	for i := len(reciprocals) - 1; i > 0; i -= 2 {
		sum = reciprocals[i] + float64(sum*z)
	}
	return float64(float64(e)*math.Ln2) + float64(2*float64(s*sum))
}
