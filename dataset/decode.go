package dataset

import (
	"bytes"
	"cmp"
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

	"golang.org/x/image/webp"

	"github.com/imprintkit/imprint/dataset/bmp"
	"github.com/imprintkit/imprint/dataset/jpeg"
	"github.com/imprintkit/imprint/dataset/pnm"
)

// Decode decodes the photo in b. It detects the format from the content: JPEG, PNG, WebP, GIF,
// BMP, TIFF or PNM. It turns the photo upright according to its EXIF orientation and blends
// transparency with white. If the file has several images, Decode decodes the first. It does not
// retain b.
//
// Errors wrap ErrEmpty, ErrFormat, ErrHEIC, ErrTooLarge or ErrDamaged.
func Decode(b []byte, l Limits) (*Photo, error) {
	h, err := readHeader(b, l)
	if err != nil {
		return nil, err
	}
	return h.photo(b)
}

// header describes a photo whose pixels have not been decoded.
type header struct {
	format        string
	width, height int   // as stored, before the photo is turned upright
	memory        int64 // estimate of the bytes that decoding at full size allocates
	coefficients  int64 // the part of memory that is not smaller at reduced size
	limits        Limits
	cmyk          bool // whether the photo is a JPEG with four components
	sequential    bool // whether all image data of a four-component JPEG is in one scan
	scans         int  // number of scans of a JPEG
	exif          exif
}

// readHeader detects the format of b and checks the file size, the dimensions and the memory
// needed for decoding. The cost of readHeader depends only on len(b).
func readHeader(b []byte, l Limits) (h header, err error) {
	defer recovered(&err)
	if int64(len(b)) > l.MaxBytes {
		return h, tooManyBytes(int64(len(b)), l.MaxBytes)
	}
	if h.format, err = sniff(b); err != nil {
		return h, err
	}
	if err := h.probe(b); err != nil {
		return h, decodeError(err)
	}
	h.limits = l
	pixels := int64(h.width) * int64(h.height)
	if h.width <= 0 || h.height <= 0 {
		return h, fmt.Errorf("%w: %d×%d pixels", ErrDamaged, h.width, h.height)
	}
	reduce, maxPixels := 1, l.MaxPixels
	if h.reducible() {
		reduce, maxPixels = maxReduce, maxReducible*l.MaxPixels
	}
	if err := h.checkPixels(maxPixels); err != nil {
		return h, err
	}
	if limit := max(commonScans, min(maxScans, maxScanned/pixels)); int64(h.scans) > limit {
		return h, fmt.Errorf("%w: %d×%d pixels in %d scans; the limit is %d scans", ErrTooLarge, h.width, h.height, h.scans, limit)
	}
	if h.exif.orientation > 1 {
		h.memory = max(h.memory, 8*pixels)
	}
	return h, h.checkMemory(reduce)
}

// checkPixels returns an error if the photo has more than limit pixels.
func (h header) checkPixels(limit int64) error {
	if int64(h.width)*int64(h.height) > limit {
		return fmt.Errorf("%w: %d×%d pixels; the limit is %g megapixels", ErrTooLarge, h.width, h.height, float64(limit)/1e6)
	}
	return nil
}

// checkMemory returns an error if decoding the photo with width and height divided by reduce
// takes more memory than the limits allow.
func (h header) checkMemory(reduce int) error {
	memory := (h.memory-h.coefficients)/int64(reduce*reduce) + h.coefficients
	if limit := h.limits.memory(); memory > limit {
		return fmt.Errorf("%w: decoding %d×%d pixels takes %s; the limit is %s",
			ErrTooLarge, h.width, h.height, byteSize(memory), byteSize(limit))
	}
	return nil
}

