package dataset

import (
	"bytes"
	"encoding/binary"
	"image"
	stdjpeg "image/jpeg"
	"io"

	"github.com/imprintkit/imprint/dataset/jpeg"
)

// Each scan of a JPEG costs a pass over all pixels, no matter how few bytes the scan has.
// Encoders write about ten scans. A photo of any size may have up to commonScans scans. It may
// have up to maxScans scans if the product of pixels and scans is at most maxScanned.
const (
	commonScans = 20
	maxScans    = 100
	maxScanned  = int64(1e9) // about half a second on one core
)

// probeJPEG implements probe for JPEG files.
func (h *header) probeJPEG(b []byte) error {
	config, err := jpeg.DecodeConfig(b)
	if err != nil {
		return err
	}
	h.width, h.height = config.Width, config.Height
	pixels := int64(h.width) * int64(h.height)
	h.memory = max(config.Memory, 5*pixels) // flatten or upright may need 4 more bytes per pixel
	h.coefficients = config.Coefficients
	var block []byte
	h.scans, block = scanJPEG(b)
	h.exif = parseEXIF(block)
	if config.Components == 4 {
		h.cmyk, h.sequential = true, !config.Progressive && h.scans == 1
		h.memory = (4 + 4) * pixels // components and the result of image/jpeg
		if config.Progressive {
			h.memory += 4 * 4 * pixels // coefficients
		}
	}
	return nil
}

// decodeCMYK decodes a JPEG with four components. Like package dataset/jpeg, it accepts a
// file without the end marker if the image data is complete.
func (h *header) decodeCMYK(b []byte) (image.Image, error) {
	r := io.Reader(bytes.NewReader(b))
	if h.sequential {
		r = io.MultiReader(r, bytes.NewReader([]byte{0xff, 0xd9}))
	}
	return stdjpeg.Decode(r)
}

// scanJPEG counts the scans of a JPEG and returns its first non-empty EXIF block (ITU-T
// T.81 annex B). Like the decoders, it skips invalid bytes. It does not report errors, because
// the decoders report them.
func scanJPEG(b []byte) (scans int, block []byte) {
	for {
		i := bytes.IndexByte(b, 0xff)
		if i < 0 || i+1 >= len(b) {
			return scans, block
		}
		marker := b[i+1]
		if marker == 0xff { // a fill byte
			b = b[i+1:]
			continue
		}
		b = b[i+2:]
		switch {
		case marker == 0, marker == 0x01, marker >= 0xd0 && marker <= 0xd8:
			continue // stuffing, TEM, RST0-7 and SOI have no segment
		case marker == 0xd9: // EOI
			return scans, block
		}
		if len(b) < 2 {
			return scans, block
		}
		n := int(binary.BigEndian.Uint16(b))
		if n < 2 || n > len(b) {
			return scans, block
		}
		segment := b[2:n]
		b = b[n:]
		switch {
		case marker == 0xda && len(segment) > 0 && len(segment) == 4+2*int(segment[0]): // SOS
			scans++ // a valid header, not data that a phone appended
		case marker == 0xe1 && len(block) == 0 && bytes.HasPrefix(segment, exifPrefix):
			block = segment[len(exifPrefix):]
		}
	}
}
