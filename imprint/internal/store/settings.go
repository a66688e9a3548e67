package store

import (
	"cmp"
	"fmt"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// Settings are the choices that determine how a workspace's model is made.
type Settings struct {
	Resize      dataset.Resize    `json:"Fit"` // how photos are resized to the backbone's input
	Layout      classifier.Layout // layout of the published model
	KeepClasses bool              // keep the backbone's own classes
	Head        classifier.Method `json:",omitempty"`        // "" is classifier.Mean, from an older imprint
	Pair        PairRef           `json:"Template,omitzero"` // used by the TPU layout, and kept in other layouts
	Unknown     float64           `json:",omitempty"`        // target false-accept rate, 0…1; 0 is no row for "unknown"
}

// Method returns the method that trains the head. It is classifier.Mean if the backbone's own
// classes are kept or the layout is Coral, else Head.
func (s Settings) Method() classifier.Method {
	if s.KeepClasses || s.Layout == classifier.Coral || s.Head == "" {
		return classifier.Mean
	}
	return s.Head
}

// String describes the settings of a model, without the resize mode.
func (s Settings) String() string {
	words := fmt.Sprintf("head %s in the %s layout", cmp.Or(s.Head, classifier.Mean), s.Layout)
	if s.Layout == classifier.TPU {
		words += " with " + s.Pair.Compiled
	}
	if s.KeepClasses {
		words += ", keeping the backbone's own classes"
	}
	if s.Unknown > 0 {
		words += fmt.Sprintf(", false-accept rate %g %%", 100*s.Unknown)
	}
	return words
}
