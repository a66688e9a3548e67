// Instructions that Go's assembler does not know. Operands are register numbers, with the
// destination last. Source of the encodings: Arm Architecture Reference Manual for
// A-profile (DDI 0487), section C7.2.

// LDRQ loads 16 bytes at Rn+Rm.
#define LDRQ(n, m, t) WORD $(0x3ce06800 | (m)<<16 | (n)<<5 | (t))

// d.4S += dot products of four bytes: each group of n by group i of m.
#define UDOT(i, m, n, d) WORD $(0x6f80e000 | ((i)&1)<<21 | ((i)>>1)<<11 | (m)<<16 | (n)<<5 | (d))
#define SDOT(i, m, n, d) WORD $(0x4f80e000 | ((i)&1)<<21 | ((i)>>1)<<11 | (m)<<16 | (n)<<5 | (d))

// d.4S += dot products of four bytes: each group of n by that of m.
#define UDOTV(m, n, d) WORD $(0x6e809400 | (m)<<16 | (n)<<5 | (d))
#define SDOTV(m, n, d) WORD $(0x4e809400 | (m)<<16 | (n)<<5 | (d))

// d.8H = or += products of the lower or upper eight bytes.
#define SMULL8(m, n, d) WORD $(0x0e20c000 | (m)<<16 | (n)<<5 | (d))
#define SMULL8H(m, n, d) WORD $(0x4e20c000 | (m)<<16 | (n)<<5 | (d))
#define SMLAL8H(m, n, d) WORD $(0x4e208000 | (m)<<16 | (n)<<5 | (d))

// d.4S += sums of pairs of eight halves of n, signed or unsigned; d.8H = sums of pairs of
// sixteen bytes of n.
#define SADALP(n, d) WORD $(0x4e606800 | (n)<<5 | (d))
#define UADALP(n, d) WORD $(0x6e606800 | (n)<<5 | (d))
#define UADDLP(n, d) WORD $(0x6e202800 | (n)<<5 | (d))

// d.4S += products of the lower or upper four halves.
#define SMLAL16(m, n, d) WORD $(0x0e608000 | (m)<<16 | (n)<<5 | (d))
#define SMLAL16H(m, n, d) WORD $(0x4e608000 | (m)<<16 | (n)<<5 | (d))

// d.8H = the lower or upper eight bytes of n, widened; d.8H = n << 7; d.8H = n − m;
// d.4S = the lower or upper four halves of n, widened, << 13.
#define SXTL(n, d) WORD $(0x0f08a400 | (n)<<5 | (d))
#define SXTLH(n, d) WORD $(0x4f08a400 | (n)<<5 | (d))
#define UXTL(n, d) WORD $(0x2f08a400 | (n)<<5 | (d))
#define SHL7(n, d) WORD $(0x4f175400 | (n)<<5 | (d))
#define SUB8H(m, n, d) WORD $(0x6e608400 | (m)<<16 | (n)<<5 | (d))
#define SSHLL13(n, d) WORD $(0x0f1da400 | (n)<<5 | (d))
#define SSHLL13H(n, d) WORD $(0x4f1da400 | (n)<<5 | (d))

// d.4S = n << m, wrapping; d.4S = (n·m + 2³⁰) >> 31; d.4S = n >> −m, ties up;
// d.4S += n >> 31.
#define SSHL(m, n, d) WORD $(0x4ea04400 | (m)<<16 | (n)<<5 | (d))
#define SQRDMULH(m, n, d) WORD $(0x6ea0b400 | (m)<<16 | (n)<<5 | (d))
#define SRSHL(m, n, d) WORD $(0x4ea05400 | (m)<<16 | (n)<<5 | (d))
#define SSRA31(n, d) WORD $(0x4f211400 | (n)<<5 | (d))

// The lower or upper halves of d.8H = n.4S, saturated.
#define SQXTN(n, d) WORD $(0x0e614800 | (n)<<5 | (d))
#define SQXTNH(n, d) WORD $(0x4e614800 | (n)<<5 | (d))

// d.8H = n + m, saturated; d.8H = max(n, m); d.8H = min(n, m).
#define SQADD8H(m, n, d) WORD $(0x4e600c00 | (m)<<16 | (n)<<5 | (d))
#define SMAX(m, n, d) WORD $(0x4e606400 | (m)<<16 | (n)<<5 | (d))
#define SMIN(m, n, d) WORD $(0x4e606c00 | (m)<<16 | (n)<<5 | (d))

// The lower or upper half of d.16B = the lower bytes of n.8H.
#define XTN(n, d) WORD $(0x0e212800 | (n)<<5 | (d))
#define XTNH(n, d) WORD $(0x4e212800 | (n)<<5 | (d))

// d = n & m; d.4S = n + m; d.4S = sums of pairs of n, then of m.
#define AND16B(m, n, d) WORD $(0x4e201c00 | (m)<<16 | (n)<<5 | (d))
#define ADD4S(m, n, d) WORD $(0x4ea08400 | (m)<<16 | (n)<<5 | (d))
#define ADDP4S(m, n, d) WORD $(0x4ea0bc00 | (m)<<16 | (n)<<5 | (d))

// a.4S = multiplier.applyUp(a) without its left shift. The right shift is negated. SQRDMULH
// is doublingHigh, because (2·a·b + 2³¹) >> 32 = (a·b + 2³⁰) >> 31. It only saturates
// −2³¹·−2³¹.
#define TIESUP(mantissa, right, a) \
	SQRDMULH(mantissa, a, a); \
	SRSHL(right, a, a)

// a.4S = multiplier.apply(a) without its left shift. Subtracting 1 from negative numbers
// that are shifted rounds ties away from zero.
#define TIESAWAY(mantissa, right, t, a) \
	SQRDMULH(mantissa, a, a); \
	AND16B(right, a, t); \
	SSRA31(t, a); \
	SRSHL(right, a, a)

// a = the eight bytes of a.4S and b.4S, clamped to lo.8H…hi.8H.
#define NARROW(lo, hi, a, b) \
	SQXTN(a, a); \
	SQXTNH(b, a); \
	SMAX(lo, a, a); \
	SMIN(hi, a, a); \
	XTN(a, a)
