package imprint

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/predict"
)

// TestUpgrade opens a workspace that an older version stored, with both slots of the state, and
// changes it. Undoing the changes must bring back the older version's model.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/upgrade")); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(dir, "model.tflite")
	before, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Open(dir, Options{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	checkClasses := func(want map[string]int) {
		t.Helper()
		got := make(map[string]int)
		for _, c := range w.Classes() {
			got[c.Label] = len(c.Photos)
		}
		if len(got) != len(want) {
			t.Fatalf("got the classes %v, want %v", got, want)
		}
		for label, n := range want {
			if got[label] != n {
				t.Errorf("%s: got %d photos, want %d", label, got[label], n)
			}
		}
	}
	checkClasses(map[string]int{"ball": 3, "cone": 3})
	if got := w.Generation(); got != 2 {
		t.Errorf("got generation %d, want 2", got)
	}

	photos := t.TempDir()
	photo := func(kind uint64) string {
		path := filepath.Join(photos, string('0'+rune(kind))+".jpg")
		if err := os.WriteFile(path, backbonetest.Photo(kind, 9), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	classify := func(kind uint64, want string) {
		t.Helper()
		err := w.Classify(t.Context(), []dataset.Item{{Path: photo(kind)}}, 1, func(r predict.Result) error {
			if r.Err != nil || len(r.Top) == 0 || r.Top[0].Label != want {
				t.Errorf("photo of kind %d: got %v, %v, want %s", kind, r.Top, r.Err, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	classify(1, "ball")
	classify(2, "cone")

	if _, err := w.Add(t.Context(), []dataset.Item{{Label: "box", Path: photo(3)}}, AddOptions{}); err != nil {
		t.Fatal(err)
	}
	checkClasses(map[string]int{"ball": 3, "cone": 3, "box": 1})
	classify(3, "box")
	if _, err := w.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkClasses(map[string]int{"ball": 3, "cone": 3})
	if after, err := os.ReadFile(model); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the model after undo differs from the older version's: %v", err)
	}
	if _, err := w.Undo(t.Context()); err != nil { // of the older version's last change
		t.Fatal(err)
	}
	checkClasses(map[string]int{"ball": 3})
}
