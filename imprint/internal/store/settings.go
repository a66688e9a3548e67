package store

import (
	"cmp"
	"fmt"

	"github.com/imprintkit/imprint/classifier"
)

// Method is how the head of s is made. Beside the backbone's own classes, and where
// Coral's engine shall continue it, it can only be the mean head.
func (s Settings) Method() classifier.Method {
	if s.KeepClasses || s.Layout == classifier.Coral || s.Head == "" {
		return classifier.Mean
	}
	return s.Head
}

// String tells how a model is written.
func (s Settings) String() string {
	words := fmt.Sprintf("head %s in layout %s", cmp.Or(s.Head, classifier.Mean), s.Layout)
	if s.Layout == classifier.TPU {
		words += " of " + s.Pair.Compiled
	}
	if s.KeepClasses {
		words += ", its own classes kept"
	}
	if s.Unknown > 0 {
		words += fmt.Sprintf(", %g %% of what is unknown accepted", 100*s.Unknown)
	}
	return words
}
