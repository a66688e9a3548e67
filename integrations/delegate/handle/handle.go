// Package handle contains what the handles of the C interface imprint.h refer to. Start with
// [Library.OpenWorkspace] or [Library.OpenModel].
//
// It is the part of that interface that needs no C: see the project's docs/c.md. Each handle may be
// used by several goroutines, which wait for each other.
package handle

import (
	"context"
	"errors"
	"image"
	"log/slog"
	"sync"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/integrations/delegate/host"
)

var (
	// ErrArgument means that an argument can't be used.
	ErrArgument = errors.New("bad argument")
	// ErrClosed means that a handle was closed while a call waited for it.
	ErrClosed = errors.New("the handle is closed")
)

// A Library opens workspaces and models.
type Library struct {
	Host *host.Host
	Log  *slog.Logger // gets warnings, for example when the CPU takes over from an Edge TPU

	mu    sync.Mutex
	pools map[poolKey]*sharedPool
}

// A gate lets one call after the other use a handle.
type gate struct {
	mu     sync.Mutex
	closed bool
	pixels []byte // memory for one call after the other
}

// ask calls f unless the handle is closed.
func ask[T any](g *gate, f func() (T, error)) (v T, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return v, ErrClosed
	}
	return f()
}

// close calls f once, after the calls that use the handle.
func (g *gate) close(f func() error) error {
	_, err := ask(g, func() (struct{}, error) {
		g.closed = true
		return struct{}{}, f()
	})
	return err
}

// A Result is the classification of one photo.
type Result struct {
	predict.Result
	Nearest string // the best class that is not the answer "unknown"
}

// A photoClassifier classifies one photo and returns the best classes, or all if top is 0.
type photoClassifier interface {
	Classify(ctx context.Context, img image.Image, top int) (predict.Result, error)
	ClassifyFile(ctx context.Context, f *dataset.File, top int) (predict.Result, error)
}

func (g *gate) classify(ctx context.Context, c photoClassifier, p *Photo) (Result, error) {
	r, err := reader[predict.Result]{
		func(img image.Image) (predict.Result, error) { return c.Classify(ctx, img, 0) },
		func(f *dataset.File) (predict.Result, error) { return c.ClassifyFile(ctx, f, 0) },
	}.read(p, &g.pixels)
	nearest := r.Label
	if r.Unknown && len(r.Top) > 1 {
		nearest = r.Top[1].Label
	}
	return Result{r, nearest}, err
}
