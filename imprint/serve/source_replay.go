package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/imprintkit/imprint/dataset"
)

const (
	// usualRate is how fast photos are shown, in frames a second, where nothing is said:
	// as fast as a Donkey Car drives.
	usualRate = 20
	// longestGap is the longest pause of a recording that is kept: between two drives a
	// car may have stood for days.
	longestGap = 2 * time.Second
)

// A replay shows photos again that are in a folder, in their order.
type replay struct {
	kind, dir string
	find      func(dir string) ([]dataset.Item, error)
	loop      bool
	rate      float64 // 0 is that of the recording
	pace      pace

	items []dataset.Item // nil before the first
	at    int
}

// newFolder shows the photos in a folder, and in all folders in it, by name.
func newFolder(dir string, o SourceOptions) *replay {
	if o.Rate == 0 {
		o.Rate = usualRate
	}
	return &replay{kind: "folder", dir: dir, loop: o.Loop, rate: o.Rate, find: func(dir string) ([]dataset.Item, error) {
		items, _, err := dataset.Walk([]string{dir}, "-") // any label: it is not used
		return items, err
	}}
}

// newTub shows a Donkey Car's recording, as fast as it was driven.
func newTub(dir string, o SourceOptions) *replay {
	return &replay{kind: "tub", dir: dir, loop: o.Loop, rate: o.Rate, find: func(dir string) ([]dataset.Item, error) {
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

// Next implements Source. Files that are no photos, missing or damaged, are passed over.
func (r *replay) Next(ctx context.Context) (Frame, error) {
	if r.items == nil {
		items, err := r.find(r.dir)
		if err == nil && len(items) == 0 {
			err = fmt.Errorf("%s %s: %w", r.kind, r.dir, errNoPhotos)
		}
		if err != nil {
			return Frame{}, err
		}
		r.items, r.at = items, 0
	}
	var bad error
	for range r.items {
		if r.at == len(r.items) {
			if !r.loop {
				return Frame{}, io.EOF
			}
			r.at = 0
		}
		item, seen := r.items[r.at], r.seen()
		r.at++
		file, err := dataset.Open(item, dataset.DefaultLimits())
		if err != nil {
			bad = err
			continue
		}
		if err := r.pace.wait(ctx, seen); err != nil {
			return Frame{}, err
		}
		return Frame{Captured: time.Now(), Photo: file.Content(), Name: item.Path}, nil
	}
	if !r.loop && r.at == len(r.items) {
		return Frame{}, io.EOF
	}
	r.items = nil // look again: what is there may have changed
	return Frame{}, fmt.Errorf("%s %s: %w that can be read: %w", r.kind, r.dir, errNoPhotos, bad)
}

// seen is how long the photo that is next is seen: until the one after it.
func (r *replay) seen() time.Duration {
	if r.rate > 0 {
		return time.Duration(float64(time.Second) / r.rate)
	}
	if r.at+1 < len(r.items) {
		if now, next := r.items[r.at].Time, r.items[r.at+1].Time; !now.IsZero() && !next.Before(now) {
			return min(next.Sub(now), longestGap)
		}
	}
	return time.Second / usualRate
}

var errNoPhotos = errors.New("no photos")
