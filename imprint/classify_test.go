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

func wanted(items []dataset.Item) (labels []string) {
	for _, it := range items {
		labels = append(labels, it.Label)
	}
	return labels
}

func TestClassify(t *testing.T) {
	ctx := context.Background()
	k := newOpened(t)
	err := k.Classify(ctx, photos("?", 0, 0, 1), 1, func(predict.Result) error { return nil })
	wantError(t, err, ErrNoClasses)
	mustAdd(t, k, kinds(0, 3)...)

	unseen := kinds(50, 3)
	results := classify(t, k, unseen...)
	if got := labelsOf(results); !slices.Equal(got, wanted(unseen)) {
		t.Errorf("got %q, want %q", got, wanted(unseen))
	}
	for i, r := range results {
		total := 0.0
		for j, s := range r.Top {
			total += s.Score
			if j > 0 && s.Score > r.Top[j-1].Score {
				t.Errorf("%s: scores are out of order: %v", r.Path, r.Top)
			}
		}
		if r.Path != unseen[i].Path || len(r.Top) != 4 || r.Top[0] != (predict.Score{Label: r.Label, Score: r.Score}) || math.Abs(total-1) > 1e-12 || r.Device != "cpu" || r.Elapsed <= 0 {
			t.Errorf("got %+v", r)
		}
	}
	for top, want := range map[int]int{1: 1, 3: 3, 4: 4, 99: 4, 0: 4} {
		err := k.Classify(ctx, unseen[:1], top, func(r predict.Result) error {
			if len(r.Top) != want {
				t.Errorf("top %d: got %d classes, want %d", top, len(r.Top), want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}

	t.Run("unreadable among others", func(t *testing.T) {
		items := []dataset.Item{unseen[0], {Path: "damaged.png", Content: unseen[0].Content[:100]}, {Path: filepath.Join(t.TempDir(), "none.png")}, unseen[4]}
		want := []error{nil, dataset.ErrDamaged, os.ErrNotExist, nil}
		got := classify(t, k, items...)
		if len(got) != len(want) {
			t.Fatalf("got %d results, want %d", len(got), len(want))
		}
		for i, r := range got {
			if !errors.Is(r.Err, want[i]) || r.Path != items[i].Path {
				t.Errorf("%s: got %s, error %v, want %v", items[i].Path, r.Path, r.Err, want[i])
			}
		}
	})
	t.Run("ended by the receiver", func(t *testing.T) {
		n := 0
		err := k.Classify(ctx, unseen, 1, func(predict.Result) error { n++; return errAny })
		if !errors.Is(err, errAny) || n != 1 {
			t.Errorf("got error %v after %d results", err, n)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		wantError(t, k.Classify(ctx, unseen, 1, func(predict.Result) error { return nil }), context.Canceled)
	})
	t.Run("none", func(t *testing.T) {
		if got := classify(t, k); len(got) != 0 {
			t.Errorf("got %v", got)
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
		{"classifier, its classes kept", backbonetest.Classifier(3), true},
	} {
		for _, layout := range []classifier.Layout{classifier.Float, classifier.Coral} {
			t.Run(model.name+" "+string(layout), func(t *testing.T) {
				dir, o := newWorkspace(t)
				o.Backbone, o.KeepClasses, o.Resize = phototest.Backbone(t, "backbone.tflite", model.file), &model.keep, dataset.Squash
				k := openWorkspace(t, dir, o)
				mustAdd(t, k, kinds(0, 3)...)
				before := files(t, dir)
				out := t.TempDir()
				path, labels := filepath.Join(out, "m.tflite"), filepath.Join(out, "l.txt")
				if _, err := k.Export(path, labels, layout, model.keep); err != nil {
					t.Fatal(err)
				}
				sameFiles(t, files(t, dir), before)
				if entries, _ := os.ReadDir(out); len(entries) != 2 {
					t.Errorf("export has written %v", entries)
				}
				want, err := labelsIn(k)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(labels); err != nil || !bytes.Equal(got, store.LabelLines(want)) {
					t.Errorf("labels: got %q, %v", got, err)
				}
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if layout == classifier.Float && !bytes.Equal(b, readModel(t, k)) {
					t.Error("the file is not the published model, which has the same settings")
				}
				m, err := tflite.Parse(b)
				if err != nil {
					t.Fatal(err)
				}
				if head, got, err := classifier.Read(m); err != nil || got != layout || !slices.Equal(head.Labels, want) {
					t.Errorf("the file holds %+v, %s, %v", head, got, err)
				}

				// The file says itself how photos are fitted to it.
				unseen := kinds(50, 8)
				kit := classify(t, k, unseen...)
				i := 0
				err = predict.File(context.Background(), path, predict.Options{Threads: 1}, unseen, func(r predict.Result) error {
					if r.Label != kit[i].Label {
						t.Errorf("%s: the file says %v, the Workspace %v", r.Path, r.Top[:2], kit[i].Top[:2])
					}
					score := make(map[string]float64)
					for _, s := range r.Top {
						score[s.Label] = s.Score
					}
					for _, s := range kit[i].Top {
						if d := math.Abs(score[s.Label] - s.Score); layout == classifier.Float && !(d <= 1e-6) {
							t.Errorf("%s: score of %s is %v in the file and %v in the Workspace", r.Path, s.Label, score[s.Label], s.Score)
						}
					}
					i++
					return nil
				})
				if err != nil || i != len(unseen) {
					t.Errorf("%d results, error %v", i, err)
				}
			})
		}
	}
}

func TestExportErrors(t *testing.T) {
	k := newOpened(t)
	out := t.TempDir()
	path := filepath.Join(out, "m.tflite")
	wantError(t, export(k, path, "", classifier.Float, false), ErrNoClasses)
	mustAdd(t, k, kinds(0, 2)...)
	wantError(t, export(k, path, "", "flat", false), errAny)
	wantError(t, export(k, path, "", classifier.Float, true), ErrNoOwnClasses)
	wantError(t, export(k, filepath.Join(out, "none", "m.tflite"), "", classifier.Float, false), os.ErrNotExist)
	wantError(t, export(k, path, filepath.Join(out, "none", "l.txt"), classifier.Float, false), os.ErrNotExist)
	wantError(t, export(k, out, "", classifier.Float, false), store.ErrNotRegular)
	wantError(t, export(k, path, os.DevNull, classifier.Float, false), store.ErrNotRegular)
	if entries, _ := os.ReadDir(out); len(entries) > 0 {
		t.Errorf("exports that failed have written %v", entries)
	}
}
