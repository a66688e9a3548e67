package imprint

import (
	"context"
	"fmt"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/predict"
)

// Classify classifies photos, or what the detector finds in them, and delivers the results in order,
// with the top best classes, or all if top is 0. A photo that can't be read is a Result with Err.
// Classify stops if deliver fails.
func (w *Workspace) Classify(ctx context.Context, photos []dataset.Item, top int, deliver func(predict.Result) error) error {
	s, err := w.Snapshot()
	if err == nil && s.Scorer == nil {
		err = fmt.Errorf("workspace %s: %w", w.store.Dir, ErrNoClasses)
	}
	if err != nil {
		return fmt.Errorf("classify: %w", err)
	}
	threads, runners := infer.Cores(w.options.Threads), w.pool()
	if s.Model != nil {
		runners = infer.NewPool(s.Model, threads)
		defer runners.Leave()
	}
	if s.Detector != nil {
		return s.classifyObjects(ctx, runners, threads, photos, top, deliver)
	}
	var scratch infer.Scratch
	return runners.Photos(ctx, threads, s.Resize, photos, func(i int, e infer.Embedding) error {
		if e.Err != nil {
			return deliver(predict.Result{Path: photos[i].Path, Err: e.Err})
		}
		start := time.Now()
		r, err := predict.Answer(ctx, s.Scorer, &scratch, e.Raw, s.None, top)
		if err != nil {
			return err
		}
		r.Path, r.Device, r.Generation, r.Elapsed = photos[i].Path, e.Device, s.Generation, e.Took+time.Since(start)
		return deliver(r)
	})
}

// classifyObjects is like Classify, for what the detector finds in photos.
func (s *Snapshot) classifyObjects(ctx context.Context, runners *infer.Pool, threads int, photos []dataset.Item, top int, deliver func(predict.Result) error) error {
	if len(photos) == 0 {
		return ctx.Err()
	}
	finder := s.Detector.NewFinder()
	defer finder.Leave()
	each := max(threads/len(photos), 1)
	type answer struct {
		predict.Result
		fatal error
	}
	work := func(ctx context.Context, _ int, f *dataset.File) (a answer, _ error) {
		a.Result, a.fatal = finder.Classify(ctx, each, infer.Input{File: f}, func(in infer.Input) (r predict.Result, err error) {
			err = runners.Run(ctx, each, s.Resize, in, func(runner *infer.Runner, raw []byte, took time.Duration) (err error) {
				start := time.Now()
				r, err = predict.Answer(ctx, s.Scorer, &runner.Scratch, raw, s.None, top)
				r.Device, r.Elapsed = runner.Device(), took+time.Since(start)
				return err
			})
			if infer.IsUnreadable(err) {
				r.Err, err = err, nil
			}
			return r, err
		})
		return a, a.Err
	}
	return dataset.Load(ctx, photos, dataset.DefaultLimits(), min(threads, len(photos)), work, func(i int, a answer, err error) error {
		if a.fatal != nil {
			return a.fatal
		}
		if err != nil {
			return deliver(predict.Result{Path: photos[i].Path, Err: err})
		}
		a.Path, a.Generation = photos[i].Path, s.Generation
		return deliver(a.Result)
	})
}
