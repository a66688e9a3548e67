package imprint

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// TestUntrained changes the backbone, the embedding tensor or the resize mode of a workspace
// without photos.
func TestUntrained(t *testing.T) {
	other := phototest.Backbone(t, "other.tflite", backbonetest.Classifier(3))
	empties := map[string]func(*Workspace) error{
		"undone":  func(w *Workspace) error { _, err := w.Undo(context.Background()); return err },
		"removed": func(w *Workspace) error { _, err := w.Remove(context.Background(), "a", nil); return err },
	}
	sets := map[string]func(*Options){
		"backbone": func(o *Options) { o.Backbone = other },
		"tensor":   func(o *Options) { o.Embedding = "pointwise" },
		"resize":   func(o *Options) { o.Resize = dataset.Pad },
		"auto":     func(o *Options) { o.Resize = AutoResize },
	}
	for emptied, empty := range empties {
		for changed, set := range sets {
			t.Run(emptied+" "+changed, func(t *testing.T) {
				dir, o := newWorkspace(t)
				w := openWorkspace(t, dir, o)
				mustAdd(t, w, photos("a", 0, 0, 2)...)
				if err := empty(w); err != nil {
					t.Fatal(err)
				}
				set(&o)
				before := files(t, dir)
				w = openWorkspace(t, dir, o)
				sameFiles(t, files(t, dir), before)
				mustAdd(t, w, slices.Concat(photos("b", 0, 0, 2), photos("c", 1, 0, 2))...)

				fresh, _ := newWorkspace(t)
				want := openWorkspace(t, fresh, o)
				mustAdd(t, want, slices.Concat(photos("b", 0, 0, 2), photos("c", 1, 0, 2))...)
				if !slices.Equal(readModel(t, w), readModel(t, want)) {
					t.Error("got another model than in a new workspace")
				}
				again := openWorkspace(t, dir, Options{})
				wantPhotos(t, again, map[string]int{"b": 2, "c": 2})
				if _, err := again.Undo(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantPhotos(t, openWorkspace(t, dir, Options{}), map[string]int{})
			})
		}
	}
}

// TestUntrainedWithNewBackbone opens a workspace after power loss between writing the new backbone
// and writing the state that names it. Open must accept the new backbone, because no photo needs
// the old backbone.
func TestUntrainedWithNewBackbone(t *testing.T) {
	dir, o := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	if _, err := w.Remove(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	model := backbonetest.Classifier(3)
	if err := os.WriteFile(w.store.Path(store.BackboneFile), model, 0o644); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, openWorkspace(t, dir, Options{}), photos("b", 0, 0, 2)...)
	again := openWorkspace(t, dir, Options{})
	wantPhotos(t, again, map[string]int{"b": 2})
	if again.Backbone().SHA256 != store.Sum(model) {
		t.Error("got the old backbone, want the new one")
	}
}

// TestUntrainedTogether opens a workspace without photos twice, with different backbones. The
// second Add must fail.
func TestUntrainedTogether(t *testing.T) {
	dir, o := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	if _, err := w.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Backbone, o.Head = phototest.Backbone(t, "other.tflite", backbonetest.Classifier(3)), classifier.Mean
	second := openWorkspace(t, dir, o)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	_, err := second.Add(t.Context(), photos("b", 1, 0, 1), AddOptions{})
	wantError(t, err, ErrOtherBackbone)
}
