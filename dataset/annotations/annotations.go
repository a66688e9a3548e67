// Package annotations reads the boxes that people have drawn around objects in photos. Call
// [Read] with an annotation file or a folder, then [Set.Find] for each photo.
//
// It reads Pascal VOC XML, COCO JSON, Label Studio JSON, CSV and YOLO text, the formats of the
// usual annotation tools, and detects which one it is.
package annotations

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
)

var (
	// ErrFormat means that an annotation file breaks its format, or that a path contains no
	// annotations. The error names the file and, if there is one, the line.
	ErrFormat = errors.New("unusable annotations")
	// ErrNotAnnotated means that a Set has no annotation for a photo.
	ErrNotAnnotated = errors.New("photo has no annotation")
	// ErrAmbiguous means that a Set has several annotations that may belong to a photo.
	ErrAmbiguous = errors.New("photo has several annotations")
	// ErrShape means that a photo has another shape than the one that was annotated, so that the boxes
	// are elsewhere in it.
	ErrShape = errors.New("not the photo that was annotated")
)

// Limits that keep hostile files from using much memory.
const (
	maxFile   = 64 << 20 // bytes in an annotation file
	maxFiles  = 1 << 18  // annotation files in a folder
	maxPhotos = 1 << 20
	maxBoxes  = 1 << 22
	maxText   = 1 << 12 // bytes in a label or name
	maxSide   = 1 << 24 // pixels
)

// A Box is a labeled rectangle in a photo. Its coordinates are proportions of the photo's width
// and height, with 0 ≤ X0 < X1 ≤ 1 and 0 ≤ Y0 < Y1 ≤ 1, from the top left.
type Box struct {
	Label          string
	X0, Y0, X1, Y1 float64
}

// A Photo has the boxes of one photo, which may be none.
type Photo struct {
	// Path is the photo's path or name in the annotations, with slashes. In YOLO text it has
	// no extension.
	Path string
	// Width and Height are the photo's size in pixels, or 0 if the annotations lack it.
	Width, Height int
	Boxes         []Box
}

// CheckSize fails with ErrShape if a photo of width×height pixels, after it has been turned upright, has
// another shape than the annotations say. A scaled photo has the same shape.
func (p Photo) CheckSize(width, height int) error {
	if p.Width == 0 || p.Height == 0 {
		return nil
	}
	difference := int64(p.Width)*int64(height) - int64(p.Height)*int64(width)
	rounding := max(p.Width+p.Height, width+height) // the sides of a scaled photo are rounded
	if max(difference, -difference) > int64(rounding) {
		return fmt.Errorf("%w: it has %d×%d pixels, and %d×%d in the annotations", ErrShape, width, height, p.Width, p.Height)
	}
	return nil
}

// A Set has the annotations of many photos.
type Set struct {
	Photos []Photo // sorted by path

	byStem map[string][]int // indexes of Photos by name without folder and extension
}

// newSet merges photos with the same path and sorts them by path.
func newSet(photos []Photo) *Set {
	slices.SortStableFunc(photos, func(a, b Photo) int { return strings.Compare(a.Path, b.Path) })
	s := &Set{byStem: map[string][]int{}}
	for _, p := range photos {
		if n := len(s.Photos); n > 0 && s.Photos[n-1].Path == p.Path {
			s.Photos[n-1].Boxes = append(s.Photos[n-1].Boxes, p.Boxes...)
			continue
		}
		s.Photos = append(s.Photos, p)
	}
	for i := range s.Photos {
		name := stem(s.Photos[i].Path)
		s.byStem[name] = append(s.byStem[name], i)
		if after, ok := uploaded(name); ok {
			s.byStem[after] = append(s.byStem[after], i)
		}
	}
	return s
}

// Labels returns the labels of all boxes, sorted and without repetition.
func (s *Set) Labels() []string {
	found := map[string]bool{}
	for _, p := range s.Photos {
		for _, b := range p.Boxes {
			found[b.Label] = true
		}
	}
	labels := make([]string, 0, len(found))
	for l := range found {
		labels = append(labels, l)
	}
	slices.Sort(labels)
	return labels
}

