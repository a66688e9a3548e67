package dataset

import (
	"bytes"
	"encoding/binary"
)

// A scan costs a pass over all pixels, however few bytes it takes in the file.
// Encoders write about ten, so commonScans are always allowed; more, up to
// maxScans, while pixels times scans is at most maxScanned.
const (
	commonScans = 20
	maxScans    = 100
	maxScanned  = int64(1e9) // half a second or so of one core
)

// jpegScan is what the markers of a JPEG tell.
type jpegScan struct {
	scans         int
	bytesPerPixel int    // of the decoder's buffers, rounded up
	exif          []byte // TIFF block, nil if none
}

// scanJPEG goes through the markers of a JPEG (ITU-T T.81 annex B). It passes over
// whatever makes no sense, as Go's decoder does, and leaves complaining to that.
func scanJPEG(b []byte) jpegScan {
	s := jpegScan{bytesPerPixel: 3}
	sof := false
	for {
		i := bytes.IndexByte(b, 0xff)
		if i < 0 || i+1 >= len(b) {
			return s
		}
		marker := b[i+1]
		if marker == 0xff { // fill byte
			b = b[i+1:]
			continue
		}
		b = b[i+2:]
		switch {
		case marker == 0, marker == 0x01, marker >= 0xd0 && marker <= 0xd8:
			continue // no segment: stuffing, TEM, RST0-7, SOI
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

// sofMemory gives the bytes Go's decoder takes for a pixel: one for each sample
// and, if progressive, four more for its coefficient.
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

// pngEXIF finds the eXIf chunk of a PNG (PNG specification, third edition 11.3.3).
func pngEXIF(b []byte) []byte {
	for b = b[8:]; len(b) >= 12; {
		n := int64(binary.BigEndian.Uint32(b))
		if n > int64(len(b)-12) {
			return nil
		}
		switch string(b[4:8]) {
		case "eXIf":
			return b[8 : 8+n]
		case "IEND":
			return nil
		}
		b = b[12+n:]
	}
	return nil
}
