package detect

import (
	"math"
	"slices"
)

// A Box is a rectangle in a photo. Coordinates are relative: 0 is the left or upper edge of the
// photo, and 1 is the right or lower edge.
type Box struct{ X0, Y0, X1, Y1 float32 }

// Area returns the area of the box, 0 if it is empty. The area of the photo is 1.
func (b Box) Area() float32 {
	if !(b.X1 > b.X0 && b.Y1 > b.Y0) {
		return 0
	}
	return float32((b.X1 - b.X0) * (b.Y1 - b.Y0))
}

// IoU returns the area of the intersection of two boxes divided by that of their union, 0…1.
func (b Box) IoU(o Box) float32 {
	both := Box{max(b.X0, o.X0), max(b.Y0, o.Y0), min(b.X1, o.X1), min(b.Y1, o.Y1)}.Area()
	if both == 0 {
		return 0
	}
	return both / (b.Area() + o.Area() - both)
}

// Clip returns the part of the box inside the photo. It is the zero Box if no part of it is
// inside or a coordinate is not a number.
func (b Box) Clip() Box {
	b = Box{max(b.X0, 0), max(b.Y0, 0), min(b.X1, 1), min(b.Y1, 1)}
	if b.Area() == 0 {
		return Box{}
	}
	return b
}

// A Detection is an object that a detector found.
type Detection struct {
	Class int     // index of the class, without the background
	Score float32 // 0…1
	Box   Box     // inside the photo
}

// detections returns what the four outputs of the post-process hold. A detector with random or
// hostile weights may give boxes outside the photo, which are dropped.
func (h *Head) detections(boxes, classes, scores []float32, count float32) []Detection {
	perBox := h.Params.ClassesPerBox
	if h.Params.Regular {
		perBox = 1
	}
	n := min(int(count)*perBox, len(scores))
	list := make([]Detection, 0, n)
	for i := range n {
		if i%perBox >= h.Params.Classes {
			continue // the model asks for more classes of each box than it has
		}
		b := boxes[4*i:][:4]
		d := Detection{Class: int(classes[i]), Score: scores[i], Box: Box{Y0: b[0], X0: b[1], Y1: b[2], X1: b[3]}.Clip()}
		if d.Box != (Box{}) && !math.IsNaN(float64(d.Score)) {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b Detection) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return list
}
