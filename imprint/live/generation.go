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
	threads   int         // number of threads of each embedder
	embedders *infer.Pool // runners of the backbone, shared with other generations
	models    *infer.Pool // runners of the snapshot's Model; nil if it has none
	users     atomic.Int64
}

// newGeneration makes a generation with one user. If was, which may be nil, has the same
// backbone, the two share their embedders.
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
	if g.models != nil {
		g.models.Leave()
	}
}

func (g *generation) answer(ctx context.Context, in infer.Input, top int, embed bool) (predict.Result, error) {
	if err := ctx.Err(); err != nil {
		return predict.Result{}, err
	}
	r := predict.Result{Unknown: true}
	if g.Scorer != nil {
		err := g.run(ctx, cmp.Or(g.models, g.embedders), in, func(runner *infer.Runner, raw []byte, took time.Duration) error {
			start := time.Now()
			scores, err := g.Scorer.Scores(ctx, &runner.Scratch, raw)
			if err != nil {
				return err
			}
			r = predict.Rank(g.Labels, scores, top)
			r.Unknown = r.Unknown || r.Label == g.None
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
