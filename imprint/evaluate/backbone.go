package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// A BackboneChoice is the result of [ChooseBackbone].
type BackboneChoice struct {
	Backbone   string              `json:"backbone"`
	Photos     int                 `json:"photos"` // photos left out with each candidate; 0 if they were too few
	Candidates []BackboneCandidate `json:"tried"`  // the chosen one first, the others by Expected
}

// A BackboneCandidate is a backbone that [ChooseBackbone] compares.
type BackboneCandidate struct {
	Name     string             `json:"backbone"`
	Backbone *backbone.Backbone `json:"-"`
	Prior    float64            `json:"prior"` // accuracy in % that other photo sets suggest
	// ChooseBackbone sets the other fields.
	Score    float64             `json:"score"`    // mean score in % of the true class of a photo left out; 0 without photos
	Expected float64             `json:"expected"` // Prior and Score, weighed, relative to the mean of all candidates
	Estimate classifier.Estimate `json:"estimate"`
	losses   map[int]float64
}

const (
	// backboneSpread is how much the advantage of one backbone over others differs between photo
	// sets: the standard deviation in percentage points, by which ChooseBackbone weighs priors.
	backboneSpread = 3
	// photoSpread is the least standard deviation in percentage points by which a photo's advantage
	// may vary. Heads of few photos are so unsure that all scores are low and hardly vary.
	photoSpread = 20
	// equalBackbones is the difference in percentage points below which the faster backbone wins.
	equalBackbones = 0.3
	// maxBackbonePhotos is the maximum number of photos that ChooseBackbone looks at.
	maxBackbonePhotos = 400
)

// ChooseBackbone chooses the backbone that is expected to be the most accurate on photos like items.
// It trains a head on each backbone's embeddings and leaves one photo out at a time. With n photos,
// a backbone's mean score counts n/s² against 1/t² for its prior; s² is the variance over photos of
// the difference between backbones, at least 20² points, and t is 3 points. Among backbones that are within 0.3 points
// of the best, the one with the fewest multiplications wins. Fewer than ten photos that can be left
// out prove nothing: then only the priors count. ChooseBackbone looks at up to about 400 photos,
// evenly from all classes, and skips photos that can't be read.
func ChooseBackbone(ctx context.Context, candidates []BackboneCandidate, items []dataset.Item, o EmbedOptions) (*BackboneChoice, error) {
	fail := func(err error) (*BackboneChoice, error) { return nil, fmt.Errorf("choose a backbone: %w", err) }
	if len(candidates) == 0 {
		return fail(errors.New("no candidates"))
	}
	items = someOfEach(items, maxBackbonePhotos)
	choice := &BackboneChoice{Candidates: slices.Clone(candidates)}
	for i := range choice.Candidates {
		each := o
		if o.Progress != nil {
			each.Progress = func(done, _ int) { o.Progress(i*len(items)+done, len(candidates)*len(items)) }
		}
		if err := choice.Candidates[i].leaveOut(ctx, items, each); err != nil {
			return fail(fmt.Errorf("%s: %w", choice.Candidates[i].Name, err))
		}
	}
	choice.decide()
	return choice, nil
}

// someOfEach returns at most about n items, the first ones of each label.
func someOfEach(items []dataset.Item, n int) []dataset.Item {
	taken := make(map[string]int)
	for _, it := range items {
		taken[it.Label] = 0
	}
	each := max(n/max(len(taken), 1), 2)
	var some []dataset.Item
	for _, it := range items {
		if taken[it.Label]++; taken[it.Label] <= each {
			some = append(some, it)
		}
	}
	return some
}

