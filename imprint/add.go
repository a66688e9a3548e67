package imprint

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// Learned tells what Add did.
type Added struct {
	Photos int `json:"photos"` // taught
	// Negatives is the number of photos that show nothing taught.
	Negatives int            `json:"negatives,omitempty"`
	Classes   map[string]int `json:"classes"`
	Skipped   []Skipped      `json:"skipped,omitempty"`
	// Devices counts the photos that each device embedded, with those not taught.
	Devices map[string]int `json:"devices,omitempty"`
	// Elapsed is the time from the first photo to the written model.
	Elapsed time.Duration `json:"-"`
	// Estimate is the leave-one-out accuracy over all classes afterwards.
	Estimate classifier.Estimate `json:"estimate"`
	// FitChoice says how photos are fitted if AutoResize has chosen that.
	ResizeChoice *ResizeChoice `json:"fit_choice,omitempty"`
}

// Skipped is a photo that was not taught, and why.
type Skipped struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
	// Duplicate is true if the photo is fine but known already.
	Duplicate bool `json:"duplicate"`
	// Label is the class that has the duplicate, "" for the negatives.
	Label string `json:"-"`
}

// Add teaches photos under their labels, in one change. Photos that can't be read
// or are known already are skipped and named in the result; if none is left, Add
// fails with ErrNoPhotos, or for duplicates alone changes nothing. Of the same photo
// given twice the first counts. progress, if not nil, is called after each photo.
func (k *Workspace) Add(ctx context.Context, items []dataset.Item, progress func(done, total int)) (*Added, error) {
	return k.AddBeside(ctx, items, nil, progress)
}

