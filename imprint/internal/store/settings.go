package store

import (
	"cmp"
	"fmt"

	"github.com/imprintkit/imprint/classifier"
)

// Method returns the head that can be made: the mean head next to the backbone's own
// classes and in the layout Coral, and otherwise Head.
func (s Settings) Method() classifier.Method {
	if s.KeepClasses || s.Layout == classifier.Coral || s.Head == "" {
		return classifier.Mean
	}
	return s.Head
}

// String describes the settings of a model, without the resize mode.
func (s Settings) String() string {
	words := fmt.Sprintf("head %s in the layout %s", cmp.Or(s.Head, classifier.Mean), s.Layout)
	if s.Layout == classifier.TPU {
		words += " of " + s.Pair.Compiled
	}
	if s.KeepClasses {
		words += ", the backbone's own classes"
	}
	if s.Unknown > 0 {
		words += fmt.Sprintf(", false-accept rate %g %%", 100*s.Unknown)
	}
	return words
}
