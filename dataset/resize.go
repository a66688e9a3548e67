package dataset

import (
	"fmt"
	"image"
	"image/color"
)

// Fit says how a photo of any shape becomes the rectangle a model wants. What
// was used for teaching must be used for classifying.
type Fit string

const (
	// Crop takes a square with sides of round(0.875·min(w, h)) pixels out of
	// the middle of the photo and resizes it. Things keep their proportions
	// when the model's input is square; the rim of the photo is not seen.
	Crop Fit = "crop"
	// Squash resizes the whole photo, out of proportion if need be.
	Squash Fit = "squash"
	// Pad resizes the whole photo in proportion, centres it, and fills the
	// rest with mid-grey (128, 128, 128).
	Pad Fit = "pad"
)

const padGrey = 128

// maxSide is the largest width or height that Resize writes, in pixels.
const maxSide = 1 << 14

// ParseFit gives the Fit called s: crop, squash or pad.
func ParseFit(s string) (Fit, error) {
	switch f := Fit(s); f {
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
// rounding; transparency is laid over white. Resize allocates six small tables,
// 32·w+20·h bytes or so, and keeps nothing.
func (f Fit) Resize(dst []byte, img image.Image, w, h int) error {
	if w <= 0 || h <= 0 || w > maxSide || h > maxSide {
		return fmt.Errorf("resize to %d×%d: want sides of 1 to %d pixels", w, h, maxSide)
	}
	if len(dst) != w*h*3 {
		return fmt.Errorf("resize to %d×%d: destination has %d bytes, want %d", w, h, len(dst), w*h*3)
	}
	src := img.Bounds()
	if src.Empty() {
		return fmt.Errorf("resize to %d×%d: the photo has no pixels", w, h)
	}
	to := image.Rect(0, 0, w, h)
	switch f {
	case Squash:
	case Crop:
		// round(7·short/8), ties up.
		side := (7*min(src.Dx(), src.Dy()) + 4) / 8
		x := src.Min.X + (src.Dx()-side)/2
		y := src.Min.Y + (src.Dy()-side)/2
		src = image.Rect(x, y, x+side, y+side)
	case Pad:
		to = inside(w, h, src.Dx(), src.Dy())
		for i := range dst {
			dst[i] = padGrey
		}
	default:
		return fmt.Errorf("resize: unknown fit %q", string(f))
	}
	bilinear(dst[3*(to.Min.Y*w+to.Min.X):], 3*w, to.Dx(), to.Dy(), img, src)
	return nil
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

// axis holds, for each output coordinate, the two source coordinates it lies
// between and the weight of the second, from 0 up to below 1.
type axis struct {
	at     []int // source coordinates, in pairs
	weight []float32
}

func newAxis(n, from, length int) axis {
	a := axis{make([]int, 2*n), make([]float32, n)}
	scale := float32(length) / float32(n)
	for i := range n {
		// The conversion keeps the product from being fused with the
		// subtraction, here and below.
		pos := max(0, float32((float32(i)+0.5)*scale)-0.5)
		lower := min(int(pos), length-1)
		a.at[2*i] = from + lower
		a.at[2*i+1] = from + min(lower+1, length-1)
		a.weight[i] = pos - float32(lower)
	}
	return a
}

// bilinear resizes the rectangle r of img to w×h pixels at dst, whose rows are
// stride bytes apart.
func bilinear(dst []byte, stride, w, h int, img image.Image, r image.Rectangle) {
	cols, rows := newAxis(w, r.Min.X, r.Dx()), newAxis(h, r.Min.Y, r.Dy())
	// The samples of the two source rows in use. Enlarging meets each row
	// several times, first as the lower and then as the upper one.
	top, bottom := make([]byte, 6*w), make([]byte, 6*w)
	haveTop, haveBottom := r.Min.Y-1, r.Min.Y-1
	var upper, lower [256]float32
	for y := range h {
		y0, y1 := rows.at[2*y], rows.at[2*y+1]
		if haveTop != y0 {
			if haveBottom == y0 {
				top, bottom = bottom, top
				haveBottom = haveTop
			} else {
				sample(top, img, y0, cols.at)
			}
			haveTop = y0
		}
		if haveBottom != y1 {
			sample(bottom, img, y1, cols.at)
			haveBottom = y1
		}
		// Every sample is first multiplied by its row's weight. There are only
		// 256 samples.
		wy1 := rows.weight[y]
		wy0 := 1 - wy1
		for i := range 256 {
			upper[i], lower[i] = float32(i)*wy0, float32(i)*wy1
		}
		out := dst[y*stride : y*stride+3*w]
		for x, wx1 := range cols.weight {
			wx0 := 1 - wx1
			t, b, o := top[6*x:6*x+6], bottom[6*x:6*x+6], out[3*x:3*x+3]
			for c := range 3 {
				// The order of products and sums is part of the result.
				v := float32(upper[t[c]]*wx0) + float32(lower[b[c]]*wx0) +
					float32(upper[t[c+3]]*wx1) + float32(lower[b[c+3]]*wx1)
				o[c] = uint8(int32(v + 0.5))
			}
		}
	}
}

// sample writes the colours of the pixels (x, y), x from xs, to dst as R, G, B.
func sample(dst []byte, img image.Image, y int, xs []int) {
	switch img := img.(type) {
	case *image.YCbCr:
		for i, x := range xs {
			yi, ci := img.YOffset(x, y), img.COffset(x, y)
			d := dst[3*i : 3*i+3]
			d[0], d[1], d[2] = color.YCbCrToRGB(img.Y[yi], img.Cb[ci], img.Cr[ci])
		}
	case *image.Gray:
		row := img.Pix[img.PixOffset(img.Rect.Min.X, y):]
		for i, x := range xs {
			v := row[x-img.Rect.Min.X]
			d := dst[3*i : 3*i+3]
			d[0], d[1], d[2] = v, v, v
		}
	case *image.NRGBA:
		row := img.Pix[img.PixOffset(img.Rect.Min.X, y):]
		for i, x := range xs {
			p := row[4*(x-img.Rect.Min.X):][:4]
			put(dst[3*i:3*i+3], p[0], p[1], p[2], p[3])
		}
	default:
		for i, x := range xs {
			putAny(dst[3*i:3*i+3], img, x, y)
		}
	}
}