// probe reads the dimensions, the memory and the EXIF values of h from b, a file in the format
// h.format.
func (h *header) probe(b []byte) error {
	var config image.Config
	var err error
	switch h.format {
	case "jpeg":
		return h.probeJPEG(b)
	case "png":
		h.exif = parseEXIF(pngEXIF(b))
		var f *pngFile
		if f, err = parsePNG(b); err == nil {
			config, err = png.DecodeConfig(f.reader())
		}
	case "webp":
		var block []byte
		if block, err = webpEXIF(b); err != nil {
			return err
		}
		h.exif = parseEXIF(block)
		config, err = webp.DecodeConfig(bytes.NewReader(b))
		// The color model in the config can be wrong (golang/go#81661).
		config.ColorModel = color.NRGBAModel
	case "gif":
		config, err = gif.DecodeConfig(gifReader(b))
	case "tiff":
		return h.probeTIFF(b)
	case "pnm":
		config, err = pnm.DecodeConfig(b)
	default:
		config, err = bmp.DecodeConfig(b)
	}
	h.width, h.height = config.Width, config.Height
	bytesPerPixel := int64(1 + 4) // for the decoder, and for flatten
	switch config.ColorModel {
	case color.RGBA64Model, color.NRGBA64Model:
		bytesPerPixel = 8 + 4
	case color.NRGBAModel:
		bytesPerPixel = 4 + 4
	}
	h.memory = bytesPerPixel * int64(h.width) * int64(h.height)
	return err
}

// byteSize formats a size of n bytes.
func byteSize(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}

// photo decodes b at full size. h must be the header of b.
func (h header) photo(b []byte) (*Photo, error) {
	if err := cmp.Or(h.checkPixels(h.limits.MaxPixels), h.checkMemory(1)); err != nil {
		return nil, err
	}
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

// decode decodes the pixels of b to one of the types that flatten returns. h must be the header
// of b. decode does not turn the image upright. o applies only to reducible photos, and d owns
// the images of reducible photos.
func (h header) decode(b []byte, d *jpeg.Decoder, o jpeg.Options) (img image.Image, err error) {
	defer recovered(&err)
	if h.reducible() {
		img, err := d.Decode(b, o)
		if err != nil {
			return nil, decodeError(err)
		}
		return img, nil
	}
	switch h.format {
	case "jpeg":
		img, err = h.decodeCMYK(b)
	case "png":
		img, err = decodePNG(b)
	case "webp":
		img, err = decodeWebP(bytes.NewReader(b))
	case "gif":
		img, err = gif.Decode(gifReader(b))
	case "tiff":
		img, err = decodeTIFF(b)
	case "pnm":
		img, err = pnm.Decode(b)
	default:
		img, err = bmp.Decode(b)
	}
	if err != nil {
		return nil, decodeError(err)
	}
	whole := image.Rect(0, 0, h.width, h.height)
	if h.format == "gif" && img.Bounds() != whole {
		// The first frame covers only a part of the canvas.
		canvas := image.NewNRGBA(whole)
		draw.Draw(canvas, whole, image.White, image.Point{}, draw.Src)
		draw.Draw(canvas, img.Bounds(), img, img.Bounds().Min, draw.Over)
		img = canvas
	}
	if img.Bounds() != whole {
		return nil, fmt.Errorf("%w: the header says %d×%d pixels, but the image data has bounds %v", ErrDamaged, h.width, h.height, img.Bounds())
	}
	return flatten(img), nil
}

// reducible reports whether package dataset/jpeg decodes the photo. That package is faster than
// image/jpeg and can decode at a reduced size.
func (h header) reducible() bool { return h.format == "jpeg" && !h.cmyk }

// recovered converts a decoder's panic to an error, so that one bad photo does not crash the
// program. A panic is a bug in the decoder.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: the decoder failed: %v", ErrDamaged, r)
	}
}

// decodeError makes a decoder's error wrap ErrFormat, ErrTooLarge or ErrDamaged.
func decodeError(err error) error {
	switch {
	case errors.As(err, new(*kindError)):
		return err
	case err == png.UnsupportedError("dimension overflow"): // on 32-bit platforms
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, bmp.ErrUnsupported), errors.Is(err, jpeg.ErrUnsupported), errors.As(err, new(stdjpeg.UnsupportedError)), errors.As(err, new(png.UnsupportedError)):
		return &kindError{ErrFormat, err.Error() + "; save the photo again as JPEG or PNG"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the file ends too early", ErrDamaged)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
