package dataset

import (
	"image"
	"image/color"
	"image/draw"
)

// flatten converts a decoded image to one of the types of Photo.Image. YCbCr and Gray images do
// not change, Gray16 becomes Gray, and all other types become an opaque NRGBA.
//
// Transparency is blended with white, as browsers and photo viewers do. A 16-bit sample v is
// converted to 8 bits by rounding v/257 to the nearest integer.
func flatten(img image.Image) image.Image {
	switch img := img.(type) {
	case *image.YCbCr, *image.Gray:
		return img
	case *image.Gray16:
		out := image.NewGray(img.Rect)
		for y := range img.Rect.Dy() {
			src, dst := img.Pix[y*img.Stride:], out.Pix[y*out.Stride:][:img.Rect.Dx()]
			for x := range dst {
				dst[x] = to8(uint16(src[2*x])<<8 | uint16(src[2*x+1]))
			}
		}
		return out
	}
	return overWhite(img)
}

// overWhite converts any image to an opaque NRGBA. If img is an opaque NRGBA or RGBA, the
// result shares its pixels.
func overWhite(img image.Image) *image.NRGBA {
	b := img.Bounds()
	switch img := img.(type) {
	case *image.NRGBA:
		if img.Opaque() {
			return img
		}
	case *image.RGBA:
		// Go's decoders return this type for photos without alpha. An opaque RGBA has
		// the same bytes as an NRGBA.
		if img.Opaque() {
			return &image.NRGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}
		}
	case *image.YCbCr, *image.Gray, *image.CMYK:
		// For these types, package draw has a fast and exact conversion.
		out := image.NewRGBA(b)
		draw.Draw(out, b, img, b.Min, draw.Src)
		return &image.NRGBA{Pix: out.Pix, Stride: out.Stride, Rect: b}
	}
	out := image.NewNRGBA(b)
	var palette [256][4]byte
	if img, ok := img.(*image.Paletted); ok {
		for i, c := range img.Palette[:min(len(img.Palette), len(palette))] {
			n := color.NRGBAModel.Convert(c).(color.NRGBA)
			put(palette[i][:], n.R, n.G, n.B, n.A)
			palette[i][3] = 255
		}
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		row := out.Pix[out.PixOffset(b.Min.X, y):][:4*b.Dx()]
		switch img := img.(type) {
		case *image.Paletted:
			for x, p := range img.Pix[img.PixOffset(b.Min.X, y):][:b.Dx()] {
				copy(row[4*x:4*x+4], palette[p][:])
			}
		case *image.NRGBA:
			src := img.Pix[img.PixOffset(b.Min.X, y):][:len(row)]
			for i := 0; i < len(row); i += 4 {
				put(row[i:i+3], src[i], src[i+1], src[i+2], src[i+3])
				row[i+3] = 255
			}
		default:
			for x := range b.Dx() {
				putAny(row[4*x:4*x+3], img, b.Min.X+x, y)
				row[4*x+3] = 255
			}
		}
	}
	return out
}

// put blends the color r, g, b with opacity a with white, rounds to nearest and writes three
// bytes to dst.
func put(dst []byte, r, g, b, a uint8) {
	if a == 255 {
		dst[0], dst[1], dst[2] = r, g, b
		return
	}
	white := 255*(255-uint32(a)) + 127
	dst[0] = uint8((uint32(r)*uint32(a) + white) / 255)
	dst[1] = uint8((uint32(g)*uint32(a) + white) / 255)
	dst[2] = uint8((uint32(b)*uint32(a) + white) / 255)
}

// putAny is like put, for pixel (x, y) of an image of any type.
func putAny(dst []byte, img image.Image, x, y int) {
	var c color.RGBA64 // premultiplied by alpha
	if m, ok := img.(image.RGBA64Image); ok {
		c = m.RGBA64At(x, y) // unlike At, it does not allocate
	} else {
		r, g, b, a := img.At(x, y).RGBA()
		c = color.RGBA64{R: uint16(r), G: uint16(g), B: uint16(b), A: uint16(a)}
	}
	rest := 0xffff - c.A
	dst[0], dst[1], dst[2] = to8(c.R+rest), to8(c.G+rest), to8(c.B+rest)
}

// to8 rounds a 16-bit sample to 8 bits. Note that 0xffff is 255·257.
func to8(v uint16) uint8 { return uint8((uint32(v) + 128) / 257) }
