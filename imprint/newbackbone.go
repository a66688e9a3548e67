package imprint

import (
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

// ChangeBackbone embeds all photos again with the model in to. It finds them where they were added
// from, in the workspace and in moved. It returns those not found, and fails with ErrMissing unless
// drop leaves them out.
func (w *Workspace) ChangeBackbone(ctx context.Context, to Options, moved []dataset.Item, drop bool, progress func(done, total int)) ([]Skipped, error) {
	fail := func(missing []Skipped, err error) ([]Skipped, error) {
		return missing, fmt.Errorf("change the backbone: %w", err)
	}
	b, file, ref, err := w.loadOther(to)
	if err != nil {
		return fail(nil, err)
	}
	if ref.Same(w.state.Backbone) {
		return nil, w.Retrain(ctx, "")
	}
	again, missing, err := w.embedAgain(ctx, b, moved, progress)
	switch {
	case err != nil:
		return fail(nil, err)
	case len(missing) > 0 && !drop:
		return fail(missing, fmt.Errorf("%w: %d of %d, such as %s", ErrMissing, len(missing), len(w.state.Examples), missing[0].Path))
	}
	known := make(map[store.Digest]bool)
	for _, e := range w.state.Examples {
		known[e.Photo] = true
	}
	back := w.use(b, file)
	err = w.commit(ctx, func(s *store.State) error {
		c := store.Change{Verb: "retrain", Removed: s.Examples, Settings: s.Settings, Backbone: &store.BackboneRef{}}
		*c.Backbone = s.Backbone
		for _, e := range s.Examples {
			if !known[e.Photo] {
				return fmt.Errorf("another process has added %s meanwhile: try again", e.Path)
			}
			if found, ok := again[e.Photo]; ok {
				e.Embed(found.Raw)
				e.Path = found.Path
				c.Added = append(c.Added, e)
			}
		}
		if !slices.ContainsFunc(c.Added, func(e store.Example) bool { return e.Label != store.NegativeLabel }) {
			return ErrNoClasses
		}
		s.Place(&ref)
		s.Backbone = ref
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

// loadOther loads the backbone that to names, to replace the workspace's.
func (w *Workspace) loadOther(to Options) (*backbone.Backbone, []byte, store.BackboneRef, error) {
	file, name, err := infer.ReadBackbone(to.Backbone)
	if err != nil {
		return nil, nil, store.BackboneRef{}, err
	}
	b, err := w.parseBackbone(file, backbone.Options{Name: name, Embedding: to.Embedding, Arithmetic: w.options.Arithmetic})
	if err != nil {
		return nil, nil, store.BackboneRef{}, err
	}
	return b, file, refOf(b), nil
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

// embedAgain embeds the workspace's photos with b. It returns the path and embedding of each photo,
// and the photos that it could not find or embed.
func (w *Workspace) embedAgain(ctx context.Context, b *backbone.Backbone, moved []dataset.Item, progress func(done, total int)) (map[store.Digest]store.Example, []Skipped, error) {
	places := make(map[store.Digest]string)
	for _, it := range moved {
		if path, err := filepath.Abs(it.Path); err == nil {
			if sum, err := store.SumFile(path); err == nil {
				places[sum] = path
			}
		}
	}
	var items []dataset.Item
	var missing []Skipped
	for _, e := range w.state.Examples {
		path, reason := w.find(e, places)
		if path == "" {
			missing = append(missing, Skipped{Path: e.Path, Reason: reason, Label: e.Label})
			continue
		}
		items = append(items, dataset.Item{Path: path, Label: e.Label})
	}
	again := make(map[store.Digest]store.Example)
	x := make([]float64, b.Dim())
	cores := infer.Cores(w.options.Threads)
	pool := infer.NewPool(b, cores)
	defer pool.Leave()
	err := pool.Photos(ctx, cores, w.state.Settings.Resize, items, func(i int, e infer.Embedding) error {
		if progress != nil {
			progress(i+1, len(items))
		}
		if e.Err != nil {
			missing = append(missing, Skipped{Path: items[i].Path, Reason: e.Err.Error(), Label: items[i].Label})
		} else if norm := infer.Unit(b, x, e.Raw); !(norm > 0) || math.IsInf(norm, 0) {
			missing = append(missing, Skipped{Path: items[i].Path, Reason: blankReason(norm), Label: items[i].Label})
		} else {
			again[e.Photo] = store.Example{Path: items[i].Path, Raw: e.Raw}
		}
		return nil
	})
	return again, missing, err
}

// find returns the path of the photo of e: where it was added from, the copy that a server keeps in
// the workspace, or one of places. If there is none, it returns the reason.
func (w *Workspace) find(e store.Example, places map[store.Digest]string) (path, reason string) {
	kept, _ := filepath.Glob(w.store.Path(filepath.Join("photos", e.Photo.String()+".*"))) // the pattern is valid
	reason = "not found"
	for _, path := range append([]string{e.Path, places[e.Photo]}, kept...) {
		sum, err := store.SumFile(path)
		if err == nil && sum == e.Photo {
			return path, ""
		}
		if err == nil && path == e.Path {
			reason = "it has changed since it was added"
		}
	}
	return "", reason
}
