package main

import (
	"image"
	"image/color"
	"math"
)

const width, height = 320, 240

// A scene is one object on the ground in front of a wall, with a light and a camera.
type scene struct {
	object         shape
	ground, wall   surface
	far            float64 // distance to the wall
	light, ambient vector  // colors
	sun            vector  // direction to the light
	camera         vector
	x, y, zoom     float64 // where the camera points, and its focal length
	roll           turn
}

// A surface is a plane with a pattern of two colors.
type surface struct {
	a, b    vector
	pattern int
	size    float64
	grain   float64 // amplitude of the noise
	turn    turn
	seed    int64
}

// newSurface returns a random surface in dull colors.
func newSurface(r random) surface {
	s := surface{
		a: r.dull(), pattern: r.IntN(5), size: r.between(0.25, 1.2), grain: r.between(0, 0.3), turn: newTurn(r.between(-1, 1)),
		seed: r.Int64N(1 << 30),
	}
	s.b = s.a.to(r.dull(), r.between(0.2, 0.9))
	if r.likely(0.2) {
		s.b = s.a.to(r.color(), 0.4)
	}
	return s
}

// color returns the color of the point x, y.
func (s surface) color(x, y float64) vector {
	x, y = s.turn.of(x/s.size, y/s.size)
	t := 0.0
	switch s.pattern {
	case 1: // squares
		t = float64((int64(math.Floor(x)) + int64(math.Floor(y))) & 1)
	case 2: // boards of different shades
		t = lattice(int64(math.Floor(x)), 0, s.seed)
		t = mix(t, clouds(8*x, y, s.seed), 0.4)
	case 3: // blotches
		t = mix(clouds(x, y, s.seed), clouds(3*x, 3*y, s.seed+1), 0.4)
	case 4: // grass or gravel
		t = clouds(12*x, 12*y, s.seed)
	}
	g := mul(s.grain, clouds(20*x, 20*y, s.seed+2)-0.5)
	return s.a.to(s.b, t).times(1 + g)
}

// newScene returns a random scene with the object.
func newScene(r random, object shape) scene {
	s := scene{
		object: object, ground: newSurface(r), wall: newSurface(r), far: r.between(1.2, 5),
		sun:    vector{r.between(-1, 1), r.between(0.5, 1.5), r.between(-1.4, -0.1)}.unit(),
		camera: vector{r.between(-0.5, 0.5), r.between(0.7, 2.2), r.between(-5.5, -3.6)},
		x:      r.between(-0.6, 0.6), y: r.between(0.3, 0.9), zoom: r.between(1.25, 1.8),
		roll: newTurn(r.between(-0.06, 0.06)),
	}
	warm := r.between(-0.12, 0.12)
	s.light = vector{1 + warm, 1, 1 - warm}.times(r.between(0.45, 0.95))
	s.ambient = vector{1 - warm, 1, 1 + warm}.times(r.between(0.18, 0.5))
	return s
}

// ray returns the direction of the camera's ray through the point x, y of the image
// plane. x goes from −4/3 to 4/3, y from −1 to 1.
func (s scene) ray(x, y float64) vector {
	x, y = s.roll.of(x, y)
	forward := vector{s.x, s.y, 0}.minus(s.camera).unit()
	right := vector{forward.z, 0, -forward.x}.unit()
	up := vector{ // forward × right
		mul(forward.y, right.z) - mul(forward.z, right.y),
		mul(forward.z, right.x) - mul(forward.x, right.z),
		mul(forward.x, right.y) - mul(forward.y, right.x),
	}
	return forward.times(2 * s.zoom).plus(right.times(x)).plus(up.times(y))
}

// look returns the color that the camera sees along d.
func (s scene) look(d vector) vector {
	if t, n, c, ok := s.object.hit(s.camera, d); ok {
		p := s.camera.plus(d.times(t)).plus(n.times(1e-4))
		l := max(n.dot(s.sun), 0)
		if _, _, _, hidden := s.object.hit(p, s.sun); hidden {
			l = 0
		}
		shine := max(n.dot(s.sun.minus(d.unit()).unit()), 0)
		for range 5 {
			shine = mul(shine, shine)
		}
		c = c.tinted(s.ambient.plus(s.light.times(l)))
		return c.plus(s.light.times(mul(0.35, shine)))
	}
	if d.y < 0 {
		t := -s.camera.y / d.y
		if p := s.camera.plus(d.times(t)); p.z < s.far {
			return s.lit(s.ground.color(p.x, p.z), vector{p.x, 1e-4, p.z}, s.sun.y)
		}
	}
	t := (s.far - s.camera.z) / d.z
	p := s.camera.plus(d.times(t))
	return s.lit(s.wall.color(p.x, p.y), vector{p.x, p.y, s.far - 1e-4}, -s.sun.z)
}

// lit returns the color of a point on the ground or the wall, with the object's shadow. c is the
// color of the surface, and l the cosine of the angle between its normal and the sun.
func (s scene) lit(c, at vector, l float64) vector {
	if _, _, _, hidden := s.object.hit(at, s.sun); hidden {
		l = 0
	}
	return c.tinted(s.ambient.plus(s.light.times(max(l, 0))))
}

// develop renders the photo: four rays per pixel, then blur, exposure and noise.
func develop(r random, s scene) *image.NRGBA {
	pixels := make([]vector, width*height)
	for i := range pixels {
		var c vector
		for k := range 4 {
			x := (float64(i%width) + 0.25 + 0.5*float64(k%2) - width/2) / (height / 2)
			y := (height/2 - float64(i/width) - 0.25 - 0.5*float64(k/2)) / (height / 2)
			c = c.plus(s.look(s.ray(x, y)))
		}
		pixels[i] = c.times(0.25)
	}
	for range r.IntN(3) {
		pixels = blur(pixels)
	}
	grain, gain, corner := r.between(0.002, 0.035), r.between(0.85, 1.25), r.between(0, 0.25)
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i, p := range pixels {
		x, y := float64(i%width)/width-0.5, float64(i/width)/height-0.5
		p = p.times(mul(gain, 1-mul(corner, mul(4, mul(x, x)+mul(y, y)))))
		level := func(v float64) uint8 {
			// A square root approximates the gamma curve of a display.
			v = math.Sqrt(max(v, 0)) + mul(grain, r.noise())
			return uint8(min(max(255*v, 0), 255))
		}
		img.SetNRGBA(i%width, i/width, color.NRGBA{level(p.x), level(p.y), level(p.z), 255})
	}
	return img
}

// blur returns the mean of each pixel and its neighbors.
func blur(in []vector) []vector {
	out := make([]vector, len(in))
	for i := range in {
		var sum vector
		n := 0.0
		for dy := -1; dy <= 1; dy++ {
			for dx := -1; dx <= 1; dx++ {
				x, y := i%width+dx, i/width+dy
				if x >= 0 && x < width && y >= 0 && y < height {
					sum = sum.plus(in[y*width+x])
					n++
				}
			}
		}
		out[i] = sum.times(1 / n)
	}
	return out
}
