package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/fleet"
)

// Settings are the choices that determine how a workspace's model is made.
type Settings struct {
	Resize      dataset.Resize    `json:"Fit"` // how photos are resized to the backbone's input
	Layout      classifier.Layout // layout of the published model
	KeepClasses bool              // keep the backbone's own classes
	Head        classifier.Method `json:",omitempty"`        // "" is classifier.Mean, from an older imprint
	Pair        PairRef           `json:"Template,omitzero"` // used by the TPU layout, and kept in other layouts
	Unknown     float64           `json:",omitempty"`        // target false-accept rate, 0…1; 0 is no row for "unknown"
	UnknownRule UnknownRule       `json:",omitempty"`        // how the row for "unknown" is trained
	None        string            `json:",omitempty"`        // label of that row; "" is classifier.UnknownLabel
	Conflicts   fleet.Rule        `json:",omitempty"`        // decides the label of a photo to which merged workspaces give several
	Detector    *DetectorRef      `json:",omitempty"`        // crops photos to what it finds; nil without one
}

// A DetectorRef identifies a detector, and says which objects it finds. It never changes.
type DetectorRef struct {
	Name   string // of the model file; only for messages
	SHA256 Digest
	Labels []string `json:",omitempty"` // of its classes, if the model file has none
	Only   []string `json:",omitempty"` // the labels of the objects to find; nil means all
	Min    float64  // the objects' minimum score, 0…1
}

// Same reports whether d and other, which may be nil, find the same objects. It ignores their names.
func (d *DetectorRef) Same(other *DetectorRef) bool {
	if d == nil || other == nil {
		return d == other
	}
	return d.SHA256 == other.SHA256 && d.Min == other.Min && slices.Equal(d.Labels, other.Labels) && slices.Equal(set(d.Only), set(other.Only))
}

// set returns labels in order and without repetition.
func set(labels []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(labels)))
}

// String describes the detector.
func (d *DetectorRef) String() string {
	if d == nil {
		return "no detector"
	}
	words := d.Name
	if len(d.Only) > 0 {
		words += " for " + strings.Join(d.Only, ", ")
	}
	return fmt.Sprintf("%s with scores of at least %.4g", words, d.Min)
}

// Same reports whether s and other are equal, apart from the names of models.
func (s Settings) Same(other Settings) bool {
	same := s.Detector.Same(other.Detector) && s.Pair.Same(other.Pair)
	s.Detector, s.Pair = other.Detector, other.Pair
	return same && s == other
}

// An UnknownRule says how the row for "unknown" is trained.
type UnknownRule string

const (
	// ClassesLeftOut is the rule of older versions: [classifier.Reject].
	ClassesLeftOut UnknownRule = ""
	// Background is the rule of workspaces for which the user has chosen a rate:
	// [classifier.Background].
	Background UnknownRule = "background"
	// ByDefault is like Background, but with the default rate, and without the row where it is not
	// possible.
	ByDefault UnknownRule = "default"
)

// NoneLabel returns the label of the row for "unknown".
func (s Settings) NoneLabel() string { return cmp.Or(s.None, classifier.UnknownLabel) }

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
	switch {
	case s.UnknownRule == Background && s.Unknown == 0:
		words += `, never "unknown"`
	case s.Unknown > 0:
		words += fmt.Sprintf(", false-accept rate %.4g %%", 100*s.Unknown)
	}
	if s.None != "" {
		words += fmt.Sprintf(", called %q", s.None)
	}
	if s.Detector != nil {
		words += ", detector " + s.Detector.String()
	}
	return words
}
