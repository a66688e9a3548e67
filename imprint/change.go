package imprint

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// Remove forgets photos: all of a label, or those given by path, or both: the
// photos given as far as they have that label. A path means the photo whose content
// is there now or, if that has not been taught, what was taught from there. It
// returns how many were removed.
func (k *Workspace) Remove(ctx context.Context, label string, paths []string) (int, error) {
	if label == "" && len(paths) == 0 {
		return 0, fmt.Errorf("remove: %w given and no label", ErrNoPhotos)
	}
	photos, absolute := make([]digest, len(paths)), make([]string, len(paths))
	for i, path := range paths {
		if b, err := readFile(path, dataset.DefaultLimits().MaxBytes); err == nil {
			photos[i] = sum(b)
		}
		var err error
		if absolute[i], err = filepath.Abs(path); err != nil {
			return 0, fmt.Errorf("remove %s: %w", path, err)
		}
	}
	var removed []example
	err := k.commit(ctx, func(s *state) error {
		examples := slices.DeleteFunc(slices.Clone(s.Examples), func(e example) bool { return label != "" && e.Label != label })
		if len(examples) == 0 && label != "" {
			return fmt.Errorf("remove %q: %w", label, ErrUnknownLabel)
		}
		if len(paths) == 0 {
			removed = examples
		} else {
			byPhoto, byPath := make(map[digest]bool), make(map[string]bool)
			for _, e := range examples {
				byPhoto[e.Photo], byPath[e.Path] = true, true
			}
			photo, path := make(map[digest]bool), make(map[string]bool)
			for i, p := range paths {
				switch {
				case byPhoto[photos[i]]:
					photo[photos[i]] = true
				case byPath[absolute[i]]:
					path[absolute[i]] = true
				case byPath[p]: // not of a file, but of the standard input
					path[p] = true
				default:
					return fmt.Errorf("remove %s: %w like it have been taught", p, ErrNoPhotos)
				}
			}
			removed = slices.DeleteFunc(examples, func(e example) bool { return !photo[e.Photo] && !path[e.Path] })
		}
		s.apply(change{Verb: "remove", Removed: removed, Settings: s.Settings})
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(removed), nil
}

// Rename gives all photos of a label another one. No photo is embedded again.
func (k *Workspace) Rename(ctx context.Context, from, to string) error {
	if err := checkLabel(to); err != nil {
		return fmt.Errorf("rename %q: %w", from, err)
	}
	return k.commit(ctx, func(s *state) error {
		has := func(label string) bool {
			return slices.ContainsFunc(s.Examples, func(e example) bool { return e.Label == label })
		}
		if !has(from) {
			return fmt.Errorf("rename %q: %w", from, ErrUnknownLabel)
		}
		if has(to) {
			return fmt.Errorf("rename %q: %w: %q is taught already", from, ErrLabel, to)
		}
		s.apply(change{Verb: "rename", From: from, To: to, Settings: s.Settings})
		return nil
	})
}

// Undone is a change that [Workspace.Undo] has taken back.
type Undone struct {
	Verb string // add, remove, rename, retrain or merge
	// Photos counts the photos that the change added or removed, by label.
	Photos map[string]int
	// Negatives counts those of them that belong to no class.
	Negatives int
	// From and To are the label before and after a rename; else "".
	From, To string
}

// Undo takes back the last change and returns it, or fails with ErrNothingToUndo.
// The last 32 changes can be undone one by one, fewer if the state file would
// exceed 1 GiB.
func (k *Workspace) Undo(ctx context.Context) (undone Undone, err error) {
	err = k.commit(ctx, func(s *state) error {
		if len(s.History) == 0 {
			return ErrNothingToUndo
		}
		undone = s.undo().undone()
		return nil
	})
	return undone, err
}

// undone describes c to a caller.
func (c change) undone() Undone {
	u := Undone{Verb: c.Verb, Photos: make(map[string]int), From: c.From, To: c.To}
	for _, e := range c.Added {
		u.Photos[e.Label]++
	}
	for _, e := range c.Removed {
		if c.Verb == "merge" { // replaced by the same photo with an earlier date
			u.Photos[e.Label]--
		} else {
			u.Photos[e.Label]++
		}
	}
	u.Negatives = u.Photos[negative]
	maps.DeleteFunc(u.Photos, func(label string, n int) bool { return label == negative || n == 0 })
	return u
}

// Retrain makes the head and the model anew from the stored embeddings, with the
// settings of the Workspace's options.
func (k *Workspace) Retrain(ctx context.Context) error {
	return k.commit(ctx, func(s *state) error {
		if len(s.positives()) == 0 {
			return fmt.Errorf("retrain: %w", ErrNothingTaught)
		}
		c := change{Verb: "retrain", Settings: s.Settings}
		if err := k.choose(&s.Settings); err != nil {
			return fmt.Errorf("retrain: %w", err)
		}
		s.apply(c)
		return nil
	})
}

// choose puts the settings asked for in the options into s.
func (k *Workspace) choose(s *Settings) error {
	if k.options.Layout != "" {
		s.Layout = k.options.Layout
	}
	if k.options.KeepClasses != nil {
		s.KeepClasses = *k.options.KeepClasses
	}
	if k.options.Head != "" {
		s.Head = k.options.Head
	}
	if k.options.Unknown != nil {
		s.Unknown = *k.options.Unknown
	}
	if k.options.Compiled != "" {
		s.Pair = k.pair.ref
	}
	switch {
	case s.Layout != classifier.TPU:
	case s.Pair == (pairRef{}):
		return ErrNeedsCompiled
	case s.KeepClasses:
		return ErrKeepClasses
	}
	return nil
}
