package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"

	"github.com/imprintkit/imprint/dataset"
)

const pictureWidth, pictureHeight = 192, 160

// drawings returns n pictures of patterned surfaces and simple shapes. Photos of walls, floors,
// screens and drawings resemble them more than they resemble other photos.
func drawings(n int) ([]dataset.Item, error) {
	items := make([]dataset.Item, n)
	for i := range items {
		var b bytes.Buffer
		if err := png.Encode(&b, picture(rand.New(rand.NewPCG(7, uint64(i))))); err != nil {
			return nil, err
		}
		items[i] = dataset.Item{Path: fmt.Sprintf("picture %d", i), Content: b.Bytes()}
	}
	return items, nil
}

// The shapes of surfaces.
const (
	everywhere = iota
	below
	ellipse
	rectangle
	triangle
)

// The patterns of surfaces.
const (
	plain = iota
	gradient
	stripes
	checks
	patterns // their number
)

// A surface fills a shape with a pattern of two colors. Lengths and colors are integers, so that a
// picture has the same pixels on every processor.
type surface struct {
	shape, pattern int
	x, y, rx, ry   int // center and half the width and height of the shape
	slope          int // of the shape's axes, 0…256 for 0 to 45 degrees
	size           int // of the pattern
	noise          int
	colors         [2][3]int // 0…255, before clipping
}

// newSurface returns a random surface. The colors differ from gray by up to vivid/2.
func newSurface(r *rand.Rand, shape, vivid int) surface {
	s := surface{
		shape: shape, pattern: r.IntN(patterns), x: r.IntN(pictureWidth), y: r.IntN(pictureHeight), rx: 8 + r.IntN(50), ry: 8 + r.IntN(50),
		slope: r.IntN(256), size: 4 + r.IntN(40), noise: 1 + r.IntN(7)*r.IntN(7),
	}
	for i := range s.colors {
		gray := r.IntN(256)
		for c := range s.colors[i] {
			s.colors[i][c] = gray + r.IntN(vivid) - vivid/2
		}
	}
	return s
}

// picture returns a random picture: a wall, often a floor, and up to three objects.
func picture(r *rand.Rand) image.Image {
	surfaces := []surface{newSurface(r, everywhere, 100)}
	if r.IntN(4) > 0 {
		surfaces = append(surfaces, newSurface(r, below, 100))
	}
	for range r.IntN(4) {
		surfaces = append(surfaces, newSurface(r, ellipse+r.IntN(3), 300))
	}
	light := 128 + r.IntN(180)
	img := image.NewNRGBA(image.Rect(0, 0, pictureWidth, pictureHeight))
	for y := range pictureHeight {
		for x := range pictureWidth {
			var c [3]int
			for _, s := range surfaces {
				s.paint(&c, r, x, y)
			}
			for i := range c {
				c[i] = min(max(c[i]*light/256, 0), 255)
			}
			img.SetNRGBA(x, y, color.NRGBA{uint8(c[0]), uint8(c[1]), uint8(c[2]), 255})
		}
	}
	return img
}

// paint sets c to the color of s at a pixel, unless the shape of s does not cover the pixel.
func (s *surface) paint(c *[3]int, r *rand.Rand, x, y int) {
	dx, dy := x-s.x, y-s.y
	u, v := (256*dx+s.slope*dy)/256, (256*dy-s.slope*dx)/256
	covers := true
	switch s.shape {
	case below:
		covers = dy > 0
	case ellipse:
		covers = u*u*s.ry*s.ry+v*v*s.rx*s.rx < s.rx*s.rx*s.ry*s.ry
	case rectangle:
		covers = abs(u) < s.rx && abs(v) < s.ry
	case triangle:
		covers = abs(v) < s.ry && 2*s.ry*abs(u) < s.rx*(v+s.ry)
	}
	if !covers {
		return
	}
	mix := 0 // of the second color, 0…256
	switch s.pattern {
	case gradient:
		mix = min(abs(u)*2, 256)
	case stripes:
		mix = (u + 1000*s.size) / s.size % 2 * 256
	case checks:
		mix = ((u+1000*s.size)/s.size + (v+1000*s.size)/s.size) % 2 * 256
	}
	shade := 256
	if s.shape >= ellipse {
		shade = 200 + 100*u/s.rx
	}
	noise := r.IntN(s.noise) - s.noise/2
	for i := range c {
		c[i] = (s.colors[0][i]*(256-mix)+s.colors[1][i]*mix)/256*shade/256 + noise
	}
}

func abs(v int) int { return max(v, -v) }
