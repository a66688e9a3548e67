package imprint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// withUnknown makes the head of s with a row for what is unknown, if it is known what
// photos of other things look like.
func (k *Workspace) withUnknown(s *state) (*classifier.Fitted, error) {
	switch {
	case s.Settings.Layout == classifier.Coral:
		return nil, fmt.Errorf("%w in the layout %s, whose classes Coral's engine continues", ErrUnknown, classifier.Coral)
	case s.Settings.KeepClasses:
		return nil, fmt.Errorf("%w where the backbone's own classes are kept", ErrUnknown)
	}
	units := k.unitsOf(s.positives())
	f, err := k.fitUnits(units, s.Settings)
	if err != nil {
		return nil, err
	}
	head, r, err := classifier.Reject(f, units, slices.Concat(k.unitsOf(s.negatives()), k.generic(s)), s.Settings.Unknown)
	switch {
	case errors.Is(err, classifier.ErrNoNegatives):
		return f, nil // not yet
	case errors.Is(err, classifier.ErrLabelTaken):
		return nil, fmt.Errorf("%w: a class is called %q: give it another name", ErrUnknown, classifier.UnknownLabel)
	case err != nil:
		return nil, err
	}
	f.Head, f.Rejection = head, r
	return f, nil
}

// generic are photos of all sorts, by the program's own backbone.
func (k *Workspace) generic(s *state) []classifier.Example {
	if s.Backbone.SHA256.String() != builtin.SHA256 || s.Settings.Resize != dataset.Crop || s.Backbone.Size != builtin.GenericSize {
		return nil
	}
	var all []classifier.Example
	for _, raw := range builtin.Generic() {
		x := make([]float64, k.backbone.Dim())
		all = append(all, classifier.Example{Norm: unit(k.backbone, x, raw), Unit: x})
	}
	return all
}

// Rejection tells how the workspace's head knows what is unknown; nil if it does not.
func (k *Workspace) Rejection() *classifier.Rejection {
	if f, err := k.currentHead(); err == nil {
		return f.Rejection
	}
	return nil
}

// Advice is what more photos would probably buy; nil where that is not known.
func (k *Workspace) Advice() *classifier.Advice {
	if f, err := k.currentHead(); err == nil {
		return f.Advice
	}
	return nil
}

// Negatives are the photos of nothing taught that the workspace keeps.
func (k *Workspace) Negatives() []Photo {
	var photos []Photo
	for _, e := range k.state.negatives() {
		photos = append(photos, Photo{e.Path, e.Photo.String(), e.Source, e.Taken, e.Time})
	}
	return photos
}

// RemoveNegatives forgets all photos of nothing taught and returns how many they were.
// Single ones are forgotten by Remove.
func (k *Workspace) RemoveNegatives(ctx context.Context) (n int, err error) {
	err = k.commit(ctx, func(s *state) error {
		removed := s.negatives()
		if n = len(removed); n == 0 {
			return fmt.Errorf("remove photos of nothing taught: %w of them", ErrNoPhotos)
		}
		s.apply(change{Verb: "remove", Removed: removed, Settings: s.Settings})
		return nil
	})
	return n, err
}
