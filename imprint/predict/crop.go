package predict

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"

	"golang.org/x/image/draw"

	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/dataset"
)

// maxCrops is the maximum number of objects of a photo that are cut out, classified or drawn. A
// model file may report any number.
const maxCrops = 100

// pixelsOf returns a box in a photo of w×h pixels.
func pixelsOf(b detect.Box, w, h int) image.Rectangle {
	at := func(v float32, n int) int { return int(float32(v*float32(n)) + 0.5) }
	return image.Rect(at(b.X0, w), at(b.Y0, h), at(b.X1, w), at(b.Y1, h))
}

// cropOf returns the square around a box whose side is 1.1 times the longer side of the box. The
// square is moved into the photo of w×h pixels. If the photo is too small for it, it is cut off.
func cropOf(b detect.Box, w, h int) image.Rectangle {
	r := pixelsOf(b, w, h)
	side := max(1, max(r.Dx(), r.Dy())*11/10)
	place := func(lo, hi, n int) (from, to int) {
		size := min(side, n)
		from = min(max((lo+hi-size)/2, 0), n-size)
		return from, from + size
	}
	x0, x1 := place(r.Min.X, r.Max.X, w)
	y0, y1 := place(r.Min.Y, r.Max.Y, h)
	return image.Rect(x0, y0, x1, y1)
}

// cutOut returns a JPEG of a rectangle of an image.
func cutOut(img image.Image, r image.Rectangle) ([]byte, error) {
	out := image.NewRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(out, out.Bounds(), img, r.Min, draw.Over)
	var b bytes.Buffer
	err := jpeg.Encode(&b, out, &jpeg.Options{Quality: 95})
	return b.Bytes(), err
}

// crop cuts out the objects in d and classifies them, as far as the options ask for it.
func (o *DetectOptions) crop(ctx context.Context, photo *dataset.Photo, d *Detections) error {
	if !o.Crops && o.Classify == nil {
		return nil
	}
	for i := range d.Boxes[:min(len(d.Boxes), maxCrops)] {
		f := &d.Boxes[i]
		content, err := cutOut(photo.Image, cropOf(f.Box, photo.Width, photo.Height))
		if err != nil {
			return err
		}
		if o.Crops {
			f.Crop = content
		}
		if o.Classify == nil {
			continue
		}
		// The crop is classified in the form in which it would be added as an example.
		file, err := dataset.Open(dataset.Item{Path: d.Path, Content: content}, dataset.DefaultLimits())
		if err != nil {
			return err
		}
		r, err := o.Classify(ctx, file)
		if err != nil {
			return err
		}
		f.Answer = &r
	}
	return nil
}
