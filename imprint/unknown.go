package imprint

import (
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// minBackground is the minimum number of negatives that can take the place of a background.
const minBackground = 10

// unknownRate returns the target false-accept rate of s, or 0 if the head has no row for "unknown".
func (w *Workspace) unknownRate(s *store.State) float64 {
	switch {
	case s.Settings.UnknownRule != store.ByDefault:
		return s.Settings.Unknown
	case w.unknownOff(s) != "":
		return 0
	}
	return infer.DefaultRate
}

// unknownOff says why the answer "unknown" is off by default, or returns "".
func (w *Workspace) unknownOff(s *store.State) string {
	labels, set := s.Labels(), s.Settings
	switch {
	case set.Layout == classifier.Coral:
		return "Coral's engine adds classes to the coral layout"
	case set.KeepClasses:
		return "the backbone's own classes are kept"
	case store.Spelling(labels, set.NoneLabel()) != "":
		return labelTaken{store.Spelling(labels, set.NoneLabel())}.Error()
	case slices.Contains(labels, classifier.UnknownLabel):
		return labelTaken{classifier.UnknownLabel}.Error()
	case set.Layout == classifier.TPU:
		if p, err := w.pairOf(set.Pair); err == nil && p.CheckRoom(len(labels)+1, w.backbone.Dim()) != nil {
			return fmt.Sprintf("%s has no room for another row", set.Pair.Compiled)
		}
	}
	return ""
}

// SetUnknown sets Options.Unknown for the next Retrain.
func (w *Workspace) SetUnknown(rate float64) error {
	if err := (&Options{Unknown: &rate}).check(); err != nil {
		return err
	}
	w.nextUnknown = &rate
	return nil
}

// withUnknown trains the head of s with a row for "unknown". The head has no such row if there are too
// few photos, classes or negatives to learn from.
func (w *Workspace) withUnknown(s *store.State) (*classifier.Fitted, error) {
	switch {
	case s.Settings.Layout == classifier.Coral:
		return nil, fmt.Errorf("%w in the %s layout, because Coral's engine adds classes to it", ErrUnknown, classifier.Coral)
	case s.Settings.KeepClasses:
		return nil, fmt.Errorf("%w with the backbone's own classes", ErrUnknown)
	}
	f, units, err := w.memory.fit(w, s)
	if err != nil {
		return nil, err
	}
	head, r, err := w.reject(f, units, s)
	switch {
	case errors.Is(err, classifier.ErrNoNegatives):
		return f, nil
	case errors.Is(err, classifier.ErrLabelTaken):
		label := s.Settings.NoneLabel()
		if !slices.Contains(f.Head.Labels, label) {
			label = classifier.UnknownLabel
		}
		return nil, fmt.Errorf("%w: %w", ErrUnknown, labelTaken{label})
	case err != nil:
		return nil, err
	}
	head.Labels[len(head.Labels)-1] = s.Settings.NoneLabel()
	f.Head, f.Rejection = head, r
	return f, nil
}

// reject adds a row for "unknown" to f's head, by the rule of s.
func (w *Workspace) reject(f *classifier.Fitted, units []classifier.Example, s *store.State) (*classifier.Head, *classifier.Rejection, error) {
	if slices.Contains(f.Head.Labels, s.Settings.NoneLabel()) {
		return nil, nil, classifier.ErrLabelTaken
	}
	negatives, rate := w.unitsOf(s.Negatives()), w.unknownRate(s)
	if s.Settings.UnknownRule == store.ClassesLeftOut {
		return classifier.Reject(f, units, slices.Concat(negatives, w.generic(s)), rate)
	}
	if len(w.background.Units(w.backbone)) > 0 || len(negatives) < minBackground {
		head, r, err := w.background.Reject(w.backbone, f, units, negatives, rate)
		if errors.Is(err, classifier.ErrNoNegatives) && s.Settings.UnknownRule != store.ByDefault {
			return classifier.Reject(f, units, negatives, rate) // rejects many photos of the classes, so only if it is asked for
		}
		return head, r, err
	}
	var own [][]float64
	for _, e := range negatives {
		own = append(own, e.Unit)
	}
	b, err := classifier.NewBackground(own, f.Head.Sqrt, 1)
	if err != nil {
		return nil, nil, err
	}
	return b.Reject(f, units, nil, rate)
}

// labelTaken is classifier.ErrLabelTaken with the label.
type labelTaken struct{ label string }

func (e labelTaken) Error() string { return fmt.Sprintf("a class is called %q", e.label) }

// TakenLabel returns the label, for the command's hint.
func (e labelTaken) TakenLabel() string { return e.label }

func (labelTaken) Unwrap() error { return classifier.ErrLabelTaken }

// generic returns the built-in backbone's embeddings of miscellaneous photos for the rule of older
// versions, or nil for other backbones.
func (w *Workspace) generic(s *store.State) []classifier.Example {
	if s.Backbone.SHA256.String() != builtin.SHA256 || s.Settings.Resize != dataset.Crop || s.Backbone.Size != builtin.GenericSize {
		return nil
	}
	var all []classifier.Example
	for _, raw := range builtin.Generic() {
		x := make([]float64, w.backbone.Dim())
		all = append(all, classifier.Example{Norm: infer.Unit(w.backbone, x, raw), Unit: x})
	}
	return all
}
