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

// boxOf returns the box of a detection, which is inside the photo.
func boxOf(b detect.Box) dataset.Box {
	box, _ := dataset.NewBox(float64(b.X0), float64(b.Y0), float64(b.X1), float64(b.Y1)) // it fails only outside
	return box
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
		content, err := cutOut(photo.Image, boxOf(f.Box).Square(photo.Width, photo.Height))
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
