package imprint

import (
	"bytes"
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

// writeState writes a state of the workspace as another version could have left it.
func writeState(t *testing.T, w *Workspace, s *store.State) {
	t.Helper()
	b, err := s.Encode(store.MaxState)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.store.Path(store.SlotFile(s.Generation)), b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestRepairOtherVersion loses a model that this version can't make again. Repair must make another and
// a state that names it, so that the next command finds nothing to repair.
func TestRepairOtherVersion(t *testing.T) {
	w := openNew(t)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	mustAdd(t, w, photos("b", 1, 0, 2)...)
	want := readModel(t, w)
	other := *w.state
	other.Model[0] ^= 1
	writeState(t, w, &other)
	if err := os.Remove(w.ModelPath()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		w = openWorkspace(t, w.store.Dir, Options{})
		if repaired, err := w.Repair(t.Context()); err != nil || repaired != want {
			t.Errorf("repair: got %v, %v, want %v", repaired, err, want)
		}
		if w.Generation() != 3 {
			t.Errorf("got generation %d, want 3", w.Generation())
		}
	}
	if !bytes.Equal(readModel(t, w), want) {
		t.Error("got another model")
	}
	if _, err := w.PublishedSnapshot(); err != nil {
		t.Error(err)
	}
	if undone, err := w.Undo(t.Context()); err != nil || undone.Verb != "add" || len(w.Classes()) != 1 {
		t.Errorf("undo: got %+v, %v, want the last add", undone, err)
	}
}
