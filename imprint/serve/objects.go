package serve

import (
	"math"
	"net/http"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
)

// A point is a place in a picture: its distances from the left and the top edge, 0 to 1.
type point [2]float64

func (p *point) check() error {
	if p == nil || p[0] >= 0 && p[0] <= 1 && p[1] >= 0 && p[1] <= 1 {
		return nil
	}
	return refusef(http.StatusBadRequest, "at %v: want two numbers from 0 to 1", *p)
}

// distance returns the distance of p from the center of the box.
func (p *point) distance(b predict.Boxed) float64 {
	e := b.Box.Edges()
	return math.Hypot((e[0]+e[2])/2-p[0], (e[1]+e[3])/2-p[1])
}

// choose returns o with the object whose center is closest to p, and moves p there, to follow it.
func (o observed) choose(p *point) observed {
	if len(o.result.Boxes) == 0 {
		return o
	}
	best := o.result.Boxes[0]
	for _, b := range o.result.Boxes[1:] {
		if p.distance(b) < p.distance(best) {
			best = b
		}
	}
	e := best.Box.Edges()
	*p = point{(e[0] + e[2]) / 2, (e[1] + e[3]) / 2}
	o.result.Box, o.result.Embedding, o.chosen = best.Box, best.Embedding, true
	return o
}

// isEmpty reports whether a detector found no object in the picture.
func (o observed) isEmpty() bool { return o.result.Boxes != nil && len(o.result.Boxes) == 0 }

// withObjects returns the pictures that are not empty, and the others as skipped.
func withObjects(photos []observed) (full []observed, empty []imprint.Skipped) {
	for _, o := range photos {
		if o.isEmpty() {
			empty = append(empty, imprint.Skipped{Path: o.picture.Name, Reason: "the detector finds nothing in it"})
			continue
		}
		full = append(full, o)
	}
	return full, empty
}
