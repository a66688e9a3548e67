package imprint

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// An Observation is a photo that has been embedded already, such as a frame of a
// camera that was classified.
type Observation struct {
	Label     string
	Photo     [sha256.Size]byte // of the encoded photo: what tells it from others
	Path      string            // where it is kept, or what it is called
	Source    string            // what it is a part of, such as a camera; "" if not known
	Taken     time.Time
	Embedding []byte // raw, by the Kit's backbone, fitted as the workspace's settings say
}

// AddObserved teaches observations under their labels, in one change, as Add does with
// photos, but without embedding anything.
func (k *Kit) AddObserved(ctx context.Context, observed []Observation) (*Learned, error) {
	start := time.Now()
	learned := &Learned{Classes: make(map[string]int)}
	all, skipped := make([]example, len(observed)), make([]Skipped, len(observed))
	for i, o := range observed {
		if err := checkLabel(o.Label); err != nil {
			return nil, fmt.Errorf("add %s: %w", o.Path, err)
		}
		if got, want := len(o.Embedding), k.backbone.EmbeddingSize(); got != want {
			return nil, fmt.Errorf("add %s: an embedding of %d bytes, and %s gives %d: %w", o.Path, got, k.backbone.Name, want, ErrOtherBackbone)
		}
		all[i] = example{Label: o.Label, Photo: o.Photo, Path: o.Path, Time: start.UTC().Truncate(time.Second), Source: o.Source, Taken: o.Taken, raw: o.Embedding}
		skipped[i].Path = o.Path
	}
	if err := k.addExamples(ctx, all, skipped, learned); err != nil {
		return learned, err
	}
	learned.Elapsed = time.Since(start)
	learned.Estimate = k.Estimate()
	return learned, nil
}
