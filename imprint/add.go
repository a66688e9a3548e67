package imprint

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// AddOptions configure [Workspace.Add].
type AddOptions struct {
	Negatives []dataset.Item        // photos of no class, to learn the answer "unknown" from
	Progress  func(done, total int) // called after each photo, if not nil
}

// Added is the result of [Workspace.Add].
type Added struct {
	Photos       int                    `json:"photos"` // number of photos added to classes
	Negatives    int                    `json:"negatives,omitempty"`
	Classes      map[string]int         `json:"classes"` // number of photos added, by label
	Skipped      []Skipped              `json:"skipped,omitempty"`
	Devices      map[string]int         `json:"devices,omitempty"` // number of photos that each device embedded
	Elapsed      time.Duration          `json:"-"`
	Estimate     classifier.Estimate    `json:"estimate"`             // leave-one-out accuracy after the change
	ResizeChoice *evaluate.ResizeChoice `json:"fit_choice,omitempty"` // set if AutoResize chose the mode
}

// Skipped is a photo that was not added.
type Skipped struct {
	Path      string `json:"path"`
	Reason    string `json:"reason"`
	Duplicate bool   `json:"duplicate"` // the photo is already in the workspace
	Label     string `json:"-"`         // the class that has the duplicate; "" for negatives
}

// Add adds photos to their classes in one change. It skips those that it can't read, has already, or
// finds no object in. It fails with ErrNoPhotos if none can be read.
func (w *Workspace) Add(ctx context.Context, items []dataset.Item, o AddOptions) (*Added, error) {
	b, err := newBatch(items, o.Negatives)
	if err == nil {
		err = w.checkLabels(b) // check before embedding, which is slow
	}
	if err != nil {
		return nil, err
	}
	if err = w.crop(ctx, w.state.Settings.Detector, b, o.Progress); err == nil {
		progress := b.afterSearch(o.Progress)
		if w.options.Resize == AutoResize && w.untrained() {
			b.added.ResizeChoice, err = w.embedAutoResize(ctx, b.items, progress, b.take)
		} else {
			err = w.embed(ctx, w.state.Settings.Resize, b.items, progress, b.take)
		}
	}
	if err == nil {
		err = ctx.Err() // Progress may have canceled ctx after the last photo
	}
	if err != nil {
		return nil, fmt.Errorf("add photos: %w", err)
	}
	return b.added, w.addBatch(ctx, b)
}

// An Observation is a photo with its embedding, such as a classified frame.
type Observation struct {
	Label     string
	Photo     [sha256.Size]byte // SHA-256 of the encoded photo, which identifies it
	Path      string            // path or name of the photo
	Source    string            // the recording or camera it belongs to; "" if unknown
	Box       dataset.Box       // the part of the photo that is embedded; zero means all
	Found     bool              // whether the detector found Box
	Taken     time.Time
	Embedding []byte // raw, made with the workspace's backbone and resize mode
}

// AddObservations is like Add, for photos that are already embedded.
func (w *Workspace) AddObservations(ctx context.Context, observed []Observation) (*Added, error) {
	b := &batch{start: time.Now(), examples: make([]store.Example, len(observed)), skipped: make([]Skipped, len(observed)), added: &Added{Classes: make(map[string]int)}}
	for i, o := range observed {
		if err := CheckLabel(o.Label); err != nil {
			return nil, fmt.Errorf("add %s: %w", o.Path, err)
		}
		if got, want := len(o.Embedding), w.backbone.EmbeddingSize(); got != want {
			return nil, fmt.Errorf("add %s: the embedding has %d bytes, want %d for %s: %w", o.Path, got, want, w.backbone.Name, ErrOtherBackbone)
		}
		b.examples[i] = store.Example{Label: o.Label, Photo: o.Photo, Path: o.Path, Time: b.time(), Source: o.Source, Taken: o.Taken, Raw: o.Embedding}
		b.examples[i].Cut(o.Box, o.Found)
		b.skipped[i].Path = o.Path
	}
	return b.added, w.addBatch(ctx, b)
}

