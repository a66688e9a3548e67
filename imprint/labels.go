package imprint

import (
	"fmt"

	"golang.org/x/text/unicode/norm"

	"github.com/imprintkit/imprint/imprint/internal/store"
)

// CheckLabel returns an error that wraps ErrLabel if a name can't be a label.
func CheckLabel(label string) error { return store.CheckLabel(label) }

// checkLabels returns an error if a label in b conflicts with the workspace's labels, or if the
// compiled model has no room for all classes.
func (w *Workspace) checkLabels(b *batch) error {
	labels := make([]string, len(b.items))
	for i, it := range b.items {
		labels[i] = it.Label
	}
	resolved, err := w.state.ResolveLabels(labels)
	if err == nil {
		err = w.checkRoom(resolved)
	}
	if err != nil {
		return fmt.Errorf("add: %w", err)
	}
	return nil
}

// resolveLabels changes the labels of examples to their spelling in s.
func resolveLabels(s *store.State, examples []store.Example) error {
	labels := make([]string, len(examples))
	for i, e := range examples {
		labels[i] = e.Label
	}
	resolved, err := s.ResolveLabels(labels)
	if err != nil {
		return err
	}
	for i := range examples {
		examples[i].Label = resolved[examples[i].Label]
	}
	return nil
}

// spelling returns the label in s that equals label in Unicode normal form C, or label itself if
// there is none.
func spelling(s *store.State, label string) string {
	for _, l := range s.Labels() {
		if l == label || norm.NFC.String(l) == norm.NFC.String(label) {
			return l
		}
	}
	return label
}
