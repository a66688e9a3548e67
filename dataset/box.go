package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
)

// boxUnit is the number of parts that a Box divides the width and the height of a photo into.
const boxUnit = 10000

// ErrBox means that coordinates are not those of a box in a photo.
var ErrBox = errors.New("not a box in a photo")

// A Box is a rectangle in a photo that is turned upright: its left, top, right and bottom edges, in
// ten-thousandths of the photo's width and height. The zero Box stands for the whole photo. Whole
// numbers make equal boxes identical on every processor.
type Box [4]uint16

// NewBox returns the box with these relative edges, rounded to ten-thousandths and cut off at the
// edges of the photo. It fails with ErrBox if no part of the box is inside the photo, or if an edge
// is not a number.
func NewBox(x0, y0, x1, y1 float64) (Box, error) {
	edges := [4]float64{max(x0, 0), max(y0, 0), min(x1, 1), min(y1, 1)}
	if !(edges[0] < edges[2] && edges[1] < edges[3]) {
		return Box{}, fmt.Errorf("%w: %g, %g to %g, %g", ErrBox, x0, y0, x1, y1)
	}
	var b Box
	for i, v := range edges {
		b[i] = uint16(float64(v*boxUnit) + 0.5)
	}
	for axis := range 2 { // a box too small for the unit gets a side of one unit
		if b[axis] == b[axis+2] {
			b[axis] = min(b[axis], boxUnit-1)
			b[axis+2] = b[axis] + 1
		}
	}
	return b, nil
}

// Check returns an error that wraps ErrBox unless b is a box inside the photo or the zero Box.
func (b Box) Check() error {
	if b == (Box{}) || b[0] < b[2] && b[1] < b[3] && b[2] <= boxUnit && b[3] <= boxUnit {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrBox, b)
}

// Edges returns the left, top, right and bottom edges, 0…1.
func (b Box) Edges() [4]float64 {
	var e [4]float64
	for i, v := range b {
		e[i] = float64(v) / boxUnit
	}
	return e
}

// String returns the edges, to a thousandth.
func (b Box) String() string {
	e := b.Edges()
	return fmt.Sprintf("%.3f %.3f %.3f %.3f", e[0], e[1], e[2], e[3])
}

// Area returns the area of the box. The area of the photo is 1, and that of the zero Box 0.
func (b Box) Area() float64 {
	return float64(int(b[2])-int(b[0])) * float64(int(b[3])-int(b[1])) / (boxUnit * boxUnit)
}

// Pixels returns the box in a photo of w×h pixels.
func (b Box) Pixels(w, h int) image.Rectangle {
	at := func(v uint16, n int) int { return (int(v)*n + boxUnit/2) / boxUnit }
	return image.Rect(at(b[0], w), at(b[1], h), at(b[2], w), at(b[3], h))
}

// Square returns the square that a crop shows: its center is that of the box, and its side is 1.1
// times the longer side of the box. The square is moved into the photo of w×h pixels. If the photo
// is too small for it, it is cut off. The zero Box gives the whole photo.
func (b Box) Square(w, h int) image.Rectangle {
	if b == (Box{}) {
		return image.Rect(0, 0, w, h)
	}
	r := b.Pixels(w, h)
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

// MarshalJSON implements json.Marshaler. The JSON is the list of the four edges, 0…1.
func (b Box) MarshalJSON() ([]byte, error) { return json.Marshal(b.Edges()) }

// UnmarshalJSON implements json.Unmarshaler.
func (b *Box) UnmarshalJSON(text []byte) (err error) {
	var e []float64
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrBox, err)
	}
	if len(e) != 4 {
		return fmt.Errorf("%w: it has %d edges, not 4", ErrBox, len(e))
	}
	*b, err = NewBox(e[0], e[1], e[2], e[3])
	return err
}
