// Package region decides what named rectangles of a camera's picture show. Describe each
// rectangle with a [Region]; then pass the answers of the model to [Tracker.Step], which turns
// them into a [State] that does not flicker.
//
// The package runs no model and knows no server. Its values are not safe for concurrent use.
package region

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/imprintkit/imprint/imprint"
)

// Max is the largest number of regions of a picture.
const Max = 16

// maxName is the largest length of a name, in bytes. Its escaped form has to fit in a topic of
// MQTT and an identifier of Home Assistant.
const maxName = 60

// ErrRegion means that the description of a region is invalid.
var ErrRegion = errors.New("unusable region")

// A Region is a named rectangle of a picture, and the rules for its state.
type Region struct {
	Name string `json:"name"`
	Box  Box    `json:"box"`
	// Answers is the number of equal answers in a row that make a state.
	Answers int `json:"answers"`
	// MinScore is the score from which an answer counts as its label. Below it, the answer counts
	// as unknown.
	MinScore float64 `json:"min_score"`
	// Hysteresis is subtracted from MinScore for the label that is the region's state.
	Hysteresis float64 `json:"hysteresis"`
	// Motion is the difference from the last answered picture from which a picture is answered,
	// as defined for [Gray.Difference]. At 0, every picture is answered.
	Motion float64 `json:"motion"`
}

// New returns a region with the default rules.
func New(name string, box Box) Region {
	return Region{Name: name, Box: box, Answers: 3, MinScore: 0.6, Hysteresis: 0.1, Motion: 0.02}
}

// Parse parses NAME=LEFT,TOP,RIGHT,BOTTOM into a region with the default rules.
func Parse(s string) (Region, error) {
	end := max(strings.LastIndex(s, "="), 0)
	name, box := s[:end], strings.TrimPrefix(s[end:], "=")
	numbers := strings.Split(box, ",")
	if len(numbers) != 4 {
		return Region{}, fmt.Errorf("%w %q: want NAME=LEFT,TOP,RIGHT,BOTTOM, such as door=0.1,0.2,0.4,0.9", ErrRegion, s)
	}
	var b Box
	for i, text := range numbers {
		var err error
		if b[i], err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
			return Region{}, fmt.Errorf("%w %q: %q is not a number", ErrRegion, s, text)
		}
	}
	r := New(name, b)
	return r, r.Check()
}

// Check returns an error that wraps ErrRegion if r can't be used.
func (r Region) Check() error {
	within := func(v, low, high float64) bool { return v >= low && v <= high } // false for NaN
	switch {
	case !utf8.ValidString(r.Name) || len(r.Name) > maxName:
		return fmt.Errorf("%w: name %.40q: want UTF-8 of at most %d bytes", ErrRegion, r.Name, maxName)
	case imprint.CheckLabel(r.Name) != nil:
		return fmt.Errorf("%w: name %q: want a name like a label's, without control characters", ErrRegion, r.Name)
	case !within(r.Box[0], 0, 1) || !within(r.Box[1], 0, 1) || !within(r.Box[2], 0, 1) || !within(r.Box[3], 0, 1):
		return fmt.Errorf("%w %q: %v is outside the picture, whose left and top are 0 and whose right and bottom are 1", ErrRegion, r.Name, r.Box)
	case r.Box[0] >= r.Box[2] || r.Box[1] >= r.Box[3]:
		return fmt.Errorf("%w %q: %v is empty: want LEFT,TOP,RIGHT,BOTTOM", ErrRegion, r.Name, r.Box)
	case r.Answers < 1 || r.Answers > 1000:
		return fmt.Errorf("%w %q: %d answers: want 1 to 1000", ErrRegion, r.Name, r.Answers)
	case !within(r.MinScore, 0, 1) || !within(r.Hysteresis, 0, 1) || !within(r.Motion, 0, 1):
		return fmt.Errorf("%w %q: minimum score %v, hysteresis %v, motion %v: want 0 to 1", ErrRegion, r.Name, r.MinScore, r.Hysteresis, r.Motion)
	}
	return nil
}

// A Box is a rectangle: left, top, right and bottom, from 0 to 1.
type Box [4]float64

// String returns the box as Parse reads it.
func (b Box) String() string { return fmt.Sprintf("%v,%v,%v,%v", b[0], b[1], b[2], b[3]) }

// UnmarshalJSON reads an array of exactly four numbers.
func (b *Box) UnmarshalJSON(text []byte) error {
	var numbers []float64
	if err := json.Unmarshal(text, &numbers); err != nil {
		return err
	}
	if len(numbers) != len(b) {
		return fmt.Errorf("box has %d numbers: want left, top, right, bottom", len(numbers))
	}
	copy(b[:], numbers)
	return nil
}

// Pixels returns the box in a picture with the given bounds. It has at least one pixel unless the
// picture is empty.
func (b Box) Pixels(picture image.Rectangle) image.Rectangle {
	at := func(from, size int, low, high float64) (int, int) {
		start := min(int(math.Floor(low*float64(size))), size-1)
		return from + start, from + max(int(math.Ceil(high*float64(size))), start+1)
	}
	x0, x1 := at(picture.Min.X, picture.Dx(), b[0], b[2])
	y0, y1 := at(picture.Min.Y, picture.Dy(), b[1], b[3])
	return image.Rect(x0, y0, x1, y1).Intersect(picture)
}
