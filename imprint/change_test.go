package imprint

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

func TestRemove(t *testing.T) {
	a0, a1, b0 := photoFile(t, "a0.png", picture(0, 0)), photoFile(t, "a1.png", picture(0, 1)), photoFile(t, "b0.png", picture(1, 0))
	gone := photoFile(t, "gone.png", picture(0, 2))
	latest := photoFile(t, "latest.png", picture(1, 1)) // overwritten below
	elsewhere := photoFile(t, "elsewhere.png", picture(0, 0))
	stranger := photoFile(t, "stranger.png", picture(5, 0))
	goneDir := filepath.Dir(gone)
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(wd, a1)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		label string
		paths []string
		want  int
		left  map[string]int
		err   error
	}{
		{"label", "a", nil, 3, map[string]int{"b": 4}, nil},
		{"path", "", []string{a0}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"relative path", "", []string{relative}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"paths of two labels", "", []string{a0, b0}, 2, map[string]int{"a": 2, "b": 3}, nil},
		{"path of a removed file", "", []string{gone}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"copy", "", []string{elsewhere}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"photo and its copy", "", []string{elsewhere, a0}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"path with other content", "", []string{latest}, 1, map[string]int{"a": 3, "b": 3}, nil},
		{"standard input", "", []string{"-"}, 1, map[string]int{"a": 3, "b": 3}, nil},
		{"path and label", "b", []string{b0}, 1, map[string]int{"a": 3, "b": 3}, nil},
		{"path of another label", "b", []string{a0}, 0, nil, ErrNoPhotos},
		{"unknown label", "c", nil, 0, nil, ErrUnknownLabel},
		{"unknown label and path", "c", []string{a0}, 0, nil, ErrUnknownLabel},
		{"unknown photo", "", []string{stranger}, 0, nil, ErrNoPhotos},
		{"known and unknown photo", "", []string{a0, stranger}, 0, nil, ErrNoPhotos},
		{"missing file", "", []string{a0 + "x"}, 0, nil, ErrNoPhotos},
		{"folder", "", []string{filepath.Dir(a0)}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"folder that is gone", "", []string{goneDir + "/"}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"folder with copies", "", []string{filepath.Dir(elsewhere)}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"folder and label", "b", []string{filepath.Dir(filepath.Dir(a0))}, 3, map[string]int{"a": 3, "b": 1}, nil},
		{"folder of other photos", "", []string{filepath.Dir(stranger)}, 0, nil, ErrNoPhotos},
		{"neither label nor path", "", nil, 0, nil, ErrNoPhotos},
	}
	w := openNew(t)
	mustAdd(t, w, dataset.Item{Path: a0, Label: "a"}, dataset.Item{Path: a1, Label: "a"}, dataset.Item{Path: gone, Label: "a"},
		dataset.Item{Path: b0, Label: "b"}, dataset.Item{Path: latest, Label: "b"}, dataset.Item{Path: "-", Label: "b", Content: picture(1, 7)})
	if err := os.WriteFile(latest, picture(1, 2), 0o644); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, w, dataset.Item{Path: latest, Label: "b"})
	os.RemoveAll(goneDir)
	model := readModel(t, w)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := files(t, w.store.Dir)
			n, err := w.Remove(context.Background(), test.label, test.paths)
			if n != test.want {
				t.Errorf("got %d photos removed, want %d", n, test.want)
			}
			if test.err != nil {
				wantError(t, err, test.err)
				sameFiles(t, files(t, w.store.Dir), before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantPhotos(t, w, test.left)
			if undone, err := w.Undo(context.Background()); undone.Verb != "remove" || err != nil {
				t.Fatalf("undo: got %+v, %v", undone, err)
			}
			if !bytes.Equal(readModel(t, w), model) {
				t.Error("after undo the model differs")
			}
		})
	}
}

