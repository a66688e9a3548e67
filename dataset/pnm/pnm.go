// Package pnm decodes Netpbm images: PBM, PGM and PPM, as text or binary (P1 to P6). Call
// [Decode].
//
// The manual pages pbm(5), pgm(5) and ppm(5) describe the formats.
package pnm

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
)

// ErrFormat means that the file is not a valid PNM. If a file is truncated, the error wraps
// io.ErrUnexpectedEOF instead.
var ErrFormat = errors.New("invalid PNM")

// Is reports whether b begins like a PNM file: with the magic number, white space or comments,
// and a number. The number distinguishes a PNM file from a text file.
func Is(b []byte) bool {
	if len(b) < 3 || b[0] != 'P' || b[1] < '1' || b[1] > '6' {
		return false
	}
	d := decoder{rest: b[2:]}
	_, err := d.number()
	return err == nil
}

// DecodeConfig reads the size of the PNM file b. The color model is color.GrayModel or
// color.NRGBAModel. DecodeConfig returns the same errors as Decode.
func DecodeConfig(b []byte) (image.Config, error) {
	d, err := newDecoder(b)
	if err != nil {
		return image.Config{}, err
	}
	config := image.Config{ColorModel: color.GrayModel, Width: d.width, Height: d.height}
	if d.samples == 3 {
		config.ColorModel = color.NRGBAModel
	}
	return config, nil
}

// Decode decodes the PNM file b to an *image.Gray or an opaque *image.NRGBA. It scales
// samples to 8 bits and rounds to nearest. Decode does not retain b.
//
// Errors wrap ErrFormat or io.ErrUnexpectedEOF. Decode allocates the image, so callers that
// read untrusted files must check its size with DecodeConfig first.
func Decode(b []byte) (image.Image, error) {
	d, err := newDecoder(b)
	if err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	r := image.Rect(0, 0, d.width, d.height)
	if d.samples == 1 {
		img := image.NewGray(r)
		for y := range d.height {
			if err := d.row(img.Pix[y*img.Stride:][:d.width]); err != nil {
				return nil, err
			}
		}
		return img, nil
	}
	img := image.NewNRGBA(r)
	row := make([]byte, 3*d.width)
	for y := range d.height {
		if err := d.row(row); err != nil {
			return nil, err
		}
		dst := img.Pix[y*img.Stride:][:4*d.width]
		for x := range d.width {
			copy(dst[4*x:], row[3*x:3*x+3])
			dst[4*x+3] = 255
		}
	}
	return img, nil
}

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, a...))
}

// decoder reads a PNM file.
type decoder struct {
	rest          []byte
	text          bool // P1 to P3
	bitmap        bool // P1 and P4, in which 1 is black
	samples       int  // samples per pixel
	width, height int
	maxValue      int // the value of white, 1 to 65535
}

// newDecoder reads the header of b and returns a decoder for its pixels.
func newDecoder(b []byte) (*decoder, error) {
	if len(b) < 2 {
		return nil, io.ErrUnexpectedEOF
	}
	kind := b[1] - '0'
	if b[0] != 'P' || kind < 1 || kind > 6 {
		return nil, invalid("no signature")
	}
	d := &decoder{rest: b[2:], text: kind <= 3, bitmap: kind%3 == 1, samples: 1, maxValue: 1}
	if kind%3 == 0 {
		d.samples = 3
	}
	var err error
	if d.width, err = d.number(); err != nil {
		return nil, err
	}
	if d.height, err = d.number(); err != nil {
		return nil, err
	}
	if !d.bitmap {
		if d.maxValue, err = d.number(); err != nil {
			return nil, err
		}
	}
	if d.width == 0 || d.height == 0 || d.maxValue == 0 || d.maxValue > 65535 {
		return nil, invalid("%d×%d pixels with values up to %d", d.width, d.height, d.maxValue)
	}
	if !d.text { // a single white-space character, perhaps after a comment
		d.comment()
		if len(d.rest) == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		d.rest = d.rest[1:]
	}
	return d, nil
}