// AddBeside does what Add does, and with the same change keeps negatives: photos of
// nothing taught, whatever their labels, from which a head with an answer for what is
// unknown learns what it must not take for a class.
func (k *Workspace) AddBeside(ctx context.Context, items, negatives []dataset.Item, progress func(done, total int)) (*Added, error) {
	start := time.Now()
	for _, it := range items {
		if err := checkLabel(it.Label); err != nil {
			return nil, fmt.Errorf("add %s: %w", it.Path, err)
		}
	}
	items = slices.Clone(items)
	for _, it := range negatives {
		it.Label = negative
		items = append(items, it)
	}
	learned := &Added{Classes: make(map[string]int), Devices: make(map[string]int)}
	skipped := make([]Skipped, len(items)) // without a Reason: not skipped
	for i, it := range items {
		skipped[i].Path = it.Path
	}
	all := make([]example, len(items))
	deliver := func(i int, e embedded) error {
		it := items[i]
		if e.err != nil {
			skipped[i].Reason = e.err.Error()
			return nil
		}
		learned.Devices[e.device]++
		path := it.Path
		if it.Content == nil {
			var err error
			if path, err = filepath.Abs(path); err != nil {
				return err
			}
		}
		all[i] = example{Label: it.Label, Photo: e.photo, Path: path, Time: start.UTC().Truncate(time.Second), Source: it.Source, Taken: it.Time, Hash: e.hash, raw: e.raw}
		return nil
	}
	var err error
	if k.options.Resize == AutoResize && k.state.Generation == 0 {
		learned.ResizeChoice, err = k.embedAutoResize(ctx, items, progress, deliver)
	} else {
		err = k.embed(ctx, items, func(i int, e embedded) error {
			if progress != nil {
				defer progress(i+1, len(items))
			}
			return deliver(i, e)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("add photos: %w", err)
	}
	if err := k.addExamples(ctx, all, skipped, learned); err != nil {
		return learned, err
	}
	learned.Elapsed = time.Since(start)
	learned.Estimate = k.Estimate()
	return learned, nil
}

// addExamples teaches examples, those that are not skipped, in one change, and says in
// learned what became of them.
func (k *Workspace) addExamples(ctx context.Context, all []example, skipped []Skipped, learned *Added) error {
	defer func() {
		learned.Skipped = slices.DeleteFunc(skipped, func(s Skipped) bool { return s.Reason == "" })
	}()
	skipDuplicate := func(i int, as string) {
		skipped[i].Label, skipped[i].Duplicate = as, true
		skipped[i].Reason = fmt.Sprintf("the same photo has been taught as %q", as)
		if as == negative {
			skipped[i].Reason = "the same photo has been given as one of nothing taught"
		}
	}
	var fresh []example
	at := make(map[digest]int) // in all
	x := make([]float64, k.backbone.Dim())
	for i, e := range all {
		if skipped[i].Reason != "" {
			continue
		}
		if first, ok := at[e.Photo]; ok {
			skipDuplicate(i, all[first].Label)
		} else if norm := unit(k.backbone, x, e.raw); !(norm > 0) || math.IsInf(norm, 0) {
			skipped[i].Reason = fmt.Sprintf("the backbone sees nothing on it: its embedding has length %v", norm)
		} else {
			at[e.Photo] = i
			fresh = append(fresh, e)
		}
	}
	if len(fresh) == 0 {
		return fmt.Errorf("add: %w that can be taught among %d", ErrNoPhotos, len(all))
	}
	err := k.commit(ctx, func(s *state) error {
		// Only here, with the lock held, is it certain what is known.
		for _, e := range s.Examples {
			if i, ok := at[e.Photo]; ok {
				skipDuplicate(i, e.Label)
			}
		}
		added := slices.DeleteFunc(fresh, func(e example) bool { return skipped[at[e.Photo]].Duplicate })
		if len(added) == 0 {
			return errUnchanged
		}
		for _, e := range added {
			if e.Label == negative {
				learned.Negatives++
				continue
			}
			learned.Classes[e.Label]++
		}
		learned.Photos = len(added) - learned.Negatives
		c := change{Verb: "add", Added: added, Settings: s.Settings}
		if err := k.choose(&s.Settings); err != nil {
			return err
		}
		s.apply(c)
		return nil
	})
	if err != nil {
		return fmt.Errorf("add photos: %w", err)
	}
	return nil
}

// embedded is what became of one photo.
type embedded struct {
	photo  digest
	raw    []byte
	hash   uint64        // by dataset.Hash, of the photo as it was fitted
	took   time.Duration // by the backbone alone
	device string
	err    error // of the photo
	fatal  error // of the backbone: no photo can be embedded
}

// embed reads and embeds photos on all cores and delivers them in order. Only an
// error of the backbone or of the context ends it early.
func (k *Workspace) embed(ctx context.Context, items []dataset.Item, deliver func(i int, e embedded) error) error {
	return embedPhotos(ctx, k.backbone, &k.runners, k.options.Threads, k.state.Settings.Resize, items, deliver)
}

// embedPhotos does that with any backbone. Fewer photos than cores get several each;
// runners keeps what was started, for the next time.
func embedPhotos(ctx context.Context, b *backbone.Backbone, runners *[]*backbone.Runner, threads int, fit dataset.Resize, items []dataset.Item, deliver func(i int, e embedded) error) error {
	if len(items) == 0 {
		return ctx.Err()
	}
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	each := max(threads/len(items), 1)
	threads = min(threads, len(items))
	if len(*runners) > 0 && (*runners)[0].Threads() != each {
		closeRunners(runners)
	}
	for len(*runners) < threads {
		*runners = append(*runners, b.NewRunner(each))
	}
	fitters := make([]dataset.Resizer, threads)
	work := func(ctx context.Context, worker int, f *dataset.File) (embedded, error) {
		r, fitter := (*runners)[worker], &fitters[worker]
		fitter.Mode, fitter.Width, fitter.Height = fit, b.Width, b.Height
		if err := fitter.Read(r.RGB(), f); err != nil {
			return embedded{}, err
		}
		hash := dataset.Hash(r.RGB(), b.Width, b.Height)
		start := time.Now()
		raw, err := r.Embed(ctx)
		if err != nil {
			return embedded{fatal: err}, nil
		}
		return embedded{photo: f.SHA256(), raw: slices.Clone(raw), hash: hash, took: time.Since(start), device: r.Device()}, nil
	}
	return dataset.Load(ctx, items, dataset.DefaultLimits(), threads, work, func(i int, e embedded, err error) error {
		if e.fatal != nil {
			return e.fatal
		}
		if err != nil {
			e.err = err
		}
		return deliver(i, e)
	})
}

func closeRunners(runners *[]*backbone.Runner) {
	for _, r := range *runners {
		r.Close()
	}
	*runners = nil
}
