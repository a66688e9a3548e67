package region

import (
	"image"
	"image/color"
)

const (
	// side is the width and height of a Gray, in cells.
	side = 16
	// samples is the number of pixels across a cell that are read.
	samples = 8
)

// A Gray is a small gray picture: the mean luma of side×side cells.
type Gray [side * side]uint8

// NewGray shrinks an image. It reads at most (side·samples)² pixels.
func NewGray(img image.Image) *Gray {
	b := img.Bounds()
	luma := lumaOf(img)
	g := new(Gray)
	for cell := range g {
		sum := 0
		for i := range samples * samples {
			// The center of sample i, as a fraction of the image.
			x := 2*(cell%side*samples+i%samples) + 1
			y := 2*(cell/side*samples+i/samples) + 1
			sum += int(luma(b.Min.X+x*b.Dx()/(2*side*samples), b.Min.Y+y*b.Dy()/(2*side*samples)))
		}
		g[cell] = uint8(sum / (samples * samples))
	}
	return g
}

// Difference returns the largest difference between two cells at the same place, as a share of the
// difference between black and white.
func (g *Gray) Difference(other *Gray) float64 {
	most := 0
	for i, v := range g {
		d := int(v) - int(other[i])
		most = max(most, d, -d)
	}
	return float64(most) / 255
}

// lumaOf returns a function that returns the luma of a pixel, from 0 to 255.
func lumaOf(img image.Image) func(x, y int) uint8 {
	switch m := img.(type) {
	case *image.YCbCr:
		return func(x, y int) uint8 { return m.Y[m.YOffset(x, y)] }
	case *image.Gray:
		return func(x, y int) uint8 { return m.GrayAt(x, y).Y }
	}
	return func(x, y int) uint8 { return color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y }
}
