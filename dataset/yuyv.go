package dataset

import (
	"fmt"
	"image"
)

// YUYV makes a picture of w×h pixels from a camera's raw frame: rows of stride bytes, of
// which each four are Y0, Cb, Y1, Cr of two pixels side by side (V4L2_PIX_FMT_YUYV). Values
// go from 16 to 235, and to 240 for colours, as V4L2 defines for such formats where
// nothing else is said; the picture's go from 0 to 255, as Go's do.
func YUYV(frame []byte, w, h, stride int) (*image.YCbCr, error) {
	const most = 1 << 15
	if w < 2 || h < 1 || w > most || h > most || w%2 != 0 || stride < 2*w || stride > 1<<20 {
		return nil, fmt.Errorf("%w: a raw frame of %d×%d pixels in rows of %d bytes", ErrDamaged, w, h, stride)
	}
	if need := stride*(h-1) + 2*w; len(frame) < need {
		return nil, fmt.Errorf("%w: a raw frame of %d×%d pixels has %d bytes, and should have %d", ErrDamaged, w, h, len(frame), need)
	}
	img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio422)
	for y := range h {
		row := frame[y*stride:][:2*w]
		luma, cb, cr := img.Y[y*img.YStride:][:w], img.Cb[y*img.CStride:][:w/2], img.Cr[y*img.CStride:][:w/2]
		for i := range cb {
			luma[2*i] = wideLuma[row[4*i]]
			cb[i] = wideChroma[row[4*i+1]]
			luma[2*i+1] = wideLuma[row[4*i+2]]
			cr[i] = wideChroma[row[4*i+3]]
		}
	}
	return img, nil
}

// The full range of a value of 16…235 and of one of 16…240, rounded (ITU-R BT.601 2.5.1
// and 2.5.3, and JFIF).
var wideLuma, wideChroma = widen(16, 219, 0), widen(128, 224, 128)

func widen(zero, size, at int) (wide [256]uint8) {
	for i := range wide {
		v := 2*255*(i-zero) + size // halves, and one half to round
		wide[i] = uint8(min(max(floorDiv(v, 2*size)+at, 0), 255))
	}
	return wide
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
