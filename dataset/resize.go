package dataset

import (
	"fmt"
	"image"
	"runtime"

	"github.com/imprintkit/imprint/dataset/jpeg"
)

// Resize is a resize mode. It determines how a photo of any shape is resized to the rectangular
// input of a model. Train and classify with the same mode.
type Resize string

const (
	// Crop resizes a centered square with sides of round(0.875·min(w, h)) pixels and drops
	// the rest of the photo. It keeps the proportions if the input is square.
	Crop Resize = "crop"
	// Squash resizes the whole photo without keeping its proportions.
	Squash Resize = "squash"
	// Pad resizes the whole photo, keeps its proportions, and fills the margins with
	// gray (128, 128, 128).
	Pad Resize = "pad"
)

const padGray = 128

// maxSide is the largest width or height of a resized image, in pixels.
const maxSide = 1 << 14

// ParseResize returns the resize mode named s: crop, squash or pad.
func ParseResize(s string) (Resize, error) {
	switch m := Resize(s); m {
	case Crop, Squash, Pad:
		return m, nil
	}
	return "", fmt.Errorf("unknown resize mode %q: want crop, squash or pad", s)
}

// Resize resizes img to w×h pixels and writes them to dst as R, G, B bytes, row by row
// (shape [h][w][3]). dst must have exactly w·h·3 bytes.
//
// The result equals TensorFlow Lite's RESIZE_BILINEAR with half_pixel_centers and without
// antialiasing. Output pixel x samples a source W pixels wide at (x+0.5)·W/w − 0.5, clamped to
// the source. The arithmetic is float32, each product is rounded on its own, and the result is
// floor(v+0.5), so all processors produce the same bytes.
//
// Resize converts only the necessary pixels to RGB, with the rounding of package image,
// and blends transparency with white. It allocates about 40·w+20·h bytes. For files, a
// Resizer is faster.
func (m Resize) Resize(dst []byte, img image.Image, w, h int) error {
	return (&Resizer{Mode: m, Width: w, Height: h}).Resize(dst, img)
}

// A Resizer decodes photos and resizes them for the input of a model. It reuses its
// memory from photo to photo. It is not safe for concurrent use.
//
// Read produces the same output as Resize.Resize on the upright photo, with one exception: it
// decodes a JPEG of at least four times the needed size at half, quarter or eighth size. It
// chooses the smallest of these sizes that is at least twice the needed size. This is much
// faster. Decoding at an even smaller size would make photos softer than the photos that
// MobileNets were trained on, and would cost one percentage point of accuracy.
type Resizer struct {
	Mode          Resize
	Width, Height int // size of the output in pixels

	jpeg      jpeg.Decoder
	resampler resampler
}

// maxReduce is the maximum divisor of width and height when decoding a JPEG.
const maxReduce = 8

// keptMemory is the maximum memory that a Resizer keeps for the next photo, in bytes.
const keptMemory = 64 << 20

// Read decodes f, resizes it and writes it to dst as R, G, B bytes, row by row (shape
// [Height][Width][3]). dst must have exactly that length. Errors name the path and wrap
// ErrFormat, ErrTooLarge or ErrDamaged.
func (r *Resizer) Read(dst []byte, f *File) error {
	w, h := f.header.width, f.header.height
	o := f.header.exif.orientation
	if o.swapped() {
		w, h = h, w
	}
	to, from, err := r.Mode.place(dst, r.Width, r.Height, f.box.Square(w, h))
	if err != nil {
		return inFile(f.Path, err)
	}
	from = o.stored(from, w, h)
	out := turned(r.Width, to, o)
	reduce := 1
	if f.header.reducible() {
		for reduce < maxReduce && from.Dx() >= 4*reduce*out.w && from.Dy() >= 4*reduce*out.h {
			reduce *= 2
		}
	}
	if err := f.header.checkMemory(reduce); err != nil {
		return inFile(f.Path, err)
	}
	if f.header.memory > keptMemory {
		defer func() {
			r.jpeg = jpeg.Decoder{}
			// Otherwise the next large photo would be decoded before the memory of this one is free.
			runtime.GC()
		}()
	}
	img, err := f.header.decode(f.content, &r.jpeg, jpeg.Options{Reduce: reduce, Region: from})
	if err != nil {
		return inFile(f.Path, err)
	}
	r.Mode.fill(dst)
	r.resampler.run(dst, out, img, from, reduce)
	return nil
}

// Resize is like Resize.Resize with the mode and size of r. It allocates nothing if the
// previous image had the same size.
func (r *Resizer) Resize(dst []byte, img image.Image) error { return r.ResizeBox(dst, img, Box{}) }

// ResizeBox is like Resize, for the square around a box in img.
func (r *Resizer) ResizeBox(dst []byte, img image.Image, box Box) error {
	b := img.Bounds()
	to, from, err := r.Mode.place(dst, r.Width, r.Height, box.Square(b.Dx(), b.Dy()).Add(b.Min))
	if err != nil {
		return err
	}
	r.Mode.fill(dst)
	r.resampler.run(dst, turned(r.Width, to, 1), img, from, 1)
	return nil
}

// place checks the arguments of Resize. It returns the rectangle of the w×h pixels in dst that
// Resize writes to, and the rectangle of the pixels in source that Resize reads from.
func (m Resize) place(dst []byte, w, h int, source image.Rectangle) (to, from image.Rectangle, err error) {
	to, from = image.Rect(0, 0, w, h), source
	sw, sh := source.Dx(), source.Dy()
	switch {
	case w <= 0 || h <= 0 || w > maxSide || h > maxSide:
		err = fmt.Errorf("resize to %d×%d: sides must be 1 to %d pixels", w, h, maxSide)
	case len(dst) != w*h*3:
		err = fmt.Errorf("resize to %d×%d: destination has %d bytes, want %d", w, h, len(dst), w*h*3)
	case from.Empty():
		err = fmt.Errorf("resize to %d×%d: the photo has no pixels", w, h)
	case m == Squash:
	case m == Crop:
		// This is 7/8 of the shorter side, rounded to nearest with ties rounded up.
		side := (7*min(sw, sh) + 4) / 8
		x, y := (sw-side)/2, (sh-side)/2
		from = image.Rect(x, y, x+side, y+side).Add(source.Min)
	case m == Pad:
		to = inside(w, h, sw, sh)
	default:
		err = fmt.Errorf("unknown resize mode %q", string(m))
	}
	return to, from, err
}

// fill makes dst gray if the mode leaves margins around the photo.
func (m Resize) fill(dst []byte) {
	if m == Pad {
		for i := range dst {
			dst[i] = padGray
		}
	}
}

// inside returns the largest centered rectangle in w×h with the proportions sw:sh. Its sides are
// rounded to whole pixels and are at least one pixel long.
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