// A batch holds the photos of one call to Add or AddObservations.
type batch struct {
	start    time.Time
	items    []dataset.Item
	examples []store.Example
	skipped  []Skipped // one for each example; an empty Reason means that the example was not skipped
	found    []bool    // for each item, whether the detector found its box
	lost     []Skipped // photos that were skipped before they were embedded
	searched int       // number of photos that the detector searched
	added    *Added
}

// afterSearch returns a progress function that counts the photos that were searched before.
func (b *batch) afterSearch(progress func(done, total int)) func(done, total int) {
	if progress == nil || b.searched == 0 {
		return progress
	}
	return func(done, total int) { progress(b.searched+done, b.searched+total) }
}

func newBatch(items, negatives []dataset.Item) (*batch, error) {
	for _, it := range items {
		if err := CheckLabel(it.Label); err != nil {
			return nil, fmt.Errorf("add %s: %w", it.Path, err)
		}
	}
	items = slices.Clone(items)
	for _, it := range negatives {
		it.Label = store.NegativeLabel
		items = append(items, it)
	}
	b := &batch{
		start: time.Now(), items: items, examples: make([]store.Example, len(items)), skipped: make([]Skipped, len(items)),
		found: make([]bool, len(items)),
		added: &Added{Classes: make(map[string]int), Devices: make(map[string]int)},
	}
	for i, it := range items {
		b.skipped[i].Path = it.Path
	}
	return b, nil
}

func (b *batch) time() time.Time { return b.start.UTC().Truncate(time.Second) }

// take turns item i and its embedding into an example, or skips the item if it has no embedding.
func (b *batch) take(i int, e infer.Embedding) error {
	it := b.items[i]
	if e.Err != nil {
		b.skipped[i].Reason = e.Err.Error()
		return nil
	}
	b.added.Devices[e.Device]++
	path := it.Path
	if it.Content == nil {
		var err error
		if path, err = filepath.Abs(path); err != nil {
			return err
		}
	}
	b.examples[i] = store.Example{Label: it.Label, Photo: e.Photo, Path: path, Time: b.time(), Source: it.Source, Taken: it.Time, Hash: e.Hash, Raw: e.Raw}
	b.examples[i].Cut(it.Box, b.found[i])
	return nil
}

// skipDuplicate skips example i because its photo already has a label.
func (b *batch) skipDuplicate(i int, label string) {
	b.skipped[i].Reason, b.skipped[i].Label, b.skipped[i].Duplicate = fmt.Sprintf("already in %q", label), label, true
	if label == store.NegativeLabel {
		b.skipped[i].Reason = "already a negative"
	}
}

// skipKnown skips the examples with photos that are already in s.
func (b *batch) skipKnown(s *store.State) {
	labels, asked := make(map[store.Digest]string), make(map[store.Digest]bool)
	for _, e := range b.examples {
		asked[e.Photo] = true
	}
	for i := range s.Examples {
		if e := &s.Examples[i]; asked[e.Photo] {
			labels[e.Photo] = e.Label
		}
	}
	for i, e := range b.examples {
		if label, known := labels[e.Photo]; known && (b.skipped[i].Reason == "" || b.skipped[i].Duplicate) {
			b.skipDuplicate(i, label)
		}
	}
}

// fresh skips duplicates and zero embeddings. It returns the remaining examples, and the index of
// each in the batch by photo.
func (b *batch) fresh(w *Workspace) (fresh []store.Example, at map[store.Digest]int) {
	at = make(map[store.Digest]int)
	x := make([]float64, w.backbone.Dim())
	for i, e := range b.examples {
		if b.skipped[i].Reason != "" {
			continue
		}
		if first, ok := at[e.Photo]; ok {
			b.skipDuplicate(i, b.examples[first].Label)
		} else if norm := infer.Unit(w.backbone, x, e.Raw); !(norm > 0) || math.IsInf(norm, 0) {
			b.skipped[i].Reason = blankReason(norm)
		} else {
			at[e.Photo] = i
			fresh = append(fresh, e)
		}
	}
	return fresh, at
}

func blankReason(norm float64) string {
	return fmt.Sprintf("the backbone sees nothing in the photo: the embedding has length %v", norm)
}

