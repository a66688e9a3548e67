package imprint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/evaluate"
)

// widePhotos returns wide photos of two classes that differ only in their margins, or only
// between the margins.
func widePhotos(margins bool, each int) []dataset.Item {
	var items []dataset.Item
	for class, label := range []string{"a", "b"} {
		for s := range each {
			items = append(items, dataset.Item{Path: fmt.Sprintf("%s/%d.png", label, s), Label: label, Content: backbonetest.WidePhoto(class, margins, uint64(s))})
		}
	}
	return items
}

func TestAutoResize(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name      string
		margins   bool
		each      int
		want      dataset.Resize
		undecided bool
	}{
		{"margins differ", true, 10, dataset.Squash, false},
		{"middles differ", false, 10, dataset.Crop, false},
		{"too few photos", true, 2, dataset.Crop, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			items := widePhotos(test.margins, test.each)
			dir, o := newWorkspace(t)
			o.Resize = AutoResize
			w := openWorkspace(t, dir, o)
			last := 0
			added, err := w.Add(ctx, items, AddOptions{Progress: func(done, total int) {
				if done != last+1 || total != 2*len(items) {
					t.Errorf("got progress %d of %d after progress %d", done, total, last)
				}
				last = done
			}})
			if err != nil {
				t.Fatal(err)
			}
			c := added.ResizeChoice
			if c == nil || c.Resize != test.want || len(c.Candidates) != 2 || w.Settings().Resize != test.want || last != 2*len(items) || added.Photos != len(items) {
				t.Fatalf("got choice %+v, settings %+v, %d steps, %d photos, want %s", c, w.Settings(), last, added.Photos, test.want)
			}
			for _, candidate := range c.Candidates {
				if (candidate.LogLoss == nil) != test.undecided {
					t.Errorf("%s: got log loss %v, want none: %v", candidate.Resize, candidate.LogLoss, test.undecided)
				}
			}
			// The model must be the same as if the options named the chosen mode.
			model := readModel(t, w)
			dir2, o2 := newWorkspace(t)
			o2.Resize = test.want
			w2 := openWorkspace(t, dir2, o2)
			mustAdd(t, w2, items...)
			if !bytes.Equal(model, readModel(t, w2)) {
				t.Errorf("got another model than with the resize mode %s", test.want)
			}
			if again := mustAdd(t, w, photo("c", 3, 1)); again.ResizeChoice != nil {
				t.Errorf("second add: got choice %+v, want none", again.ResizeChoice)
			}
			if _, err := Open(dir, o); !errors.Is(err, ErrOtherResize) {
				t.Errorf("open with AutoResize: got error %v, want %v", err, ErrOtherResize)
			}
			if !test.undecided {
				set, _, c, err := evaluate.Embed(ctx, "set", w.Backbone(), items, evaluate.EmbedOptions{Auto: true, Support: 2, Episodes: 2, Threads: 1})
				if err != nil || c.Resize != test.want || len(set.Units) != len(items) || len(set.Units[0]) != backbonetest.Dim {
					t.Errorf("set: got choice %+v, %v, want %s", c, err, test.want)
				}
			}
		})
	}
}

// TestAutoResizeWithoutPhotos checks that Add fails with ErrNoPhotos and creates no workspace if no
// photo can be read.
func TestAutoResizeWithoutPhotos(t *testing.T) {
	dir, o := newWorkspace(t)
	o.Resize = AutoResize
	w := openWorkspace(t, dir, o)
	if _, err := w.Add(context.Background(), []dataset.Item{{Path: "x", Label: "a", Content: []byte("no photo")}}, AddOptions{}); !errors.Is(err, ErrNoPhotos) {
		t.Errorf("got error %v, want %v", err, ErrNoPhotos)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the failed add created a workspace: %v", err)
	}
}
