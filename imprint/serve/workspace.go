package serve

import (
	"context"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
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

// observed is a classified picture with its embedding.
type observed struct {
	picture   *picture
	embedding []byte // nil if the device does not return it
}

// add adds photos to a class. It embeds only photos without an embedding.
func (w *workspace) add(ctx context.Context, ws *imprint.Workspace, label, source string, photos []observed) (*imprint.Added, error) {
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
		if o.embedding != nil {
			embedded = append(embedded, imprint.Observation{Label: label, Photo: sumOf(photo), Path: path, Source: source, Taken: o.picture.Captured, Embedding: o.embedding})
		} else {
			items = append(items, dataset.Item{Label: label, Path: path, Content: photo, Source: source, Time: o.picture.Captured})
		}
	}
	if items != nil {
		return ws.Add(ctx, items, imprint.AddOptions{})
	}
	return ws.AddObservations(ctx, embedded)
}
