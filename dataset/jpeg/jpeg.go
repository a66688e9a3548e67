// Package jpeg decodes JPEG photos, at full size or reduced to a half, a quarter or
// an eighth on the way. Call Decoder.Decode.
//
// A reduced picture costs little more than reading the file's Huffman codes: of each
// block of 8×8 pixels only the low frequencies are kept, and these are transformed
// back to 4×4, 2×2 or 1×1 pixels.
//
// Read are baseline, extended and progressive files of 8 bits with Huffman codes, in
// grey, YCbCr or RGB, with the sampling factors that image/jpeg knows; what that
// takes and refuses is taken and refused here, but for a Huffman table with more
// codes than its lengths have room for, which is refused, and for scans of one
// component with several blocks in an MCU, whose restarts and ends are where ITU-T T.81
// says. All arithmetic is in integers: the same file gives the same pixels on every processor.
package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// Errors of a file, to be tested with errors.Is. A file that ends too early wraps
// io.ErrUnexpectedEOF.
var (
	ErrFormat      = errors.New("invalid JPEG")
	ErrUnsupported = errors.New("unsupported JPEG")
)

// Options say how much of a photo to decode.
type Options struct {
	// Reduce divides width and height: 1, 2, 4 or 8; 0 is 1.
	Reduce int
	// Region is what is needed of the whole picture, in its pixels before they are
	// reduced; an empty one is all of it.
	Region image.Rectangle
}

// A Decoder decodes one photo after the other and keeps its memory for the next. The
// zero value is ready. It is used by one goroutine at a time.
type Decoder struct {
	b   []byte // the file from here on is still to be read
	o   Options
	jpg frame

	dc, ac   [4]huffman
	quant    [4][64]int32 // in the order of the file
	bits     bitReader
	unzigged [64]int32 // the block at work, dequantised
	clean    bool      // unzigged is zero but for its first place
	eobRun   int       // blocks still to come without further codes
	interval int       // of restarts, in MCUs; 0 is none

	rgb []byte // of a picture
}

// frame is what the markers before the first scan tell.
type frame struct {
	width, height           int
	baseline, progressive   bool
	jfif, adobe, adobeIsRGB bool
	components              []component
	store                   [3]component
	mcus                    image.Point     // of the picture
	wanted                  image.Rectangle // MCUs to transform; empty before the first scan
	size                    int             // a block becomes size×size pixels
	last                    int             // coefficient, in the order of the file, that these depend on
}

// component is one colour of a frame.
type component struct {
	id, table byte
	h, v      int // blocks of an MCU
	wide      int // blocks of the picture, without those that fill up MCUs
	high      int

	pix    []byte // of the wanted MCUs
	stride int
	seen   bool // in a scan

	blocks []progressBlock // if progressive, all of the picture
	across int             // of them in a row
}

