package dataset

import (
	"bytes"
	"image"
	stdjpeg "image/jpeg"

	"github.com/disintegration/imaging"
)

// Thumbnail gives a small JPEG, side×side pixels, of what a model sees of p when it is
// fitted by way.
func (p *File) Thumbnail(side int, way Resize) ([]byte, error) {
	large := 4 * side // sampled without antialiasing: averaged afterwards
	rgb := make([]byte, 3*large*large)
	f := Resizer{Mode: way, Width: large, Height: large}
	if err := f.Read(rgb, p); err != nil {
		return nil, err
	}
	img := image.NewNRGBA(image.Rect(0, 0, large, large))
	for i, j := 0, 0; i < len(rgb); i, j = i+3, j+4 {
		img.Pix[j], img.Pix[j+1], img.Pix[j+2], img.Pix[j+3] = rgb[i], rgb[i+1], rgb[i+2], 255
	}
	var b bytes.Buffer
	err := stdjpeg.Encode(&b, imaging.Resize(img, side, side, imaging.Box), &stdjpeg.Options{Quality: 75})
	return b.Bytes(), err
}
