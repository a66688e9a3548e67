package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"time"

	"golang.org/x/image/tiff"
)

// These tags come from TIFF 6.0, EXIF and, for DNGVersion, the DNG specification.
const (
	tagNewSubfileType   = 254
	tagCompression      = 259
	tagFillOrder        = 266
	tagOrientation      = 274
	tagRowsPerStrip     = 278
	tagPlanar           = 284
	tagTileWidth        = 322
	tagTileLength       = 323
	tagEXIF             = 34665
	tagDateTimeOriginal = 36867
	tagDNGVersion       = 50706
)

// errRaw is the error for camera raw files, in which a TIFF decoder finds only a preview.
var errRaw = &kindError{ErrFormat, "camera raw files are not supported; convert the photo to JPEG"}

// probeTIFF implements probe for TIFF files. It rejects files that golang.org/x/image/tiff
// would decode to wrong pixels.
func (h *header) probeTIFF(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("%w: the file ends too early", ErrDamaged)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	tags := tiffDirectory(b, order, order.Uint32(b[4:]))
	switch c := tags[tagCompression]; {
	case tags[tagNewSubfileType]&1 != 0, tags[tagDNGVersion] != 0, bytes.HasPrefix(b[8:], []byte("CR")):
		return errRaw
	case tags[tagPlanar] == 2:
		return unsupportedTIFF("separate color planes")
	case tags[tagFillOrder] == 2:
		return unsupportedTIFF("reversed bits")
	case c == 2, c == 3, c == 4: // the decoder returns inverted pixels
		return unsupportedTIFF("fax compression")
	}
	config, err := tiff.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return tiffError(err)
	}
	h.width, h.height = config.Width, config.Height
	h.memory = tiffMemory(config, tags)
	h.exif.setOrientation(tags[tagOrientation])
	if at := tags[tagEXIF]; at != 0 {
		// For text, tiffDirectory returns the offset.
		at := int64(tiffDirectory(b, order, at)[tagDateTimeOriginal])
		const layout = "2006:01:02 15:04:05"
		if when, err := time.Parse(layout, string(b[min(at, int64(len(b))):min(at+int64(len(layout)), int64(len(b)))])); err == nil {
			h.exif.time = when
		}
	}
	return nil
}

// tiffMemory returns the number of bytes that decoding allocates.
func tiffMemory(config image.Config, tags map[uint16]uint32) int64 {
	bytesPerPixel := int64(4 + 4) // for the decoder, and for flatten
	switch config.ColorModel {
	case color.RGBA64Model, color.NRGBA64Model:
		bytesPerPixel = 8 + 4
	case color.GrayModel:
		bytesPerPixel = 1 + 4
	}
	pixels := int64(config.Width) * int64(config.Height)
	if tags[tagCompression] <= 1 { // none
		return bytesPerPixel * pixels
	}
	block := pixels // number of pixels in a strip or tile
	if rows := int64(tags[tagRowsPerStrip]); rows > 0 {
		block = min(pixels, int64(config.Width)*rows)
	}
	if w := int64(tags[tagTileWidth]); w > 0 {
		block = min(w, 1<<20) * min(int64(tags[tagTileLength]), 1<<20)
	}
	// The decoder inflates a block into a buffer of up to 8 bytes per pixel, which grows by
	// doubling.
	return bytesPerPixel*pixels + 3*8*block
}

// tiffDirectory returns the first value of each tag in the image file directory at the given
// offset in the TIFF file b. For text, it returns the offset of the text. It skips tags of types
// other than byte, text, short and long, and values outside the file.
func tiffDirectory(b []byte, order binary.ByteOrder, at uint32) map[uint16]uint32 {
	tags := map[uint16]uint32{}
	if int64(at)+2 > int64(len(b)) {
		return tags
	}
	entries := b[at+2:]
	for range order.Uint16(b[at:]) {
		if len(entries) < 12 {
			break
		}
		tag, kind, count := order.Uint16(entries), order.Uint16(entries[2:]), order.Uint32(entries[4:])
		value, offset := entries[8:12], order.Uint32(entries[8:])
		entries = entries[12:]
		const byteType, text, short, long = 1, 2, 3, 4
		if room := map[uint16]uint32{byteType: 4, short: 2, long: 1}[kind]; room > 0 && count > room {
			if int64(offset)+4 > int64(len(b)) {
				continue
			}
			value = b[offset:]
		}
		switch kind {
		case byteType:
			tags[tag] = uint32(value[0])
		case short:
			tags[tag] = uint32(order.Uint16(value))
		case long:
			tags[tag] = order.Uint32(value)
		case text:
			tags[tag] = offset
		}
	}
	return tags
}

// decodeTIFF decodes the first image of the TIFF file b.
func decodeTIFF(b []byte) (image.Image, error) {
	img, err := tiff.Decode(bytes.NewReader(b))
	return img, tiffError(err)
}

// tiffError adds a remedy to an error about an unsupported feature.
func tiffError(err error) error {
	var unsupported tiff.UnsupportedError
	if errors.As(err, &unsupported) {
		return unsupportedTIFF(string(unsupported))
	}
	return err
}

func unsupportedTIFF(feature string) error {
	return &kindError{ErrFormat, "this kind of TIFF is not supported (" + feature + "); convert it to JPEG or PNG"}
}
