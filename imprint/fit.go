package imprint

import (
	"context"
	"fmt"
	"math"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// AutoFit in Options.Fit has the first photos added to a new workspace decide whether
// photos are fitted by dataset.Crop or by dataset.Squash: by the one under which photos
// left out one at a time are likelier. Crop it is where that is equal, or where fewer
// than ten can be left out. Only Kit.Add chooses; elsewhere it is Crop.
const AutoFit dataset.Fit = "auto"

// A FitChoice says how photos are fitted, and by what that was chosen.
type FitChoice struct {
	Fit   dataset.Fit `json:"fit"`
	Tried []TriedFit  `json:"tried"`
}

// A TriedFit is what the head is like when photos are fitted one way.
type TriedFit struct {
	Fit dataset.Fit `json:"fit"`
	// Loss is the mean of −log score of the right class over the photos left out, nil
	// when too few could be.
	Loss     *float64            `json:"loss"`
	Estimate classifier.Estimate `json:"-"`
	Accuracy float64             `json:"accuracy"` // of Estimate
}

// chooseFit compares the heads that fit makes of photos fitted each way.
func chooseFit(fit func(way int) (*classifier.Fitted, error)) (choice *FitChoice, best int, err error) {
	choice = new(FitChoice)
	for i, way := range triedFits {
		f, err := fit(i)
		if err != nil {
			return nil, 0, fmt.Errorf("choose how photos are fitted: by %s: %w", way, err)
		}
		t := TriedFit{Fit: way, Estimate: f.Estimate, Accuracy: f.Estimate.Accuracy()}
		if !math.IsNaN(f.Loss) {
			t.Loss = &f.Loss
		}
		choice.Tried = append(choice.Tried, t)
		// A likelihood that differs by rounding alone decides nothing.
		if b := choice.Tried[best].Loss; t.Loss != nil && b != nil && *t.Loss < *b*(1-1e-9) {
			best = i
		}
	}
	choice.Fit = triedFits[best]
	return choice, best, nil
}

// triedFits are what AutoFit chooses from, the one for want of a reason first.
var triedFits = [...]dataset.Fit{dataset.Crop, dataset.Squash}

// embedEitherWay does what embed does with photos fitted each way, delivers the better
// and keeps to it.
func (k *Kit) embedEitherWay(ctx context.Context, items []dataset.Item, progress func(done, total int), deliver func(i int, e embedded) error) (*FitChoice, error) {
	settings := k.state.Settings
	if err := k.choose(&settings); err != nil {
		return nil, err
	}
	var all [len(triedFits)][]embedded
	for way, fit := range triedFits {
		all[way] = make([]embedded, len(items))
		err := embedPhotos(ctx, k.backbone, &k.runners, k.options.Threads, fit, items, func(i int, e embedded) error {
			if progress != nil {
				progress(way*len(items)+i+1, len(triedFits)*len(items))
			}
			all[way][i] = e
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	choice, best, err := chooseFit(func(way int) (*classifier.Fitted, error) {
		var taught []example
		seen, x := make(map[digest]bool), make([]float64, k.backbone.Dim())
		for i, e := range all[way] {
			if items[i].Label == notTaught || e.err != nil || seen[e.photo] {
				continue
			}
			seen[e.photo] = true
			if norm := unit(k.backbone, x, e.raw); norm > 0 && !math.IsInf(norm, 0) {
				taught = append(taught, example{Label: items[i].Label, Photo: e.photo, Source: items[i].Source, Taken: items[i].Time, raw: e.raw})
			}
		}
		if len(taught) == 0 {
			return &classifier.Fitted{Loss: math.NaN()}, nil // Add says why
		}
		return k.fitUnits(k.unitsOf(taught), settings)
	})
	if err != nil {
		return nil, err
	}
	k.state.Settings.Fit = choice.Fit
	for i, e := range all[best] {
		if err := deliver(i, e); err != nil {
			return nil, err
		}
	}
	return choice, nil
}

// EmbedSetEitherWay does what EmbedSet does with photos fitted by dataset.Crop and by
// dataset.Squash, and returns the better set: that of which the head that is chosen
// when all its photos are taught finds those left out one at a time likelier.
func EmbedSetEitherWay(ctx context.Context, name string, b *backbone.Backbone, items []dataset.Item, shots, draws, threads int, progress func(done, total int)) (*Set, []Skipped, *FitChoice, error) {
	var sets [len(triedFits)]*Set
	var skipped []Skipped
	for way, fit := range triedFits {
		show := progress
		if progress != nil {
			show = func(done, total int) { progress(way*total+done, len(triedFits)*total) }
		}
		var err error
		if sets[way], skipped, err = EmbedSet(ctx, name, b, fit, items, shots, draws, threads, show); err != nil {
			return nil, nil, nil, err
		}
	}
	choice, best, err := chooseFit(func(way int) (*classifier.Fitted, error) {
		s := sets[way]
		var examples []classifier.Example
		for i, x := range s.Units {
			examples = append(examples, classifier.Example{Label: s.Classes[s.Labels[i]], Unit: x, Norm: s.Norms[i]})
		}
		return classifier.Fit(examples, classifier.Auto, s.roots())
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return sets[best], skipped, choice, nil
}
