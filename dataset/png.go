package dataset

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"slices"
	"strings"
)

const (
	pngSignature = "\x89PNG\r\n\x1a\n"
	pngTrailer   = "\x00\x00\x00\x00IEND\xae\x42\x60\x82"
)

// errPNGChecksum means that a chunk needed for the image has a wrong checksum.
var errPNGChecksum = errors.New("png: invalid checksum")

// decodePNG decodes the PNG file b with image/png. It passes on only the chunks that
// image/png needs, and so tolerates errors that do not affect the pixels: wrong checksums
// of ancillary chunks (golang/go#43382) and a missing IEND chunk.
//
// If that fails, it repacks the image data. Repacking tolerates data after the last row
// (golang/go#20899, image-rs#1524) and a missing or wrong checksum of the inflated data.
func decodePNG(b []byte) (image.Image, error) {
	f, err := parsePNG(b)
	if err != nil {
		return nil, err
	}
	img, err := png.Decode(f.reader())
	if err != nil && !errors.As(err, new(png.UnsupportedError)) {
		img, err = png.Decode(io.MultiReader(bytes.NewReader(f.head), f.repack()))
	}
	return img, err
}

// pngFile holds the parts of a PNG file that image/png needs.
type pngFile struct {
	head []byte // the signature and the chunks IHDR, PLTE and tRNS
	idat []byte // the IDAT chunks; their checksums have not been verified
	size int64  // size of the inflated image data
}

// parsePNG reads the chunks of the PNG file b.
func parsePNG(b []byte) (*pngFile, error) {
	f := &pngFile{head: []byte(pngSignature)}
	seen := map[string]bool{}
	for c, rest := firstPNGChunk(b[len(pngSignature):]); c != nil; c, rest = firstPNGChunk(rest) {
		switch name := c.name(); {
		case name == "IDAT" && f.idat == nil:
			f.idat = c
		case name == "IDAT":
			f.idat = f.idat[:len(f.idat)+len(c)] // c directly follows f.idat in b
		case f.idat != nil:
			return f, nil // IDAT chunks are contiguous, so this chunk follows the image data
		case name != "IHDR" && name != "PLTE" && name != "tRNS", seen[name]:
		case c.valid():
			seen[name] = true
			if name == "IHDR" {
				f.size = pngDataSize(c.content())
			}
			f.head = append(f.head, c...)
		case name != "tRNS":
			return nil, errPNGChecksum
		}
	}
	return f, nil
}

// reader returns a reader for the PNG file with its image data unchanged.
func (f *pngFile) reader() io.Reader {
	return io.MultiReader(bytes.NewReader(f.head), bytes.NewReader(f.idat), strings.NewReader(pngTrailer))
}

// repack returns a reader for new IDAT chunks and the end of the file. The image data in the new
// chunks has the correct size and checksum.
func (f *pngFile) repack() io.Reader {
	return &pngPacker{data: &pngData{chunks: f.idat}, left: f.size, adler: adler32.New()}
}

// pngChunk is a complete chunk of a PNG file.
type pngChunk []byte

func (c pngChunk) name() string    { return string(c[4:8]) }
func (c pngChunk) content() []byte { return c[8 : len(c)-4] }

// valid reports whether the checksum is correct.
func (c pngChunk) valid() bool {
	end := len(c) - 4
	return binary.BigEndian.Uint32(c[end:]) == crc32.ChecksumIEEE(c[4:end])
}

// firstPNGChunk returns the first chunk of b and the rest of b. If b has no complete chunk, c
// is nil.
func firstPNGChunk(b []byte) (c pngChunk, rest []byte) {
	if len(b) < 12 {
		return nil, nil
	}
	n := 12 + int64(binary.BigEndian.Uint32(b))
	if n > int64(len(b)) {
		return nil, nil
	}
	return b[:n], b[n:]
}

