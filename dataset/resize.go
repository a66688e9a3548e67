package dataset

import (
	"fmt"
	"image"

	"github.com/imprintkit/imprint/dataset/jpeg"
)

// Fit says how a photo of any shape becomes the rectangle a model wants. What
// was used for teaching must be used for classifying.
type Resize string

const (
	// Crop takes a square with sides of round(0.875·min(w, h)) pixels out of
	// the middle of the photo and resizes it. Things keep their proportions
	// when the model's input is square; the rim of the photo is not seen.
	Crop Resize = "crop"
	// Squash resizes the whole photo, out of proportion if need be.
	Squash Resize = "squash"
	// Pad resizes the whole photo in proportion, centres it, and fills the
	// rest with mid-grey (128, 128, 128).
	Pad Resize = "pad"
)

const padGrey = 128

// maxSide is the largest width or height that Resize writes, in pixels.
const maxSide = 1 << 14

// ParseFit gives the Fit called s: crop, squash or pad.
func ParseResize(s string) (Resize, error) {
	switch f := Resize(s); f {
	case Crop, Squash, Pad:
		return f, nil
	}
	return "", fmt.Errorf("unknown fit %q: want crop, squash or pad", s)
}

// Resize fits img into a picture w pixels wide and h high, written to dst row by
// row as R, G, B bytes (shape [h][w][3]). len(dst) must be w·h·3.
//
// The method is TensorFlow Lite's RESIZE_BILINEAR with half-pixel centres, without
// antialiasing: output pixel x of w samples the source at (x+0.5)·W/w − 0.5,
// clamped to the source, in float32, and the result is floor(v+0.5). Every
// product is rounded by itself, so all processors give the same bytes.
//
// Only the pixels that are needed are looked at and converted to RGB, with Go's
// rounding; transparency is laid over white. Resize allocates a few small tables,
// 40·w+20·h bytes or so, and keeps nothing. A Resizer does the same with a file, and
// is faster.
func (f Resize) Resize(dst []byte, img image.Image, w, h int) error {
	return (&Resizer{Mode: f, Width: w, Height: h}).Resize(dst, img)
}

// A Resizer decodes photos and fits them into the input of a model. What is written
// is what Fit.Resize makes of the whole photo, but that a JPEG of more than four times
// the size needed is decoded reduced to a half, a quarter or an eighth, the smallest
// that has twice the size needed. That is much faster. Closer to the size needed,
// photos become softer than those that MobileNets were trained on, which cost a point
// of accuracy in a hundred.
//
// It keeps its memory from one photo to the next, and is used by one goroutine at a
// time.
type Resizer struct {
	Mode          Resize
	Width, Height int // of the input, in pixels

	jpeg      jpeg.Decoder
	resampler resampler
}

// keptMemory is how much a photo may have taken for a Resizer to keep it, in bytes.
const keptMemory = 64 << 20

// Read writes photo p to dst, Height rows of Width pixels as R, G, B bytes. Errors
// name the path and wrap ErrFormat or ErrDamaged.
func (f *Resizer) Read(dst []byte, p *File) error {
	w, h := p.header.width, p.header.height
	o := orientation(p.header.exif.orientation)
	if o.swapped() {
		w, h = h, w
	}
	to, from, err := f.Mode.place(dst, f.Width, f.Height, w, h)
	if err != nil {
		return inFile(p.Path, err)
	}
	from = o.stored(from, w, h)
	out := turned(f.Width, to, o)
	reduce := 1
	if p.header.reducible() {
		for reduce < 8 && from.Dx() >= 4*reduce*out.w && from.Dy() >= 4*reduce*out.h {
			reduce *= 2
		}
	}
	if p.header.memory > keptMemory {
		defer func() { f.jpeg = jpeg.Decoder{} }()
	}
	img, err := p.header.decode(p.content, &f.jpeg, jpeg.Options{Reduce: reduce, Region: from})
	if err != nil {
		return inFile(p.Path, err)
	}
	f.Mode.fill(dst)
	f.resampler.run(dst, out, img, from, reduce)
	return nil
}

// Resize does what Fit.Resize does, and allocates nothing once it has seen a picture of
// that size.
func (f *Resizer) Resize(dst []byte, img image.Image) error {
	b := img.Bounds()
	to, from, err := f.Mode.place(dst, f.Width, f.Height, b.Dx(), b.Dy())
	if err != nil {
		return err
	}
	f.Mode.fill(dst)
	f.resampler.run(dst, turned(f.Width, to, 1), img, from.Add(b.Min), 1)
	return nil
}

// place checks the arguments of Resize and says which rectangle of the photo, of
// sw×sh pixels, goes into which of the w×h pixels in dst.
func (f Resize) place(dst []byte, w, h, sw, sh int) (to, from image.Rectangle, err error) {
	to, from = image.Rect(0, 0, w, h), image.Rect(0, 0, sw, sh)
	switch {
	case w <= 0 || h <= 0 || w > maxSide || h > maxSide:
		err = fmt.Errorf("resize to %d×%d: want sides of 1 to %d pixels", w, h, maxSide)
	case len(dst) != w*h*3:
		err = fmt.Errorf("resize to %d×%d: destination has %d bytes, want %d", w, h, len(dst), w*h*3)
	case from.Empty():
		err = fmt.Errorf("resize to %d×%d: the photo has no pixels", w, h)
	case f == Squash:
	case f == Crop:
		// round(7·short/8), ties up.
		side := (7*min(sw, sh) + 4) / 8
		x, y := (sw-side)/2, (sh-side)/2
		from = image.Rect(x, y, x+side, y+side)
	case f == Pad:
		to = inside(w, h, sw, sh)
	default:
		err = fmt.Errorf("resize: unknown fit %q", string(f))
	}
	return to, from, err
}

// fill writes what is seen where the photo is not.
func (f Resize) fill(dst []byte) {
	if f == Pad {
		for i := range dst {
			dst[i] = padGrey
		}
	}
}

// inside gives the largest centred rectangle within w×h of the shape sw:sh,
// sides rounded to nearest and never below one pixel.
func inside(w, h, sw, sh int) image.Rectangle {
	iw, ih := w, h
	if int64(sw)*int64(h) >= int64(sh)*int64(w) {
		ih = max(1, int((2*int64(sh)*int64(w)+int64(sw))/(2*int64(sw))))
	} else {
		iw = max(1, int((2*int64(sw)*int64(h)+int64(sh))/(2*int64(sh))))
	}
	x, y := (w-iw)/2, (h-ih)/2
	return image.Rect(x, y, x+iw, y+ih)
}
