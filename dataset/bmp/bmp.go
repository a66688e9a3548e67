// Package bmp decodes BMP photos. Call [Decode].
//
// It decodes the kinds of BMP that occur in practice: Windows and OS/2 headers, 1 to 32 bits per
// pixel, bit fields, and run-length encoding with 4 or 8 bits per pixel. The same file decodes
// to the same pixels on every processor.
//
// golang.org/x/image/bmp rejects most of these kinds, and uses the fourth byte of a pixel as
// alpha even if it is undefined (golang/go#54368).
package bmp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math/bits"
)

// Errors about a file. Test for them with errors.Is. If a file is truncated, the error wraps
// io.ErrUnexpectedEOF instead.
var (
	// ErrFormat means that the file is not a valid BMP.
	ErrFormat = errors.New("invalid BMP")
	// ErrUnsupported means that the file uses a feature that is not supported.
	ErrUnsupported = errors.New("unsupported BMP")
)

// Values of the compression field.
const (
	compressNone        = 0
	compressRLE8        = 1
	compressRLE4        = 2
	compressBitFields   = 3
	compressAlphaFields = 6
)

// Sizes of headers in bytes.
const (
	fileHeader = 14
	headerOS2  = 12  // BITMAPCOREHEADER
	headerOS22 = 64  // OS22XBITMAPHEADER, which may be shortened to 16 bytes
	headerV1   = 40  // BITMAPINFOHEADER
	headerV2   = 52  // with masks for red, green and blue
	headerV3   = 56  // with a mask for alpha
	headerV4   = 108 // BITMAPV4HEADER
	headerV5   = 124 // BITMAPV5HEADER
)

// isWindows reports whether a header of this size is a Windows header, not an OS/2 header.
func isWindows(size int) bool {
	switch size {
	case headerV1, headerV2, headerV3, headerV4, headerV5:
		return true
	}
	return false
}

// header describes a BMP file.
type header struct {
	width, height int
	topDown       bool
	bits          int // bits per pixel
	compression   uint32
	masks         [4]uint32 // for red, green, blue and alpha, with 16 or 32 bits per pixel
	palette       color.Palette
	pixels        []byte // from the first pixel to the end of the file
}

// DecodeConfig reads the size of the BMP file b. The color model is a color.Palette or
// color.NRGBAModel. DecodeConfig returns the same errors as Decode.
func DecodeConfig(b []byte) (image.Config, error) {
	h, err := parse(b)
	if err != nil {
		return image.Config{}, err
	}
	config := image.Config{ColorModel: color.NRGBAModel, Width: h.width, Height: h.height}
	if h.palette != nil {
		config.ColorModel = h.palette
	}
	return config, nil
}

// Decode decodes the BMP file b to an *image.Paletted or *image.NRGBA. It uses alpha if the
// header has a mask for alpha and if alpha is not 0 in all pixels. Pixels that run-length
// encoding skips have the first color of the palette. Decode does not retain b.
//
// Errors wrap ErrFormat, ErrUnsupported or io.ErrUnexpectedEOF. Decode allocates the image,
// so callers that read untrusted files must check its size with DecodeConfig first.
func Decode(b []byte) (image.Image, error) {
	h, err := parse(b)
	if err != nil {
		return nil, err
	}
	switch {
	case h.compression == compressRLE4 || h.compression == compressRLE8:
		return h.decodeRuns()
	case h.palette != nil:
		return h.decodePaletted()
	}
	return h.decodeColors()
}

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, a...))
}

func unsupported(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, a...))
}

// parse reads everything before the pixels.
func parse(b []byte) (*header, error) {
	if len(b) < fileHeader+4 {
		return nil, io.ErrUnexpectedEOF
	}
	if b[0] != 'B' || b[1] != 'M' {
		return nil, invalid("no signature")
	}
	offset, size := binary.LittleEndian.Uint32(b[10:]), int(min(binary.LittleEndian.Uint32(b[fileHeader:]), 1<<16))
	if !isWindows(size) && size != headerOS2 && (size < 16 || size > headerOS22) {
		return nil, unsupported("header of %d bytes", size)
	}
	rest := b[fileHeader:]
	if len(rest) < size {
		return nil, io.ErrUnexpectedEOF
	}
	info, rest := rest[:size], rest[size:]
	h, colors, err := parseInfo(info)
	if err != nil {
		return nil, err
	}
	rest, err = h.setMasks(info, rest)
	if err != nil {
		return nil, err
	}
	if h.bits <= 8 {
		entry := 4 // bytes
		if size == headerOS2 || size == headerOS22 && int64(offset) == int64(len(b)-len(rest))+3*int64(colors) {
			entry = 3
		}
		if rest, err = h.setPalette(rest, colors, entry, int64(offset)-int64(len(b)-len(rest))); err != nil {
			return nil, err
		}
	}
	switch {
	case offset == 0: // some writers omit the offset
		h.pixels = rest
	case int64(offset) > int64(len(b)):
		return nil, io.ErrUnexpectedEOF
	default:
		h.pixels = b[offset:]
	}
	return h, nil
}

