package detector

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/dataset"
)

// EvaluateOptions configure Evaluate.
type EvaluateOptions struct {
	Options
	Shots   []int // numbers of photos to train on; with several labels, of each label
	Draws   int   // number of repetitions with other photos
	HoldOut int   // number of photos to test on, at most half of all
}

// A Score is the accuracy with a number of photos.
type Score struct {
	Shots int     `json:"shots"`
	AP50  float64 `json:"ap50"` // average precision at IoU 0.5, the mean of the draws and labels
	Draws int     `json:"draws"`
	// Each has the average precision of each draw, and Photos the mean number of photos trained on.
	Each    []float64 `json:"each"`
	Photos  float64   `json:"photos"`
	Seconds float64   `json:"seconds"` // mean time of a training
	HoldOut int       `json:"held_out"`
}

// Evaluate trains on a few of the photos, measures the detector with photos that it holds out, and
// repeats this with other photos. The draws depend only on the content of the photos.
//
// The error is one of Train's.
func Evaluate(ctx context.Context, model []byte, photos []Photo, o EvaluateOptions) ([]Score, error) {
	labels, err := newLabels(photos, o.Options)
	if err != nil {
		return nil, err
	}
	if photos, err = byContent(ctx, photos, labels, o.threads()); err != nil {
		return nil, err
	}
	held := min(o.HoldOut, len(photos)/2)
	if most := len(photos) - held; held == 0 || slices.Max(o.Shots) > most {
		return nil, fmt.Errorf("%w: %d photos with %d held out leave %d to train on, and %d are needed", ErrNoBoxes, len(photos), held, most, slices.Max(o.Shots))
	}
	scores := make([]Score, len(o.Shots))
	progress := o.Progress
	o.Progress = nil
	for draw := range o.Draws {
		order := rand.New(rand.NewPCG(uint64(draw), 0)).Perm(len(photos))
		test, rest := pick(photos, order[:held]), pick(photos, order[held:])
		for i, shots := range o.Shots {
			train := firstOf(rest, labels, shots)
			start := time.Now()
			r, err := Train(ctx, model, train, o.Options)
			if err != nil {
				return nil, err
			}
			s := &scores[i]
			s.Shots, s.Draws, s.HoldOut = shots, o.Draws, held
			s.Seconds += time.Since(start).Seconds() / float64(o.Draws)
			s.Photos += float64(len(train)) / float64(o.Draws)
			ap, err := precision(ctx, r, test, labels, o.threads())
			if err != nil {
				return nil, err
			}
			s.Each = append(s.Each, ap)
			s.AP50 += ap / float64(o.Draws)
			if progress != nil {
				progress(draw*len(o.Shots)+i+1, o.Draws*len(o.Shots))
			}
		}
	}
	return scores, nil
}

func pick(photos []Photo, order []int) []Photo {
	list := make([]Photo, len(order))
	for i, at := range order {
		list[i] = photos[at]
	}
	return list
}

// firstOf returns the first photos until there are n with each label. If a label has fewer photos,
// it returns all of them.
func firstOf(photos []Photo, labels []string, n int) []Photo {
	have := make(map[string]int)
	var list []Photo
	for _, p := range photos {
		needed := false
		var own []string
		for _, b := range p.Boxes {
			if !slices.Contains(own, b.Label) {
				own = append(own, b.Label)
				needed = needed || have[b.Label] < n
			}
		}
		if !needed {
			continue
		}
		for _, l := range own {
			have[l]++
		}
		list = append(list, p)
	}
	return list
}

// byContent returns the photos that can be read, sorted by their content and without repetition.
func byContent(ctx context.Context, photos []Photo, labels []string, threads int) ([]Photo, error) {
	type hashed struct {
		sum    [sha256.Size]byte
		truths []truth
		Photo
	}
	classes := make(map[string]int)
	for i, l := range labels {
		classes[l] = i
	}
	var list []hashed
	work := func(_ context.Context, _ int, f *dataset.File) ([sha256.Size]byte, error) { return f.SHA256(), nil }
	err := dataset.Load(ctx, items(photos), dataset.DefaultLimits(), threads, work, func(i int, sum [sha256.Size]byte, err error) error {
		if err == nil {
			list = append(list, hashed{sum, truthsOf(photos[i], classes), photos[i]})
		}
		return nil
	})
	slices.SortStableFunc(list, func(a, b hashed) int {
		return cmp.Or(bytes.Compare(a.sum[:], b.sum[:]), preferred(a.truths, b.truths))
	})
	list = slices.CompactFunc(list, func(a, b hashed) bool { return a.sum == b.sum })
	sorted := make([]Photo, len(list))
	for i, h := range list {
		sorted[i] = h.Photo
	}
	return sorted, err
}

// precision returns the mean average precision of the new classes of a retrained detector.
func precision(ctx context.Context, r *Result, photos []Photo, labels []string, threads int) (float64, error) {
	d, err := detect.Parse(r.Model, detect.Options{Name: "retrained"})
	if err != nil {
		return 0, err
	}
	first := len(r.Labels) - len(labels)
	classes := make(map[string]int)
	for i, l := range labels {
		classes[l] = first + i
	}
	runners := make([]*detect.Runner, min(threads, len(photos)))
	resizers := make([]dataset.Resizer, len(runners))
	for i := range runners {
		runners[i], resizers[i] = d.NewRunner(1), dataset.Resizer{Mode: dataset.Squash, Width: d.Width, Height: d.Height}
		defer runners[i].Close()
	}
	work := func(ctx context.Context, worker int, f *dataset.File) ([]detect.Detection, error) {
		if err := resizers[worker].Read(runners[worker].RGB(), f); err != nil {
			return nil, err
		}
		return runners[worker].Detect(ctx)
	}
	lists, objects := make([][]scored, len(labels)), make([]int, len(labels))
	err = dataset.Load(ctx, items(photos), dataset.DefaultLimits(), len(runners), work, func(i int, found []detect.Detection, err error) error {
		if err != nil {
			return nil // a photo that can't be decoded counts neither way
		}
		truths := truthsOf(photos[i], classes)
		for class := range labels {
			lists[class] = append(lists[class], judge(found, nil, truths, first+class)...)
		}
		for _, t := range truths {
			objects[t.class-first]++
		}
		return nil
	})
	sum, n := 0.0, 0
	for class, count := range objects {
		if count > 0 { // the photos held out may lack a label
			sum, n = sum+averagePrecision(lists[class], count), n+1
		}
	}
	return sum / float64(max(n, 1)), err
}
