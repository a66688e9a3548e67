package detector

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"image"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/imprintkit/imprint/backbone/detect"
)

// A truth is an object in a view.
type truth struct {
	class int
	box   detect.Box
}

// compare orders truths by class and edges.
func (t truth) compare(other truth) int {
	a, b := t.box, other.box
	return cmp.Or(cmp.Compare(t.class, other.class), cmp.Compare(a.X0, b.X0), cmp.Compare(a.Y0, b.Y0), cmp.Compare(a.X1, b.X1), cmp.Compare(a.Y1, b.Y1))
}

// A region is a part of a photo, and whether it is mirrored.
type region struct {
	box    detect.Box
	mirror bool
}

var wholePhoto = region{box: detect.Box{X1: 1, Y1: 1}}

// regions returns the parts of a photo to train on: the whole photo, the same mirrored, and crops that
// keep most of an object, every second one mirrored. They depend only on the photo's content.
func regions(sum [sha256.Size]byte, truths []truth, n int) []region {
	const (
		smallest = 0.45 // area of a crop
		kept     = 0.75 // part of the area of an object
		attempts = 100
	)
	list := []region{wholePhoto, {box: wholePhoto.box, mirror: true}}
	random := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])))
	for len(list) < n {
		r := region{box: wholePhoto.box, mirror: len(list)%2 == 0}
		for range attempts {
			side := math.Sqrt(smallest + float64((1-smallest)*random.Float64()))
			aspect := 0.8 + float64(0.45*random.Float64())
			w, h := min(1, float64(side*aspect)), min(1, side/aspect)
			x, y := float64(random.Float64()*(1-w)), float64(random.Float64()*(1-h))
			crop := detect.Box{X0: float32(x), Y0: float32(y), X1: float32(x + w), Y1: float32(y + h)}
			if len(truths) == 0 {
				r.box = crop
				break
			}
			b := truths[random.IntN(len(truths))].box
			if common(b, crop) >= kept*b.Area() {
				r.box = crop
				break
			}
		}
		list = append(list, r)
	}
	return list[:n]
}

// common returns the area of the intersection of two boxes.
func common(a, b detect.Box) float32 {
	return detect.Box{X0: max(a.X0, b.X0), Y0: max(a.Y0, b.Y0), X1: min(a.X1, b.X1), Y1: min(a.Y1, b.Y1)}.Area()
}

// pixels returns the region of a photo with the given bounds.
func (r region) pixels(b image.Rectangle) image.Rectangle {
	at := func(from, size int, v float32) int { return from + int(math.Round(float64(float64(v)*float64(size)))) }
	p := image.Rect(at(b.Min.X, b.Dx(), r.box.X0), at(b.Min.Y, b.Dy(), r.box.Y0), at(b.Min.X, b.Dx(), r.box.X1), at(b.Min.Y, b.Dy(), r.box.Y1))
	if p = p.Intersect(b); p.Empty() {
		return b // of a photo of a few pixels
	}
	return p
}

// view returns what is left of the objects in the region.
func (r region) view(truths []truth) []truth {
	var list []truth
	w, h := r.box.X1-r.box.X0, r.box.Y1-r.box.Y0
	for _, t := range truths {
		b := detect.Box{X0: (t.box.X0 - r.box.X0) / w, Y0: (t.box.Y0 - r.box.Y0) / h, X1: (t.box.X1 - r.box.X0) / w, Y1: (t.box.Y1 - r.box.Y0) / h}
		if r.mirror {
			b.X0, b.X1 = 1-b.X1, 1-b.X0
		}
		if b = b.Clip(); b != (detect.Box{}) {
			list = append(list, truth{t.class, b})
		}
	}
	return list
}

// mirror mirrors an image of R, G, B bytes with the given width.
func mirror(rgb []byte, width int) {
	for row := range slices.Chunk(rgb, 3*width) {
		for a, b := 0, len(row)-3; a < b; a, b = a+3, b-3 {
			for k := range 3 {
				row[a+k], row[b+k] = row[b+k], row[a+k]
			}
		}
	}
}

// A match is a predicted box that overlaps an object of a class.
type match struct {
	row, class int
	iou        float32
}

// matches returns the predicted boxes that overlap objects by more than lowOverlap, sorted by row
// and class.
func matches(boxes []detect.Box, truths []truth) []match {
	var list []match
	for row, b := range boxes {
		for _, t := range truths {
			if v := b.IoU(t.box); v > lowOverlap {
				list = append(list, match{row, t.class, v})
			}
		}
	}
	slices.SortFunc(list, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.class, b.class), cmp.Compare(b.iou, a.iou))
	})
	// Of several objects of a class, the one that overlaps most counts.
	return slices.CompactFunc(list, func(a, b match) bool { return a.row == b.row && a.class == b.class })
}
