package imprint

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// photosOnDisk writes photos to files in a new folder.
func photosOnDisk(t testing.TB, items []dataset.Item) []dataset.Item {
	t.Helper()
	dir := t.TempDir()
	for i := range items {
		path := filepath.Join(dir, strings.ReplaceAll(items[i].Path, "/", "-"))
		if err := os.WriteFile(path, items[i].Content, 0o644); err != nil {
			t.Fatal(err)
		}
		items[i].Path, items[i].Content = path, nil
	}
	return items
}

// efficientNet returns the options of another backbone than newWorkspace's, with larger embeddings.
func efficientNet(t testing.TB) Options {
	return Options{Backbone: phototest.Backbone(t, "efficientnet.tflite", backbonetest.EfficientNet(5))}
}

// newModel returns the model of a new workspace with the items.
func newModel(t testing.TB, o Options, items []dataset.Item) []byte {
	t.Helper()
	w := openWorkspace(t, filepath.Join(t.TempDir(), "ws"), o)
	mustAdd(t, w, items...)
	return readModel(t, w)
}

func changeBackbone(t testing.TB, w *Workspace, to Options) {
	t.Helper()
	if missing, err := w.ChangeBackbone(t.Context(), to, nil, false, nil); err != nil || len(missing) > 0 {
		t.Fatalf("change the backbone: %v, missing %v", err, missing)
	}
}

// TestChangeBackbone moves a workspace to another backbone and back. Each time, the model must be
// the one of a new workspace with that backbone. Undo must bring back every earlier model.
func TestChangeBackbone(t *testing.T) {
	dir, first := newWorkspace(t)
	second := efficientNet(t)
	items := photosOnDisk(t, kinds(0, 3))
	want := [2][]byte{newModel(t, first, items), newModel(t, second, items)}
	w := openWorkspace(t, dir, first)
	mustAdd(t, w, items[:4]...)
	mustAdd(t, w, items[4:]...)
	for i, step := range []struct {
		to    Options
		model []byte
	}{{second, want[1]}, {first, want[0]}, {second, want[1]}, {second, want[1]}} {
		changeBackbone(t, w, step.to)
		w.Close()
		w = openWorkspace(t, dir, Options{})
		if !bytes.Equal(readModel(t, w), step.model) || !w.isPublished() || len(w.Warnings()) > 0 {
			t.Errorf("step %d: got another model than in a new workspace; published %v, warnings %q", i, w.isPublished(), w.Warnings())
		}
		classify(t, w, items...)
	}
	for i, model := range [][]byte{want[1], want[0], want[1], want[0]} {
		undone, err := w.Undo(t.Context())
		if err != nil || undone.Verb != "retrain" || len(undone.Photos) > 0 || (undone.From == undone.To) != (i == 0) {
			t.Fatalf("undo %d: got %+v, %v", i, undone, err)
		}
		if !bytes.Equal(readModel(t, w), model) {
			t.Errorf("undo %d: got another model than before", i)
		}
		classify(t, w, items...)
	}
	if _, err := w.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, w, items[4:]...)
	mustAdd(t, w, photo("one more", 5, 0))
	if extra, _ := filepath.Glob(filepath.Join(dir, "backbone-*")); len(extra) > 0 {
		t.Errorf("files of backbones that nothing needs: %q", extra)
	}
}

