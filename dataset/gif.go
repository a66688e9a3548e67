package dataset

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"
	"math"
)

// gifReader returns a reader for the GIF file b. Because image/gif rejects a first frame that
// extends beyond the canvas, gifReader enlarges the canvas, as Pillow and browsers do
// (golang/go#20856).
func gifReader(b []byte) io.Reader {
	const screen = 13 // size in bytes of the header and the logical screen descriptor
	frame := gifFrame(b)
	if frame.Max.X > math.MaxUint16 || frame.Max.Y > math.MaxUint16 || frame.Empty() {
		return bytes.NewReader(b)
	}
	head := bytes.Clone(b[:screen])
	for i, side := range []int{frame.Max.X, frame.Max.Y} {
		field := head[6+2*i:]
		binary.LittleEndian.PutUint16(field, max(binary.LittleEndian.Uint16(field), uint16(side)))
	}
	return io.MultiReader(bytes.NewReader(head), bytes.NewReader(b[screen:]))
}

// gifFrame returns the bounds of the first frame of the GIF file b (GIF89a sections 18 to 20).
// If b has no frame, the bounds are empty.
func gifFrame(b []byte) image.Rectangle {
	const (
		extension  = 0x21
		descriptor = 0x2c
	)
	at := 13
	if len(b) > 10 && b[10]&0x80 != 0 { // a global color table
		at += 3 << (b[10]&7 + 1)
	}
	for at < len(b) {
		switch b[at] {
		case extension:
			for at += 2; at < len(b) && b[at] != 0; { // sub-blocks
				at += 1 + int(b[at])
			}
			at++
		case descriptor:
			if at+9 > len(b) {
				return image.Rectangle{}
			}
			field := func(i int) int { return int(binary.LittleEndian.Uint16(b[at+1+2*i:])) }
			x, y := field(0), field(1)
			return image.Rect(x, y, x+field(2), y+field(3))
		default:
			return image.Rectangle{}
		}
	}
	return image.Rectangle{}
}
