package imprint

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// ChangeBackbone embeds all photos again with the backbone or detector in to. It finds them where they
// were added from, in the workspace and in moved. It returns those not found, and fails with
// ErrMissing unless drop leaves them out.
func (w *Workspace) ChangeBackbone(ctx context.Context, to Options, moved []dataset.Item, drop bool, progress func(done, total int)) ([]Skipped, error) {
	fail := func(missing []Skipped, err error) ([]Skipped, error) {
		what := "backbone"
		if to.Backbone == "" && to.Detector != nil {
			what = "detector"
		}
		return missing, fmt.Errorf("change the %s: %w", what, err)
	}
	next, err := w.loadOther(to)
	if err != nil {
		return fail(nil, err)
	}
	was := w.state
	if next.ref.Same(was.Backbone) && next.detector.Same(was.Settings.Detector) {
		return nil, w.Retrain(ctx, "")
	}
	again, missing, err := w.embedAgain(ctx, next, moved, progress)
	switch {
	case err != nil:
		return fail(nil, err)
	case len(missing) > 0 && !drop:
		return fail(missing, fmt.Errorf("%w: %d of %d, such as %s", ErrMissing, len(missing), len(was.Examples), missing[0].Path))
	}
	known := make(map[store.Digest]bool)
	for _, e := range was.Examples {
		known[e.Photo] = true
	}
	back := w.use(next.Backbone, next.file)
	err = w.commit(ctx, func(s *store.State) error {
		c := store.Change{Verb: "retrain", Removed: s.Examples, Settings: s.Settings}
		for _, e := range s.Examples {
			if !known[e.Photo] {
				return fmt.Errorf("another process has added %s meanwhile: try again", e.Path)
			}
			if e, ok := again[e.Photo]; ok {
				c.Added = append(c.Added, e)
			}
		}
		if !slices.ContainsFunc(c.Added, func(e store.Example) bool { return e.Label != store.NegativeLabel }) {
			return ErrNoClasses
		}
		if now := s.Backbone; !now.Same(next.ref) {
			c.Backbone = &now
			s.Place(&next.ref)
			s.Backbone = next.ref
		}
		s.Settings.Detector = next.detector
		if err := w.choose(&s.Settings); err != nil {
			return err
		}
		s.Apply(c)
		return nil
	})
	if err != nil {
		back()
		return fail(missing, err)
	}
	return missing, nil
}

// A replacement is the backbone and detector that photos are embedded with again.
type replacement struct {
	*backbone.Backbone
	file     []byte
	ref      store.BackboneRef
	detector *store.DetectorRef // nil without one
}

// loadOther loads the backbone and the detector that to names. What it does not name stays.
func (w *Workspace) loadOther(to Options) (r replacement, err error) {
	r = replacement{w.backbone, w.file, w.state.Backbone, w.state.Settings.Detector}
	if to.Detector != nil {
		if r.detector, err = w.readDetector(to.Detector, r.detector); err != nil {
			return r, err
		}
		if to.Backbone == "" {
			return r, nil
		}
	}
	file, name, err := infer.ReadBackbone(to.Backbone)
	if err != nil {
		return r, err
	}
	r.Backbone, err = w.parseBackbone(file, backbone.Options{Name: name, Embedding: to.Embedding, Arithmetic: w.options.Arithmetic})
	if err != nil {
		return r, err
	}
	r.file, r.ref = file, refOf(r.Backbone)
	return r, nil
}

func refOf(b *backbone.Backbone) store.BackboneRef {
	return store.BackboneRef{Name: b.Name, SHA256: b.SHA256, Embedding: b.Embedding.Index, Size: b.EmbeddingSize(), Normalized: b.Normalized}
}

// use makes b the backbone that embeds photos. The returned function goes back to the old one.
func (w *Workspace) use(b *backbone.Backbone, file []byte) (back func()) {
	was, wasFile := w.backbone, w.file
	w.Close() // it frees only the old backbone's runners
	w.backbone, w.file = b, file
	return func() {
		w.Close()
		w.backbone, w.file = was, wasFile
	}
}

