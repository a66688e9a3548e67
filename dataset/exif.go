package dataset

import (
	"bytes"
	"time"

	"github.com/bep/imagemeta"
)

// exifPrefix is in front of the TIFF block in a JPEG's APP1 segment, and by
// mistake in some WebP files.
var exifPrefix = []byte("Exif\x00\x00")

// exif is what we use of a photo's EXIF block.
type exif struct {
	orientation int // 1 to 8, 0 if unknown
	time        time.Time
}

// parseEXIF reads a TIFF block. Whatever is wrong with it, the photo itself may be
// good: then the values not found are zero.
//
// The block is cut out of the file before imagemeta sees it, because imagemeta
// v1.0.1 loses the EXIF of a WebP that has a chunk of odd size before it, and
// because the limits here bound its work: it follows up to LimitTagSize/4 SubIFD
// pointers, each to as many tags as the block has room for, without counting them
// as tags. Its Timeout is not used, as that leaves a goroutine running.
func parseEXIF(block []byte) exif {
	const (
		maxBlock = 64 << 10 // bytes: what a JPEG segment can hold
		maxTag   = 64       // bytes of a value: a time has 20
		maxTags  = 2000
	)
	var e exif
	if len(block) > maxBlock {
		block = block[:maxBlock]
	}
	// The error tells only that the block is damaged further on.
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
				if t.Tag == "Orientation" && v >= 1 && v <= 8 {
					e.orientation = int(v)
				}
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
