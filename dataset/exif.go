package dataset

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/bep/imagemeta"
)

// exifPrefix precedes the TIFF block in a JPEG's APP1 segment. Some writers also put it
// into WebP files by mistake.
var exifPrefix = []byte("Exif\x00\x00")

// exif holds the EXIF values that this package uses.
type exif struct {
	orientation orientation // 0 if unknown
	time        time.Time   // zero if unknown
}

// parseEXIF reads a TIFF block. Missing or damaged values stay zero and cause no error, because
// the photo itself may be intact.
//
// The caller must extract the block from the file, for two reasons. First, imagemeta v1.0.1 does
// not find the EXIF chunk of a WebP file after a chunk of odd size. Second, a small block limits
// the work of imagemeta: it follows up to LimitTagSize/4 SubIFD pointers, each to as many tags
// as fit into the block, and LimitNumTags does not count these tags. imagemeta's Timeout option
// is unsuitable, because it leaves a goroutine running.
func parseEXIF(block []byte) exif {
	const (
		maxBlock = 64 << 10 // bytes; the capacity of a JPEG segment
		maxTag   = 64       // maximum size of a value in bytes; a time has 20
		maxTags  = 2000
	)
	var e exif
	if len(block) > maxBlock {
		block = block[:maxBlock]
	}
	// An error means that part of the block is damaged. The values before that part are valid.
	_, _ = imagemeta.Decode(imagemeta.Options{
		R:            bytes.NewReader(block),
		ImageFormat:  imagemeta.TIFF,
		Sources:      imagemeta.EXIF,
		LimitNumTags: maxTags,
		LimitTagSize: maxTag,
		ShouldHandleTag: func(t imagemeta.TagInfo) bool {
			return t.Namespace == "IFD0" && t.Tag == "Orientation" ||
				t.Namespace == "IFD0/ExifIFDP" && t.Tag == "DateTimeOriginal"
		},
		HandleTag: func(t imagemeta.TagInfo) error {
			switch v := t.Value.(type) {
			case uint16:
				e.setOrientation(uint32(v))
			case uint32: // a wrong type that some writers use
				e.setOrientation(v)
			case string:
				if when, err := time.Parse("2006:01:02 15:04:05", v); err == nil && t.Tag == "DateTimeOriginal" {
					e.time = when
				}
			}
			return nil
		},
	})
	return e
}

// setOrientation sets the orientation to v if v is valid and no orientation has been set.
// Orientation is the only number among the tags that parseEXIF handles.
func (e *exif) setOrientation(v uint32) {
	if e.orientation == 0 && v >= 1 && v <= 8 {
		e.orientation = orientation(v)
	}
}

// webpEXIF returns the EXIF chunk of the WebP file b, or nil (RFC 9649 2.7). It returns an
// error for animations, which the decoder cannot read.
func webpEXIF(b []byte) ([]byte, error) {
	for b = b[12:]; len(b) >= 8; {
		name, n := string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		if n > int64(len(b)) {
			return nil, nil
		}
		chunk := b[:n]
		switch {
		case name == "VP8X" && n > 0 && chunk[0]&2 != 0:
			return nil, &kindError{ErrFormat, "animated WebP is not supported; save one frame as JPEG or PNG"}
		case name == "EXIF":
			return bytes.TrimPrefix(chunk, exifPrefix), nil
		}
		// Chunks are padded to even sizes. The last chunk may lack its padding.
		b = b[min(n+n&1, int64(len(b))):]
	}
	return nil, nil
}
