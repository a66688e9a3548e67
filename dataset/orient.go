package dataset

import (
	"image"

	"github.com/disintegration/imaging"
)

// upright turns a picture that flatten gave by its EXIF orientation (CIPA DC-008
// 4.6.4 A: where row 0 and column 0 of the stored picture are).
//
// This is the only use of disintegration/imaging, which is no longer maintained.
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