func TestRename(t *testing.T) {
	w := openNew(t)
	mustAdd(t, w, slices.Concat(photos("a", 0, 0, 2), photos("b", 1, 0, 2), photos("d", 2, 0, 1))...)
	model := readModel(t, w)
	tests := []struct {
		from, to string
		want     map[string]int
		err      error
	}{
		{"a", "c", map[string]int{"b": 2, "c": 2, "d": 1}, nil},
		{"d", "a longer name, 日本", map[string]int{"a": 2, "a longer name, 日本": 1, "b": 2}, nil},
		{"a", "b", nil, store.ErrLabel},
		{"a", "a", nil, store.ErrLabel},
		{"a", "", nil, store.ErrLabel},
		{"a", "x\ty", nil, store.ErrLabel},
		{"c", "e", nil, ErrUnknownLabel},
		{"", "e", nil, ErrUnknownLabel},
	}
	for _, test := range tests {
		t.Run(test.from+" to "+test.to, func(t *testing.T) {
			before := files(t, w.store.Dir)
			err := w.Rename(context.Background(), test.from, test.to)
			if test.err != nil {
				wantError(t, err, test.err)
				sameFiles(t, files(t, w.store.Dir), before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantPhotos(t, w, test.want)
			wantPhotos(t, openWorkspace(t, w.store.Dir, Options{}), test.want)
			if undone, err := w.Undo(context.Background()); undone.Verb != "rename" || err != nil {
				t.Fatalf("undo: got %+v, %v", undone, err)
			}
			if !bytes.Equal(readModel(t, w), model) {
				t.Error("after undo the model differs")
			}
		})
	}
}

// TestUndo makes more changes than the history keeps, and undoes them after opening the
// workspace again.
func TestUndo(t *testing.T) {
	ctx := context.Background()
	w := openNew(t)
	var models [][]byte
	for i := range uint64(store.MaxHistory + 3) {
		mustAdd(t, w, photos(numbered(i), i%3, i, 1)...)
		models = append(models, readModel(t, w))
	}
	w = openWorkspace(t, w.store.Dir, Options{})
	for i := range store.MaxHistory {
		if undone, err := w.Undo(ctx); undone.Verb != "add" || err != nil {
			t.Fatalf("undo %d: got %+v, %v, want an undone add", i, undone, err)
		}
		if want := models[len(models)-2-i]; !bytes.Equal(readModel(t, w), want) {
			t.Fatalf("undo %d: got another model than before the change", i)
		}
	}
	before := files(t, w.store.Dir)
	_, err := w.Undo(ctx)
	wantError(t, err, ErrNothingToUndo)
	sameFiles(t, files(t, w.store.Dir), before)
	wantPhotos(t, w, map[string]int{"kind 0": 1, "kind 1": 1, "kind 2": 1})
}

func TestRetrain(t *testing.T) {
	const coralEngine, ownClasses = "Coral's engine adds classes to the coral layout", "the backbone's own classes are kept, the backbone has no background, and there are fewer than 10 negatives"
	ctx := context.Background()
	dir, o := newWorkspace(t)
	o.Backbone = phototest.Backbone(t, "classifier.tflite", backbonetest.Classifier(4))
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, slices.Concat(photos("a", 0, 0, 3), photos("b", 2, 0, 3))...)
	float := readModel(t, w)
	yes, no := true, false
	tests := []struct {
		name   string
		set    Options
		want   Settings
		labels []string
	}{
		{"coral", Options{Layout: classifier.Coral}, Settings{Resize: dataset.Crop, Layout: classifier.Coral, KeepClasses: false, Head: classifier.Mean, UnknownOff: coralEngine}, []string{"a", "b"}},
		{"keep", Options{KeepClasses: &yes}, Settings{Resize: dataset.Crop, Layout: classifier.Coral, KeepClasses: true, Head: classifier.Mean, UnknownOff: coralEngine}, []string{"base 0", "base 1", "base 2", "base 3", "a", "b"}},
		{"no options", Options{}, Settings{Resize: dataset.Crop, Layout: classifier.Coral, KeepClasses: true, Head: classifier.Mean, UnknownOff: coralEngine}, []string{"base 0", "base 1", "base 2", "base 3", "a", "b"}},
		{"float", Options{Layout: classifier.Float}, Settings{Resize: dataset.Crop, Layout: classifier.Float, KeepClasses: true, Head: classifier.Mean, UnknownOff: ownClasses}, []string{"base 0", "base 1", "base 2", "base 3", "a", "b"}},
		{"keep no more", Options{KeepClasses: &no}, Settings{Resize: dataset.Crop, Layout: classifier.Float, KeepClasses: false, Head: classifier.Auto, Unknown: infer.DefaultRate}, []string{"a", "b"}},
	}
	for _, test := range tests {
		w := openWorkspace(t, dir, test.set)
		if err := w.Retrain(ctx, ""); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		again := openWorkspace(t, dir, Options{})
		labels, err := headLabels(again)
		if again.Settings() != test.want || !slices.Equal(labels, test.labels) || err != nil {
			t.Errorf("%s: got %+v, %q, %v, want %+v, %q", test.name, again.Settings(), labels, err, test.want, test.labels)
		}
		if got := again.state.Settings.Head; got != classifier.Auto {
			t.Errorf("%s: got head %q in the state, want %q", test.name, got, classifier.Auto)
		}
		if got, err := os.ReadFile(filepath.Join(dir, store.LabelsFile)); string(got) != string(store.LabelLines(test.labels)) || err != nil {
			t.Errorf("%s: got %q, %v in %s, want %q", test.name, got, err, store.LabelsFile, store.LabelLines(test.labels))
		}
		if got := labelsOf(classify(t, again, photo("?", 0, 8), photo("?", 2, 8))); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%s: got labels %q, want a, b", test.name, got)
		}
	}
	if !bytes.Equal(readModel(t, w), float) {
		t.Error("with the first settings again, the model differs from the first")
	}
	w = openWorkspace(t, dir, Options{})
	for range tests {
		if undone, err := w.Undo(ctx); undone.Verb != "retrain" || err != nil {
			t.Fatalf("undo: got %+v, %v", undone, err)
		}
	}
	if want := (Settings{Resize: dataset.Crop, Layout: classifier.Float, KeepClasses: false, Head: classifier.Auto, Unknown: infer.DefaultRate}); w.Settings() != want || !bytes.Equal(readModel(t, w), float) {
		t.Errorf("after undoing all: got settings %+v, want %+v and the first model", w.Settings(), want)
	}
	if _, err := w.Undo(ctx); err != nil { // the add
		t.Fatal(err)
	}
	wantError(t, w.Retrain(ctx, ""), ErrNoClasses)
}

