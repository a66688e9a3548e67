package imprint

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// AutoResize in Options.Fit has the first photos added to a new workspace decide whether
// photos are fitted by dataset.Crop or by dataset.Squash: by Squash if photos left
// out one at a time are then likelier by more than one standard error, else by Crop, and
// so where fewer than ten can be left out. Only Workspace.Add and Workspace.AddBeside choose; elsewhere
// AutoResize is Crop.
const AutoResize dataset.Resize = "auto"

// A FitChoice says how photos are fitted, and by what that was chosen.
type ResizeChoice struct {
	Resize     dataset.Resize    `json:"fit"`
	Candidates []ResizeCandidate `json:"tried"`
	// StdErr is the standard error of the difference between the losses.
	StdErr float64 `json:"std_err"`
}

// A TriedFit is what the head is like when photos are fitted one way.
type ResizeCandidate struct {
	Resize dataset.Resize `json:"fit"`
	// Loss is the mean of −log score of the right class over the photos that are left
	// out both ways, nil when these are too few.
	LogLoss  *float64            `json:"loss"`
	Estimate classifier.Estimate `json:"-"`
	Accuracy float64             `json:"accuracy"` // of Estimate
}

// leftOut is a head that was made of photos fitted one way, and the −log score of the
// right class for each photo left out, by its place among those given.
type leftOut struct {
	head   *classifier.Fitted
	losses map[int]float64
}

// leaveOut makes a head of examples, each with its place among the photos given.
func leaveOut(examples []classifier.Example, places []int, method classifier.Method, root bool) (leftOut, error) {
	f, left, err := classifier.LeaveOneOut(examples, method, root)
	if err != nil {
		return leftOut{}, err
	}
	l := leftOut{f, make(map[int]float64)}
	for i, scores := range left {
		if scores != nil && !math.IsNaN(f.LogLoss) {
			classifier.ApplySoftmax(scores)
			l.losses[places[i]] = -math.Log(max(scores[slices.Index(f.Head.Labels, examples[i].Label)], math.SmallestNonzeroFloat64))
		}
	}
	return l, nil
}

// chooseFit compares the heads that fit makes of photos fitted each way, by the photos
// that are left out of both. It takes the second way if that is better by more than one
// standard error.
func chooseResize(fit func(way int) (leftOut, error)) (choice *ResizeChoice, best int, err error) {
	const least = 10 // photos that say anything
	var heads [len(resizeCandidates)]leftOut
	for i, way := range resizeCandidates {
		if heads[i], err = fit(i); err != nil {
			return nil, 0, fmt.Errorf("choose how photos are fitted: by %s: %w", way, err)
		}
	}
	var losses [len(resizeCandidates)][]float64
	var gains []float64
	for _, place := range slices.Sorted(maps.Keys(heads[0].losses)) {
		first := heads[0].losses[place]
		if second, ok := heads[1].losses[place]; ok {
			losses[0], losses[1], gains = append(losses[0], first), append(losses[1], second), append(gains, first-second)
		}
	}
	choice = new(ResizeChoice)
	for i, way := range resizeCandidates {
		t := ResizeCandidate{Resize: way}
		if heads[i].head != nil {
			t.Estimate, t.Accuracy = heads[i].head.Estimate, heads[i].head.Estimate.Accuracy()
		}
		if len(gains) >= least {
			mean := stat.Mean(losses[i], nil)
			t.LogLoss = &mean
		}
		choice.Candidates = append(choice.Candidates, t)
	}
	if len(gains) >= least {
		gain, std := stat.MeanStdDev(gains, nil)
		choice.StdErr = std / math.Sqrt(float64(len(gains)))
		if gain > choice.StdErr {
			best = 1
		}
	}
	choice.Resize = resizeCandidates[best]
	return choice, best, nil
}

// triedFits are what AutoResize chooses from, the one for want of a reason first.
var resizeCandidates = [...]dataset.Resize{dataset.Crop, dataset.Squash}

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
		var taught []example
		var places []int
		seen, x := make(map[digest]bool), make([]float64, k.backbone.Dim())
		for i, e := range all[way] {
			if items[i].Label == negative || e.err != nil || seen[e.photo] {
				continue
			}
			seen[e.photo] = true
			if norm := unit(k.backbone, x, e.raw); norm > 0 && !math.IsInf(norm, 0) {
				taught = append(taught, example{Label: items[i].Label, Photo: e.photo, Source: items[i].Source, Taken: items[i].Time, raw: e.raw})
				places = append(places, i)
			}
		}
		if len(taught) == 0 {
			return leftOut{}, nil // Add says why
		}
		return leaveOut(k.unitsOf(taught), places, settings.method(), k.roots(settings))
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

// EmbedSetAutoResize does what EmbedSet does with photos fitted by dataset.Crop and by
// dataset.Squash, and returns the better set: the one that
// AutoResize would choose if all its photos were taught.
func EmbedSetAutoResize(ctx context.Context, name string, b *backbone.Backbone, items []dataset.Item, shots, draws, threads int, progress func(done, total int)) (*Set, []Skipped, *ResizeChoice, error) {
	var sets [len(resizeCandidates)]*Set
	var skipped []Skipped
	for way, fit := range resizeCandidates {
		show := progress
		if progress != nil {
			show = func(done, total int) { progress(way*total+done, len(resizeCandidates)*total) }
		}
		var err error
		if sets[way], skipped, err = EmbedSet(ctx, name, b, fit, items, shots, draws, threads, show); err != nil {
			return nil, nil, nil, err
		}
	}
	choice, best, err := chooseResize(func(way int) (leftOut, error) {
		s := sets[way]
		var examples []classifier.Example
		var places []int
		for i, x := range s.Units {
			examples = append(examples, classifier.Example{Label: s.Classes[s.Labels[i]], Unit: x, Norm: s.Norms[i]})
			places = append(places, i)
		}
		return leaveOut(examples, places, classifier.Auto, s.roots())
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return sets[best], skipped, choice, nil
}