// useBackboneOf is like use, for the backbone of s, of which the workspace has a file. It does
// nothing if that is the backbone in use.
func (w *Workspace) useBackboneOf(s *store.State) (back func(), err error) {
	if s.Backbone.Same(w.state.Backbone) {
		return func() {}, nil
	}
	old := Workspace{store: w.store, options: w.options, state: s}
	old.options.Backbone, old.options.Embedding = "", ""
	if err := old.loadOrRestoreBackbone(false); err != nil {
		return func() {}, err
	}
	return w.use(old.backbone, old.file), nil
}

// embedAgain embeds the workspace's photos with next. It returns the new example of each, by what
// identifies the old one, and the photos that it could not find or embed.
func (w *Workspace) embedAgain(ctx context.Context, next replacement, moved []dataset.Item, progress func(done, total int)) (map[store.Digest]store.Example, []Skipped, error) {
	places := make(map[store.Digest]string)
	for _, it := range moved {
		if path, err := filepath.Abs(it.Path); err == nil {
			if sum, err := store.SumFile(path); err == nil {
				places[sum] = path
			}
		}
	}
	b := &batch{}
	for _, e := range w.state.Examples {
		path, reason := w.find(e, places)
		b.items = append(b.items, dataset.Item{Path: cmp.Or(path, e.Path), Label: e.Label, Box: e.Box})
		b.examples, b.found = append(b.examples, e), append(b.found, e.Found)
		b.skipped = append(b.skipped, Skipped{Path: e.Path, Reason: reason, Label: e.Label})
	}
	b.drop()
	if !next.detector.Same(w.state.Settings.Detector) {
		for i, found := range b.found {
			if found { // search again
				b.items[i].Box = dataset.Box{}
			}
		}
		if err := w.crop(ctx, next.detector, b, progress); err != nil {
			return nil, nil, err
		}
	}
	progress = b.afterSearch(progress)
	again := make(map[store.Digest]store.Example)
	x := make([]float64, next.Dim())
	cores := infer.Cores(w.options.Threads)
	pool := infer.NewPool(next.Backbone, cores)
	defer pool.Leave()
	err := pool.Photos(ctx, cores, w.state.Settings.Resize, b.items, func(i int, e infer.Embedding) error {
		if progress != nil {
			progress(i+1, len(b.items))
		}
		was := b.examples[i]
		if e.Err != nil {
			b.skipped[i].Reason = e.Err.Error()
		} else if norm := infer.Unit(next.Backbone, x, e.Raw); !(norm > 0) || math.IsInf(norm, 0) {
			b.skipped[i].Reason = blankReason(norm)
		} else if e.Photo == was.File() { // otherwise the file has just changed
			now := was
			now.Embed(e.Raw)
			now.Path, now.Hash = b.items[i].Path, e.Hash
			now.Cut(b.items[i].Box, b.found[i])
			again[was.Photo] = now
		} else {
			b.skipped[i].Reason = fileChanged
		}
		return nil
	})
	b.drop()
	return again, b.lost, err
}

// fileChanged is the reason for not embedding a photo again.
const fileChanged = "it has changed since it was added"

// find returns the path of the photo of e: where it was added from, the copy that a server keeps in
// the workspace, or one of places. If there is none, it returns the reason.
func (w *Workspace) find(e store.Example, places map[store.Digest]string) (path, reason string) {
	photo := e.File()
	kept, _ := filepath.Glob(w.store.Path(filepath.Join("photos", photo.String()+".*"))) // the pattern is valid
	reason = "not found"
	for _, path := range append([]string{e.Path, places[photo]}, kept...) {
		sum, err := store.SumFile(path)
		if err == nil && sum == photo {
			return path, ""
		}
		if err == nil && path == e.Path {
			reason = fileChanged
		}
	}
	return "", reason
}
