package imprint

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
)

// runners are what frames of the same backbone are run with, so many at one time.
// Generations share them.
type runners struct {
	backbone *backbone.Backbone
	threads  int
	idle     chan *runner
	unmade   chan struct{} // one for each that may still be made
	users    atomic.Int64  // generations
}

// A runner embeds one frame after the other.
type runner struct {
	*backbone.Runner
	fitter dataset.Resizer
	scorer scorerState
}

// cores is how many may be used.
func (o Options) cores() int {
	if o.Threads > 0 {
		return o.Threads
	}
	return runtime.GOMAXPROCS(0)
}

func newRunners(b *backbone.Backbone, n, threads int) *runners {
	r := &runners{backbone: b, threads: threads, idle: make(chan *runner, n), unmade: make(chan struct{}, n)}
	for range n {
		r.unmade <- struct{}{}
	}
	r.users.Store(1)
	return r
}

// take waits for a runner.
func (r *runners) take(ctx context.Context) (*runner, error) {
	select {
	case w := <-r.idle:
		return w, nil
	default:
	}
	select {
	case w := <-r.idle:
		return w, nil
	case <-r.unmade:
		w := &runner{Runner: r.backbone.NewRunner(r.threads)}
		w.fitter.Width, w.fitter.Height = r.backbone.Width, r.backbone.Height
		return w, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run gives the model's output for f, valid as long as use runs, and the time it took.
func (r *runners) run(ctx context.Context, fit dataset.Resize, f frame, use func(w *runner, raw []byte, took time.Duration) error) error {
	w, err := r.take(ctx)
	if err != nil {
		return err
	}
	defer func() { r.idle <- w }()
	w.fitter.Mode = fit
	switch {
	case f.prepared != nil:
		err = f.prepared.copyTo(w.RGB(), &w.fitter)
	case f.file != nil:
		err = w.fitter.Read(w.RGB(), f.file)
	default:
		err = w.fitter.Resize(w.RGB(), f.img)
	}
	if err != nil {
		return err
	}
	start := time.Now()
	raw, err := w.Embed(ctx)
	if err != nil {
		return err
	}
	return use(w, raw, time.Since(start))
}

// leave is called for each generation that is over, when no frame of it is under way.
func (r *runners) leave() {
	if r.users.Add(-1) > 0 {
		return
	}
	for range cap(r.idle) {
		select {
		case w := <-r.idle:
			w.Close()
		case <-r.unmade:
		}
	}
}
