// These macros encode instructions that Go's assembler does not know. Operands are
// register numbers, with the destination last. Source of the encodings: Arm Architecture
// Reference Manual for A-profile (DDI 0487), section C7.2.

// LDRQ loads 16 bytes at Rn+Rm.
#define LDRQ(n, m, t) WORD $(0x3ce06800 | (m)<<16 | (n)<<5 | (t))

// UDOT and SDOT add dot products of four bytes to d.4S: of each group of n and group i of
// m.
#define UDOT(i, m, n, d) WORD $(0x6f80e000 | ((i)&1)<<21 | ((i)>>1)<<11 | (m)<<16 | (n)<<5 | (d))
#define SDOT(i, m, n, d) WORD $(0x4f80e000 | ((i)&1)<<21 | ((i)>>1)<<11 | (m)<<16 | (n)<<5 | (d))

// UDOTV and SDOTV add dot products of four bytes to d.4S: of each group of n and the same
// group of m.
#define UDOTV(m, n, d) WORD $(0x6e809400 | (m)<<16 | (n)<<5 | (d))
#define SDOTV(m, n, d) WORD $(0x4e809400 | (m)<<16 | (n)<<5 | (d))

// SMULL8 and SMULL8H set d.8H to the products of the lower or upper eight bytes. SMLAL8H
// adds the products of the upper eight bytes to d.8H.
#define SMULL8(m, n, d) WORD $(0x0e20c000 | (m)<<16 | (n)<<5 | (d))
#define SMULL8H(m, n, d) WORD $(0x4e20c000 | (m)<<16 | (n)<<5 | (d))
#define SMLAL8H(m, n, d) WORD $(0x4e208000 | (m)<<16 | (n)<<5 | (d))

// SADALP and UADALP add the sums of pairs of the eight halves of n, signed or unsigned,
// to d.4S. UADDLP sets d.8H to the sums of pairs of the sixteen bytes of n.
#define SADALP(n, d) WORD $(0x4e606800 | (n)<<5 | (d))
#define UADALP(n, d) WORD $(0x6e606800 | (n)<<5 | (d))
#define UADDLP(n, d) WORD $(0x6e202800 | (n)<<5 | (d))

// SMLAL16 and SMLAL16H add the products of the lower or upper four halves to d.4S.
#define SMLAL16(m, n, d) WORD $(0x0e608000 | (m)<<16 | (n)<<5 | (d))
#define SMLAL16H(m, n, d) WORD $(0x4e608000 | (m)<<16 | (n)<<5 | (d))

// SXTL and UXTL widen the lower eight bytes of n to d.8H, and SXTLH the upper ones. SHL7
// sets d.8H to n << 7, and SUB8H sets it to n − m. SSHLL13 and SSHLL13H widen the lower
// or upper four halves of n to d.4S and shift them left by 13.
#define SXTL(n, d) WORD $(0x0f08a400 | (n)<<5 | (d))
#define SXTLH(n, d) WORD $(0x4f08a400 | (n)<<5 | (d))
#define UXTL(n, d) WORD $(0x2f08a400 | (n)<<5 | (d))
#define SHL7(n, d) WORD $(0x4f175400 | (n)<<5 | (d))
#define SUB8H(m, n, d) WORD $(0x6e608400 | (m)<<16 | (n)<<5 | (d))
#define SSHLL13(n, d) WORD $(0x0f1da400 | (n)<<5 | (d))
#define SSHLL13H(n, d) WORD $(0x4f1da400 | (n)<<5 | (d))

// SSHL sets d.4S to n << m and wraps. SQRDMULH sets d.4S to (n·m + 2³⁰) >> 31, and SRSHL
// sets it to n >> −m with ties up. SSRA31 adds n >> 31 to d.4S.
#define SSHL(m, n, d) WORD $(0x4ea04400 | (m)<<16 | (n)<<5 | (d))
#define SQRDMULH(m, n, d) WORD $(0x6ea0b400 | (m)<<16 | (n)<<5 | (d))
#define SRSHL(m, n, d) WORD $(0x4ea05400 | (m)<<16 | (n)<<5 | (d))
#define SSRA31(n, d) WORD $(0x4f211400 | (n)<<5 | (d))

// SQXTN and SQXTNH set the lower or upper halves of d.8H to n.4S with saturation.
#define SQXTN(n, d) WORD $(0x0e614800 | (n)<<5 | (d))
#define SQXTNH(n, d) WORD $(0x4e614800 | (n)<<5 | (d))

// SQADD8H sets d.8H to n + m with saturation, SMAX to max(n, m), and SMIN to min(n, m).
#define SQADD8H(m, n, d) WORD $(0x4e600c00 | (m)<<16 | (n)<<5 | (d))
#define SMAX(m, n, d) WORD $(0x4e606400 | (m)<<16 | (n)<<5 | (d))
#define SMIN(m, n, d) WORD $(0x4e606c00 | (m)<<16 | (n)<<5 | (d))

// XTN and XTNH set the lower or upper half of d.16B to the lower bytes of n.8H.
#define XTN(n, d) WORD $(0x0e212800 | (n)<<5 | (d))
#define XTNH(n, d) WORD $(0x4e212800 | (n)<<5 | (d))

// AND16B sets d to n & m, ADD4S sets d.4S to n + m, and ADDP4S sets d.4S to the sums of
// pairs of n, then of pairs of m.
#define AND16B(m, n, d) WORD $(0x4e201c00 | (m)<<16 | (n)<<5 | (d))
#define ADD4S(m, n, d) WORD $(0x4ea08400 | (m)<<16 | (n)<<5 | (d))
#define ADDP4S(m, n, d) WORD $(0x4ea0bc00 | (m)<<16 | (n)<<5 | (d))

// TIESUP sets a.4S to multiplier.applyUp(a) without its left shift. The right shift is
// negated. SQRDMULH is doublingHigh, because (2·a·b + 2³¹) >> 32 = (a·b + 2³⁰) >> 31. It
// saturates only for −2³¹·−2³¹.
#define TIESUP(mantissa, right, a) \
	SQRDMULH(mantissa, a, a); \
	SRSHL(right, a, a)

// TIESAWAY sets a.4S to multiplier.apply(a) without its left shift. Subtracting 1 from
// negative numbers that are shifted rounds ties away from zero.
#define TIESAWAY(mantissa, right, t, a) \
	SQRDMULH(mantissa, a, a); \
	AND16B(right, a, t); \
	SSRA31(t, a); \
	SRSHL(right, a, a)

// NARROW sets a to the eight bytes of a.4S and b.4S, clamped to lo.8H…hi.8H.
#define NARROW(lo, hi, a, b) \
	SQXTN(a, a); \
	SQXTNH(b, a); \
	SMAX(lo, a, a); \
	SMIN(hi, a, a); \
	XTN(a, a)
