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

func partlyTelling(rim bool, each int) []dataset.Item {
	var items []dataset.Item
	for class, label := range []string{"a", "b"} {
		for s := range each {
			items = append(items, dataset.Item{Path: fmt.Sprintf("%s/%d.png", label, s), Label: label, Content: backbonetest.WidePhoto(class, rim, uint64(s))})
		}
	}
	return items
}

func TestAutoResize(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name      string
		rim       bool
		each      int
		want      dataset.Resize
		undecided bool
	}{
		{"only the rim tells", true, 10, dataset.Squash, false},
		{"only the middle tells", false, 10, dataset.Crop, false},
		{"too few", true, 2, dataset.Crop, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			items := partlyTelling(test.rim, test.each)
			dir, o := newWorkspace(t)
			o.Resize = AutoResize
			k := openWorkspace(t, dir, o)
			last := 0
			learned, err := k.Add(ctx, items, AddOptions{Progress: func(done, total int) {
				if done != last+1 || total != 2*len(items) {
					t.Errorf("progress %d of %d after %d", done, total, last)
				}
				last = done
			}})
			if err != nil {
				t.Fatal(err)
			}
			c := learned.ResizeChoice
			if c == nil || c.Resize != test.want || len(c.Candidates) != 2 || k.Settings().Resize != test.want || last != 2*len(items) || learned.Photos != len(items) {
				t.Fatalf("chose %+v, settings %+v, %d steps, %d photos; want %s", c, k.Settings(), last, learned.Photos, test.want)
			}
			for _, tried := range c.Candidates {
				if (tried.LogLoss == nil) != test.undecided {
					t.Errorf("%s: loss %v", tried.Resize, tried.LogLoss)
				}
			}
			// What is taught is as if that had been asked for, and stays so.
			model := readModel(t, k)
			dir2, o2 := newWorkspace(t)
			o2.Resize = test.want
			k2 := openWorkspace(t, dir2, o2)
			mustAdd(t, k2, items...)
			if !bytes.Equal(model, readModel(t, k2)) {
				t.Error("the model is not that of photos fitted so")
			}
			if again := mustAdd(t, k, photo("c", 3, 1)); again.ResizeChoice != nil {
				t.Errorf("chose again: %+v", again.ResizeChoice)
			}
			if _, err := Open(dir, o); !errors.Is(err, ErrOtherResize) {
				t.Errorf("open what is taught: %v, want ErrOtherFit", err)
			}
			if !test.undecided {
				set, _, c, err := evaluate.Embed(ctx, "set", k.Backbone(), items, evaluate.EmbedOptions{Auto: true, Support: 2, Episodes: 2, Threads: 1})
				if err != nil || c.Resize != test.want || len(set.Units) != len(items) || len(set.Units[0]) != backbonetest.Dim {
					t.Errorf("a set: %+v, %v, want %s", c, err, test.want)
				}
			}
		})
	}
}

// Nothing that can be taught: the same error as ever, and no workspace.
func TestAutoResizeOfNothing(t *testing.T) {
	dir, o := newWorkspace(t)
	o.Resize = AutoResize
	k := openWorkspace(t, dir, o)
	if _, err := k.Add(context.Background(), []dataset.Item{{Path: "x", Label: "a", Content: []byte("no photo")}}, AddOptions{}); !errors.Is(err, ErrNoPhotos) {
		t.Errorf("%v, want ErrNoPhotos", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the workspace: %v, want none", err)
	}
}
