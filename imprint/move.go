package imprint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Move moves the photos at paths to a class and returns how many had another.
func (w *Workspace) Move(ctx context.Context, label string, paths []string) (moved int, err error) {
	if len(paths) == 0 {
		return 0, fmt.Errorf("move to %q: %w given", label, ErrNoPhotos)
	}
	if err := CheckLabel(label); err != nil {
		return 0, fmt.Errorf("move: %w", err)
	}
	named, err := namePhotos(ctx, paths)
	if err != nil {
		return 0, fmt.Errorf("move: %w", err)
	}
	err = w.commit(ctx, func(s *store.State) error {
		before, err := pick(slices.Clone(s.Examples), named)
		if err != nil {
			return fmt.Errorf("move %w", err)
		}
		resolved, err := s.ResolveLabels([]string{label})
		if err != nil {
			return fmt.Errorf("move: %w", err)
		}
		before = slices.DeleteFunc(before, func(e store.Example) bool { return e.Label == resolved[label] })
		if moved = len(before); moved == 0 {
			return errUnchanged
		}
		after := slices.Clone(before)
		for i := range after {
			after[i].Relabel(resolved[label])
		}
		// Every version of imprint can undo this: it is stored as a removal and an addition.
		s.Apply(store.Change{Verb: "move", Removed: before, Added: after, Settings: s.Settings})
		return nil
	})
	if err != nil {
		return 0, err
	}
	return moved, nil
}

// A namedPhoto is a path given by the caller. It names a photo or a folder of photos.
type namedPhoto struct {
	path, absolute string
	folder         bool
	content        []store.Digest // digests of the readable files
}

func namePhotos(ctx context.Context, paths []string) ([]namedPhoto, error) {
	named := make([]namedPhoto, len(paths))
	for i, path := range paths {
		p := namedPhoto{path: path}
		var err error
		if p.absolute, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		items := []dataset.Item{{Path: path}}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			p.folder = true
			if items, _, err = dataset.WalkContext(ctx, []string{path}, "-"); err != nil {
				return nil, err
			}
		}
		for _, it := range items {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if b, err := store.ReadFile(it.Path, dataset.DefaultLimits().MaxBytes); err == nil {
				p.content = append(p.content, store.Sum(b))
			}
		}
		named[i] = p
	}
	return named, nil
}

// pick returns the examples that photos name. It fails if a named photo matches no example.
func pick(examples []store.Example, photos []namedPhoto) ([]store.Example, error) {
	byPhoto, byPath := make(map[store.Digest]bool), make(map[string]bool)
	for _, e := range examples {
		byPhoto[e.File()], byPath[e.Path] = true, true
	}
	photo, path := make(map[store.Digest]bool), make(map[string]bool)
	for _, p := range photos {
		found := false
		for _, sum := range p.content {
			if byPhoto[sum] {
				photo[sum], found = true, true
			}
		}
		if found && !p.folder {
			continue
		}
		for _, name := range []string{p.absolute, p.path} { // a photo read from standard input is stored under p.path
			if !found && byPath[name] {
				path[name], found = true, true
			}
		}
		for name := range byPath { // photos in a folder that may no longer exist
			if strings.HasPrefix(name, strings.TrimSuffix(p.absolute, "/")+"/") {
				path[name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("%s: %w: the workspace does not have it", p.path, ErrNoPhotos)
		}
	}
	return slices.DeleteFunc(examples, func(e store.Example) bool { return !photo[e.File()] && !path[e.Path] }), nil
}
