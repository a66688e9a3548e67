package imprint

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

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
