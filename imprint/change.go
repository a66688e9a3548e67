package imprint

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/dataset"
)

// Remove forgets photos: all of a label, or those given by path, or both: the
// photos given as far as they have that label. A path means the photo that was
// taught from it, or the same content anywhere. It returns how many were removed.
func (k *Kit) Remove(ctx context.Context, label string, paths []string) (int, error) {
	hashes := make(map[digest]string)
	for _, path := range paths {
		if b, err := readFile(path, dataset.DefaultLimits().MaxBytes); err == nil {
			hashes[sum(b)] = path
		}
	}
	var removed []example
	err := k.commit(ctx, func(s *state) error {
		removed = nil
		if label != "" && !slices.ContainsFunc(s.Examples, func(e example) bool { return e.Label == label }) {
			return fmt.Errorf("remove %q: %w", label, ErrUnknownLabel)
		}
		met := make(map[string]bool)
		for _, e := range s.Examples {
			if label != "" && e.Label != label {
				continue
			}
			path, hit := hashes[e.Photo]
			if !hit {
				i := slices.IndexFunc(paths, func(p string) bool { return samePath(p, e.Path) })
				if hit = i >= 0; hit {
					path = paths[i]
				}
			}
			if hit || len(paths) == 0 {
				removed = append(removed, e)
				met[path] = true
			}
		}
		for _, p := range paths {
			if !met[p] {
				return fmt.Errorf("remove %s: %w like it have been taught", p, ErrNoPhotos)
			}
		}
		if len(removed) == 0 {
			return fmt.Errorf("remove: %w given and no label", ErrNoPhotos)
		}
		s.apply(change{Verb: "remove", Removed: removed, Settings: s.Settings})
		return nil
	})
	return len(removed), err
}

func samePath(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// Rename gives all photos of a label another one. No photo is embedded again.
func (k *Kit) Rename(ctx context.Context, from, to string) error {
	if err := checkLabel(to); err != nil {
		return fmt.Errorf("rename %q: %w", from, err)
	}
	return k.commit(ctx, func(s *state) error {
		c := change{Verb: "rename", Settings: s.Settings}
		for _, e := range s.Examples {
			switch e.Label {
			case to:
				return fmt.Errorf("rename %q: %w: %q is taught already", from, ErrLabel, to)
			case from:
				c.Removed = append(c.Removed, e)
				e.Label = to
				c.Added = append(c.Added, e)
			}
		}
		if len(c.Added) == 0 {
			return fmt.Errorf("rename %q: %w", from, ErrUnknownLabel)
		}
		s.apply(c)
		return nil
	})
}

// Undo takes the last change back and says which it was. The last 32 changes can
// be taken back one after the other.
func (k *Kit) Undo(ctx context.Context) (verb string, err error) {
	err = k.commit(ctx, func(s *state) error {
		if len(s.History) == 0 {
			return ErrNothingToUndo
		}
		verb = s.undo().Verb
		return nil
	})
	return verb, err
}

// Retrain makes the head and the model anew from the stored embeddings, with the
// settings of the Kit's options.
func (k *Kit) Retrain(ctx context.Context) error {
	return k.commit(ctx, func(s *state) error {
		if len(s.Examples) == 0 {
			return fmt.Errorf("retrain: %w", ErrNothingTaught)
		}
		c := change{Verb: "retrain", Settings: s.Settings}
		k.choose(&s.Settings)
		s.apply(c)
		return nil
	})
}

// choose puts the settings asked for in the options into s.
func (k *Kit) choose(s *Settings) {
	if k.options.Layout != "" {
		s.Layout = k.options.Layout
	}
	if k.options.KeepClasses != nil {
		s.KeepClasses = *k.options.KeepClasses
	}
}
