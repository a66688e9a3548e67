package imprint

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// inventedObservations returns n observations with random embeddings for the backbone of w. The
// embeddings of a class are similar to each other, and some photos are in bursts.
func inventedObservations(w *Workspace, r *rand.Rand, labels []string, n int) []Observation {
	var list []Observation
	for range n {
		label := labels[r.IntN(len(labels))]
		o := Observation{Label: label, Path: fmt.Sprint(r.Uint64()), Embedding: make([]byte, w.state.Backbone.Size)}
		for i := range o.Embedding {
			o.Embedding[i] = byte(10 + r.IntN(120))
			if i%len(label) == 0 {
				o.Embedding[i] += 90
			}
		}
		if r.IntN(5) == 0 {
			o.Source, o.Taken = fmt.Sprint("camera ", r.IntN(2)), time.Unix(int64(r.IntN(30)), 0).UTC()
		}
		o.Photo = store.Sum(o.Embedding)
		list = append(list, o)
	}
	return list
}

// TestMemoryChangesNoModel changes a workspace at random. After each change, the model must have the
// same bytes as one that a workspace without memory trains on all photos.
func TestMemoryChangesNoModel(t *testing.T) {
	ctx, r := t.Context(), rand.New(rand.NewPCG(3, 4))
	dir, o := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	other := openWorkspace(t, filepath.Join(t.TempDir(), "other"), o)
	labels := []string{"a", "bb", "ccc", "dddd"}
	if _, err := other.AddObservations(ctx, inventedObservations(w, r, labels[1:], 15)); err != nil {
		t.Fatal(err)
	}
	add := func(n int) func() error {
		return func() error {
			_, err := w.AddObservations(ctx, inventedObservations(w, r, labels, n))
			return err
		}
	}
	photo := func() store.Example { return w.state.Examples[r.IntN(len(w.state.Examples))] }
	undo := func() error { _, err := w.Undo(ctx); return err }
	steps := []struct {
		name   string
		change func() error
	}{
		{"add one", add(1)},
		{"add", add(7)},
		{"remove", func() error { _, err := w.RemovePhoto(ctx, photo().Photo.String()); return err }},
		{"move", func() error { _, err := w.Move(ctx, labels[r.IntN(4)], []string{photo().Path}); return err }},
		{"undo", undo},
		{"rename", func() error { return w.Rename(ctx, "a", "a renamed class") }},
		{"rename back", func() error { return w.Rename(ctx, "a renamed class", "a") }},
		{"remove a class", func() error { _, err := w.Remove(ctx, "bb", nil); return err }},
		{"undo a removed class", undo},
		{"add a class", func() error {
			list := inventedObservations(w, r, labels, 1)
			list[0].Label = "e"
			_, err := w.AddObservations(ctx, list)
			return err
		}},
		{"another head", func() error {
			return w.Retrain(ctx, []classifier.Method{classifier.Ridge, classifier.LDA, classifier.Auto}[r.IntN(3)])
		}},
		{"merge", func() error {
			merged, _, err := Merge(ctx, dir, sourcesIn(other.store.Dir), Options{})
			if err == nil {
				err = merged.Close()
			}
			return err
		}},
		{"undo a merge", undo},
		{"reuse", func() error {
			s, err := w.Snapshot()
			if err != nil {
				return err
			}
			w = openWorkspace(t, dir, Options{Reuse: s})
			return add(1)()
		}},
		{"reopen", func() error {
			w = openWorkspace(t, dir, o)
			return add(1)()
		}},
	}
	check := func(name string) {
		t.Helper()
		full := openWorkspace(t, dir, Options{Existing: true})
		want, _, err := full.build(full.state)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readModel(t, w), want) {
			t.Errorf("%s: got another model than from all photos", name)
		}
		if w.state.Generation == full.state.Generation && !reflect.DeepEqual(w.state, full.state) {
			t.Errorf("%s: the state in memory is not that on the disk", name)
		}
	}
	if err := add(1200)(); err != nil {
		t.Fatal(err)
	}
	check("add many")
	for range 2 {
		for _, s := range steps {
			if err := s.change(); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			check(s.name)
		}
	}
	if len(w.memory.photos) < 1000 {
		t.Errorf("the memory has %d photos, want more than 1000", len(w.memory.photos))
	}
}

