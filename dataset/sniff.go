package dataset

import (
	"encoding/binary"

	"github.com/imprintkit/imprint/dataset/pnm"
)

// sniffLen is the number of bytes at the start of a file that sniff reads.
const sniffLen = 512

// sniff returns the format of a photo file that begins with b.
func sniff(b []byte) (string, error) {
	at := func(i int, s string) bool { return len(b) >= i+len(s) && string(b[i:i+len(s)]) == s }
	switch {
	case len(b) == 0:
		return "", ErrEmpty
	case at(0, "\xff\xd8\xff"):
		return "jpeg", nil
	case at(0, "\x89PNG\r\n\x1a\n"):
		return "png", nil
	case at(0, "GIF87a"), at(0, "GIF89a"):
		return "gif", nil
	case at(0, "RIFF") && at(8, "WEBP"):
		return "webp", nil
	case at(0, "BM") && len(b) >= 18 && b[15] == 0 && b[16] == 0 && b[17] == 0:
		// A text file may also begin with "BM". In a BMP, the size of the second header is
		// stored at offset 14. It is at most 124 bytes, so its upper three bytes are 0.
		return "bmp", nil
	case at(4, "ftyp"):
		return "", isoError(b)
	case at(0, "II*\x00"), at(0, "MM\x00*"):
		return "tiff", nil
	case at(0, "II+\x00"), at(0, "MM\x00+"):
		return "", &kindError{ErrFormat, "BigTIFF is not supported; convert it to JPEG or PNG"}
	case pnm.Is(b):
		return "pnm", nil
	case at(0, "FUJIFILMCCD-RAW"), at(0, "IIRO"), at(0, "IIRS"), at(0, "MMOR"), at(0, "IIU\x00"), at(0, "FOVb"):
		return "", errRaw // raw files from Fujifilm, Olympus, Panasonic and Sigma cameras
	}
	return "", &kindError{ErrFormat, "not a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM photo"}
}

// isoError returns the error for an ISO media file. The major and compatible brands
// distinguish HEIC and AVIF from videos (ISO/IEC 14496-12 4.3, ISO/IEC 23008-12 10, AV1
// image format 6).
func isoError(b []byte) error {
	end := min(len(b), sniffLen)
	if size := binary.BigEndian.Uint32(b); size >= 16 {
		end = int(min(uint32(end), size))
	}
	for i := 8; i+4 <= end; i += 4 {
		if i == 12 { // the minor version, not a brand
			continue
		}
		switch string(b[i : i+4]) {
		case "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "mif2", "msf1":
			return &kindError{ErrHEIC, "HEIC is not supported; convert it to JPEG, for example with heif-convert"}
		case "avif", "avis":
			return &kindError{ErrHEIC, "AVIF is not supported; convert it to JPEG, for example with heif-convert"}
		case "crx ": // a raw file from Canon
			return errRaw
		}
	}
	return &kindError{ErrFormat, "not a photo but a video or another ISO media file"}
}
