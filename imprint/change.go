package imprint

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Remove removes the photos with a label, at paths, or both, and returns their number. A path
// selects the photo with the file's present content, or else the photo added from that path. A
// folder selects all photos in it.
func (w *Workspace) Remove(ctx context.Context, label string, paths []string) (int, error) {
	if label == "" && len(paths) == 0 {
		return 0, fmt.Errorf("remove: %w and no label given", ErrNoPhotos)
	}
	named, err := namePhotos(ctx, paths)
	if err != nil {
		return 0, fmt.Errorf("remove: %w", err)
	}
	var removed []store.Example
	err = w.commit(ctx, func(s *store.State) (err error) {
		label := spelling(s, label)
		removed = slices.DeleteFunc(slices.Clone(s.Examples), func(e store.Example) bool { return label != "" && e.Label != label })
		if len(removed) == 0 && label != "" {
			return fmt.Errorf("remove %q: %w", label, ErrUnknownLabel)
		}
		if len(named) > 0 {
			of := removed
			if removed, err = pick(of, named); err != nil {
				return fmt.Errorf("remove %w", cmp.Or(inOtherClass(s, of, named, label), err))
			}
		}
		s.Apply(store.Change{Verb: "remove", Removed: removed, Settings: s.Settings})
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(removed), nil
}

// inOtherClass returns an error that names the class of the first photo that is among the
// examples of s but not among those of the label. It returns nil if there is none.
func inOtherClass(s *store.State, of []store.Example, named []namedPhoto, label string) error {
	for _, p := range named {
		if _, err := pick(slices.Clone(of), []namedPhoto{p}); err == nil {
			continue
		}
		found, err := pick(slices.Clone(s.Examples), []namedPhoto{p})
		if err != nil {
			continue
		}
		if found[0].Label == store.NegativeLabel {
			return fmt.Errorf("%s: %w in %q: it is a negative", p.path, ErrNoPhotos, label)
		}
		return fmt.Errorf("%s: %w in %q: it is in %q", p.path, ErrNoPhotos, label, found[0].Label)
	}
	return nil
}

// RemovePhoto removes the photo with that hexadecimal SHA-256.
func (w *Workspace) RemovePhoto(ctx context.Context, sha256 string) (label string, err error) {
	var photo store.Digest
	if err := photo.UnmarshalText([]byte(sha256)); err != nil {
		return "", fmt.Errorf("remove photo %.80q: %w", sha256, err)
	}
	err = w.commit(ctx, func(s *store.State) error {
		i := slices.IndexFunc(s.Examples, func(e store.Example) bool { return e.Photo == photo })
		if i < 0 {
			return fmt.Errorf("remove photo %s: %w: the workspace does not have it", sha256, ErrNoPhotos)
		}
		e := s.Examples[i]
		label = e.Label
		s.Apply(store.Change{Verb: "remove", Removed: []store.Example{e}, Settings: s.Settings})
		return nil
	})
	return label, err
}

// RemoveNegatives removes all negatives and returns their number.
func (w *Workspace) RemoveNegatives(ctx context.Context) (n int, err error) {
	err = w.commit(ctx, func(s *store.State) error {
		removed := s.Negatives()
		if n = len(removed); n == 0 {
			return fmt.Errorf("remove negatives: %w", ErrNoPhotos)
		}
		s.Apply(store.Change{Verb: "remove", Removed: removed, Settings: s.Settings})
		return nil
	})
	return n, err
}

// Rename renames a class. It does not embed any photos.
func (w *Workspace) Rename(ctx context.Context, from, to string) error {
	if err := CheckLabel(to); err != nil {
		return fmt.Errorf("rename %q: %w", from, err)
	}
	return w.commit(ctx, func(s *store.State) error {
		from := spelling(s, from)
		others := store.State{Settings: s.Settings, Examples: slices.DeleteFunc(slices.Clone(s.Positives()), func(e store.Example) bool { return e.Label == from })}
		if len(others.Examples) == len(s.Positives()) {
			return fmt.Errorf("rename %q: %w", from, ErrUnknownLabel)
		}
		if to == from || slices.Contains(others.Labels(), spelling(&others, to)) {
			return fmt.Errorf("rename %q: %w: %q already exists", from, ErrLabel, to)
		}
		resolved, err := others.ResolveLabels([]string{to})
		if err != nil {
			return fmt.Errorf("rename %q: %w", from, err)
		}
		to := resolved[to]
		s.Apply(store.Change{Verb: "rename", From: from, To: to, Settings: s.Settings})
		return nil
	})
}

// Undone describes a change that [Workspace.Undo] has undone.
type Undone struct {
	Verb      string         // add, remove, move, rename, retrain or merge
	Photos    map[string]int // number of photos added, removed or moved, by label; a move counts under the old label
	Negatives int            // number of negatives added, removed or moved
	From, To  string         // labels before and after a rename, or names of backbones; a move sets To
}

// Undo undoes the last of at most 32 changes, or returns ErrNothingToUndo.
func (w *Workspace) Undo(ctx context.Context) (undone Undone, err error) {
	back := func() {}
	err = w.commit(ctx, func(s *store.State) (err error) {
		if len(s.History) == 0 {
			return ErrNothingToUndo
		}
		now := s.Backbone.Name
		if undone = describe(s.Undo()); !s.Backbone.Same(w.state.Backbone) {
			undone.From, undone.To = s.Backbone.Name, now
		}
		back, err = w.useBackboneOf(s)
		return err
	})
	if err != nil {
		back()
	}
	return undone, err
}

// newIn returns the examples of list whose photos are not in other.
func newIn(list, other []store.Example) []store.Example {
	known := make(map[store.Digest]bool, len(other))
	for _, e := range other {
		known[e.Photo] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(e store.Example) bool { return known[e.Photo] })
}

func describe(c store.Change) Undone {
	u := Undone{Verb: c.Verb, Photos: make(map[string]int), From: c.From, To: c.To}
	if c.Verb == "move" {
		u.To, c.Added = c.Added[0].Label, nil
	}
	if c.Verb == "retrain" { // all photos were replaced by themselves, if any
		return u
	}
	for _, e := range slices.Concat(newIn(c.Added, c.Removed), newIn(c.Removed, c.Added)) {
		u.Photos[e.Label]++
	}
	u.Negatives = u.Photos[store.NegativeLabel]
	delete(u.Photos, store.NegativeLabel)
	return u
}

// Retrain trains the head again with the options and, unless it is "", method.
func (w *Workspace) Retrain(ctx context.Context, method classifier.Method) error {
	rate := w.nextUnknown
	w.nextUnknown = nil
	return w.commit(ctx, func(s *store.State) error {
		if len(s.Positives()) == 0 {
			return fmt.Errorf("retrain: %w", ErrNoClasses)
		}
		c := store.Change{Verb: "retrain", Settings: s.Settings}
		if err := w.choose(&s.Settings); err != nil {
			return fmt.Errorf("retrain: %w", err)
		}
		if method != "" {
			s.Settings.Head = method
		}
		if rate != nil {
			s.Settings.Unknown, s.Settings.UnknownRule = *rate, store.Background
		}
		s.Apply(c)
		return nil
	})
}

// choose copies the settings in the options to s.
func (w *Workspace) choose(s *store.Settings) error {
	o := w.options
	if o.Layout != "" {
		s.Layout = o.Layout
	}
	if o.KeepClasses != nil {
		s.KeepClasses = *o.KeepClasses
	}
	if o.Head != "" {
		s.Head = o.Head
	}
	if o.Unknown != nil {
		s.Unknown, s.UnknownRule = *o.Unknown, store.Background
	}
	if o.None != "" {
		s.None = o.None
	}
	if o.Conflicts != nil {
		s.Conflicts = *o.Conflicts
	}
	if o.Compiled != "" {
		s.Pair = w.pair.ref
	}
	switch {
	case s.Layout != classifier.TPU:
	case s.Pair == (store.PairRef{}):
		return ErrNeedsCompiled
	case s.KeepClasses:
		return ErrKeepClasses
	}
	return nil
}
