package imprint

import (
	"context"
	"math"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// embedEitherWay does what embed does with photos fitted each way, delivers the better
// and keeps to it.
func (k *Workspace) embedAutoResize(ctx context.Context, items []dataset.Item, progress func(done, total int), deliver func(i int, e embedded) error) (*ResizeChoice, error) {
	settings := k.state.Settings
	if err := k.choose(&settings); err != nil {
		return nil, err
	}
	var all [len(resizeCandidates)][]embedded
	for way, fit := range resizeCandidates {
		all[way] = make([]embedded, len(items))
		err := embedPhotos(ctx, k.backbone, &k.runners, k.options.Threads, fit, items, func(i int, e embedded) error {
			if progress != nil {
				progress(way*len(items)+i+1, len(resizeCandidates)*len(items))
			}
			all[way][i] = e
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	choice, best, err := chooseResize(func(way int) (leftOut, error) {
		var taught []store.Example
		var places []int
		seen, x := make(map[store.Digest]bool), make([]float64, k.backbone.Dim())
		for i, e := range all[way] {
			if items[i].Label == store.NegativeLabel || e.err != nil || seen[e.photo] {
				continue
			}
			seen[e.photo] = true
			if norm := unit(k.backbone, x, e.raw); norm > 0 && !math.IsInf(norm, 0) {
				taught = append(taught, store.Example{Label: items[i].Label, Photo: e.photo, Source: items[i].Source, Taken: items[i].Time, Raw: e.raw})
				places = append(places, i)
			}
		}
		if len(taught) == 0 {
			return leftOut{}, nil // Add says why
		}
		return leaveOut(k.unitsOf(taught), places, settings.Method(), k.roots(settings))
	})
	if err != nil {
		return nil, err
	}
	k.state.Settings.Resize = choice.Resize
	for i, e := range all[best] {
		if err := deliver(i, e); err != nil {
			return nil, err
		}
	}
	return choice, nil
}
