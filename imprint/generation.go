package imprint

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
)

// A generation answers frames with one state of the workspace. It does not change.
type generation struct {
	number  uint64
	resize  dataset.Resize
	scorer  *scorer  // nil if nothing is taught
	runners *runners // of the backbone
	// answers are those of the model itself, in the TPU layout on devices, and nil
	// otherwise.
	answers  *runners
	warnings []string
	users    atomic.Int64 // frames, and 1 while it is current; without any it is over
}

// generation makes that of k, whose model is model. It takes over the runners of the
// current one if the backbone is the same.
func (l *Live) generation(k *Workspace, model []byte) (*generation, error) {
	g := &generation{number: k.state.Generation, resize: k.state.Settings.Resize, warnings: k.warnings}
	switch {
	case model == nil:
	case k.onDevices():
		b, t, err := k.compiled(model)
		if err != nil {
			return nil, err
		}
		g.scorer, g.answers = t, newRunners(b, max(k.options.cores(), 4), 1) // the bus is kept busy by two a device
	default:
		var err error
		if g.scorer, err = k.scorer(model); err != nil {
			return nil, err
		}
	}
	if was := l.current.Load(); was != nil && was.runners.backbone == k.backbone {
		g.runners = was.runners
		g.runners.users.Add(1)
	} else {
		n := k.options.cores()
		g.runners = newRunners(k.backbone, max(n, 2), n)
	}
	g.users.Store(1)
	return g, nil
}

// leave is called by a frame that is done with g, and once when g is no longer
// current.
func (g *generation) leave() {
	if g.users.Add(-1) == 0 {
		g.runners.leave()
		if g.answers != nil {
			g.answers.leave()
		}
	}
}

func (g *generation) labels() []string {
	if g.scorer == nil {
		return nil
	}
	return g.scorer.labels
}

func (g *generation) answer(ctx context.Context, f frame, top int, embed bool) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	r := Result{Unknown: true}
	if g.scorer != nil {
		on := cmp.Or(g.answers, g.runners)
		err := on.run(ctx, g.resize, f, func(w *runner, raw []byte, took time.Duration) error {
			start := time.Now()
			scores, err := w.scorer.scores(ctx, g.scorer, raw)
			if err != nil {
				return err
			}
			r = newResult("", w.Device(), g.scorer.labels, scores, top)
			r.Elapsed = took + time.Since(start)
			if embed && g.answers == nil {
				r.Embedding = slices.Clone(raw)
			}
			return nil
		})
		if err != nil {
			return Result{}, err
		}
	}
	if embed && r.Embedding == nil {
		err := g.runners.run(ctx, g.resize, f, func(w *runner, raw []byte, took time.Duration) error {
			r.Embedding, r.Elapsed = slices.Clone(raw), r.Elapsed+took
			r.Device = cmp.Or(r.Device, w.Device())
			return nil
		})
		if err != nil {
			return Result{}, err
		}
	}
	r.Generation = g.number
	return r, nil
}

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