// TestChangeBackboneMissing changes the backbone of a workspace that has lost photos.
func TestChangeBackboneMissing(t *testing.T) {
	dir, o := newWorkspace(t)
	items := photosOnDisk(t, kinds(0, 3))
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, items...)
	gone, changed, kept := items[0].Path, items[1].Path, items[2].Path
	moved := filepath.Join(t.TempDir(), "moved.png")
	before := readModel(t, w)
	content, err := os.ReadFile(kept)
	if err == nil {
		err = os.MkdirAll(w.store.Path("photos"), 0o755)
	}
	if err == nil { // as a server keeps it
		err = os.Rename(kept, filepath.Join(w.store.Path("photos"), store.Sum(content).String()+".png"))
	}
	if err == nil {
		err = os.Rename(gone, moved)
	}
	if err == nil {
		err = os.WriteFile(changed, picture(9, 9), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	second := efficientNet(t)
	wantMissing := func(missing []Skipped, paths ...string) {
		t.Helper()
		var got []string
		for _, s := range missing {
			got = append(got, s.Path)
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(paths))) {
			t.Errorf("got missing photos %q, want %q", got, paths)
		}
	}
	missing, err := w.ChangeBackbone(t.Context(), second, nil, false, nil)
	wantError(t, err, ErrMissing)
	wantMissing(missing, gone, changed)
	found := []dataset.Item{{Path: moved}, {Path: items[3].Path}}
	missing, err = w.ChangeBackbone(t.Context(), second, found, false, nil)
	wantError(t, err, ErrMissing)
	wantMissing(missing, changed)
	if !bytes.Equal(readModel(t, w), before) || w.Generation() != 1 {
		t.Error("a failed change of the backbone changed the workspace")
	}
	classify(t, w, items[3:]...)

	missing, err = w.ChangeBackbone(t.Context(), second, found, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantMissing(missing, changed)
	wantPhotos(t, w, map[string]int{"blue": 2, "green": 3, "red": 3, "teal": 3})
	if paths := w.Classes()[0].Photos; !slices.ContainsFunc(paths, func(p Photo) bool { return p.Path == moved }) {
		t.Errorf("got photos %+v, want one at %s", paths, moved)
	}
	if _, err := w.Undo(t.Context()); err != nil || !bytes.Equal(readModel(t, w), before) {
		t.Errorf("undo: got another model than before, error %v", err)
	}
}

// TestChangeBackboneKilled kills a process before each operation on the disk while it changes the
// backbone. The workspace must then have either backbone, and the model of it.
func TestChangeBackboneKilled(t *testing.T) {
	_, first := newWorkspace(t)
	second := efficientNet(t)
	items := photosOnDisk(t, kinds(0, 2))
	want := [2][]byte{newModel(t, first, items), newModel(t, second, items)}
	seen := make(map[string]int)
	for n, killed := 1, true; killed; n++ {
		dir := filepath.Join(t.TempDir(), "ws")
		mustAdd(t, openWorkspace(t, dir, first), items...)
		cmd, _, stderr := startChild(t, "change backbone", dir, second.Backbone, 0, 0, n)
		err := cmd.Wait()
		killed = err != nil
		if stderr.Len() > 0 {
			t.Fatalf("operation %d: %v, %s", n, err, stderr)
		}
		w := openWorkspace(t, dir, Options{})
		if _, err := w.Repair(t.Context()); err != nil || len(w.Warnings()) > 0 {
			t.Fatalf("operation %d: repair: %v, warnings %q", n, err, w.Warnings())
		}
		changed := w.Backbone().Name == "efficientnet.tflite"
		seen[w.Backbone().Name]++
		if got := readModel(t, w); changed != (w.Generation() == 2) || changed && !bytes.Equal(got, want[1]) || !changed && !bytes.Equal(got, want[0]) {
			t.Errorf("operation %d: got generation %d with %s and another model than a new workspace", n, w.Generation(), w.Backbone().Name)
		}
		mustAdd(t, w, photo("one more", 5, 0))
		if extra, _ := filepath.Glob(filepath.Join(dir, "backbone-*")); len(extra) > 0 != changed {
			t.Errorf("operation %d: got files %q with %s", n, extra, w.Backbone().Name)
		}
	}
	if len(seen) != 2 || seen["extractor.tflite"] < 5 {
		t.Errorf("got backbones %v after kills, want both, and at least 5 kills before the change", seen)
	}
}

// TestChangeBackboneErrors checks that a failed change leaves the workspace usable.
func TestChangeBackboneErrors(t *testing.T) {
	dir, o := newWorkspace(t)
	items := photosOnDisk(t, kinds(0, 2))
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, items...)
	second := efficientNet(t)
	_, err := w.ChangeBackbone(t.Context(), Options{Backbone: "no such model"}, nil, false, nil)
	wantError(t, err, ErrNoBackbone)
	for _, it := range items {
		if err := os.Remove(it.Path); err != nil {
			t.Fatal(err)
		}
	}
	_, err = w.ChangeBackbone(t.Context(), second, nil, true, nil)
	wantError(t, err, ErrNoClasses)

	other := openWorkspace(t, dir, Options{})
	mustAdd(t, other, photosOnDisk(t, photos("new", 8, 0, 2))...)
	_, err = w.ChangeBackbone(t.Context(), second, items, true, nil)
	if err == nil || !strings.Contains(err.Error(), "meanwhile") {
		t.Errorf("got error %v, want that photos were added meanwhile", err)
	}
	classify(t, w, kinds(0, 1)...)
	mustAdd(t, w, photo("more", 8, 7))

	// A process that still has the old backbone can't mix in embeddings.
	late := openWorkspace(t, dir, Options{})
	if _, err := w.ChangeBackbone(t.Context(), second, photosOnDisk(t, append(kinds(0, 2), append(photos("new", 8, 0, 2), photo("more", 8, 7))...)), false, nil); err != nil {
		t.Fatal(err)
	}
	_, err = late.Add(t.Context(), photos("late", 3, 0, 1), AddOptions{})
	wantError(t, err, ErrOtherBackbone)
}
