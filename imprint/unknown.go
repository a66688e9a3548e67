package imprint

import (
	"errors"
	"fmt"
	"math"
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
	labels, set := w.labelsOf(s), s.Settings
	switch {
	case set.Layout == classifier.Coral:
		return "Coral's engine adds classes to the coral layout"
	case w.needsBackground(s) != "":
		return w.needsBackground(s)
	case store.Spelling(labels, set.NoneLabel()) != "":
		return takenIn(s, store.Spelling(labels, set.NoneLabel())).Error()
	case slices.Contains(labels, classifier.UnknownLabel):
		return takenIn(s, classifier.UnknownLabel).Error()
	case set.Layout == classifier.TPU:
		if p, err := w.pairOf(set.Pair); err == nil && p.CheckRoom(len(labels)+1, w.backbone.Dim()) != nil {
			return fmt.Sprintf("%s has no room for another row", set.Pair.Compiled)
		}
	}
	return ""
}

// needsBackground says why a head of s can't have a row for "unknown" without a background, if there is none
// and there are too few negatives. It returns "" otherwise.
func (w *Workspace) needsBackground(s *store.State) (why string) {
	switch {
	case s.Settings.KeepClasses:
		why = "the backbone's own classes are kept"
	case s.Settings.Layout == classifier.TPU:
		// compiled.Pair.WriteLastLayer folds the biases into the weights, and with them the threshold of
		// classifier.RejectUnlike, along almost the direction that the row compares photos with.
		why = "the layout is tpu"
	case s.Settings.Method() == classifier.CoralSGD:
		why = "the head coral-sgd leaves no photos out" // from which classifier.RejectUnlike gets its threshold
	}
	if why == "" || w.hasBackground(s) {
		return ""
	}
	return fmt.Sprintf("%s, the backbone has no background, and there are fewer than %d negatives", why, minBackground)
}

// labelsOf returns the labels of all classes of s, without "unknown".
func (w *Workspace) labelsOf(s *store.State) []string {
	if !s.Settings.KeepClasses {
		return s.Labels()
	}
	own, _ := w.ownLabels() // without any, training fails
	return slices.Concat(own, s.Labels())
}

// hasBackground reports whether a head can be trained against a background or, instead of it, negatives.
func (w *Workspace) hasBackground(s *store.State) bool {
	return len(w.background.Units(w.backbone)) > 0 || len(s.Negatives()) >= minBackground
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
	if s.Settings.Layout == classifier.Coral {
		return nil, fmt.Errorf("%w in the %s layout, because Coral's engine adds classes to it", ErrUnknown, classifier.Coral)
	}
	labels := w.labelsOf(s)
	for _, label := range []string{s.Settings.NoneLabel(), classifier.UnknownLabel} {
		if slices.Contains(labels, label) {
			return nil, fmt.Errorf("%w: %w", ErrUnknown, takenIn(s, label))
		}
	}
	if s.Settings.KeepClasses {
		return w.keptWithUnknown(s)
	}
	need := needUnits
	if s.Settings.UnknownRule != store.ClassesLeftOut && len(w.background.Units(w.backbone)) > 0 {
		need = needSample
	}
	f, units, sample, err := w.memory.fit(w, s, need)
	if err != nil {
		return nil, err
	}
	head, r, err := w.reject(f, units, sample, s)
	switch {
	case errors.Is(err, classifier.ErrNoNegatives):
		return f, nil
	case err != nil:
		return nil, err
	}
	f.Head, f.Rejection = head, r
	nameRow(f, s)
	return f, nil
}

// keptWithUnknown is like withUnknown for the backbone's own classes and those of s.
func (w *Workspace) keptWithUnknown(s *store.State) (*classifier.Fitted, error) {
	f := &classifier.Fitted{Recipe: classifier.Recipe{Method: classifier.Mean}, LogLoss: math.NaN()}
	var err error
	if w.needsBackground(s) != "" {
		f.Head, _, err = w.meanHead(s)
		return f, err
	}
	own, err := w.ownClasses()
	if err != nil {
		return nil, err
	}
	sums, err := w.sums(s)
	if err != nil {
		return nil, err
	}
	units, negatives, rate := w.unitsOf(s.Positives()), w.unitsOf(s.Negatives()), w.unknownRate(s)
	if len(w.background.Units(w.backbone)) > 0 {
		f.Head, f.Rejection, err = w.background.Extend(w.backbone, sums, own, units, negatives, rate)
	} else {
		var b *classifier.Background
		if b, err = backgroundOf(negatives, false); err == nil {
			f.Head, f.Rejection, err = b.Extend(sums, own, units, nil, rate)
		}
	}
	if err != nil {
		return nil, err
	}
	nameRow(f, s)
	return f, nil
}

// nameRow names the last row of f's head, the one for "unknown".
func nameRow(f *classifier.Fitted, s *store.State) {
	f.Head.Labels[len(f.Head.Labels)-1] = s.Settings.NoneLabel()
}

// reject adds a row for "unknown" to f's head, by the rule of s. sample is nil unless the rule needs it
// instead of units.
func (w *Workspace) reject(f *classifier.Fitted, units []classifier.Example, sample *classifier.BackgroundSample, s *store.State) (*classifier.Head, *classifier.Rejection, error) {
	negatives, rate := w.unitsOf(s.Negatives()), w.unknownRate(s)
	if sample != nil {
		return w.background.RejectSample(w.backbone, f, sample, negatives, rate)
	}
	if s.Settings.UnknownRule == store.ClassesLeftOut {
		return classifier.Reject(f, units, slices.Concat(negatives, w.generic(s)), rate)
	}
	if s.Settings.Layout == classifier.TPU && w.needsBackground(s) != "" {
		return nil, nil, classifier.ErrNoNegatives
	}
	if len(negatives) < minBackground {
		head, r, err := w.background.Reject(w.backbone, f, units, negatives, rate)
		if errors.Is(err, classifier.ErrNoNegatives) && s.Settings.UnknownRule != store.ByDefault {
			return classifier.Reject(f, units, negatives, rate) // rejects many photos of the classes, so only if it is asked for
		}
		return head, r, err
	}
	b, err := backgroundOf(negatives, f.Head.Sqrt)
	if err != nil {
		return nil, nil, err
	}
	return b.Reject(f, units, nil, rate)
}

// backgroundOf returns a background of negatives.
func backgroundOf(negatives []classifier.Example, sqrt bool) (*classifier.Background, error) {
	var units [][]float64
	for _, e := range negatives {
		units = append(units, e.Unit)
	}
	return classifier.NewBackground(units, sqrt, 1)
}

// labelTaken is classifier.ErrLabelTaken with the label.
type labelTaken struct {
	label string
	own   bool // a class of the backbone has it
}

// takenIn returns the error that a class of s, or one that s keeps, has a label.
func takenIn(s *store.State, label string) labelTaken {
	return labelTaken{label, !slices.Contains(s.Labels(), label)}
}

func (e labelTaken) Error() string {
	if e.own {
		return fmt.Sprintf("a class of the backbone is called %q", e.label)
	}
	return fmt.Sprintf("a class is called %q", e.label)
}

// TakenLabel returns the label of a class that can be renamed, or "", for the command's hint.
func (e labelTaken) TakenLabel() string {
	if e.own {
		return ""
	}
	return e.label
}

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
