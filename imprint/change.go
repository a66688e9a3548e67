package imprint

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Remove forgets photos: all of a label, or those given by path, or both: the
// photos given as far as they have that label. A path means the photo whose content
// is there now or, if that has not been taught, what was taught from there. It
// returns how many were removed.
func (k *Workspace) Remove(ctx context.Context, label string, paths []string) (int, error) {
	if label == "" && len(paths) == 0 {
		return 0, fmt.Errorf("remove: %w given and no label", ErrNoPhotos)
	}
	photos, absolute := make([]store.Digest, len(paths)), make([]string, len(paths))
	for i, path := range paths {
		if b, err := store.ReadFile(path, dataset.DefaultLimits().MaxBytes); err == nil {
			photos[i] = store.Sum(b)
		}
		var err error
		if absolute[i], err = filepath.Abs(path); err != nil {
			return 0, fmt.Errorf("remove %s: %w", path, err)
		}
	}
	var removed []store.Example
	err := k.commit(ctx, func(s *store.State) error {
		examples := slices.DeleteFunc(slices.Clone(s.Examples), func(e store.Example) bool { return label != "" && e.Label != label })
		if len(examples) == 0 && label != "" {
			return fmt.Errorf("remove %q: %w", label, ErrUnknownLabel)
		}
		if len(paths) == 0 {
			removed = examples
		} else {
			byPhoto, byPath := make(map[store.Digest]bool), make(map[string]bool)
			for _, e := range examples {
				byPhoto[e.Photo], byPath[e.Path] = true, true
			}
			photo, path := make(map[store.Digest]bool), make(map[string]bool)
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
			removed = slices.DeleteFunc(examples, func(e store.Example) bool { return !photo[e.Photo] && !path[e.Path] })
		}
		s.Apply(store.Change{Verb: "remove", Removed: removed, Settings: s.Settings})
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(removed), nil
}

// Rename gives all photos of a label another one. No photo is embedded again.
func (k *Workspace) Rename(ctx context.Context, from, to string) error {
	if err := store.CheckLabel(to); err != nil {
		return fmt.Errorf("rename %q: %w", from, err)
	}
	return k.commit(ctx, func(s *store.State) error {
		has := func(label string) bool {
			return slices.ContainsFunc(s.Examples, func(e store.Example) bool { return e.Label == label })
		}
		if !has(from) {
			return fmt.Errorf("rename %q: %w", from, ErrUnknownLabel)
		}
		if has(to) {
			return fmt.Errorf("rename %q: %w: %q is taught already", from, store.ErrLabel, to)
		}
		s.Apply(store.Change{Verb: "rename", From: from, To: to, Settings: s.Settings})
		return nil
	})
}

// Undo takes the last change back and says which it was. The last 32 changes can
// be taken back one after the other (fewer where a state file of 1 GiB has no room).
func (k *Workspace) Undo(ctx context.Context) (verb string, err error) {
	err = k.commit(ctx, func(s *store.State) error {
		if len(s.History) == 0 {
			return ErrNothingToUndo
		}
		verb = s.Undo().Verb
		return nil
	})
	return verb, err
}

// Retrain makes the head and the model anew from the stored embeddings, with the
// settings of the Workspace's options.
func (k *Workspace) Retrain(ctx context.Context) error {
	return k.commit(ctx, func(s *store.State) error {
		if len(s.Positives()) == 0 {
			return fmt.Errorf("retrain: %w", ErrNothingTaught)
		}
		c := store.Change{Verb: "retrain", Settings: s.Settings}
		if err := k.choose(&s.Settings); err != nil {
			return fmt.Errorf("retrain: %w", err)
		}
		s.Apply(c)
		return nil
	})
}

// choose puts the settings asked for in the options into s.
func (k *Workspace) choose(s *store.Settings) error {
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
	case s.Pair == (store.PairRef{}):
		return ErrNeedsCompiled
	case s.KeepClasses:
		return ErrKeepClasses
	}
	return nil
}
