package serve

import (
	"github.com/imprintkit/imprint/imprint"
)

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
