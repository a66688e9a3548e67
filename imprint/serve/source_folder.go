package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/imprintkit/imprint/dataset"
)

// folderRate is how fast the photos of a folder are shown, in frames a second,
// where nothing is said: as fast as a Donkey Car drives.
const folderRate = 20

// A folder shows the photos in a folder, and in all folders in it, by name.
type folder struct {
	dir  string
	loop bool
	pace pace

	items []dataset.Item // nil before the first
	at    int
}

func newFolder(dir string, o SourceOptions) *folder {
	if o.Rate == 0 {
		o.Rate = folderRate
	}
	return &folder{dir: dir, loop: o.Loop, pace: pace{rate: o.Rate}}
}

func (f *folder) String() string { return "folder:" + f.dir }

func (f *folder) Close() error { return nil }

// Next implements Source. Files that are no photos, or damaged, are passed over.
func (f *folder) Next(ctx context.Context) (Frame, error) {
	if f.items == nil {
		items, _, err := dataset.Walk([]string{f.dir}, "-") // any label: it is not used
		if err == nil && len(items) == 0 {
			err = fmt.Errorf("folder %s: %w", f.dir, errNoPhotos)
		}
		if err != nil {
			return Frame{}, err
		}
		f.items, f.at = items, 0
	}
	var bad error
	for range f.items {
		if f.at == len(f.items) {
			if !f.loop {
				return Frame{}, io.EOF
			}
			f.at = 0
		}
		item := f.items[f.at]
		f.at++
		file, err := dataset.Open(item, dataset.DefaultLimits())
		if err != nil {
			bad = err
			continue
		}
		if err := f.pace.wait(ctx); err != nil {
			return Frame{}, err
		}
		return Frame{Captured: time.Now(), Photo: file.Content(), Name: item.Path}, nil
	}
	if !f.loop && f.at == len(f.items) {
		return Frame{}, io.EOF
	}
	f.items = nil // look again: what is there may have changed
	return Frame{}, fmt.Errorf("folder %s: %w that can be read: %w", f.dir, errNoPhotos, bad)
}

var errNoPhotos = errors.New("no photos")
