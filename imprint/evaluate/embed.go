package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// EmbedOptions configure [Embed].
type EmbedOptions struct {
	Resize   dataset.Resize
	Auto     bool // choose dataset.Crop or dataset.Squash; Resize is ignored
	Support  int  // support photos per class in each episode
	Episodes int
	Threads  int                   // maximum number of cores to use; 0 means all
	Progress func(done, total int) // called after each photo, if not nil
}

// ErrDuplicate is the reason for skipping a photo that the set already has.
var ErrDuplicate = errors.New("the same photo is already in the set")

// Embed embeds labeled photos with b and samples episodes. Each episode trains on Support random
// photos per class and classifies all other photos; the same items give the same episodes. Embed
// also returns the photos that it skipped and, with Auto, the choice of the resize mode. A
// workspace would choose the same mode for these photos. Embed fails with ErrProtocol if a class
// has too few photos.
func Embed(ctx context.Context, name string, b *backbone.Backbone, items []dataset.Item, o EmbedOptions) (*Set, []dataset.Skipped, *ResizeChoice, error) {
	if !o.Auto {
		s, skipped, err := embed(ctx, name, b, items, o)
		return s, skipped, nil, err
	}
	var sets [len(resizeCandidates)]*Set
	var skipped []dataset.Skipped
	for i, mode := range resizeCandidates {
		each := o
		each.Resize = mode
		if o.Progress != nil {
			each.Progress = func(done, total int) { o.Progress(i*total+done, len(resizeCandidates)*total) }
		}
		var err error
		if sets[i], skipped, err = embed(ctx, name, b, items, each); err != nil {
			return nil, nil, nil, err
		}
	}
	choice, best, err := ChooseResize(func(i int) (LeftOut, error) {
		var places []int
		for row := range sets[i].Units {
			places = append(places, row)
		}
		return LeaveOut(sets[i].examples(), places, classifier.Auto, sets[i].roots())
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return sets[best], skipped, choice, nil
}

func embed(ctx context.Context, name string, b *backbone.Backbone, items []dataset.Item, o EmbedOptions) (*Set, []dataset.Skipped, error) {
	s := &Set{Name: name, Devices: make(map[string]int)}
	var skipped []dataset.Skipped
	seen := make(map[[32]byte]bool)
	for _, it := range items {
		if !slices.Contains(s.Classes, it.Label) {
			s.Classes = append(s.Classes, it.Label)
		}
	}
	slices.Sort(s.Classes)
	threads := infer.Cores(o.Threads)
	pool := infer.NewPool(b, threads)
	defer pool.Leave()
	err := pool.Photos(ctx, threads, o.Resize, items, func(i int, e infer.Embedding) error {
		if o.Progress != nil {
			o.Progress(i+1, len(items))
		}
		id := store.CropID(e.Photo, items[i].Box)
		switch {
		case e.Err != nil:
			skipped = append(skipped, dataset.Skipped{Path: items[i].Path, Err: e.Err})
			return nil
		case seen[id]:
			skipped = append(skipped, dataset.Skipped{Path: items[i].Path, Err: ErrDuplicate})
			return nil
		}
		seen[id] = true
		s.Devices[e.Device]++
		x := make([]float64, b.Dim())
		s.Norms = append(s.Norms, infer.Unit(b, x, e.Raw))
		c, _ := slices.BinarySearch(s.Classes, items[i].Label)
		s.Labels, s.Units = append(s.Labels, c), append(s.Units, x)
		s.Photos, s.Hashes = append(s.Photos, Photo{Path: items[i].Path, SHA256: id.String()}), append(s.Hashes, e.Hash)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("embed %s: %w", name, err)
	}
	if err := s.sample(o.Support, o.Episodes, false); err != nil {
		return nil, nil, fmt.Errorf("evaluate %s: %w", name, err)
	}
	return s, skipped, nil
}
