package main

import (
	"math"
	"math/rand/v2"
)

// mul returns a·b. The compiler cannot fuse it with an addition, so photos are the same on every
// processor.
func mul(a, b float64) float64 { return float64(a * b) }

// mix interpolates linearly between a at t = 0 and b at t = 1.
func mix(a, b, t float64) float64 { return a + mul(b-a, t) }

// A vector is a point, a direction or a color. x points right, y up and z away from the camera. For
// a color, x, y and z are red, green and blue, from 0 to 1.
type vector struct{ x, y, z float64 }

func (a vector) plus(b vector) vector   { return vector{a.x + b.x, a.y + b.y, a.z + b.z} }
func (a vector) minus(b vector) vector  { return vector{a.x - b.x, a.y - b.y, a.z - b.z} }
func (a vector) times(s float64) vector { return vector{mul(a.x, s), mul(a.y, s), mul(a.z, s)} }
func (a vector) tinted(b vector) vector { return vector{mul(a.x, b.x), mul(a.y, b.y), mul(a.z, b.z)} }
func (a vector) dot(b vector) float64   { return mul(a.x, b.x) + mul(a.y, b.y) + mul(a.z, b.z) }
func (a vector) unit() vector           { return a.times(1 / math.Sqrt(a.dot(a))) }
func (a vector) to(b vector, t float64) vector {
	return vector{mix(a.x, b.x, t), mix(a.y, b.y, t), mix(a.z, b.z, t)}
}

// A turn is a rotation in the plane. c and s are the cosine and the sine of its angle.
type turn struct{ c, s float64 }

// newTurn returns the rotation by twice the angle with tangent t. It does not use
// math.Sin and math.Cos, whose last bit may differ between processors.
func newTurn(t float64) turn {
	d := 1 + mul(t, t)
	return turn{(1 - mul(t, t)) / d, 2 * t / d}
}

// of rotates the point x, y.
func (r turn) of(x, y float64) (float64, float64) {
	return mul(r.c, x) - mul(r.s, y), mul(r.s, x) + mul(r.c, y)
}

// back returns the opposite rotation.
func (r turn) back() turn { return turn{r.c, -r.s} }

// random generates the random properties of scenes.
type random struct{ *rand.Rand }

func (r random) between(a, b float64) float64 { return mix(a, b, r.Float64()) }

func (r random) likely(p float64) bool { return r.Float64() < p }

// noise returns an approximately normal number with a standard deviation of 1.
func (r random) noise() float64 {
	return mul(r.Float64()+r.Float64()+r.Float64()+r.Float64()-2, math.Sqrt(3))
}

// color returns a saturated color that is not too dark.
func (r random) color() vector {
	c := [3]float64{r.between(0.6, 1), r.between(0.02, 0.25), r.between(0.02, 1)}
	r.Shuffle(3, func(i, j int) { c[i], c[j] = c[j], c[i] })
	return vector{c[0], c[1], c[2]}
}

// dull returns a color close to gray.
func (r random) dull() vector {
	g := r.between(0.15, 0.75)
	return vector{g + r.between(-0.12, 0.12), g + r.between(-0.1, 0.1), g + r.between(-0.12, 0.12)}
}

// lattice returns a pseudo-random number from 0 to 1 that depends only on the point and the seed.
func lattice(x, y, seed int64) float64 {
	h := uint64(x)*0x9e3779b97f4a7c15 ^ uint64(y)*0xc2b2ae3d27d4eb4f ^ uint64(seed)*0x165667b19e3779f9
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 32
	return float64(h>>40) / (1 << 24)
}

// clouds returns smooth noise with values from 0 to 1.
func clouds(x, y float64, seed int64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	tx, ty := x-fx, y-fy
	tx, ty = mul(mul(tx, tx), 3-2*tx), mul(mul(ty, ty), 3-2*ty)
	i, j := int64(fx), int64(fy)
	return mix(mix(lattice(i, j, seed), lattice(i+1, j, seed), tx), mix(lattice(i, j+1, seed), lattice(i+1, j+1, seed), tx), ty)
}
