package dataset

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	stdjpeg "image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"

	"github.com/imprintkit/imprint/dataset/jpeg"
)

// Decode decodes the photo in b by its content, turns it upright by its EXIF
// orientation, and lays transparency over white. Of a GIF it takes the first
// frame. It keeps no reference to b. Errors wrap ErrEmpty, ErrFormat, ErrHEIC,
// ErrTooLarge or ErrDamaged.
func Decode(b []byte, l Limits) (*Photo, error) {
	h, err := readHeader(b, l)
	if err != nil {
		return nil, err
	}
	return h.photo(b)
}

// header is what is known of a photo before its pixels are decoded.
type header struct {
	format        string
	width, height int   // as stored, before orientation
	memory        int64 // bytes that decoding takes, about
	cmyk          bool  // a JPEG of four colours
	exif          exif
}

// codec are the functions that read one format.
type codec struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

func codecOf(format string) codec {
	switch format {
	case "jpeg":
		return codec{stdjpeg.DecodeConfig, stdjpeg.Decode}
	case "png":
		return codec{png.DecodeConfig, png.Decode}
	case "webp":
		return codec{webp.DecodeConfig, decodeWebP}
	case "gif":
		return codec{gif.DecodeConfig, gif.Decode}
	default:
		return codec{bmp.DecodeConfig, bmp.Decode}
	}
}

// readHeader checks all that can be checked without decoding: kind, size in bytes,
// size in pixels, memory needed. Its own cost grows with len(b) only.
func readHeader(b []byte, l Limits) (h header, err error) {
	defer recovered(&err)
	if int64(len(b)) > l.MaxBytes {
		return h, tooManyBytes(int64(len(b)), l.MaxBytes)
	}
	if h.format, err = sniff(b); err != nil {
		return h, err
	}
	config, err := codecOf(h.format).config(bytes.NewReader(b))
	if err != nil {
		return h, broken(err)
	}
	h.width, h.height = config.Width, config.Height
	pixels := int64(h.width) * int64(h.height)
	if h.width <= 0 || h.height <= 0 {
		return h, fmt.Errorf("%w: %s of %d×%d pixels", ErrDamaged, h.format, h.width, h.height)
	}
	if pixels > l.MaxPixels {
		return h, fmt.Errorf("%w: %s of %d×%d pixels, limit %d in all", ErrTooLarge, h.format, h.width, h.height, l.MaxPixels)
	}

	var block []byte // EXIF
	switch h.format {
	case "jpeg":
		scan := scanJPEG(b)
		if most := max(commonScans, min(maxScans, maxScanned/pixels)); int64(scan.scans) > most {
			return h, fmt.Errorf("%w: jpeg of %d×%d pixels in %d scans, limit %d", ErrTooLarge, h.width, h.height, scan.scans, most)
		}
		block = scan.exif
		h.memory = pixels * int64(scan.bytesPerPixel)
	case "png":
		block = pngEXIF(b)
	case "webp":
		if block, err = webpEXIF(b); err != nil {
			return h, err
		}
		// Whatever the colour model is said to be (golang/go#81661).
		h.memory = (4 + 4) * pixels
	}
	h.exif = parseEXIF(block)
	h.cmyk = h.format == "jpeg" && config.ColorModel == color.CMYKModel
	switch config.ColorModel { // what the decoder gives and what flatten adds
	case color.RGBA64Model, color.NRGBA64Model:
		h.memory = (8 + 4) * pixels
	case color.CMYKModel, color.NRGBAModel:
		h.memory = max(h.memory, (4+4)*pixels)
	default:
		h.memory = max(h.memory, 5*pixels)
	}
	if h.exif.orientation > 1 {
		h.memory = max(h.memory, 8*pixels)
	}
	if h.memory > l.memory() {
		return h, fmt.Errorf("%w: %s of %d×%d pixels takes %d bytes to decode, limit %d", ErrTooLarge, h.format, h.width, h.height, h.memory, l.memory())
	}
	return h, nil
}

