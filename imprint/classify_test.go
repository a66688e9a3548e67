package imprint

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/predict"
)

// labelsWanted returns the labels of items.
func labelsWanted(items []dataset.Item) (labels []string) {
	for _, it := range items {
		labels = append(labels, it.Label)
	}
	return labels
}

func TestClassify(t *testing.T) {
	ctx := context.Background()
	w := openNew(t)
	err := w.Classify(ctx, photos("?", 0, 0, 1), 1, func(predict.Result) error { return nil })
	wantError(t, err, ErrNoClasses)
	mustAdd(t, w, kinds(0, 3)...)

	unseen := kinds(50, 3)
	results := classify(t, w, unseen...)
	if got := labelsOf(results); !slices.Equal(got, labelsWanted(unseen)) {
		t.Errorf("got %q, want %q", got, labelsWanted(unseen))
	}
	for i, r := range results {
		total := 0.0
		for j, s := range r.Top {
			total += s.Score
			if j > 0 && s.Score > r.Top[j-1].Score {
				t.Errorf("%s: got scores %v, want descending scores", r.Path, r.Top)
			}
		}
		if r.Path != unseen[i].Path || len(r.Top) != 4 || r.Top[0] != (predict.Score{Label: r.Label, Score: r.Score}) || math.Abs(total-1) > 1e-12 || r.Device != "cpu" || r.Elapsed <= 0 {
			t.Errorf("%s: got %+v, want 4 classes with scores that add up to 1", unseen[i].Path, r)
		}
	}
	for top, want := range map[int]int{1: 1, 3: 3, 4: 4, 99: 4, 0: 4} {
		err := w.Classify(ctx, unseen[:1], top, func(r predict.Result) error {
			if len(r.Top) != want {
				t.Errorf("top %d: got %d classes, want %d", top, len(r.Top), want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}

	t.Run("unreadable photos", func(t *testing.T) {
		items := []dataset.Item{unseen[0], {Path: "damaged.png", Content: unseen[0].Content[:100]}, {Path: filepath.Join(t.TempDir(), "none.png")}, unseen[4]}
		want := []error{nil, dataset.ErrDamaged, os.ErrNotExist, nil}
		got := classify(t, w, items...)
		if len(got) != len(want) {
			t.Fatalf("got %d results, want %d", len(got), len(want))
		}
		for i, r := range got {
			if !errors.Is(r.Err, want[i]) || r.Path != items[i].Path {
				t.Errorf("%s: got path %s, error %v, want %v", items[i].Path, r.Path, r.Err, want[i])
			}
		}
	})
	t.Run("error of deliver", func(t *testing.T) {
		n := 0
		err := w.Classify(ctx, unseen, 1, func(predict.Result) error { n++; return errAny })
		if !errors.Is(err, errAny) || n != 1 {
			t.Errorf("got error %v after %d results, want %v after 1", err, n, errAny)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		wantError(t, w.Classify(ctx, unseen, 1, func(predict.Result) error { return nil }), context.Canceled)
	})
	t.Run("no photos", func(t *testing.T) {
		if got := classify(t, w); len(got) != 0 {
			t.Errorf("got %v, want no results", got)
		}
	})
}

func TestExport(t *testing.T) {
	for _, model := range []struct {
		name string
		file []byte
		keep bool
	}{
		{"extractor", backbonetest.Extractor(), false},
		{"classifier", backbonetest.Classifier(3), false},
		{"classifier with its classes", backbonetest.Classifier(3), true},
	} {
		for _, layout := range []classifier.Layout{classifier.Float, classifier.Coral} {
			t.Run(model.name+" "+string(layout), func(t *testing.T) {
				dir, o := newWorkspace(t)
				o.Backbone, o.KeepClasses, o.Resize = phototest.Backbone(t, "backbone.tflite", model.file), &model.keep, dataset.Squash
				w := openWorkspace(t, dir, o)
				mustAdd(t, w, kinds(0, 3)...)
				before := files(t, dir)
				out := t.TempDir()
				path, labels := filepath.Join(out, "m.tflite"), filepath.Join(out, "l.txt")
				if _, err := w.Export(path, labels, layout, model.keep); err != nil {
					t.Fatal(err)
				}
				sameFiles(t, files(t, dir), before)
				if entries, _ := os.ReadDir(out); len(entries) != 2 {
					t.Errorf("export wrote %v, want 2 files", entries)
				}
				want, err := headLabels(w)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(labels); err != nil || !bytes.Equal(got, store.LabelLines(want)) {
					t.Errorf("labels: got %q, %v, want %q", got, err, store.LabelLines(want))
				}
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if layout == classifier.Float && !bytes.Equal(b, readModel(t, w)) {
					t.Error("the file differs from the published model, which has the same settings")
				}
				m, err := tflite.Parse(b)
				if err != nil {
					t.Fatal(err)
				}
				if head, got, err := classifier.Read(m); err != nil || got != layout || !slices.Equal(head.Labels, want) {
					t.Errorf("the file: got %+v, %s, %v, want labels %q in the layout %s", head, got, err, want, layout)
				}
				compareWithFile(t, w, path, layout == classifier.Float)
			})
		}
	}
}

// compareWithFile classifies photos with a workspace and with a model file, which has the resize
// mode in its metadata. The labels must be equal; if exact is true, the scores must be equal too.
func compareWithFile(t *testing.T, w *Workspace, path string, exact bool) {
	t.Helper()
	unseen := kinds(50, 8)
	results := classify(t, w, unseen...)
	i := 0
	err := predict.File(context.Background(), path, predict.Options{Threads: 1}, unseen, func(r predict.Result) error {
		want := results[i]
		if i++; r.Label != want.Label {
			t.Errorf("%s: got %v from the file, want %v as from the workspace", r.Path, r.Top[:2], want.Top[:2])
		}
		score := make(map[string]float64)
		for _, s := range r.Top {
			score[s.Label] = s.Score
		}
		for _, s := range want.Top {
			if d := math.Abs(score[s.Label] - s.Score); exact && !(d <= 1e-6) {
				t.Errorf("%s: got a score for %s of %v from the file, want %v as from the workspace", r.Path, s.Label, score[s.Label], s.Score)
			}
		}
		return nil
	})
	if err != nil || i != len(unseen) {
		t.Errorf("got %d results, error %v, want %d", i, err, len(unseen))
	}
}

func TestExportErrors(t *testing.T) {
	w := openNew(t)
	out := t.TempDir()
	path := filepath.Join(out, "m.tflite")
	wantError(t, export(w, path, "", classifier.Float, false), ErrNoClasses)
	mustAdd(t, w, kinds(0, 2)...)
	wantError(t, export(w, path, "", "flat", false), errAny)
	wantError(t, export(w, path, "", classifier.Float, true), ErrNoOwnClasses)
	wantError(t, export(w, filepath.Join(out, "none", "m.tflite"), "", classifier.Float, false), os.ErrNotExist)
	wantError(t, export(w, path, filepath.Join(out, "none", "l.txt"), classifier.Float, false), os.ErrNotExist)
	wantError(t, export(w, out, "", classifier.Float, false), store.ErrNotRegular)
	wantError(t, export(w, path, os.DevNull, classifier.Float, false), store.ErrNotRegular)
	if entries, _ := os.ReadDir(out); len(entries) > 0 {
		t.Errorf("failed exports wrote %v", entries)
	}
}
