package bmp

import (
	"image"
	"io"
)

// Escape codes of run-length encoding, which follow a zero byte.
const (
	endOfLine   = 0
	endOfBitmap = 1
	delta       = 2
)

// decodeRuns decodes run-length encoded pixels. As in browsers, runs are clipped at the end of
// their row, and missing rows at the end have the first color of the palette.
func (h *header) decodeRuns() (image.Image, error) {
	img := image.NewPaletted(image.Rect(0, 0, h.width, h.height), h.palette)
	b := h.pixels
	for x, y := 0, 0; y < h.height; {
		row := img.Pix[h.stored(y)*img.Stride:][:h.width]
		if len(b) < 2 {
			if y == h.height-1 && x == h.width {
				break // only the end code is missing
			}
			return nil, io.ErrUnexpectedEOF
		}
		n, v := int(b[0]), b[1]
		b = b[2:]
		switch {
		case n > 0:
			end := min(x+n, h.width)
			for i := range end - x {
				row[x+i] = h.index(v, i)
			}
			x = end
		case v == endOfLine:
			x, y = 0, y+1
		case v == endOfBitmap:
			return img, nil
		case v == delta:
			if len(b) < 2 {
				return nil, io.ErrUnexpectedEOF
			}
			x, y = min(x+int(b[0]), h.width), y+int(b[1])
			b = b[2:]
		default: // v pixels, padded to 16 bits
			size := (int(v)*h.bits + 7) / 8
			if len(b) < size {
				return nil, io.ErrUnexpectedEOF
			}
			end := min(x+int(v), h.width)
			for i := range end - x {
				row[x+i] = h.index(b[i*h.bits/8], i)
			}
			x, b = end, b[min(size+size&1, len(b)):]
		}
	}
	return img, nil
}

// index returns the palette index of pixel i in a run of the byte v. With 4 bits per pixel,
// v holds two indexes, which alternate.
func (h *header) index(v byte, i int) byte {
	switch {
	case h.bits == 8:
		return v
	case i%2 == 0:
		return v >> 4
	}
	return v & 15
}