// number skips white space and comments and reads a number. White space must follow the
// number.
func (d *decoder) number() (int, error) {
	for start := true; ; start = false {
		switch {
		case len(d.rest) == 0:
			return 0, io.ErrUnexpectedEOF
		case d.rest[0] == '#':
			d.comment()
		case isSpace(d.rest[0]):
			d.rest = d.rest[1:]
		case start:
			return 0, invalid("no white space before a number")
		default:
			n, i := 0, 0
			for ; i < len(d.rest) && d.rest[i] >= '0' && d.rest[i] <= '9'; i++ {
				if n = 10*n + int(d.rest[i]-'0'); n >= 1<<30/10 {
					return 0, invalid("number above %d", 1<<30/10)
				}
			}
			switch d.rest = d.rest[i:]; {
			case len(d.rest) == 0:
				if i > 0 && d.text {
					return n, nil
				}
				return 0, io.ErrUnexpectedEOF
			case i == 0 || !isSpace(d.rest[0]) && d.rest[0] != '#':
				return 0, invalid("%q is not a number", d.rest[:1])
			}
			return n, nil
		}
	}
}

// comment skips a comment, if any, up to its newline.
func (d *decoder) comment() {
	if len(d.rest) == 0 || d.rest[0] != '#' {
		return
	}
	end := bytes.IndexAny(d.rest, "\r\n")
	if end < 0 {
		end = len(d.rest)
	}
	d.rest = d.rest[end:]
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// check returns an error if the file is too short for its pixels. Decode calls check before it
// allocates the image.
func (d *decoder) check() error {
	size := int64(d.width) * int64(d.samples) // size of a row
	switch {
	case d.text && !d.bitmap:
		size *= 2 // a digit and white space, except after the last digit
	case d.bitmap && !d.text:
		size = (size + 7) / 8
	case d.maxValue > 255:
		size *= 2
	}
	if int64(len(d.rest)+1)/size < int64(d.height) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// row reads a row of samples.
func (d *decoder) row(dst []byte) error {
	for i := range dst {
		v, err := d.sample(i)
		if err != nil {
			return err
		}
		if d.bitmap {
			v = 1 - v
		}
		v = min(v, d.maxValue)
		dst[i] = byte((v*255 + d.maxValue/2) / d.maxValue)
	}
	if d.bitmap && !d.text {
		d.rest = d.rest[(len(dst)+7)/8:]
	}
	return nil
}

// sample reads sample i of a row.
func (d *decoder) sample(i int) (int, error) {
	switch {
	case d.text && d.bitmap:
		return d.bit()
	case d.text:
		return d.number()
	case d.bitmap: // row removes these bytes from d.rest
		if i/8 >= len(d.rest) {
			return 0, io.ErrUnexpectedEOF
		}
		return int(d.rest[i/8] >> (7 - i%8) & 1), nil
	case d.maxValue < 256 && len(d.rest) >= 1:
		v := int(d.rest[0])
		d.rest = d.rest[1:]
		return v, nil
	case d.maxValue >= 256 && len(d.rest) >= 2:
		v := int(d.rest[0])<<8 | int(d.rest[1])
		d.rest = d.rest[2:]
		return v, nil
	}
	return 0, io.ErrUnexpectedEOF
}

// bit reads a digit 0 or 1. White space between these digits is optional.
func (d *decoder) bit() (int, error) {
	for {
		if len(d.rest) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		c := d.rest[0]
		switch {
		case c == '#':
			d.comment()
			continue
		case c == '0' || c == '1':
			d.rest = d.rest[1:]
			return int(c - '0'), nil
		case !isSpace(c):
			return 0, invalid("%q is not a bit", c)
		}
		d.rest = d.rest[1:]
	}
}