// leaveOut trains a head on the items and sets c.Estimate and c.losses.
func (c *BackboneCandidate) leaveOut(ctx context.Context, items []dataset.Item, o EmbedOptions) error {
	threads := infer.Cores(o.Threads)
	pool := infer.NewPool(c.Backbone, threads)
	defer pool.Leave()
	var examples []classifier.Example
	var places []int
	sources, seen := make(map[string]map[string]bool), make(map[[32]byte]bool)
	for _, it := range items {
		if sources[it.Label] == nil {
			sources[it.Label] = make(map[string]bool)
		}
		sources[it.Label][it.Source] = true
	}
	err := pool.Photos(ctx, threads, o.Resize, items, func(i int, e infer.Embedding) error {
		if o.Progress != nil {
			o.Progress(i+1, len(items))
		}
		id := store.CropID(e.Photo, items[i].Box)
		if e.Err != nil || seen[id] {
			return nil
		}
		seen[id] = true
		x := make([]float64, c.Backbone.Dim())
		if norm := infer.Unit(c.Backbone, x, e.Raw); norm > 0 && !math.IsInf(norm, 0) {
			photo := store.Example{Source: items[i].Source, Taken: items[i].Time}
			examples = append(examples, classifier.Example{Label: items[i].Label, Unit: x, Norm: norm, Burst: photo.Burst(len(sources[items[i].Label]) > 1)})
			places = append(places, i)
		}
		return nil
	})
	if err != nil || len(examples) == 0 {
		return err
	}
	root := !slices.ContainsFunc(examples, func(e classifier.Example) bool { return slices.Min(e.Unit) < 0 })
	left, err := LeaveOut(examples, places, classifier.Auto, root)
	if err == nil {
		c.Estimate, c.losses = left.head.Estimate, left.losses
	}
	return err
}

// advantages returns, for each candidate and each photo that was left out with all candidates, the
// score of the photo's class in % minus the mean of all candidates' scores. It sets Score.
func (choice *BackboneChoice) advantages() [][]float64 {
	all := choice.Candidates
	advantages := make([][]float64, len(all))
	for _, place := range slices.Sorted(maps.Keys(all[0].losses)) { // in order, because sums are rounded
		if slices.ContainsFunc(all, func(c BackboneCandidate) bool { _, ok := c.losses[place]; return !ok }) {
			continue
		}
		scores := make([]float64, len(all))
		for i, c := range all {
			scores[i] = 100 * math.Exp(-c.losses[place])
		}
		mean := stat.Mean(scores, nil)
		for i := range all {
			all[i].Score += scores[i]
			advantages[i] = append(advantages[i], scores[i]-mean)
		}
	}
	n := len(advantages[0])
	for i := range all {
		all[i].Score /= float64(max(n, 1))
		if n < minCompared {
			all[i].Score, advantages[i] = 0, nil
		}
	}
	return advantages
}

// decide weighs the evidence, sorts the candidates and chooses one.
func (choice *BackboneChoice) decide() {
	all := choice.Candidates
	advantages := choice.advantages()
	choice.Photos = len(advantages[0])
	prior, variance := 0.0, 0.0 // means over the candidates; variance is that of a candidate's mean advantage
	for i, c := range all {
		prior += c.Prior / float64(len(all))
		if choice.Photos > 0 {
			variance += stat.Variance(advantages[i], nil) / float64(choice.Photos*len(all))
		}
	}
	variance = max(variance, float64(photoSpread*photoSpread)/float64(max(choice.Photos, 1)))
	for i := range all {
		all[i].Expected = all[i].Prior - prior
		if choice.Photos > 0 {
			weight := variance / (variance + backboneSpread*backboneSpread) // of the prior
			all[i].Expected = float64(weight*all[i].Expected) + float64((1-weight)*stat.Mean(advantages[i], nil))
		}
	}
	slices.SortStableFunc(all, func(a, b BackboneCandidate) int { return cmp.Compare(b.Expected, a.Expected) })
	best, fewest := 0, all[0].Backbone.Multiplications()
	for i, c := range all {
		if n := c.Backbone.Multiplications(); n > 0 && n < fewest && c.Expected >= all[0].Expected-equalBackbones {
			best, fewest = i, n
		}
	}
	chosen := all[best]
	copy(all[1:best+1], all[:best])
	all[0] = chosen
	choice.Backbone = chosen.Name
}