// Decode decodes the JPEG file b. The picture is an *image.YCbCr, *image.Gray or, for
// files in RGB, *image.NRGBA. Pixel (x, y) of it shows the square of Reduce pixels a
// side at (Reduce·x, Reduce·y); its bounds hold the Region, reduced and rounded
// outwards, but never go beyond the reduced picture. It is valid until the next call.
//
// Errors wrap ErrFormat, ErrUnsupported or io.ErrUnexpectedEOF. Decode takes memory for
// the wanted pixels and a copy of the file, for progressive files also for 2⅛ bytes a
// sample of the whole picture; and time for each pixel in each scan, so a caller that
// reads strangers' files bounds both size and scans before.
func (d *Decoder) Decode(b []byte, o Options) (image.Image, error) {
	switch o.Reduce {
	case 0:
		o.Reduce = 1
	case 1, 2, 4, 8:
	default:
		return nil, fmt.Errorf("decode JPEG: reduced by %d: want 1, 2, 4 or 8", o.Reduce)
	}
	store := d.jpg.store // for its memory
	d.b, d.o, d.jpg = b, o, frame{}
	d.jpg.store = store
	d.dc, d.ac, d.quant = [4]huffman{}, [4]huffman{}, [4][64]int32{}
	d.eobRun, d.interval = 0, 0
	defer func() { d.b = nil }()
	if err := d.segments(); err != nil {
		return nil, err
	}
	if d.jpg.wanted.Empty() {
		return nil, invalid("it has no picture")
	}
	if d.jpg.progressive {
		d.transformAll()
	}
	return d.picture(), nil
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

// marker passes over what is no marker, as other decoders do, and returns the next.
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

// segments reads the file to its end marker.
func (d *Decoder) segments() error {
	if start, err := d.take(2); err != nil {
		return err
	} else if start[0] != 0xff || start[1] != markerSOI {
		return invalid("it does not begin as one")
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
			continue // of a careless encoder
		}
		size, err := d.take(2)
		if err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(size))
		if n < 2 {
			return invalid("a segment of %d bytes", n)
		}
		s, err := d.take(n - 2)
		if err != nil {
			return err
		}
		switch {
		case marker >= markerSOF0 && marker <= markerSOF2:
			err = d.frameHeader(s, marker)
		case marker == markerDHT:
			err = d.huffmanTables(s)
		case marker == markerDQT:
			err = d.quantisation(s)
		case marker == markerDRI:
			if len(s) != 2 {
				return invalid("a restart interval of %d bytes", len(s))
			}
			d.interval = int(binary.BigEndian.Uint16(s))
		case marker == markerSOS:
			err = d.scan(s)
		case marker == markerAPP0:
			if len(s) >= 5 {
				d.jpg.jfif = string(s[:5]) == "JFIF\x00"
			}
		case marker == markerAPP14:
			// Whether colours were transformed is the twelfth byte.
			if len(s) >= 12 && string(s[:5]) == "Adobe" {
				d.jpg.adobe, d.jpg.adobeIsRGB = true, s[11] == 0
			}
		case marker > markerAPP0 && marker <= markerAPP15, marker == markerCOM:
		case marker < markerSOF0:
			err = invalid("marker %#x", marker)
		default:
			err = unsupported("marker %#x", marker)
		}
		if err != nil {
			return err
		}
	}
}

// frameHeader reads the size and the components (T.81 B.2.2).
func (d *Decoder) frameHeader(s []byte, marker byte) error {
	f := &d.jpg
	if f.components != nil {
		return invalid("two frames")
	}
	if len(s) != 6+3*1 && len(s) != 6+3*3 {
		return unsupported("a frame header of %d bytes", len(s))
	}
	if s[0] != 8 {
		return unsupported("%d bits a sample", s[0])
	}
	f.baseline, f.progressive = marker == markerSOF0, marker == markerSOF2
	f.height, f.width = int(binary.BigEndian.Uint16(s[1:])), int(binary.BigEndian.Uint16(s[3:]))
	n := (len(s) - 6) / 3
	if int(s[5]) != n || f.width == 0 || f.height == 0 {
		return invalid("%d×%d pixels of %d components in a header for %d", f.width, f.height, s[5], n)
	}
	f.components = f.store[:n]
	for i := range f.components {
		c := &f.components[i]
		*c = component{pix: c.pix, blocks: c.blocks}
		p := s[6+3*i:]
		c.id, c.h, c.v, c.table = p[0], int(p[1]>>4), int(p[1]&15), p[2]
		for _, other := range f.components[:i] {
			if other.id == c.id {
				return invalid("two components %d", c.id)
			}
		}
		if c.table > 3 || c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return invalid("component %d of %d×%d blocks with quantisation table %d", c.id, c.h, c.v, c.table)
		}
		first := &f.components[0]
		switch {
		case n == 1: // its blocks come row by row whatever it says (T.81 A.2.2)
			c.h, c.v = 1, 1
		case c.h == 3, c.v == 3, i == 0 && c.v == 4,
			i == 1 && (first.h%c.h != 0 || first.v%c.v != 0),
			i == 2 && (c.h != f.components[1].h || c.v != f.components[1].v):
			return unsupported("component %d of %d×%d blocks, the first of %d×%d", c.id, c.h, c.v, first.h, first.v)
		}
	}
	return nil
}

// quantisation reads quantisation tables (T.81 B.2.4.1).
func (d *Decoder) quantisation(s []byte) error {
	for len(s) > 0 {
		wide, table := int(s[0]>>4), s[0]&15
		s = s[1:]
		if wide > 1 || table > 3 || len(s) < 64<<wide {
			return invalid("quantisation table %d in %d bytes", table, len(s))
		}
		for i := range 64 {
			if wide == 1 {
				d.quant[table][i] = int32(binary.BigEndian.Uint16(s[2*i:]))
			} else {
				d.quant[table][i] = int32(s[i])
			}
		}
		s = s[64<<wide:]
	}
	return nil
}
