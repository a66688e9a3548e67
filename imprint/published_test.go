package imprint

import (
	"context"
	"os"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// TestRepairLabels damages labels.txt next to an intact model, in each layout that needs no
// compiled model. Repair must write labels.txt again and leave the model alone.
func TestRepairLabels(t *testing.T) {
	damage := map[string]func(path string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"damaged": func(path string) error { return os.WriteFile(path, []byte("0  a\n1  x\n"), 0o644) },
		"stale":   func(path string) error { return os.WriteFile(path, []byte("0  a\n"), 0o644) },
		"longer":  func(path string) error { return os.WriteFile(path, []byte("0  a\n1  b\n2  c\n"), 0o644) },
	}
	for _, layout := range []classifier.Layout{classifier.Float, classifier.Coral} {
		for name, spoil := range damage {
			t.Run(string(layout)+" "+name, func(t *testing.T) {
				dir, o := newWorkspace(t)
				o.Layout = layout
				w := openWorkspace(t, dir, o)
				mustAdd(t, w, append(photos("a", 0, 0, 2), photos("b", 1, 0, 2)...)...)
				path := w.store.Path(store.LabelsFile)
				if err := spoil(path); err != nil {
					t.Fatal(err)
				}
				before, err := os.Stat(w.ModelPath())
				if err != nil {
					t.Fatal(err)
				}
				w = openWorkspace(t, dir, Options{})
				for _, want := range []bool{true, false} {
					if repaired, err := w.Repair(context.Background()); err != nil || repaired != want {
						t.Errorf("repair: got %v, %v, want %v", repaired, err, want)
					}
				}
				if got, err := os.ReadFile(path); err != nil || string(got) != "0  a\n1  b\n" {
					t.Errorf("got %q, %v in labels.txt, want a and b", got, err)
				}
				if after, err := os.Stat(w.ModelPath()); err != nil || !os.SameFile(before, after) {
					t.Errorf("the model was written again, or error %v", err)
				}
			})
		}
	}
	t.Run("without classes", func(t *testing.T) {
		w := openNew(t)
		mustAdd(t, w, photos("a", 0, 0, 2)...)
		if _, err := w.Remove(context.Background(), "a", nil); err != nil {
			t.Fatal(err)
		}
		path := w.store.Path(store.LabelsFile)
		if err := os.WriteFile(path, []byte("0  a\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if repaired, err := w.Repair(context.Background()); err != nil || !repaired {
			t.Errorf("repair: got %v, %v, want true", repaired, err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("labels.txt still exists, or error %v", err)
		}
	})
}
