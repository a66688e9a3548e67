// Package jpeg decodes JPEG photos at full, half, quarter or eighth size. Call
// [Decoder.Decode].
//
// A reduced image costs little more than reading the file's Huffman codes. From each block of
// 8×8 pixels, the decoder keeps only the low frequencies, and transforms them to 4×4, 2×2 or
// 1×1 pixels.
//
// The package decodes baseline, extended and progressive files with 8 bits per sample and
// Huffman codes, in gray, YCbCr or RGB. It accepts all files that image/jpeg accepts, except
// files with Huffman tables that have more codes than the code lengths allow. It also accepts
// files that are common in practice:
//
//   - Files without Huffman tables, as sent by MJPEG cameras. The package then uses the
//     tables of ITU-T T.81 K.3.
//   - Files without the end marker, if the image data is complete.
//   - Files with any sampling factors, and files that define the number of lines after the
//     first scan.
//
// In a scan of one component with several blocks per MCU, the package expects restarts and the
// end of the scan where T.81 places them. image/jpeg expects them elsewhere.
//
// All arithmetic uses integers, so the same file decodes to the same pixels on every processor.
package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// Errors about a file. Test for them with errors.Is. If a file is truncated, the error wraps
// io.ErrUnexpectedEOF instead.
var (
	// ErrFormat means that the file is not a valid JPEG.
	ErrFormat = errors.New("invalid JPEG")
	// ErrUnsupported means that the file uses a feature that is not supported.
	ErrUnsupported = errors.New("unsupported JPEG")
)

// Options selects how much of a photo to decode.
type Options struct {
	// Reduce is the divisor of width and height: 1, 2, 4 or 8. 0 means 1.
	Reduce int
	// Region is the part of the image to decode, in pixels of the full size. If it is
	// empty, Decode decodes the whole image.
	Region image.Rectangle
}

// A Decoder decodes photos one after another and reuses its memory. The zero value is ready to
// use. A Decoder is not safe for concurrent use.
type Decoder struct {
	reader
	o   Options
	jpg frame

	dc, ac   [4]huffman
	quant    [4][64]int32 // in file order
	bits     bitReader
	unzigged [64]int32 // the current block, dequantized, in natural order
	clean    bool      // unzigged is zero except for the first coefficient
	eobRun   int       // number of following blocks without further codes
	interval int       // restart interval in MCUs, or 0

	rgb []byte    // pixels of an RGB image
	up  [3][]byte // samples at full resolution, for unusual sampling factors
}

// Decode decodes the JPEG file b to an *image.YCbCr, *image.Gray or, for files that store
// RGB, *image.NRGBA. The image is valid until the next call.
//
// Pixel (x, y) of the image covers the square at (Reduce·x, Reduce·y) with sides of
// Reduce pixels. The bounds include the Region, reduced and rounded outward, and stay within
// the reduced image.
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
	d.reader, d.o, d.jpg = reader{b}, o, frame{}
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

// reader reads the segments of a file.
type reader struct {
	b []byte // the rest of the file
}

// take returns the next n bytes of the file.
func (r *reader) take(n int) ([]byte, error) {
	if n > len(r.b) {
		return nil, io.ErrUnexpectedEOF
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b, nil
}

// start reads the start marker.
func (r *reader) start() error {
	if start, err := r.take(2); err != nil {
		return err
	} else if start[0] != 0xff || start[1] != markerSOI {
		return invalid("no start marker")
	}
	return nil
}

// marker returns the next marker. Like other decoders, it skips bytes that are not part of a
// marker.
func (r *reader) marker() (byte, error) {
	for {
		i := bytes.IndexByte(r.b, 0xff)
		if i < 0 {
			return 0, io.ErrUnexpectedEOF
		}
		r.b = r.b[i+1:]
		filled := false
		for len(r.b) > 0 && r.b[0] == 0xff {
			r.b, filled = r.b[1:], true
		}
		m, err := r.take(1)
		if err != nil {
			return 0, err
		}
		if m[0] != 0 || filled {
			return m[0], nil
		}
	}
}

// segment returns the next marker and its segment, or no segment for the end marker. It
// skips stray restart markers.
func (r *reader) segment() (marker byte, s []byte, err error) {
	for {
		marker, err = r.marker()
		if err != nil || marker == markerEOI {
			return marker, nil, err
		}
		if marker < markerRST0 || marker > markerRST7 {
			break
		}
	}
	size, err := r.take(2)
	if err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(size))
	if n < 2 {
		return 0, nil, invalid("segment of %d bytes", n)
	}
	s, err = r.take(n - 2)
	return marker, s, err
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
	markerDNL   = 0xdc
	markerDRI   = 0xdd
	markerAPP0  = 0xe0
	markerAPP14 = 0xee
	markerAPP15 = 0xef
	markerCOM   = 0xfe
)

// segments reads the file until the image is complete, or up to its end marker. Because it stops
// at a complete image, it ignores data that phones append to a file without an end marker.
func (d *Decoder) segments() error {
	if err := d.start(); err != nil {
		return err
	}
	for !d.jpg.complete() {
		marker, s, err := d.segment()
		if err != nil {
			return err
		}
		if marker == markerEOI {
			return nil
		}
		if err := d.interpret(marker, s); err != nil {
			return err
		}
	}
	return d.checkEnd()
}

// checkEnd returns an error if the file has no further marker and its last coded byte is
// zero. Such a file was probably truncated within a scan and then filled with zeros, which
// are valid codes.
func (d *Decoder) checkEnd() error {
	if _, err := d.marker(); err == nil || d.bits.last() != 0 {
		return nil
	}
	return io.ErrUnexpectedEOF
}

// interpret reads the segment s of a marker. If s is a scan header, it also reads the scan.
func (d *Decoder) interpret(marker byte, s []byte) error {
	switch {
	case marker >= markerSOF0 && marker <= markerSOF2:
		return d.jpg.header(s, marker, d.b)
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
	case marker == markerDNL: // see frame.header
	case marker >= markerAPP0 && marker <= markerAPP15:
		d.jpg.application(marker, s)
	case marker == markerCOM:
	default:
		return unsupportedMarker(marker)
	}
	return nil
}

// unsupportedMarker returns the error for a marker that interpret does not know.
func unsupportedMarker(marker byte) error {
	switch {
	case marker < markerSOF0:
		return invalid("marker %#x", marker)
	case marker == 0xc3:
		return unsupported("lossless coding")
	case marker >= 0xc5 && marker <= 0xc7:
		return unsupported("hierarchical coding")
	case marker >= 0xc9 && marker <= 0xcf && marker != 0xcc:
		return unsupported("arithmetic coding")
	}
	return unsupported("marker %#x", marker)
}