// TestAddSettings adds photos together with new settings, and undoes both.
func TestAddSettings(t *testing.T) {
	w := openNew(t)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	model := readModel(t, w)
	coral := openWorkspace(t, w.store.Dir, Options{Layout: classifier.Coral})
	mustAdd(t, coral, photos("b", 1, 0, 2)...)
	if got := openWorkspace(t, w.store.Dir, Options{}).Settings().Layout; got != classifier.Coral {
		t.Errorf("got layout %s, want %s", got, classifier.Coral)
	}
	if _, err := coral.Undo(context.Background()); err != nil {
		t.Fatal(err)
	}
	if coral.Settings().Layout != classifier.Float || !bytes.Equal(readModel(t, w), model) {
		t.Errorf("after undo: got layout %s, same model as at first: %v", coral.Settings().Layout, bytes.Equal(readModel(t, w), model))
	}
}

// TestAddRecording checks that the workspace keeps the source and time of each photo, which
// identify bursts.
func TestAddRecording(t *testing.T) {
	dir, o := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	part := photo("a", 1, 1)
	part.Source, part.Time = "tub:/car/data#26-11-28_0", time.UnixMilli(1795900000050).UTC()
	mustAdd(t, w, part, photo("b", 2, 1))
	for _, w := range []*Workspace{w, openWorkspace(t, dir, o)} {
		if a, b := w.state.Examples[0], w.state.Examples[1]; a.Source != part.Source || !a.Taken.Equal(part.Time) || b.Source != "" || !b.Taken.IsZero() {
			t.Errorf("got %q at %v and %q at %v, want %q at %v and no source", a.Source, a.Taken, b.Source, b.Taken, part.Source, part.Time)
		}
	}
}
