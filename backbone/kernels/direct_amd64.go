//go:build !purego

package kernels

import "math"

const (
	floatUnit = 1 << 23 // the smallest float32 whose last bit is worth 1
	floatZero = 3 << 22 // the float32 for code 0, in the middle of those whose last bit is
)

// A directScale turns sums into codes with a single fused multiply-add. The sum is added to
// the bits of a float32 of at least floatUnit, so it need not be converted. One rounding to
// an integer, plus floatZero, gives the code in the lower bits of the result.
type directScale struct {
	bias           int32 // the bits of a float32, plus the channel's bias
	factor, offset float32
}

// direct returns the directScale of channel c for inputs of 0…255, and false if there is
// none that is right for all sums. zero is the output's zero point, and unclamped codes must
// be within ±limit. Codes are rounded like applyUp or, if away is set, like apply.
//
// The exact code of a sum is ⌊(sum·mantissa + round)/2^shift⌋, and the computed code is
// ⌊(sum·short + c)/2^(shift−7)⌋, where short is the mantissa rounded to 24 bits, and c is the
// sum of constants. Both are right for the same sums if they agree on both sides of the first
// sum of every code. That gives an interval for c. The offset is an integer, so c's remainder
// depends only on the float32 that sums are added to, and there are millions to choose from.
// Channels often have the same factor, so e, at first empty, keeps what is known about the last.
func (w *weights) direct(e *exactScale, c int, bias, zero int32, limit int64, away bool) (s directScale, ok bool) {
	m := w.scale[c]
	if m.right == 0 || m.mantissa == 0 || away && w.outZero > w.lo {
		return s, false
	}
	least, most := w.sumRange(c, bias)
	from, to := floatUnit-least, 2*floatUnit-1-most
	shift := 31 + m.right
	if e.mantissa != int64(m.mantissa) || e.shift != shift {
		*e = exactScale{mantissa: int64(m.mantissa), round: 1<<30 + 1<<(30+m.right), shift: shift}
	}
	first, last := e.code(least), e.code(most)
	if from > to || first+int64(zero) < -limit || last+int64(zero) >= limit {
		return s, false
	}
	first, last = max(first, int64(w.lo-w.outZero))+1, min(last, int64(w.hi-w.outZero))
	short := (e.mantissa + 64) >> 7
	for _, short := range []int64{short, short - 1, short + 1} {
		low, high := e.interval(short, first, last, least, most)
		// c is an integer, and so are both sides divided by 128.
		low, high = low>>7+1, (high-1)>>7
		if low > high || short > 1<<24 {
			continue
		}
		modulus := int64(1) << (shift - 7)
		start := from*short - floatUnit
		g := from + firstBetween(short, modulus, low-start, high-start)
		c := (g*short-floatUnit+modulus/2)&(modulus-1) - modulus/2
		if g < from || g > to || c < low || c > high {
			continue
		}
		s.bias = int32(uint32(math.Float32bits(floatUnit)) + uint32(g-floatUnit) + uint32(bias))
		s.factor = float32(math.Ldexp(float64(short), 7-int(shift)))
		s.offset = float32(floatZero + int64(zero) - (g*short-floatUnit+modulus/2)>>(shift-7))
		return s, true
	}
	return s, false
}

// setDirect sets the scales of the channels from first on, in the order of directChannel. It
// returns false, and may leave some scales set, if a channel has no directScale.
func (p *widePanel) setDirect(w *weights, bias []int32, first, lanes int) bool {
	var e exactScale
	for lane := range lanes {
		c := first + directChannel(lane, lanes)
		if c >= w.channels {
			continue
		}
		s, ok := w.direct(&e, c, bias[c], int32(p.zero[0]), 1<<15, false)
		if !ok {
			return false
		}
		half, i := &p.half[lane/wideLanes], lane%wideLanes
		half.bias[i], half.factor[i], half.offset[i] = s.bias, s.factor, s.offset
	}
	return true
}

