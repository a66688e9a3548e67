package dataset

import (
	"bytes"
	"encoding/binary"
)

// Each scan of a JPEG costs a pass over all pixels, no matter how few bytes it has.
// Encoders write about ten. A photo may have commonScans of any size, and up to maxScans
// while the product of pixels and scans is at most maxScanned.
const (
	commonScans = 20
	maxScans    = 100
	maxScanned  = int64(1e9) // about half a second on one core
)

// jpegScan is what the markers of a JPEG say about the cost of decoding it.
type jpegScan struct {
	scans         int
	bytesPerPixel int    // of the decoder's buffers, rounded up
	exif          []byte // the TIFF block, or nil
}

// scanJPEG reads the markers of a JPEG (ITU-T T.81 annex B). Like the decoders it skips
// bytes that make no sense, and leaves it to them to report an error.
func scanJPEG(b []byte) jpegScan {
	s := jpegScan{bytesPerPixel: 3}
	sof := false
	for {
		i := bytes.IndexByte(b, 0xff)
		if i < 0 || i+1 >= len(b) {
			return s
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
			return s
		}
		if len(b) < 2 {
			return s
		}
		n := int(binary.BigEndian.Uint16(b))
		if n < 2 || n > len(b) {
			return s
		}
		segment := b[2:n]
		b = b[n:]
		switch {
		case marker == 0xda: // SOS
			s.scans++
		case !sof && marker >= 0xc0 && marker <= 0xc2:
			sof = true
			s.bytesPerPixel = sofMemory(segment, marker == 0xc2)
		case marker == 0xe1 && s.exif == nil && bytes.HasPrefix(segment, exifPrefix):
			s.exif = segment[len(exifPrefix):]
		}
	}
}

// sofMemory returns how many bytes per pixel the decoder allocates for the frame with
// header segment: one for each sample, and four more for the coefficient in a
// progressive file.
func sofMemory(segment []byte, progressive bool) int {
	const fixed = 6
	samples, hv := 0, 1
	if len(segment) > fixed {
		for i := fixed; i+3 <= len(segment); i += 3 {
			n := int(segment[i+1]>>4) * int(segment[i+1]&15)
			samples += n
			hv = max(hv, n)
		}
	}
	each := 1
	if progressive {
		each = 5
	}
	return max(1, (samples*each+hv-1)/hv)
}