// photo decodes b, of which h is the header, whole.
func (h header) photo(b []byte) (*Photo, error) {
	img, err := h.decode(b, new(jpeg.Decoder), jpeg.Options{})
	if err != nil {
		return nil, err
	}
	img = upright(img, h.exif.orientation)
	size := img.Bounds().Size()
	return &Photo{
		Format: h.format,
		SHA256: sha256.Sum256(b),
		Image:  img,
		Width:  size.X,
		Height: size.Y,
		Time:   h.exif.time,
	}, nil
}

// decode decodes the pixels of b, of which h is the header, in one of the kinds that
// flatten gives and not turned upright. Only a JPEG is decoded in part or reduced, as
// o says; then the picture is d's.
func (h header) decode(b []byte, d *jpeg.Decoder, o jpeg.Options) (img image.Image, err error) {
	defer recovered(&err)
	if h.reducible() {
		img, err := d.Decode(b, o)
		if err != nil {
			return nil, broken(err)
		}
		return img, nil
	}
	img, err = codecOf(h.format).decode(bytes.NewReader(b))
	if err != nil {
		return nil, broken(err)
	}
	whole := image.Rect(0, 0, h.width, h.height)
	if h.format == "gif" && img.Bounds() != whole {
		// The first frame may cover a part of the picture only.
		canvas := image.NewNRGBA(whole)
		draw.Draw(canvas, whole, image.White, image.Point{}, draw.Src)
		draw.Draw(canvas, img.Bounds(), img, img.Bounds().Min, draw.Over)
		img = canvas
	}
	if img.Bounds() != whole {
		return nil, fmt.Errorf("%w: %s header says %d×%d pixels, its picture has %v", ErrDamaged, h.format, h.width, h.height, img.Bounds())
	}
	return flatten(img), nil
}

// reducible tells whether package dataset/jpeg decodes the photo: faster than
// image/jpeg, and only as much of it as is needed.
func (h header) reducible() bool { return h.format == "jpeg" && !h.cmyk }

// recovered turns a decoder's panic into an error. It is a net: a panic is a bug of
// the decoder, and one bad photo must not stop a run.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: the decoder failed: %v", ErrDamaged, r)
	}
}

// broken says whether a decoder's error means a kind we do not read or damage.
func broken(err error) error {
	if err == png.UnsupportedError("dimension overflow") { // where int has 32 bits
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	if errors.Is(err, jpeg.ErrUnsupported) || errors.As(err, new(stdjpeg.UnsupportedError)) || errors.As(err, new(png.UnsupportedError)) || errors.Is(err, bmp.ErrUnsupported) {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends too early: %w", ErrDamaged, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// sniffLen is how many bytes sniff looks at.
const sniffLen = 64

// sniff tells the format by the first bytes.
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
		// "BM" alone may begin a line of text; the size of the second header,
		// 40 to 124, may not.
		return "bmp", nil
	case at(4, "ftyp"):
		return "", isoBrand(b)
	case at(0, "II*\x00"), at(0, "MM\x00*"):
		return "", fmt.Errorf("%w: TIFF or a camera's raw file", ErrFormat)
	}
	return "", ErrFormat
}

// isoBrand tells HEIC and AVIF from other ISO media files by the major brand and
// the compatible brands (ISO/IEC 14496-12 4.3, 23008-12 10, AV1 image format 6).
func isoBrand(b []byte) error {
	end := min(len(b), sniffLen)
	if size := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3]); size >= 16 {
		end = min(end, size)
	}
	for i := 8; i+4 <= end; i += 4 {
		if i == 12 { // the minor version
			continue
		}
		switch string(b[i : i+4]) {
		case "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "mif2", "msf1", "avif", "avis":
			return ErrHEIC
		}
	}
	return fmt.Errorf("%w: a video or another ISO media file", ErrFormat)
}
