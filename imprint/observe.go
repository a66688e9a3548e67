package imprint

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// An Observation is a photo that has been embedded already, such as a frame of a
// camera that was classified.
type Observation struct {
	Label     string
	Photo     [sha256.Size]byte // of the encoded photo: what tells it from others
	Path      string            // where it is kept, or what it is called
	Source    string            // what it is a part of, such as a camera; "" if not known
	Taken     time.Time
	Embedding []byte // raw, by the Workspace's backbone, fitted as the workspace's settings say
}

// AddObserved teaches observations under their labels, in one change, as Add does with
// photos, but without embedding anything.
func (k *Workspace) AddObservations(ctx context.Context, observed []Observation) (*Added, error) {
	start := time.Now()
	learned := &Added{Classes: make(map[string]int)}
	all, skipped := make([]store.Example, len(observed)), make([]Skipped, len(observed))
	for i, o := range observed {
		if err := store.CheckLabel(o.Label); err != nil {
			return nil, fmt.Errorf("add %s: %w", o.Path, err)
		}
		if got, want := len(o.Embedding), k.backbone.EmbeddingSize(); got != want {
			return nil, fmt.Errorf("add %s: an embedding of %d bytes, and %s gives %d: %w", o.Path, got, k.backbone.Name, want, ErrOtherBackbone)
		}
		all[i] = store.Example{Label: o.Label, Photo: o.Photo, Path: o.Path, Time: start.UTC().Truncate(time.Second), Source: o.Source, Taken: o.Taken, Raw: o.Embedding}
		skipped[i].Path = o.Path
	}
	if err := k.addExamples(ctx, all, skipped, learned); err != nil {
		return learned, err
	}
	learned.Elapsed = time.Since(start)
	learned.Estimate = k.Estimate()
	return learned, nil
}

// RemovePhoto forgets the photo with that SHA-256 in hexadecimal, and says as what it
// was taught.
func (k *Workspace) RemovePhoto(ctx context.Context, sha256 string) (label string, err error) {
	var photo store.Digest
	if err := photo.UnmarshalText([]byte(sha256)); err != nil {
		return "", fmt.Errorf("remove photo %.80q: %w", sha256, err)
	}
	err = k.commit(ctx, func(s *store.State) error {
		i := slices.IndexFunc(s.Examples, func(e store.Example) bool { return e.Photo == photo })
		if i < 0 {
			return fmt.Errorf("remove photo %s: %w like it have been taught", sha256, ErrNoPhotos)
		}
		e := s.Examples[i]
		label = e.Label
		s.Apply(store.Change{Verb: "remove", Removed: []store.Example{e}, Settings: s.Settings})
		return nil
	})
	return label, err
}

// Remembers returns what says whether a photo, by its SHA-256 in hexadecimal, is taught
// or in a change that can be undone.
func (k *Workspace) HasPhoto() func(sha256 string) bool {
	known := make(map[string]bool)
	note := func(list []store.Example) {
		for _, e := range list {
			known[e.Photo.String()] = true
		}
	}
	note(k.state.Examples)
	for _, c := range k.state.History {
		note(c.Added)
		note(c.Removed)
	}
	return func(sha256 string) bool { return known[sha256] }
}

// Choose sets how the last layer is made from the next change on.
func (k *Workspace) Choose(head classifier.Method) { k.options.Head = head }
