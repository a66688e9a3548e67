package dataset

import (
	"image"

	"github.com/disintegration/imaging"
)

// upright turns a picture that flatten gave by its EXIF orientation (CIPA DC-008
// 4.6.4 A: where row 0 and column 0 of the stored picture are).
//
// Beside thumbnails this is the only use of disintegration/imaging, which is no longer
// maintained.
// It works in goroutines of its own, where a panic could not be caught, so it is
// given nothing but well-formed NRGBA.
func upright(img image.Image, orientation int) image.Image {
	if orientation < 2 || orientation > 8 {
		return img
	}
	n, ok := img.(*image.NRGBA)
	if !ok {
		n = overWhite(img)
	}
	switch orientation {
	case 2:
		return imaging.FlipH(n)
	case 3:
		return imaging.Rotate180(n)
	case 4:
		return imaging.FlipV(n)
	case 5:
		return imaging.Transpose(n)
	case 6:
		return imaging.Rotate270(n) // counter-clockwise
	case 7:
		return imaging.Transverse(n)
	default:
		return imaging.Rotate90(n)
	}
}

// orientation is that of EXIF; what is not 2 to 8 is upright.
type orientation int

// swapped tells whether rows of the stored picture are columns of the upright one.
func (o orientation) swapped() bool { return o >= 5 && o <= 8 }

// mirrored tells in which directions of the upright picture the stored one runs
// backwards.
func (o orientation) mirrored() (x, y bool) {
	return o == 2 || o == 3 || o == 6 || o == 7, o == 3 || o == 4 || o == 7 || o == 8
}

// stored gives the rectangle of the stored picture that is r of the upright one, which
// has w×h pixels.
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

// turned lays a stored picture out upright in the rectangle to of RGB rows of so many
// pixels.
func turned(width int, to image.Rectangle, o orientation) layout {
	l := layout{to.Dx(), to.Dy(), 3 * (to.Min.Y*width + to.Min.X), 3, 3 * width}
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
