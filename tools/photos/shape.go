package main

import "math"

// A shape is a solid that stands on the ground, y = 0, around x = z = 0.
type shape interface {
	// hit returns where the ray from o in direction d first meets the shape, as a
	// multiple of d, and the surface's outward unit normal and color at that point.
	hit(o, d vector) (t float64, normal, color vector, ok bool)
}

// A class is a kind of object and its constructor.
type class struct {
	name  string
	shape func(r random) shape
}

var classes = []class{{"arrow", newArrow}, {"ball", newBall}, {"box", newBox}, {"cone", newCone}}

// near is the minimum distance of a hit. A closer hit is on the surface where the ray starts.
const near = 1e-6

// cone is a traffic cone, with or without bands and a foot.
type cone struct {
	height, radius, tip float64 // tip is the fraction of the height that is cut off at the top
	color, band         vector
	bands               float64 // number of bands
	foot                *box
}

func newCone(r random) shape {
	c := cone{height: r.between(1.1, 1.8), radius: r.between(0.4, 0.62), tip: r.between(0.02, 0.15), color: r.color(), band: vector{0.9, 0.9, 0.88}}
	if r.likely(0.6) {
		c.color = vector{r.between(0.8, 1), r.between(0.2, 0.45), r.between(0.02, 0.15)} // the usual orange
	}
	if r.likely(0.75) {
		c.bands = float64(1 + r.IntN(3))
	}
	if r.likely(0.7) {
		side := mul(c.radius, r.between(1.1, 1.3))
		c.foot = &box{half: vector{side, 0.04, side}, turn: newTurn(r.between(-0.4, 0.4)), faces: [3]vector{c.color, c.color, c.color}}
	}
	return c
}

func (c cone) hit(o, d vector) (float64, vector, vector, bool) {
	// x² + z² = k²·(h − y)²
	k := c.radius / c.height
	oy := c.height - o.y
	k2 := mul(k, k)
	a := mul(d.x, d.x) + mul(d.z, d.z) - mul(k2, mul(d.y, d.y))
	b := mul(o.x, d.x) + mul(o.z, d.z) + mul(k2, mul(oy, d.y))
	e := mul(o.x, o.x) + mul(o.z, o.z) - mul(k2, mul(oy, oy))
	best, found := 0.0, false
	var n, color vector
	if q := mul(b, b) - mul(a, e); q > 0 && a != 0 {
		s := math.Sqrt(q)
		for _, t := range []float64{(-b - s) / a, (-b + s) / a} {
			y := o.y + mul(t, d.y)
			if t < near || y < 0 || y > mul(c.height, 1-c.tip) || found && t >= best {
				continue
			}
			p := o.plus(d.times(t))
			best, found = t, true
			n = vector{p.x, mul(k2, c.height-y), p.z}.unit()
			color = c.color
			if c.bands > 0 {
				at := mul(y/c.height, 2*c.bands+1)
				if int(at)%2 == 1 {
					color = c.band
				}
			}
		}
	}
	if c.foot != nil {
		if t, fn, fc, ok := c.foot.hit(o, d); ok && (!found || t < best) {
			return t, fn, fc, true
		}
	}
	return best, n, color, found
}

// ball is a plain or striped ball.
type ball struct {
	radius     float64
	color, two vector
	stripes    float64
	tilt       turn
}

func newBall(r random) shape {
	b := ball{radius: r.between(0.45, 0.85), color: r.color(), two: r.color(), tilt: newTurn(r.between(-1, 1))}
	if r.likely(0.5) {
		b.stripes = r.between(1, 4)
	}
	return b
}

func (b ball) hit(o, d vector) (float64, vector, vector, bool) {
	o = o.minus(vector{0, b.radius, 0})
	a, h := d.dot(d), o.dot(d)
	q := mul(h, h) - mul(a, o.dot(o)-mul(b.radius, b.radius))
	if q < 0 {
		return 0, vector{}, vector{}, false
	}
	t := (-h - math.Sqrt(q)) / a
	if t < near {
		return 0, vector{}, vector{}, false
	}
	n := o.plus(d.times(t)).unit()
	color := b.color
	if b.stripes > 0 {
		_, y := b.tilt.of(n.x, n.y)
		if int(mul(y+1, b.stripes))%2 == 1 {
			color = b.two
		}
	}
	return t, n, color, true
}

