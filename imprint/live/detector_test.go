package live_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

// TestDetector checks that frames get the same answers as photos, with an embedding for each box,
// across changes of the workspace and its detector.
func TestDetector(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	o.Detector = &predict.DetectorChoice{Model: phototest.Backbone(t, "detector.tflite", backbonetest.Detector(2)), Min: 1e-6}
	l := openLive(t, dir, o)
	img, item := decoded(t, picture(0, 50)), dataset.Item{Content: picture(0, 50)}
	r, err := l.Observe(ctx, img, 1)
	if err != nil || !r.Unknown || len(r.Boxes) == 0 || len(r.Embedding) == 0 || r.Box == (dataset.Box{}) {
		t.Errorf("without classes: got %+v, %v, want boxes with embeddings", r, err)
	}
	for _, b := range r.Boxes {
		if len(b.Embedding) == 0 {
			t.Errorf("box %s has no embedding", b.Box)
		}
	}
	w := openWorkspace(t, dir, o)
	file, err := dataset.Open(item, dataset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	before, err := l.Prepare(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, change := range []func() error{
		func() error { mustAdd(t, w, kinds(0, 3)...); return nil },
		func() error { return w.Rename(ctx, "blue", "navy") },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		mustReload(t, l)
		want := classify(t, w, item)[0]
		fromImage, err := l.Classify(ctx, img, 0)
		if err != nil {
			t.Fatal(err)
		}
		fromPicture, err := l.ObservePicture(ctx, before, 0)
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]predict.Result{"image": fromImage, "picture": fromPicture} {
			for b := range got.Boxes {
				got.Boxes[b].Embedding = nil
			}
			if !sameResult(got, want) || !reflect.DeepEqual(got.Boxes, want.Boxes) || got.Box != want.Box {
				t.Errorf("change %d, %s: got %+v, want %+v", i, what, got, want)
			}
		}
	}
	broken, err := dataset.Open(dataset.Item{Path: "broken.png", Content: item.Content[:len(item.Content)/2]}, dataset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.ClassifyFile(ctx, broken, 0); !errors.Is(err, dataset.ErrDamaged) {
		t.Errorf("a damaged photo: got error %v, want %v", err, dataset.ErrDamaged)
	}
}
