// Instructions that Go's assembler has no name for, with numbers for
// registers, destination last. Codes are those of the Arm Architecture
// Reference Manual for A-profile (DDI 0487), section C7.2.

// LDRQ loads 16 bytes at Rn+Rm.
#define LDRQ(n, m, t) WORD $(0x3ce06800 | (m)<<16 | (n)<<5 | (t))

// d.4S += the dot products of four bytes each: n's four groups by group i of m.
#define UDOT(i, m, n, d) WORD $(0x6f80e000 | ((i)&1)<<21 | ((i)>>1)<<11 | (m)<<16 | (n)<<5 | (d))
#define SDOT(i, m, n, d) WORD $(0x4f80e000 | ((i)&1)<<21 | ((i)>>1)<<11 | (m)<<16 | (n)<<5 | (d))

// The same, group by group.
#define UDOTV(m, n, d) WORD $(0x6e809400 | (m)<<16 | (n)<<5 | (d))
#define SDOTV(m, n, d) WORD $(0x4e809400 | (m)<<16 | (n)<<5 | (d))

// Products of the lower or upper eight bytes as d.8H, set or added.
#define SMULL8(m, n, d) WORD $(0x0e20c000 | (m)<<16 | (n)<<5 | (d))
#define SMULL8H(m, n, d) WORD $(0x4e20c000 | (m)<<16 | (n)<<5 | (d))
#define SMLAL8H(m, n, d) WORD $(0x4e208000 | (m)<<16 | (n)<<5 | (d))

// Neighbours added: eight halves of n to d.4S; sixteen bytes of n give d.8H.
#define SADALP(n, d) WORD $(0x4e606800 | (n)<<5 | (d))
#define UADALP(n, d) WORD $(0x6e606800 | (n)<<5 | (d))
#define UADDLP(n, d) WORD $(0x6e202800 | (n)<<5 | (d))

// Products of the lower or upper four halves added to d.4S.
#define SMLAL16(m, n, d) WORD $(0x0e608000 | (m)<<16 | (n)<<5 | (d))
#define SMLAL16H(m, n, d) WORD $(0x4e608000 | (m)<<16 | (n)<<5 | (d))

// Lower or upper eight bytes of n widened to d.8H; halves shifted left by 7;
// less m; lower or upper four halves widened to d.4S and shifted left by 13.
#define SXTL(n, d) WORD $(0x0f08a400 | (n)<<5 | (d))
#define SXTLH(n, d) WORD $(0x4f08a400 | (n)<<5 | (d))
#define UXTL(n, d) WORD $(0x2f08a400 | (n)<<5 | (d))
#define SHL7(n, d) WORD $(0x4f175400 | (n)<<5 | (d))
#define SUB8H(m, n, d) WORD $(0x6e608400 | (m)<<16 | (n)<<5 | (d))
#define SSHLL13(n, d) WORD $(0x0f1da400 | (n)<<5 | (d))
#define SSHLL13H(n, d) WORD $(0x4f1da400 | (n)<<5 | (d))

// On d.4S: n shifted left by m, wrapping; (n·m + 2³⁰) >> 31; n shifted right by
// −m, ties up; d + (n >> 31).
#define SSHL(m, n, d) WORD $(0x4ea04400 | (m)<<16 | (n)<<5 | (d))
#define SQRDMULH(m, n, d) WORD $(0x6ea0b400 | (m)<<16 | (n)<<5 | (d))
#define SRSHL(m, n, d) WORD $(0x4ea05400 | (m)<<16 | (n)<<5 | (d))
#define SSRA31(n, d) WORD $(0x4f211400 | (n)<<5 | (d))

// n.4S saturated to the lower or upper halves of d.8H.
#define SQXTN(n, d) WORD $(0x0e614800 | (n)<<5 | (d))
#define SQXTNH(n, d) WORD $(0x4e614800 | (n)<<5 | (d))

// On d.8H: n + m, saturated; the larger or smaller of n and m.
#define SQADD8H(m, n, d) WORD $(0x4e600c00 | (m)<<16 | (n)<<5 | (d))
#define SMAX(m, n, d) WORD $(0x4e606400 | (m)<<16 | (n)<<5 | (d))
#define SMIN(m, n, d) WORD $(0x4e606c00 | (m)<<16 | (n)<<5 | (d))

// Lower bytes of n.8H to the lower or upper half of d.16B.
#define XTN(n, d) WORD $(0x0e212800 | (n)<<5 | (d))
#define XTNH(n, d) WORD $(0x4e212800 | (n)<<5 | (d))

// d = n & m; d.4S = n + m; d.4S = n's neighbours added, then m's.
#define AND16B(m, n, d) WORD $(0x4e201c00 | (m)<<16 | (n)<<5 | (d))
#define ADD4S(m, n, d) WORD $(0x4ea08400 | (m)<<16 | (n)<<5 | (d))
#define ADDP4S(m, n, d) WORD $(0x4ea0bc00 | (m)<<16 | (n)<<5 | (d))

// What multiplier.applyUp does of a.4S, without its left shift, for a negated
// right shift: SQRDMULH is doublingHigh, as (2·a·b + 2³¹) >> 32 is
// (a·b + 2³⁰) >> 31, and saturates −2³¹·−2³¹ only.
#define TIESUP(mantissa, right, a) \
	SQRDMULH(mantissa, a, a); \
	SRSHL(right, a, a)

// What multiplier.apply does: with 1 taken from negative numbers that are
// shifted, ties go away from zero.
#define TIESAWAY(mantissa, right, t, a) \
	SQRDMULH(mantissa, a, a); \
	AND16B(right, a, t); \
	SSRA31(t, a); \
	SRSHL(right, a, a)

// a.4S and b.4S to eight bytes of a, between lo.8H and hi.8H.
#define NARROW(lo, hi, a, b) \
	SQXTN(a, a); \
	SQXTNH(b, a); \
	SMAX(lo, a, a); \
	SMIN(hi, a, a); \
	XTN(a, a)