// addBatch adds the photos of b in one change and completes b.added.
func (w *Workspace) addBatch(ctx context.Context, b *batch) error {
	defer func() {
		b.added.Skipped = append(b.lost, slices.DeleteFunc(b.skipped, func(s Skipped) bool { return s.Reason == "" })...)
	}()
	fresh, at := b.fresh(w)
	if len(fresh) == 0 {
		return fmt.Errorf("add: %w to add: %d skipped", ErrNoPhotos, len(b.lost)+len(b.examples))
	}
	err := w.commit(ctx, func(s *store.State) error {
		// Another process may have added photos before this process took the lock.
		b.skipKnown(s)
		if err := resolveLabels(s, fresh); err != nil {
			return err
		}
		added := slices.DeleteFunc(fresh, func(e store.Example) bool { return b.skipped[at[e.Photo]].Duplicate })
		if len(added) == 0 {
			return errUnchanged
		}
		for _, e := range added {
			if e.Label == store.NegativeLabel {
				b.added.Negatives++
			} else {
				b.added.Classes[e.Label]++
			}
		}
		b.added.Photos = len(added) - b.added.Negatives
		c := store.Change{Verb: "add", Added: added, Settings: s.Settings}
		if err := w.choose(&s.Settings); err != nil {
			return err
		}
		s.Apply(c)
		return nil
	})
	if err != nil {
		return fmt.Errorf("add photos: %w", err)
	}
	b.added.Elapsed = time.Since(b.start)
	b.added.Estimate = w.estimate()
	return nil
}

// embed embeds photos on all cores and delivers them in order.
func (w *Workspace) embed(ctx context.Context, mode dataset.Resize, items []dataset.Item, progress func(done, total int), deliver func(i int, e infer.Embedding) error) error {
	return w.pool().Photos(ctx, infer.Cores(w.options.Threads), mode, items, func(i int, e infer.Embedding) error {
		if progress != nil {
			defer progress(i+1, len(items))
		}
		return deliver(i, e)
	})
}

// embedAutoResize embeds the photos with each resize mode, delivers the embeddings of the better
// mode, and sets that mode in the workspace.
func (w *Workspace) embedAutoResize(ctx context.Context, items []dataset.Item, progress func(done, total int), deliver func(i int, e infer.Embedding) error) (*evaluate.ResizeChoice, error) {
	settings := w.state.Settings
	if err := w.choose(&settings); err != nil {
		return nil, err
	}
	modes := evaluate.ResizeCandidates()
	all := make([][]infer.Embedding, len(modes))
	for m, mode := range modes {
		all[m] = make([]infer.Embedding, len(items))
		show := progress
		if progress != nil {
			show = func(done, total int) { progress(m*total+done, len(modes)*total) }
		}
		err := w.embed(ctx, mode, items, show, func(i int, e infer.Embedding) error {
			all[m][i] = e
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	choice, best, err := evaluate.ChooseResize(func(m int) (evaluate.LeftOut, error) {
		var examples []store.Example
		var places []int
		seen, x := make(map[store.Digest]bool), make([]float64, w.backbone.Dim())
		for i, e := range all[m] {
			id := store.CropID(e.Photo, items[i].Box)
			if items[i].Label == store.NegativeLabel || e.Err != nil || seen[id] {
				continue
			}
			seen[id] = true
			if norm := infer.Unit(w.backbone, x, e.Raw); norm > 0 && !math.IsInf(norm, 0) {
				examples = append(examples, store.Example{Label: items[i].Label, Photo: id, Source: items[i].Source, Taken: items[i].Time, Raw: e.Raw})
				places = append(places, i)
			}
		}
		if len(examples) == 0 {
			return evaluate.LeftOut{}, nil // addBatch returns the error
		}
		return evaluate.LeaveOut(w.unitsOf(examples), places, settings.Method(), w.roots(settings))
	})
	if err != nil {
		return nil, err
	}
	w.state.Settings.Resize = choice.Resize
	for i, e := range all[best] {
		if err := deliver(i, e); err != nil {
			return nil, err
		}
	}
	return choice, nil
}
