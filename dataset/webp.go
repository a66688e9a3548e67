package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/webp"
)

// decodeWebP decodes a WebP to NRGBA. x/image gives the samples of a lossy WebP in
// a type that means another range of numbers, which looks washed out
// (golang/go#40173), so they are converted here.
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

// videoRange converts ITU-R BT.601 samples, 16 to 235 and 16 to 240, to RGB of 0 to
// 255. The factors are those of libwebp (src/dsp/yuv.h): 255/219 and so on in
// units of 1/16384. Each chroma sample colours its four pixels alike.
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

// clip6 takes six fraction bits off v and keeps it within a byte.
func clip6(v int32) uint8 { return uint8(max(0, min(255, v>>6))) }

// webpEXIF finds the EXIF chunk of a WebP (RFC 9649 2.7). It refuses animations,
// which the decoder cannot read.
func webpEXIF(b []byte) ([]byte, error) {
	for b = b[12:]; len(b) >= 8; {
		name, n := string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		if n > int64(len(b)) {
			return nil, nil
		}
		chunk := b[:n]
		switch {
		case name == "VP8X" && n > 0 && chunk[0]&2 != 0:
			return nil, fmt.Errorf("%w: an animated WebP: save one frame as JPEG or PNG", ErrFormat)
		case name == "EXIF":
			return bytes.TrimPrefix(chunk, exifPrefix), nil
		}
		// Chunks are padded to even sizes; the pad of the last may be missing.
		b = b[min(n+n&1, int64(len(b))):]
	}
	return nil, nil
}
