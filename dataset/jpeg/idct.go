package jpeg

// The inverse transform of N×N coefficients X to N×N samples x is, in each dimension,
//
//	x(n) = X(0) + √2·Σ X(k)·cos((2n+1)·k·π/2N), k from 1 to N−1
//
// and the result is divided by 8. For N = 8 this is T.81 A.3.3. A smaller N turns the low
// frequencies of a block of 8×8 samples into a reduced block: in each dimension, it divides the
// block into N parts and evaluates the cosine series in the middle of each part.
//
// Factors have factorBits fraction bits, and values between the two dimensions have
// betweenBits.
const (
	factorBits  = 13
	betweenBits = 2
)

// √2·cos(k·π/16)·2^13, rounded to nearest.
const (
	cos1 = 11363
	cos2 = 10703
	cos3 = 9633
	cos5 = 6436
	cos6 = 4433
	cos7 = 2260
)

// transform computes the pixels of the block in d.unzigged and writes them to c.pix. Block (0,
// 0) is at the upper left of the wanted MCUs. If dcOnly is set, only the first coefficient may
// be nonzero.
func (d *Decoder) transform(c *component, x, y int, dcOnly bool) {
	b, size := &d.unzigged, d.jpg.size
	dst := c.pix[size*(y*c.stride+x):]
	switch {
	case dcOnly || size == 1:
		v := sample((b[0] + 4) >> 3)
		for i := range size {
			row := dst[i*c.stride:][:size]
			for j := range row {
				row[j] = v
			}
		}
	case size == 2:
		transform2(b, dst, c.stride)
	case size == 4:
		transform4(b, dst, c.stride)
	default:
		transform8(b, dst, c.stride)
	}
}

// sample adds 128 to v and clamps the result to a byte.
func sample(v int32) byte {
	v += 128
	if uint32(v) > 255 {
		v = ^v >> 31 // 0 if negative, else all ones
	}
	return byte(v)
}

func transform2(b *[64]int32, dst []byte, stride int) {
	left, right := b[0]+b[8], b[0]-b[8] // the upper and lower value of column 0
	a, c := b[1]+b[9], b[1]-b[9]
	dst[0], dst[1] = sample((left+a+4)>>3), sample((left-a+4)>>3)
	dst = dst[stride:]
	dst[0], dst[1] = sample((right+c+4)>>3), sample((right-c+4)>>3)
}

// line4 transforms four values. The results have factorBits more fraction bits than the inputs.
func line4(x0, x1, x2, x3 int32) (y0, y1, y2, y3 int32) {
	even, odd := (x0+x2)<<factorBits, (x0-x2)<<factorBits
	a, b := cos2*x1+cos6*x3, cos6*x1-cos2*x3
	return even + a, odd + b, odd - b, even - a
}

const (
	halfway = 1 << (factorBits - betweenBits - 1)
	end     = factorBits + betweenBits + 3 // bits to drop at the end
	halfEnd = 1 << (end - 1)
)

// between rounds a result of the first dimension to betweenBits fraction bits.
func between(v int32) int32 { return (v + halfway) >> (factorBits - betweenBits) }

func transform4(b *[64]int32, dst []byte, stride int) {
	var t [16]int32
	for x := range 4 {
		y0, y1, y2, y3 := line4(b[x], b[x+8], b[x+16], b[x+24])
		t[x], t[x+4], t[x+8], t[x+12] = between(y0), between(y1), between(y2), between(y3)
	}
	for y := range 4 {
		r := (*[4]int32)(t[4*y:])
		// The first value is a term of all results, so adding half a unit to it rounds all
		// results.
		y0, y1, y2, y3 := line4(r[0]+halfEnd>>factorBits, r[1], r[2], r[3])
		row := (*[4]byte)(dst[y*stride:])
		row[0], row[1], row[2], row[3] = sample(y0>>end), sample(y1>>end), sample(y2>>end), sample(y3>>end)
	}
}

// even8 and odd8 compute the two halves of the transform of eight values: sample n is
// even(n)+odd(n), and sample 7−n is even(n)−odd(n).
func even8(x0, x2, x4, x6 int32) (e0, e1, e2, e3 int32) {
	a, b := (x0+x4)<<factorBits, (x0-x4)<<factorBits
	c, d := cos2*x2+cos6*x6, cos6*x2-cos2*x6
	return a + c, b + d, b - d, a - c
}

func odd8(x1, x3, x5, x7 int32) (o0, o1, o2, o3 int32) {
	return cos1*x1 + cos3*x3 + cos5*x5 + cos7*x7,
		cos3*x1 - cos7*x3 - cos1*x5 - cos5*x7,
		cos5*x1 - cos1*x3 + cos7*x5 + cos3*x7,
		cos7*x1 - cos5*x3 + cos3*x5 - cos1*x7
}

func transform8(b *[64]int32, dst []byte, stride int) {
	for x := range 8 {
		c := b[x : x+57 : x+57]
		if c[8]|c[16]|c[24]|c[32]|c[40]|c[48]|c[56] == 0 {
			v := c[0] << betweenBits
			c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56] = v, v, v, v, v, v, v, v
			continue
		}
		e0, e1, e2, e3 := even8(c[0], c[16], c[32], c[48])
		o0, o1, o2, o3 := odd8(c[8], c[24], c[40], c[56])
		c[0], c[56] = between(e0+o0), between(e0-o0)
		c[8], c[48] = between(e1+o1), between(e1-o1)
		c[16], c[40] = between(e2+o2), between(e2-o2)
		c[24], c[32] = between(e3+o3), between(e3-o3)
	}
	for y := range 8 {
		r := (*[8]int32)(b[8*y:])
		e0, e1, e2, e3 := even8(r[0]+halfEnd>>factorBits, r[2], r[4], r[6])
		o0, o1, o2, o3 := odd8(r[1], r[3], r[5], r[7])
		row := (*[8]byte)(dst[y*stride:])
		row[0], row[7] = sample((e0+o0)>>end), sample((e0-o0)>>end)
		row[1], row[6] = sample((e1+o1)>>end), sample((e1-o1)>>end)
		row[2], row[5] = sample((e2+o2)>>end), sample((e2-o2)>>end)
		row[3], row[4] = sample((e3+o3)>>end), sample((e3-o3)>>end)
	}
}
