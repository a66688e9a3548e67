package predict

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"slices"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/imprintkit/imprint/dataset"
)

// maxPicture is the maximum width and height of a picture with boxes, in pixels.
const maxPicture = 1600

// palette has the colors of boxes; class c has color c modulo their number. White text is legible
// on all of them.
var palette = [...]color.RGBA{
	{0x1f, 0x6f, 0xeb, 0xff}, {0xd1, 0x24, 0x2f, 0xff}, {0x1a, 0x7f, 0x37, 0xff}, {0x82, 0x50, 0xdf, 0xff},
	{0xbc, 0x4c, 0x00, 0xff}, {0x0b, 0x7a, 0x75, 0xff}, {0xbf, 0x39, 0x89, 0xff}, {0x57, 0x60, 0x6a, 0xff},
}

// drawBoxes returns a JPEG of the photo with boxes and labels.
func drawBoxes(photo *dataset.Photo, boxes []Found) ([]byte, error) {
	w, h := photo.Width, photo.Height
	if longest := max(w, h); longest > maxPicture {
		w, h = max(1, w*maxPicture/longest), max(1, h*maxPicture/longest)
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	draw.BiLinear.Scale(img, img.Bounds(), photo.Image, photo.Image.Bounds(), draw.Over, nil)
	for _, f := range slices.Backward(boxes[:min(len(boxes), maxCrops)]) { // the best box is drawn last
		drawBox(img, f)
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90})
	return b.Bytes(), err
}

func drawBox(img draw.Image, f Found) {
	size := img.Bounds().Size()
	thick := max(2, max(size.X, size.Y)/300)
	r := boxOf(f.Box).Pixels(size.X, size.Y)
	ink := image.NewUniform(palette[f.Class%len(palette)])
	for _, edge := range []image.Rectangle{
		image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+thick), image.Rect(r.Min.X, r.Max.Y-thick, r.Max.X, r.Max.Y),
		image.Rect(r.Min.X, r.Min.Y, r.Min.X+thick, r.Max.Y), image.Rect(r.Max.X-thick, r.Min.Y, r.Max.X, r.Max.Y),
	} {
		draw.Draw(img, edge.Intersect(r), ink, image.Point{}, draw.Src)
	}
	drawLabel(img, r.Min, f.caption(), ink)
}

// drawLabel writes text on a background of the given color: above the point, or below it if there is
// no room.
func drawLabel(img draw.Image, at image.Point, text string, background *image.Uniform) {
	const margin, longest = 2, 60
	if letters := []rune(text); len(letters) > longest {
		text = string(letters[:longest])
	}
	face := basicfont.Face7x13
	small := image.NewRGBA(image.Rect(0, 0, font.MeasureString(face, text).Ceil()+2*margin, face.Height+margin))
	draw.Draw(small, small.Bounds(), background, image.Point{}, draw.Src)
	d := font.Drawer{Dst: small, Src: image.White, Face: face, Dot: fixed.P(margin, face.Ascent+margin/2)}
	d.DrawString(text)
	// The font has one size, so enlarge the pixels.
	scale := max(1, max(img.Bounds().Dx(), img.Bounds().Dy())/600)
	size := small.Bounds().Size().Mul(scale)
	at = image.Pt(max(0, min(at.X, img.Bounds().Dx()-size.X)), max(0, at.Y-size.Y))
	draw.NearestNeighbor.Scale(img, image.Rectangle{at, at.Add(size)}, small, small.Bounds(), draw.Src, nil)
}