// parseInfo reads the information header. colors is the number of palette entries.
func parseInfo(info []byte) (h *header, colors int, err error) {
	h = new(header)
	if len(info) == headerOS2 {
		h.width, h.height = int(binary.LittleEndian.Uint16(info[4:])), int(binary.LittleEndian.Uint16(info[6:]))
		h.bits = int(binary.LittleEndian.Uint16(info[10:]))
	} else {
		h.width, h.height = int(int32(binary.LittleEndian.Uint32(info[4:]))), int(int32(binary.LittleEndian.Uint32(info[8:])))
		h.bits = int(binary.LittleEndian.Uint16(info[14:]))
		if h.height < 0 {
			h.height, h.topDown = -h.height, true
		}
	}
	if len(info) >= 20 {
		h.compression = binary.LittleEndian.Uint32(info[16:])
	}
	if len(info) >= 36 {
		colors = int(min(binary.LittleEndian.Uint32(info[32:]), 1<<16))
	}
	if h.width <= 0 || h.height <= 0 || h.height > 1<<31-1 {
		return nil, 0, invalid("%d×%d pixels", h.width, h.height)
	}
	switch h.bits {
	case 1, 2, 4, 8, 16, 24, 32:
	default:
		return nil, 0, unsupported("%d bits per pixel", h.bits)
	}
	if h.bits <= 8 && (colors == 0 || colors > 1<<h.bits) {
		colors = 1 << h.bits
	}
	switch c := h.compression; {
	case c == compressNone:
	case c == compressRLE8 && h.bits == 8, c == compressRLE4 && h.bits == 4:
	case (c == compressBitFields || c == compressAlphaFields) && (h.bits == 16 || h.bits == 32) && isWindows(len(info)):
	default: // such as JPEG, PNG, Huffman codes and 24-bit runs
		return nil, 0, unsupported("compression %d of %d bits per pixel", c, h.bits)
	}
	return h, colors, nil
}

// setMasks sets the masks for 16 or 32 bits per pixel. rest is the file after the information
// header. setMasks returns the file after the masks.
func (h *header) setMasks(info, rest []byte) ([]byte, error) {
	fields := info[min(len(info), headerV1):] // masks in larger headers
	after := 0                                // size of the masks that follow a smaller header
	if len(info) < headerV2 {
		switch h.compression {
		case compressBitFields:
			after = 12
		case compressAlphaFields:
			after = 16
		}
		if len(rest) < after {
			return nil, io.ErrUnexpectedEOF
		}
		fields = rest[:after]
	}
	switch {
	case h.bits == 16 && h.compression == compressNone:
		h.masks = [4]uint32{0x7c00, 0x03e0, 0x001f}
	case h.compression == compressNone:
		h.masks = [4]uint32{0xff0000, 0xff00, 0xff}
		if h.bits == 32 && len(info) >= headerV3 && isWindows(len(info)) {
			h.masks[3] = binary.LittleEndian.Uint32(fields[12:])
		}
	default:
		for i := range min(len(fields)/4, 4) {
			h.masks[i] = binary.LittleEndian.Uint32(fields[4*i:])
		}
		if h.masks[0]|h.masks[1]|h.masks[2] == 0 && h.bits > 8 {
			return nil, invalid("no masks for the colors")
		}
	}
	return rest[after:], nil
}

