package imprint

import (
	"context"
	"fmt"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/predict"
)

// Classify classifies photos with the published model and delivers the results in order, with the
// top best classes, or all if top is 0. A photo that can't be read is a Result with Err. Classify
// stops if deliver fails.
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
	var scratch infer.Scratch
	return runners.Photos(ctx, threads, s.Resize, photos, func(i int, e infer.Embedding) error {
		if e.Err != nil {
			return deliver(predict.Result{Path: photos[i].Path, Err: e.Err})
		}
		start := time.Now()
		scores, err := s.Scorer.Scores(ctx, &scratch, e.Raw)
		if err != nil {
			return err
		}
		r := predict.Rank(s.Labels, scores, top)
		r.Unknown = r.Unknown || r.Label == s.None
		r.Path, r.Device, r.Generation, r.Elapsed = photos[i].Path, e.Device, s.Generation, e.Took+time.Since(start)
		return deliver(r)
	})
}
