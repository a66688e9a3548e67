package live

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/predict"
)

// A generation classifies frames with one snapshot, which never changes.
type generation struct {
	*imprint.Snapshot
	threads   int             // number of threads of each embedder
	embedders *infer.Pool     // runners of the backbone, shared with other generations
	models    *infer.Pool     // runners of the snapshot's Model; nil if it has none
	finder    *predict.Finder // runs the snapshot's Detector, shared with other generations; nil if it has none
	users     atomic.Int64
}

// newGeneration makes a generation with one user. If was, which may be nil, has the same backbone or
// detector, the two share their runners.
func newGeneration(s *imprint.Snapshot, threads int, was *generation) *generation {
	n := infer.Cores(threads)
	g := &generation{Snapshot: s, threads: n}
	if s.Model != nil {
		g.models = infer.NewPool(s.Model, max(n, 4)) // two runners per device keep the bus busy
	}
	if was != nil && was.Backbone == s.Backbone {
		g.embedders = was.embedders
		g.embedders.Join()
	} else {
		g.embedders = infer.NewPool(s.Backbone, max(n, 2))
	}
	switch {
	case s.Detector == nil:
	case was != nil && was.Detector == s.Detector:
		g.finder = was.finder
		g.finder.Join()
	default:
		g.finder = s.Detector.NewFinder()
	}
	g.users.Store(1)
	return g
}

// leave removes a user of g. It is called after each frame, and once when g is no longer
// current.
func (g *generation) leave() {
	if g.users.Add(-1) > 0 {
		return
	}
	g.embedders.Leave()
	g.finder.Leave()
	if g.models != nil {
		g.models.Leave()
	}
}

// answer classifies a picture, or what the detector finds in it.
func (g *generation) answer(ctx context.Context, in infer.Input, top int, embed bool) (predict.Result, error) {
	if g.finder == nil {
		return g.embed(ctx, in, top, embed)
	}
	if in.Prepared != nil {
		return predict.Result{}, infer.ErrPrepared
	}
	r, err := g.finder.Classify(ctx, g.threads, in, func(in infer.Input) (predict.Result, error) {
		return g.embed(ctx, in, top, embed)
	})
	r.Generation, r.Backbone = g.Generation, g.Backbone
	if err == nil {
		err = r.Err
	}
	return r, err
}

// embed classifies one picture, or the part of it that the box is around.
func (g *generation) embed(ctx context.Context, in infer.Input, top int, embed bool) (predict.Result, error) {
	if err := ctx.Err(); err != nil {
		return predict.Result{}, err
	}
	r := predict.Result{Unknown: true}
	if g.Scorer != nil {
		err := g.run(ctx, cmp.Or(g.models, g.embedders), in, func(runner *infer.Runner, raw []byte, took time.Duration) error {
			start := time.Now()
			var err error
			if r, err = predict.Answer(ctx, g.Scorer, &runner.Scratch, raw, g.None, top); err != nil {
				return err
			}
			r.Device, r.Elapsed = runner.Device(), took+time.Since(start)
			if embed && g.models == nil {
				r.Embedding = slices.Clone(raw)
			}
			return nil
		})
		if err != nil {
			return predict.Result{}, err
		}
	}
	if embed && r.Embedding == nil {
		err := g.run(ctx, g.embedders, in, func(runner *infer.Runner, raw []byte, took time.Duration) error {
			r.Embedding, r.Elapsed = slices.Clone(raw), r.Elapsed+took
			r.Device = cmp.Or(r.Device, runner.Device())
			return nil
		})
		if err != nil {
			return predict.Result{}, err
		}
	}
	r.Generation, r.Backbone = g.Generation, g.Backbone
	return r, nil
}

// run runs p on one frame. On the CPU a runner uses all cores; for an Edge TPU one core is enough.
func (g *generation) run(ctx context.Context, p *infer.Pool, in infer.Input, use func(runner *infer.Runner, raw []byte, took time.Duration) error) error {
	threads := g.threads
	if p == g.models {
		threads = 1
	}
	return p.Run(ctx, threads, g.Resize, in, use)
}
