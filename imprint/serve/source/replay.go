package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/imprintkit/imprint/dataset"
)

const (
	// defaultRate is used when neither the caller nor the recording specifies a rate. It is Donkey
	// Car's default, in frames per second.
	defaultRate = 20
	// longestGap limits the pause between two replayed photos. In the recording, days may have
	// passed between two drives.
	longestGap = 2 * time.Second
)

// errNoPhotos means that a folder or tub has no readable photo.
var errNoPhotos = errors.New("no photos")

// replay is the Source for the photos of a folder or tub, in order.
type replay struct {
	kind, dir string
	find      func(ctx context.Context, dir string) ([]dataset.Item, error)
	loop      bool
	rate      float64 // frames per second; 0 means as recorded
	pace      pace

	items []dataset.Item // nil until the first frame
	next  int
}

// newFolder returns a source that replays the photos below dir, sorted by path.
func newFolder(dir string, o Options) *replay {
	if o.Rate == 0 {
		o.Rate = defaultRate
	}
	return &replay{kind: "folder", dir: dir, loop: o.Loop, rate: o.Rate, find: func(ctx context.Context, dir string) ([]dataset.Item, error) {
		items, _, err := dataset.WalkContext(ctx, []string{dir}, "-") // it requires a label; it is not used
		return items, err
	}}
}

// newTub returns a source that replays a Donkey Car tub, by default at the recorded rate.
func newTub(dir string, o Options) *replay {
	return &replay{kind: "tub", dir: dir, loop: o.Loop, rate: o.Rate, find: func(_ context.Context, dir string) ([]dataset.Item, error) {
		t, err := dataset.OpenTub(dir)
		if err != nil {
			return nil, err
		}
		items, _, err := t.Select(dataset.TubFilter{}, "-")
		return items, err
	}}
}

func (r *replay) String() string { return r.kind + ":" + r.dir }

func (r *replay) Close() error { return nil }

// Next implements Source. It skips files that are missing, damaged or not photos.
func (r *replay) Next(ctx context.Context) (Frame, error) {
	if r.items == nil {
		items, err := r.find(ctx, r.dir)
		if err == nil && len(items) == 0 {
			err = fmt.Errorf("%s %s: %w", r.kind, r.dir, errNoPhotos)
		}
		if err != nil {
			return Frame{}, err
		}
		r.items, r.next = items, 0
	}
	var bad error
	for range r.items {
		if r.next == len(r.items) {
			if !r.loop {
				return Frame{}, io.EOF
			}
			r.next = 0
		}
		item, shown := r.items[r.next], r.duration()
		r.next++
		file, err := dataset.Open(item, dataset.DefaultLimits())
		if err != nil {
			bad = err
			continue
		}
		if err := r.pace.wait(ctx, shown); err != nil {
			return Frame{}, err
		}
		return Frame{Captured: time.Now(), Photo: file.Content(), Name: item.Path}, nil
	}
	if !r.loop && r.next == len(r.items) {
		return Frame{}, io.EOF
	}
	r.items = nil // list the folder again next time, because it may have changed
	return Frame{}, fmt.Errorf("%s %s: %w could be read: %w", r.kind, r.dir, errNoPhotos, bad)
}

// duration returns the time for which the next photo is shown.
func (r *replay) duration() time.Duration {
	if r.rate > 0 {
		return time.Duration(float64(time.Second) / r.rate)
	}
	if r.next+1 < len(r.items) {
		if now, next := r.items[r.next].Time, r.items[r.next+1].Time; !now.IsZero() && !next.Before(now) {
			return min(next.Sub(now), longestGap)
		}
	}
	return time.Second / defaultRate
}

// A pace delays replayed frames until they are due.
type pace struct {
	next time.Time // when the next frame is due
}

// wait waits until a frame is due, and schedules the next frame for the time shown later. When
// the caller is late, the schedule shifts; later frames are not sent faster to catch up.
func (p *pace) wait(ctx context.Context, shown time.Duration) error {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	d := p.next.Sub(now)
	p.next = p.next.Add(shown)
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
