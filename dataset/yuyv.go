package dataset

import (
	"fmt"
	"image"
)

// YUYV converts a camera's raw frame of w×h pixels to an image. Each row has stride
// bytes, and each group of four bytes holds Y0, Cb, Y1 and Cr of two neighboring pixels
// (V4L2_PIX_FMT_YUYV).
//
// The frame's luma ranges from 16 to 235 and its chroma from 16 to 240, the V4L2 default for YUV
// formats. YUYV expands both to 0 to 255, the range of package image. If the frame is too short
// or its size is invalid, the error wraps ErrDamaged.
func YUYV(frame []byte, w, h, stride int) (*image.YCbCr, error) {
	const limit = 1 << 15 // pixels
	if w < 2 || h < 1 || w > limit || h > limit || w%2 != 0 || stride < 2*w || stride > 1<<20 {
		return nil, fmt.Errorf("%w: a YUYV frame cannot have %d×%d pixels in rows of %d bytes", ErrDamaged, w, h, stride)
	}
	if need := stride*(h-1) + 2*w; len(frame) < need {
		return nil, fmt.Errorf("%w: a YUYV frame of %d×%d pixels has %d bytes, want %d", ErrDamaged, w, h, len(frame), need)
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

// wideLuma maps samples from 16 to 235, and wideChroma samples from 16 to 240, to the full
// range, rounded to nearest (ITU-R BT.601 2.5.1 and 2.5.3, and JFIF).
var wideLuma, wideChroma = widen(16, 219, 0), widen(128, 224, 128)

// widen returns a table that maps zero to at and scales differences from zero by 255/size.
func widen(zero, size, at int) (wide [256]uint8) {
	for i := range wide {
		v := 2*255*(i-zero) + size // in units of half a step, plus one half to round
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