// TestSumsOnDisk adds a photo in a new process that finds a file of sums. The sums in the file are
// wrong, so the model is wrong if and only if they are used.
func TestSumsOnDisk(t *testing.T) {
	ctx, r := t.Context(), rand.New(rand.NewPCG(5, 6))
	dir, o := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	labels := []string{"a", "bb"}
	if _, err := w.AddObservations(ctx, inventedObservations(w, r, labels, 1200)); err != nil {
		t.Fatal(err)
	}
	own := w.store.ReadSums(w.state.Sum())
	if own == nil {
		t.Fatal("no sums after the first change")
	}
	var other classifier.Memory
	units := w.unitsOf(w.state.Positives())
	for i := range units {
		units[i].Unit = append(append([]float64(nil), units[i].Unit[1:]...), units[i].Unit[0])
	}
	if _, err := other.Fit(units, classifier.Auto, true); err != nil {
		t.Fatal(err)
	}
	wrong, err := other.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		write func(w *Workspace) error
		used  bool
	}{
		{"wrong", func(w *Workspace) error { return w.store.WriteSums(w.state.Sum(), wrong) }, true},
		{"of another state", func(w *Workspace) error { return w.store.WriteSums(store.Digest{1}, wrong) }, false},
		{"of another format", func(w *Workspace) error { return w.store.WriteSums(w.state.Sum(), wrong[:len(wrong)/2]) }, false},
		{"damaged", func(w *Workspace) error {
			if err := w.store.WriteSums(w.state.Sum(), wrong); err != nil {
				return err
			}
			path := w.store.Path(store.SumsFile)
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/2]++
			return os.WriteFile(path, b, 0o644)
		}, false},
		{"missing", func(w *Workspace) error { return os.Remove(w.store.Path(store.SumsFile)) }, false},
	} {
		w := openWorkspace(t, dir, Options{Existing: true})
		if err := tt.write(w); err != nil {
			t.Fatal(err)
		}
		if _, err := w.AddObservations(ctx, inventedObservations(w, r, labels, 1)); err != nil {
			t.Fatal(err)
		}
		full := openWorkspace(t, dir, Options{Existing: true})
		want, _, err := full.build(full.state)
		if err != nil {
			t.Fatal(err)
		}
		if used := !bytes.Equal(readModel(t, w), want); used != tt.used {
			t.Errorf("%s: used %v, want %v", tt.name, used, tt.used)
		}
		if w.store.ReadSums(w.state.Sum()) == nil {
			t.Errorf("%s: no sums for the next process", tt.name)
		}
	}
}

// TestMemoryOfBackground adds photos to a workspace with the built-in backbone in new processes, which
// compute few unit vectors. The models must be the same as those trained on all photos.
func TestMemoryOfBackground(t *testing.T) {
	ctx, r := t.Context(), rand.New(rand.NewPCG(7, 8))
	dir := filepath.Join(t.TempDir(), "ws")
	w := openWorkspace(t, dir, Options{})
	labels := []string{"a", "bb", "ccc"}
	if _, err := w.AddObservations(ctx, inventedObservations(w, r, labels, 4000)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w = openWorkspace(t, dir, Options{})
		if _, err := w.AddObservations(ctx, inventedObservations(w, r, labels, 1)); err != nil {
			t.Fatal(err)
		}
		if w.head.Rejection == nil || !w.head.Rejection.Background {
			t.Fatal("the head was trained without a background")
		}
		later := 0
		for _, p := range w.memory.photos {
			if p.unit.raw != nil {
				later++
			}
		}
		if later == 0 {
			t.Error("all unit vectors were computed")
		}
		full := openWorkspace(t, dir, Options{Existing: true})
		want, _, err := full.build(full.state)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readModel(t, w), want) {
			t.Error("got another model than from all photos")
		}
	}
}
