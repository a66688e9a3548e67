package dataset

import (
	"image"
	"image/color"
	"image/draw"
)

// flatten gives a decoded picture as one of the three kinds a Photo holds: YCbCr
// and Gray as they are, all else as an opaque NRGBA.
//
// Transparency is laid over white, as browsers and photo viewers show it.
// Samples of 16 bits become 8 bits by rounding v/257 to nearest.
func flatten(img image.Image) image.Image {
	switch img := img.(type) {
	case *image.YCbCr, *image.Gray:
		return img
	case *image.Gray16:
		out := image.NewGray(img.Rect)
		for y := range img.Rect.Dy() {
			from, to := img.Pix[y*img.Stride:], out.Pix[y*out.Stride:][:img.Rect.Dx()]
			for x := range to {
				to[x] = to8(uint16(from[2*x])<<8 | uint16(from[2*x+1]))
			}
		}
		return out
	}
	return overWhite(img)
}

// overWhite gives a picture of any kind as an opaque NRGBA, the same one if it
// already is.
func overWhite(img image.Image) *image.NRGBA {
	b := img.Bounds()
	switch img := img.(type) {
	case *image.NRGBA:
		if img.Opaque() {
			return img
		}
	case *image.RGBA:
		// Go's decoders give this for photos without alpha. Opaque, its bytes
		// are those of an NRGBA.
		if img.Opaque() {
			return &image.NRGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}
		}
	case *image.YCbCr, *image.Gray, *image.CMYK:
		// These have a quick and exact way to RGBA.
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
			from := img.Pix[img.PixOffset(b.Min.X, y):][:len(row)]
			for i := 0; i < len(row); i += 4 {
				put(row[i:i+3], from[i], from[i+1], from[i+2], from[i+3])
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

// put writes the colour r, g, b of opacity a over white, rounded to nearest.
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

// putAny writes the pixel of any picture, over white.
func putAny(dst []byte, img image.Image, x, y int) {
	var c color.RGBA64 // already multiplied by alpha
	if m, ok := img.(image.RGBA64Image); ok {
		c = m.RGBA64At(x, y) // does not allocate, as At does
	} else {
		r, g, b, a := img.At(x, y).RGBA()
		c = color.RGBA64{R: uint16(r), G: uint16(g), B: uint16(b), A: uint16(a)}
	}
	rest := 0xffff - c.A
	dst[0], dst[1], dst[2] = to8(c.R+rest), to8(c.G+rest), to8(c.B+rest)
}

// to8 rounds a 16-bit sample to 8 bits: 0xffff is 255·257.
func to8(v uint16) uint8 { return uint8((uint32(v) + 128) / 257) }