// pngEXIF returns the eXIf chunk of the PNG file b, or nil (PNG specification, third
// edition, 11.3.3).
func pngEXIF(b []byte) []byte {
	for c, rest := firstPNGChunk(b[len(pngSignature):]); c != nil; c, rest = firstPNGChunk(rest) {
		switch {
		case c.name() == "eXIf" && c.valid():
			return c.content()
		case c.name() == "IEND":
			return nil
		}
	}
	return nil
}

// pngDataSize returns the size of the inflated image data for the content of an IHDR
// chunk, or 0 if the content is invalid. The size includes the filter byte before each row.
func pngDataSize(ihdr []byte) int64 {
	if len(ihdr) != 13 {
		return 0
	}
	w, h := int64(binary.BigEndian.Uint32(ihdr)), int64(binary.BigEndian.Uint32(ihdr[4:]))
	if w >= 1<<31 || h >= 1<<31 || ihdr[8] > 16 || ihdr[9] > 6 {
		return 0
	}
	bits := int64(ihdr[8]) * [...]int64{1, 0, 3, 1, 2, 0, 4}[ihdr[9]] // per pixel
	rows := func(w, h int64) int64 {
		if w <= 0 || h <= 0 {
			return 0
		}
		row := 1 + (bits*w+7)/8
		if h > 1<<62/row {
			return 0
		}
		return row * h
	}
	if ihdr[12] == 0 {
		return rows(w, h)
	}
	// Each pass of Adam7 has an offset and a step in x, and an offset and a step in y.
	var size int64
	for _, p := range [...][4]int64{{0, 8, 0, 8}, {4, 8, 0, 8}, {0, 4, 4, 8}, {2, 4, 0, 4}, {0, 2, 2, 4}, {1, 2, 0, 2}, {0, 1, 1, 2}} {
		size += rows((w-p[0]+p[1]-1)/p[1], (h-p[2]+p[3]-1)/p[3])
	}
	return size
}

// pngPacker inflates image data and stores it in IDAT chunks without compression.
type pngPacker struct {
	out  []byte // bytes that Read returns next
	left int64  // bytes of inflated data not yet in out

	data    *pngData
	inflate io.Reader // inflates data
	adler   hash.Hash32
	buffer  []byte
	done    bool // the last chunk is in out
}

// Read implements io.Reader.
func (p *pngPacker) Read(b []byte) (int, error) {
	for len(p.out) == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.out)
	p.out = p.out[n:]
	return n, nil
}

// next writes the next chunk to out.
func (p *pngPacker) next() error {
	if p.done {
		return io.EOF
	}
	b := append(p.buffer[:0], "\x00\x00\x00\x00IDAT"...)
	if p.inflate == nil {
		var err error
		if p.inflate, err = zlib.NewReader(p.data); err != nil {
			return err
		}
		b = append(b, 0x78, 0x01) // the header of a zlib stream
	}
	const maxBlock = 1<<16 - 1 // maximum size of a DEFLATE block without compression
	n := int(min(p.left, maxBlock))
	p.left -= int64(n)
	p.done = p.left == 0
	final := byte(0)
	if p.done {
		final = 1
	}
	b = append(b, final)
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	b = binary.LittleEndian.AppendUint16(b, ^uint16(n))
	start := len(b)
	b = slices.Grow(b, n)[:start+n]
	if _, err := io.ReadFull(p.inflate, b[start:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	p.adler.Write(b[start:])
	if p.done {
		b = p.adler.Sum(b)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-8))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
	if p.done {
		b = append(b, pngTrailer...)
	}
	p.buffer, p.out = b, b
	return nil
}

// pngData reads the contents of IDAT chunks and verifies their checksums.
type pngData struct {
	chunks  []byte // chunks after the current chunk
	content []byte // unread content of the current chunk
}

// Read implements io.Reader.
func (d *pngData) Read(p []byte) (int, error) {
	for len(d.content) == 0 {
		var c pngChunk
		if c, d.chunks = firstPNGChunk(d.chunks); c == nil {
			return 0, io.EOF
		}
		if !c.valid() {
			return 0, errPNGChecksum
		}
		d.content = c.content()
	}
	n := copy(p, d.content)
	d.content = d.content[n:]
	return n, nil
}
