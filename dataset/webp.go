package dataset

import (
	"image"
	"io"

	"golang.org/x/image/webp"
)

// decodeWebP decodes a WebP to NRGBA. For a lossy WebP, x/image returns an image.YCbCr with
// samples in the video range, which makes colors look washed out (golang/go#40173). decodeWebP
// converts these samples to the full range.
func decodeWebP(r io.Reader) (image.Image, error) {
	img, err := webp.Decode(r)
	switch img := img.(type) {
	case *image.YCbCr:
		return videoRange(img), err
	case *image.NYCbCrA:
		out := videoRange(&img.YCbCr)
		for y := range out.Rect.Dy() {
			row := out.Pix[y*out.Stride:][:4*out.Rect.Dx()]
			for x := range out.Rect.Dx() {
				row[4*x+3] = img.A[y*img.AStride+x]
			}
		}
		return out, err
	}
	return img, err
}

// videoRange converts ITU-R BT.601 samples, with luma from 16 to 235 and chroma from 16 to 240,
// to RGB values from 0 to 255. The factors come from libwebp (src/dsp/yuv.h), and are in units
// of 1/16384: 255/219 for luma, and so on. Each chroma sample applies to 2×2 pixels without
// smoothing.
func videoRange(img *image.YCbCr) *image.NRGBA {
	out := image.NewNRGBA(img.Rect)
	for y := range img.Rect.Dy() {
		row := out.Pix[y*out.Stride:][:4*img.Rect.Dx()]
		for x := range img.Rect.Dx() {
			c := y/2*img.CStride + x/2
			yy := 19077 * int32(img.Y[y*img.YStride+x]) >> 8
			u, v := int32(img.Cb[c]), int32(img.Cr[c])
			p := row[4*x : 4*x+4]
			p[0] = clip6(yy + 26149*v>>8 - 14234)
			p[1] = clip6(yy - 6419*u>>8 - 13320*v>>8 + 8708)
			p[2] = clip6(yy + 33050*u>>8 - 17685)
			p[3] = 255
		}
	}
	return out
}

// clip6 drops the six fraction bits of v and clamps it to a byte.
func clip6(v int32) uint8 { return uint8(max(0, min(255, v>>6))) }