// Find returns the annotation of the photo at the given path. Folders need not agree, because
// photos move. Among annotations with the photo's name, Find returns the one whose path agrees
// in the most folders, and then in the extension. A prefix of eight hexadecimal digits that Label Studio
// adds to names is ignored.
//
// The error wraps ErrNotAnnotated, or ErrAmbiguous if several annotations agree equally well.
func (s *Set) Find(photo string) (Photo, error) {
	photo = strings.ReplaceAll(photo, `\`, "/")
	candidates := s.byStem[stem(photo)]
	if len(candidates) == 0 {
		return Photo{}, fmt.Errorf("%s: %w", photo, ErrNotAnnotated)
	}
	agreement := func(i int) int { return agree(photo, s.Photos[i].Path) }
	best := slices.MaxFunc(candidates, func(i, j int) int { return cmp.Compare(agreement(i), agreement(j)) })
	for _, i := range candidates {
		if i != best && agreement(i) == agreement(best) {
			return Photo{}, fmt.Errorf("%s: %w: %s and %s", photo, ErrAmbiguous, s.Photos[best].Path, s.Photos[i].Path)
		}
	}
	return s.Photos[best], nil
}

// agree returns how well two paths with equal names agree.
func agree(a, b string) int {
	n := 0
	if path.Base(a) == path.Base(b) {
		n++
	}
	a, b = path.Dir(a), path.Dir(b)
	for a != "." && a != "/" && path.Base(a) == path.Base(b) {
		n += 2
		a, b = path.Dir(a), path.Dir(b)
	}
	return n
}

// stem returns the last element of a path without its extension.
func stem(p string) string {
	name := path.Base(p)
	return strings.TrimSuffix(name, path.Ext(name))
}

// uploaded returns a name without the prefix that Label Studio adds to uploaded files.
func uploaded(name string) (string, bool) {
	const digits = 8
	if len(name) <= digits+1 || name[digits] != '-' || strings.Trim(name[:digits], "0123456789abcdef") != "" {
		return "", false
	}
	return name[digits+1:], true
}

// A size is the size of a photo in pixels.
type size struct{ width, height float64 }

func (s size) check() error {
	for _, v := range []float64{s.width, s.height} {
		if !(v >= 1 && v <= maxSide) || v != math.Trunc(v) {
			return fmt.Errorf("the photo's size is %g×%g: give its width and height in pixels", s.width, s.height)
		}
	}
	return nil
}

// pixels returns a box from the coordinates of its corners in pixels.
func (s size) pixels(label string, x0, y0, x1, y1 float64) (Box, error) {
	if err := s.check(); err != nil {
		return Box{}, err
	}
	b, err := relative(label, x0/s.width, y0/s.height, x1/s.width, y1/s.height)
	if err != nil {
		err = fmt.Errorf("%w (%g, %g to %g, %g in a photo of %g×%g pixels)", err, x0, y0, x1, y1, s.width, s.height)
	}
	return b, err
}

// relative returns a box from relative coordinates. It cuts off what is outside the photo.
func relative(label string, x0, y0, x1, y1 float64) (Box, error) {
	label = strings.TrimSpace(label)
	b := Box{label, max(x0, 0), max(y0, 0), min(x1, 1), min(y1, 1)}
	switch {
	case label == "":
		return b, errors.New("the box has no label: add one or delete the box")
	case len(label) > maxText || strings.ContainsAny(label, "\x00\n\r"):
		return b, errors.New("the label is longer than a line: shorten it")
	case !(x0 < x1 && y0 < y1): // also if a coordinate is not a number
		return b, errors.New("the box is empty: correct or delete it")
	case !(b.X0 < b.X1 && b.Y0 < b.Y1):
		return b, errors.New("the box is outside the photo: correct or delete it")
	}
	return b, nil
}

// cleanPath returns a path in annotations with slashes and without "." and "..".
func cleanPath(p string) (string, error) {
	p = strings.ReplaceAll(strings.TrimSpace(p), `\`, "/")
	if p == "" || len(p) > maxText || strings.ContainsRune(p, 0) {
		return "", errors.New("the photo has no usable name: add it")
	}
	if p = path.Clean("/" + p)[1:]; p == "" {
		return "", errors.New("the photo has no usable name: add it")
	}
	return p, nil
}

// A collector gathers photos and counts what it gathers.
type collector struct {
	photos []Photo
	boxes  int
}

func (c *collector) add(p Photo) error {
	c.photos, c.boxes = append(c.photos, p), c.boxes+len(p.Boxes)
	if len(c.photos) > maxPhotos || c.boxes > maxBoxes {
		return fmt.Errorf("more than %d photos or %d boxes: divide the annotations", maxPhotos, maxBoxes)
	}
	return nil
}
