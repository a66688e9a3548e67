// Package jpeg decodes JPEG photos at full, half, quarter or eighth size. Call
// [Decoder.Decode].
//
// A reduced image costs little more than reading the file's Huffman codes. From each
// block of 8×8 pixels the decoder keeps the low frequencies only, and transforms them to
// 4×4, 2×2 or 1×1 pixels.
//
// The package decodes baseline, extended and progressive files with 8 bits per sample
// and Huffman codes, in grey, YCbCr or RGB, with the sampling factors that image/jpeg
// supports. It accepts and rejects the same files as image/jpeg, with two exceptions. It
// rejects Huffman tables with more codes than their lengths allow. And it follows ITU-T
// T.81 on where restarts and ends are in scans of one component that has several blocks
// per MCU.
//
// The arithmetic is integer only: the same file gives the same pixels on every
// processor.
package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// Errors about a file. Test for them with errors.Is. The error for a file that ends too
// early wraps io.ErrUnexpectedEOF instead.
var (
	// ErrFormat means that the file is not a valid JPEG.
	ErrFormat = errors.New("invalid JPEG")
	// ErrUnsupported means that the file uses a feature that is not supported.
	ErrUnsupported = errors.New("unsupported JPEG")
)

// Options select how much of a photo to decode.
type Options struct {
	// Reduce divides width and height: 1, 2, 4 or 8. 0 means 1.
	Reduce int
	// Region is the part of the image that is needed, in pixels of the full size.
	// Empty means all of it.
	Region image.Rectangle
}

// A Decoder decodes photos one after the other and reuses its memory. The zero value is
// ready to use. One goroutine may use it at a time.
type Decoder struct {
	b   []byte // the rest of the file
	o   Options
	jpg frame

	dc, ac   [4]huffman
	quant    [4][64]int32 // in file order
	bits     bitReader
	unzigged [64]int32 // the current block, dequantized, in natural order
	clean    bool      // unzigged is zero except for the first coefficient
	eobRun   int       // blocks to come without further codes
	interval int       // restart interval in MCUs, or 0

	rgb []byte // pixels of an RGB image
}

// Decode decodes the JPEG file b to an *image.YCbCr, *image.Gray or, for files that store
// RGB, *image.NRGBA. The image is valid until the next call.
//
// Pixel (x, y) of the image covers the square at (Reduce·x, Reduce·y) with sides of
// Reduce pixels. The bounds include the Region, reduced and rounded outwards, and stay
// within the reduced image.
//
// Errors wrap ErrFormat, ErrUnsupported or io.ErrUnexpectedEOF. Decode allocates memory
// for the needed pixels and a copy of the file. For progressive files it also allocates
// 2⅛ bytes per sample of the whole image. The time grows with the product of pixels and
// scans, so callers that read untrusted files must limit both.
func (d *Decoder) Decode(b []byte, o Options) (image.Image, error) {
	switch o.Reduce {
	case 0:
		o.Reduce = 1
	case 1, 2, 4, 8:
	default:
		return nil, fmt.Errorf("decode JPEG: Options.Reduce is %d, want 1, 2, 4 or 8", o.Reduce)
	}
	store := d.jpg.store // its memory is reused
	d.b, d.o, d.jpg = b, o, frame{}
	d.jpg.store = store
	d.dc, d.ac, d.quant = [4]huffman{}, [4]huffman{}, [4][64]int32{}
	d.eobRun, d.interval = 0, 0
	defer func() { d.b = nil }()
	if err := d.segments(); err != nil {
		return nil, err
	}
	if d.jpg.wanted.Empty() {
		return nil, invalid("no image data")
	}
	if d.jpg.progressive {
		d.transformAll()
	}
	return d.image(), nil
}

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, a...))
}

func unsupported(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, a...))
}

// take returns the next n bytes of the file.
func (d *Decoder) take(n int) ([]byte, error) {
	if n > len(d.b) {
		return nil, io.ErrUnexpectedEOF
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b, nil
}

// marker returns the next marker. Like other decoders it skips bytes that are not one.
func (d *Decoder) marker() (byte, error) {
	for {
		i := bytes.IndexByte(d.b, 0xff)
		if i < 0 {
			return 0, io.ErrUnexpectedEOF
		}
		d.b = d.b[i+1:]
		filled := false
		for len(d.b) > 0 && d.b[0] == 0xff {
			d.b, filled = d.b[1:], true
		}
		m, err := d.take(1)
		if err != nil {
			return 0, err
		}
		if m[0] != 0 || filled {
			return m[0], nil
		}
	}
}

// Markers of T.81 table B.1.
const (
	markerSOF0  = 0xc0
	markerSOF2  = 0xc2
	markerDHT   = 0xc4
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerSOI   = 0xd8
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerDQT   = 0xdb
	markerDRI   = 0xdd
	markerAPP0  = 0xe0
	markerAPP14 = 0xee
	markerAPP15 = 0xef
	markerCOM   = 0xfe
)

// segments reads the file up to its end marker.
func (d *Decoder) segments() error {
	if start, err := d.take(2); err != nil {
		return err
	} else if start[0] != 0xff || start[1] != markerSOI {
		return invalid("no start marker")
	}
	for {
		marker, err := d.marker()
		if err != nil {
			return err
		}
		if marker == markerEOI {
			return nil
		}
		if marker >= markerRST0 && marker <= markerRST7 {
			continue // a stray restart
		}
		size, err := d.take(2)
		if err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(size))
		if n < 2 {
			return invalid("segment of %d bytes", n)
		}
		s, err := d.take(n - 2)
		if err != nil {
			return err
		}
		if err := d.segment(marker, s); err != nil {
			return err
		}
	}
}

// segment reads the segment s of the given marker, and after a scan header the scan.
func (d *Decoder) segment(marker byte, s []byte) error {
	switch {
	case marker >= markerSOF0 && marker <= markerSOF2:
		return d.frameHeader(s, marker)
	case marker == markerDHT:
		return d.huffmanTables(s)
	case marker == markerDQT:
		return d.quantization(s)
	case marker == markerDRI:
		if len(s) != 2 {
			return invalid("restart interval of %d bytes", len(s))
		}
		d.interval = int(binary.BigEndian.Uint16(s))
	case marker == markerSOS:
		return d.scan(s)
	case marker == markerAPP0:
		if len(s) >= 5 {
			d.jpg.jfif = string(s[:5]) == "JFIF\x00"
		}
	case marker == markerAPP14:
		// The twelfth byte is the colour transform.
		if len(s) >= 12 && string(s[:5]) == "Adobe" {
			d.jpg.adobe, d.jpg.adobeIsRGB = true, s[11] == 0
		}
	case marker > markerAPP0 && marker <= markerAPP15, marker == markerCOM:
	case marker < markerSOF0:
		return invalid("marker %#x", marker)
	default:
		return unsupported("marker %#x", marker)
	}
	return nil
}