// setPalette reads a palette with entries of the given size from b, and returns the rest of
// b. The pixels begin after gap bytes and may overlap the palette.
func (h *header) setPalette(b []byte, colors, entry int, gap int64) ([]byte, error) {
	if gap >= int64(entry) {
		colors = int(min(int64(colors), gap/int64(entry)))
	}
	if len(b) < colors*entry {
		return nil, io.ErrUnexpectedEOF
	}
	// Indexes beyond the palette are black, as in browsers.
	h.palette = make(color.Palette, 1<<h.bits)
	for i := range h.palette {
		c := color.RGBA{A: 255}
		if i < colors {
			c.B, c.G, c.R = b[i*entry], b[i*entry+1], b[i*entry+2]
		}
		h.palette[i] = c
	}
	return b[colors*entry:], nil
}

// rowSize returns the size of a row in bytes, without and with its padding.
func (h *header) rowSize() (size, stride int64) {
	size = (int64(h.width)*int64(h.bits) + 7) / 8
	return size, (size + 3) &^ 3
}

// check returns an error if the file is too short for its pixels. The padding of the last
// row may be missing.
func (h *header) check() error {
	size, stride := h.rowSize()
	if left := int64(len(h.pixels)) - size; left < 0 || left/stride < int64(h.height-1) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// row returns the stored bytes of row y of the image. check must have succeeded.
func (h *header) row(y int) []byte {
	size, stride := h.rowSize()
	start := int64(h.stored(y)) * stride
	return h.pixels[start : start+size]
}

// stored converts row y of the image to its row in the file. Because it is its own inverse, it
// also converts a row in the file to its row in the image.
func (h *header) stored(y int) int {
	if h.topDown {
		return y
	}
	return h.height - 1 - y
}

// decodePaletted decodes 1 to 8 bits per pixel without run-length encoding.
func (h *header) decodePaletted() (image.Image, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	img := image.NewPaletted(image.Rect(0, 0, h.width, h.height), h.palette)
	perByte, mask := 8/h.bits, byte(1<<h.bits-1)
	for y := range h.height {
		row, dst := h.row(y), img.Pix[y*img.Stride:][:h.width]
		if h.bits == 8 {
			copy(dst, row)
			continue
		}
		for x := range dst {
			dst[x] = row[x/perByte] >> (8 - h.bits*(1+x%perByte)) & mask
		}
	}
	return img, nil
}

// decodeColors decodes 16 to 32 bits per pixel.
func (h *header) decodeColors() (image.Image, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	var channels [4]channel
	for i, m := range h.masks {
		channels[i] = newChannel(m)
	}
	img := image.NewNRGBA(image.Rect(0, 0, h.width, h.height))
	var alphas byte // bitwise OR of the alpha values of all pixels
	for y := range h.height {
		row, dst := h.row(y), img.Pix[y*img.Stride:][:4*h.width]
		for x := range h.width {
			d := dst[4*x : 4*x+4]
			if h.bits == 24 {
				d[0], d[1], d[2] = row[3*x+2], row[3*x+1], row[3*x]
				continue
			}
			var v uint32
			if h.bits == 16 {
				v = uint32(binary.LittleEndian.Uint16(row[2*x:]))
			} else {
				v = binary.LittleEndian.Uint32(row[4*x:])
			}
			for i := range d {
				d[i] = channels[i].value(v)
			}
			alphas |= d[3]
		}
	}
	if alphas == 0 {
		for i := 3; i < len(img.Pix); i += 4 {
			img.Pix[i] = 255
		}
	}
	return img, nil
}

// channel extracts one channel from a pixel.
type channel struct {
	mask     uint32
	shift    int
	maxValue uint64    // the maximum value
	table    [256]byte // scaled values, if maxValue is below 256
}

func newChannel(mask uint32) (c channel) {
	c.mask, c.shift, c.maxValue = mask, bits.TrailingZeros32(mask), 1
	if mask != 0 {
		c.maxValue = uint64(mask >> c.shift)
	}
	for v := range min(c.maxValue, 255) + 1 {
		c.table[v] = c.scale(v)
	}
	return c
}

// scale maps v from the range 0 to c.maxValue to the range 0 to 255, rounded to nearest.
func (c *channel) scale(v uint64) byte { return byte((v*255 + c.maxValue/2) / c.maxValue) }

// value returns the value of the channel in pixel v.
func (c *channel) value(v uint32) byte {
	i := v & c.mask >> (c.shift & 31)
	if c.maxValue < 256 {
		return c.table[i&255]
	}
	return c.scale(uint64(i))
}
