package imprint

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// embedded is what became of one photo.
type embedded struct {
	photo  store.Digest
	raw    []byte
	hash   uint64        // by dataset.Hash, of the photo as it was fitted
	took   time.Duration // by the backbone alone
	device string
	err    error // of the photo
	fatal  error // of the backbone: no photo can be embedded
}

// embedPhotos does that with any backbone. Fewer photos than cores get several each;
// runners keeps what was started, for the next time.
func embedPhotos(ctx context.Context, b *backbone.Backbone, runners *[]*backbone.Runner, threads int, fit dataset.Resize, items []dataset.Item, deliver func(i int, e embedded) error) error {
	if len(items) == 0 {
		return ctx.Err()
	}
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	each := max(threads/len(items), 1)
	threads = min(threads, len(items))
	if len(*runners) > 0 && (*runners)[0].Threads() != each {
		closeRunners(runners)
	}
	for len(*runners) < threads {
		*runners = append(*runners, b.NewRunner(each))
	}
	fitters := make([]dataset.Resizer, threads)
	work := func(ctx context.Context, worker int, f *dataset.File) (embedded, error) {
		r, fitter := (*runners)[worker], &fitters[worker]
		fitter.Mode, fitter.Width, fitter.Height = fit, b.Width, b.Height
		if err := fitter.Read(r.RGB(), f); err != nil {
			return embedded{}, err
		}
		hash := dataset.Hash(r.RGB(), b.Width, b.Height)
		start := time.Now()
		raw, err := r.Embed(ctx)
		if err != nil {
			return embedded{fatal: err}, nil
		}
		return embedded{photo: f.SHA256(), raw: slices.Clone(raw), hash: hash, took: time.Since(start), device: r.Device()}, nil
	}
	return dataset.Load(ctx, items, dataset.DefaultLimits(), threads, work, func(i int, e embedded, err error) error {
		if e.fatal != nil {
			return e.fatal
		}
		if err != nil {
			e.err = err
		}
		return deliver(i, e)
	})
}

func closeRunners(runners *[]*backbone.Runner) {
	for _, r := range *runners {
		r.Close()
	}
	*runners = nil
}