// box is a box of cardboard or another color, with or without a strip of tape.
type box struct {
	half  vector
	turn  turn
	faces [3]vector // colors of left and right, top and bottom, front and back
	tape  float64   // half the width of the tape
}

func newBox(r random) shape {
	b := &box{half: vector{r.between(0.4, 0.85), r.between(0.3, 0.8), r.between(0.4, 0.85)}, turn: newTurn(r.between(-1, 1))}
	c := r.color()
	if r.likely(0.4) {
		c = vector{r.between(0.55, 0.75), r.between(0.4, 0.52), r.between(0.25, 0.35)} // cardboard
	}
	for i := range b.faces {
		b.faces[i] = c.times(r.between(0.8, 1))
	}
	if r.likely(0.5) {
		b.tape = r.between(0.05, 0.15)
	}
	return b
}

func (b *box) hit(o, d vector) (float64, vector, vector, bool) {
	back := b.turn.back()
	o.y -= b.half.y
	o.x, o.z = back.of(o.x, o.z)
	d.x, d.z = back.of(d.x, d.z)
	os, ds, hs := [3]float64{o.x, o.y, o.z}, [3]float64{d.x, d.y, d.z}, [3]float64{b.half.x, b.half.y, b.half.z}
	first, last, side := math.Inf(-1), math.Inf(1), 0
	for i := range os {
		if ds[i] == 0 {
			if math.Abs(os[i]) > hs[i] {
				return 0, vector{}, vector{}, false
			}
			continue
		}
		t0, t1 := (-hs[i]-os[i])/ds[i], (hs[i]-os[i])/ds[i]
		if t0 > t1 {
			t0, t1 = t1, t0
		}
		if t0 > first {
			first, side = t0, i
		}
		last = min(last, t1)
	}
	if first > last || first < near {
		return 0, vector{}, vector{}, false
	}
	var ns [3]float64
	ns[side] = 1
	if ds[side] > 0 {
		ns[side] = -1
	}
	n := vector{ns[0], ns[1], ns[2]}
	n.x, n.z = b.turn.of(n.x, n.z)
	color := b.faces[side]
	if side != 0 && math.Abs(os[0]+mul(first, ds[0])) < b.tape {
		color = color.to(vector{0.85, 0.8, 0.65}, 0.7)
	}
	return first, n, color, true
}

// arrow is an arrow cut out of a board that stands upright.
type arrow struct {
	length, shaft, head, headLength float64 // half of each dimension except headLength
	lift                            float64
	point, turn                     turn
	color                           vector
}

func newArrow(r random) shape {
	a := arrow{
		length: r.between(0.75, 1.05), shaft: r.between(0.12, 0.25), head: r.between(0.4, 0.6), headLength: r.between(0.5, 0.8),
		turn: newTurn(r.between(-0.3, 0.3)), color: r.color(),
	}
	switch t := r.between(-0.25, 0.25); r.IntN(4) { // right, left, up or down
	case 0:
		a.point = newTurn(t)
	case 1:
		p := newTurn(t)
		a.point = turn{-p.c, -p.s}
	case 2:
		p := newTurn(t)
		a.point = turn{-p.s, p.c}
	case 3:
		p := newTurn(t)
		a.point = turn{p.s, -p.c}
	}
	a.lift = max(mul(a.length, math.Abs(a.point.s)), a.head) + r.between(0.02, 0.3)
	return a
}

func (a arrow) hit(o, d vector) (float64, vector, vector, bool) {
	back := a.turn.back()
	n := vector{0, 0, -1}
	if d.z < 0 {
		n.z = 1
	}
	n.x, n.z = a.turn.of(n.x, n.z)
	o.x, o.z = back.of(o.x, o.z)
	d.x, d.z = back.of(d.x, d.z)
	if d.z == 0 {
		return 0, vector{}, vector{}, false
	}
	t := -o.z / d.z
	if t < near {
		return 0, vector{}, vector{}, false
	}
	x, y := a.point.back().of(o.x+mul(t, d.x), o.y+mul(t, d.y)-a.lift)
	neck := a.length - a.headLength
	switch {
	case x > neck && x < a.length && math.Abs(y) < mul(a.head, (a.length-x)/a.headLength):
	case x >= -a.length && x <= neck && math.Abs(y) < a.shaft:
	default:
		return 0, vector{}, vector{}, false
	}
	return t, n, a.color, true
}