// directChannel returns the channel in a lane of a panel whose sums are scaled with
// directScales. Two vectors of channels are in the order that packing restores.
func directChannel(lane, lanes int) int {
	if lanes == wideLanes {
		return lane
	}
	return lane&7 | lane&8<<1 | lane&16>>1
}

// sumRange returns the least and the largest sum of channel c for inputs of 0…255.
func (w *weights) sumRange(c int, bias int32) (least, most int64) {
	all, negative := int32(0), int32(0)
	for _, code := range w.codes[c*w.depth:][:w.depth] {
		all += int32(code)
		negative += int32(code & (code >> 15))
	}
	return int64(bias) + 255*int64(negative), int64(bias) + 255*int64(all-negative)
}

// An exactScale computes codes, without the zero point and limits, in integers.
type exactScale struct {
	mantissa, round int64
	shift           uint8
	bounds          codeBounds // what between has returned last
}

type codeBounds struct{ short, first, last, low, high int64 }

func (e *exactScale) code(sum int64) int64 { return (sum*e.mantissa + e.round) >> e.shift }

// interval returns open bounds for how much larger than round 128 times the constant c of
// [weights.direct] may be. first and last are codes, least and most are sums.
func (e *exactScale) interval(short, first, last, least, most int64) (low, high int64) {
	rest, one := e.mantissa-short<<7, int64(1)<<e.shift
	over := (least*e.mantissa + e.round) & (one - 1)
	under := one - (most*e.mantissa+e.round)&(one-1)
	low, high = e.between(short, first, last)
	return max(low, least*rest-over), min(high, most*rest+under)
}

// between is like interval, without the bounds of the least and the largest sum.
func (e *exactScale) between(short, first, last int64) (low, high int64) {
	if b := &e.bounds; b.short == short && b.first == first && b.last == last {
		return b.low, b.high
	}
	rest, one := e.mantissa-short<<7, int64(1)<<e.shift
	low, high = -1<<30, 1<<30
	if first > last {
		return low, high
	}
	// over is how far the first sum of a code is above the code, in units of 2^−shift.
	at := first<<e.shift - e.round
	sum := -(-at / e.mantissa)
	if at > 0 {
		sum = (at + e.mantissa - 1) / e.mantissa
	}
	over := sum*e.mantissa - at
	drift := sum*rest - over
	remainder := one % e.mantissa
	step, back := one/e.mantissa*rest+remainder, e.mantissa-rest
	least, most := drift, drift
	for range last - first {
		over -= remainder
		borrow := over >> 63 // −1 if negative; a branch would be hard to predict
		over += e.mantissa & borrow
		drift += step - back&borrow
		least, most = min(least, drift), max(most, drift)
	}
	low, high = max(low, most), min(high, least+back)
	e.bounds = codeBounds{short, first, last, low, high}
	return low, high
}

// firstBetween returns the smallest x ≥ 0 for which a·x is congruent modulo m to a number
// from low to high, or a negative number if there is none. m is a power of 2.
func firstBetween(a, m, low, high int64) int64 {
	l, h := low&(m-1), high&(m-1)
	if high-low >= m || l > h {
		return 0 // the interval contains a multiple of m
	}
	return firstMod(a&(m-1), m, l, h)
}

// firstMod is like firstBetween, for 0 ≤ a < m and 0 ≤ low ≤ high < m.
func firstMod(a, m, low, high int64) int64 {
	if low == 0 {
		return 0
	}
	if a == 0 {
		return -1
	}
	if x := (low + a - 1) / a; x*a <= high {
		return x
	}
	// No multiple of a is in the interval, so x·a exceeds a multiple of m, y·m. Modulo a,
	// y·m is congruent to a number from −high to −low.
	y := firstMod(m%a, a, (a-high%a)%a, (a-low%a)%a)
	if y < 0 {
		return -1
	}
	return (low + m*y + a - 1) / a
}
