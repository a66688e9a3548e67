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

// Lower eight bytes of n widened to d.8H.
#define SXTL(n, d) WORD $(0x0f08a400 | (n)<<5 | (d))
#define UXTL(n, d) WORD $(0x2f08a400 | (n)<<5 | (d))

// On d.4S: n shifted left by m, wrapping; (n·m + 2³⁰) >> 31; n shifted right by
// −m, ties up; d + (n >> 31).
#define SSHL(m, n, d) WORD $(0x4ea04400 | (m)<<16 | (n)<<5 | (d))
#define SQRDMULH(m, n, d) WORD $(0x6ea0b400 | (m)<<16 | (n)<<5 | (d))
#define SRSHL(m, n, d) WORD $(0x4ea05400 | (m)<<16 | (n)<<5 | (d))
#define SSRA31(n, d) WORD $(0x4f211400 | (n)<<5 | (d))

// n.4S saturated to the lower or upper halves of d.8H.
#define SQXTN(n, d) WORD $(0x0e614800 | (n)<<5 | (d))
#define SQXTNH(n, d) WORD $(0x4e614800 | (n)<<5 | (d))

// On d.8H: the larger or smaller of n and m.
#define SMAX(m, n, d) WORD $(0x4e606400 | (m)<<16 | (n)<<5 | (d))
#define SMIN(m, n, d) WORD $(0x4e606c00 | (m)<<16 | (n)<<5 | (d))

// Lower bytes of n.8H to the lower or upper half of d.16B.
#define XTN(n, d) WORD $(0x0e212800 | (n)<<5 | (d))
#define XTNH(n, d) WORD $(0x4e212800 | (n)<<5 | (d))

// Sums: d.4S = n + m; d.4S = n's neighbours added, then m's.
#define ADD4S(m, n, d) WORD $(0x4ea08400 | (m)<<16 | (n)<<5 | (d))
#define ADDP4S(m, n, d) WORD $(0x4ea0bc00 | (m)<<16 | (n)<<5 | (d))
