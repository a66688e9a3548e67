package dataset

import (
	"image"

	"github.com/disintegration/imaging"
)

// orientation is an EXIF orientation. It says on which sides of the upright image, such as top
// and left, row 0 and column 0 of the stored image appear (CIPA DC-008 4.6.4 A). Values other
// than 2 to 8 mean that the stored image is upright.
type orientation int

// upright rotates and flips img, an image returned by flatten, according to its orientation o.
//
// Apart from thumbnails, this is the only use of disintegration/imaging, an unmaintained
// package. imaging starts goroutines, and upright cannot recover from a panic in them, so it
// passes only well-formed NRGBA images to imaging.
func upright(img image.Image, o orientation) image.Image {
	if o < 2 || o > 8 {
		return img
	}
	n, ok := img.(*image.NRGBA)
	if !ok {
		n = overWhite(img)
	}
	switch o {
	case 2:
		return imaging.FlipH(n)
	case 3:
		return imaging.Rotate180(n)
	case 4:
		return imaging.FlipV(n)
	case 5:
		return imaging.Transpose(n)
	case 6:
		return imaging.Rotate270(n) // counterclockwise
	case 7:
		return imaging.Transverse(n)
	default:
		return imaging.Rotate90(n)
	}
}

// swapped reports whether rows of the stored image are columns of the upright image.
func (o orientation) swapped() bool { return o >= 5 && o <= 8 }

// mirrored reports, for each axis of the upright image, whether the stored pixels are in
// reverse order.
func (o orientation) mirrored() (x, y bool) {
	return o == 2 || o == 3 || o == 6 || o == 7, o == 3 || o == 4 || o == 7 || o == 8
}

// stored maps rectangle r of the upright image, which has w×h pixels, to the stored
// image.
func (o orientation) stored(r image.Rectangle, w, h int) image.Rectangle {
	x, y := o.mirrored()
	if x {
		r.Min.X, r.Max.X = w-r.Max.X, w-r.Min.X
	}
	if y {
		r.Min.Y, r.Max.Y = h-r.Max.Y, h-r.Min.Y
	}
	if o.swapped() {
		r.Min.X, r.Min.Y, r.Max.X, r.Max.Y = r.Min.Y, r.Min.X, r.Max.Y, r.Max.X
	}
	return r
}

// turned returns the layout for writing a stored image upright into an RGB image that is width
// pixels wide. The layout covers the rectangle dst of the RGB image.
func turned(width int, dst image.Rectangle, o orientation) layout {
	l := layout{dst.Dx(), dst.Dy(), 3 * (dst.Min.Y*width + dst.Min.X), 3, 3 * width}
	x, y := o.mirrored()
	if x {
		l.start += (l.w - 1) * l.dx
		l.dx = -l.dx
	}
	if y {
		l.start += (l.h - 1) * l.dy
		l.dy = -l.dy
	}
	if o.swapped() {
		l.w, l.h, l.dx, l.dy = l.h, l.w, l.dy, l.dx
	}
	return l
}
