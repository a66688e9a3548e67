package serve

import (
	"context"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
)

// A workspace serializes the changes that this process makes to the workspace on disk.
type workspace struct {
	dir     string
	options imprint.Options
	live    *live.Live
	photos  photoStore
	busy    chan struct{} // holds a value during a change
}

func newWorkspace(dir string, o imprint.Options, live *live.Live) *workspace {
	return &workspace{dir: dir, options: o, live: live, photos: photoStore{dir}, busy: make(chan struct{}, 1)}
}

// lock waits for the current change to end, and prevents later changes.
func (w *workspace) lock() { w.busy <- struct{}{} }

// do waits for the current change of this process, then calls f with the workspace. No other change
// can start until f returns.
func (w *workspace) do(ctx context.Context, f func(*imprint.Workspace) error) error {
	select {
	case w.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.busy }()
	ws, err := w.live.Workspace(ctx)
	if err != nil {
		return err
	}
	defer ws.Close()
	return f(ws)
}

// sweep deletes photos that no class uses and undo can't restore.
func (w *workspace) sweep(ctx context.Context) error {
	old, err := w.photos.olderThan(photoAge)
	if err != nil || len(old) == 0 {
		return err
	}
	return w.do(ctx, func(ws *imprint.Workspace) error {
		w.photos.removeUnless(ws.HasPhoto(), old)
		return nil
	})
}

// observed is a classified picture. The result has no embedding if the device does not return it.
type observed struct {
	picture *picture
	result  predict.Result
	chosen  bool // whether the user chose the object, and not the detector
}

// embeddedBy reports whether o has an embedding that b computed. The workspace may have got another
// backbone since then.
func (o observed) embeddedBy(b *backbone.Backbone) bool {
	was := o.result.Backbone
	return o.result.Embedding != nil && was.SHA256 == b.SHA256 && was.Embedding.Index == b.Embedding.Index
}

// add adds photos to a class. It embeds them unless the workspace's backbone has embedded all. With a
// detector, it adds the largest object in each, and skips photos without one.
func (w *workspace) add(ctx context.Context, ws *imprint.Workspace, label, source string, photos []observed) (*imprint.Added, error) {
	detects := ws.Settings().Detector != nil
	again := slices.ContainsFunc(photos, func(o observed) bool {
		return !o.embeddedBy(ws.Backbone()) && !o.isEmpty() || detects != (o.result.Boxes != nil)
	})
	var empty []imprint.Skipped
	if !again {
		if photos, empty = withObjects(photos); len(photos) == 0 {
			return nil, fmt.Errorf("add to %s: %w with an object: the detector finds nothing in %s", label, imprint.ErrNoPhotos, count(len(empty), "picture"))
		}
	}
	var embedded []imprint.Observation
	var items []dataset.Item
	for _, o := range photos {
		photo, err := o.picture.encoded()
		if err != nil {
			return nil, err
		}
		path, err := w.photos.keep(photo)
		if err != nil {
			return nil, err
		}
		if !again {
			embedded = append(embedded, imprint.Observation{Label: label, Photo: sumOf(photo), Path: path, Source: source, Taken: o.picture.Captured, Box: o.result.Box, Found: detects && !o.chosen, Embedding: o.result.Embedding})
		} else {
			it := dataset.Item{Label: label, Path: path, Content: photo, Source: source, Time: o.picture.Captured}
			if o.chosen {
				it.Box = o.result.Box
			}
			items = append(items, it)
		}
	}
	if again {
		return ws.Add(ctx, items, imprint.AddOptions{})
	}
	added, err := ws.AddObservations(ctx, embedded)
	if added != nil {
		added.Skipped = append(empty, added.Skipped...)
	}
	return added, err
}
