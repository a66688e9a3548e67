package imprint

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

func TestRemove(t *testing.T) {
	a0, a1, b0 := photoFile(t, "a0.png", picture(0, 0)), photoFile(t, "a1.png", picture(0, 1)), photoFile(t, "b0.png", picture(1, 0))
	gone := photoFile(t, "gone.png", picture(0, 2))
	latest := photoFile(t, "latest.png", picture(1, 1)) // written anew for each photo
	elsewhere := photoFile(t, "elsewhere.png", picture(0, 0))
	stranger := photoFile(t, "stranger.png", picture(5, 0))
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
		{"path of a file that is gone", "", []string{gone}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"content elsewhere", "", []string{elsewhere}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"content in two places", "", []string{elsewhere, a0}, 1, map[string]int{"a": 2, "b": 4}, nil},
		{"the content that is there now", "", []string{latest}, 1, map[string]int{"a": 3, "b": 3}, nil},
		{"not of a file", "", []string{"-"}, 1, map[string]int{"a": 3, "b": 3}, nil},
		{"path and label", "b", []string{b0}, 1, map[string]int{"a": 3, "b": 3}, nil},
		{"path of another label", "b", []string{a0}, 0, nil, ErrNoPhotos},
		{"unknown label", "c", nil, 0, nil, ErrUnknownLabel},
		{"unknown label and path", "c", []string{a0}, 0, nil, ErrUnknownLabel},
		{"unknown photo", "", []string{stranger}, 0, nil, ErrNoPhotos},
		{"known and unknown photo", "", []string{a0, stranger}, 0, nil, ErrNoPhotos},
		{"missing file", "", []string{a0 + "x"}, 0, nil, ErrNoPhotos},
		{"folder", "", []string{filepath.Dir(a0)}, 0, nil, ErrNoPhotos},
		{"nothing", "", nil, 0, nil, ErrNoPhotos},
	}
	k := newOpened(t)
	mustAdd(t, k, dataset.Item{Path: a0, Label: "a"}, dataset.Item{Path: a1, Label: "a"}, dataset.Item{Path: gone, Label: "a"},
		dataset.Item{Path: b0, Label: "b"}, dataset.Item{Path: latest, Label: "b"}, dataset.Item{Path: "-", Label: "b", Content: picture(1, 7)})
	if err := os.WriteFile(latest, picture(1, 2), 0o644); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, k, dataset.Item{Path: latest, Label: "b"})
	os.Remove(gone)
	model := readModel(t, k)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := files(t, k.store.Dir)
			n, err := k.Remove(context.Background(), test.label, test.paths)
			if n != test.want {
				t.Errorf("removed %d, want %d", n, test.want)
			}
			if test.err != nil {
				wantError(t, err, test.err)
				sameFiles(t, files(t, k.store.Dir), before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantTaught(t, k, test.left)
			if undone, err := k.Undo(context.Background()); undone.Verb != "remove" || err != nil {
				t.Fatalf("undo: got %q, %v", undone.Verb, err)
			}
			if !bytes.Equal(readModel(t, k), model) {
				t.Error("the model is another one after undo")
			}
		})
	}
}

func TestRename(t *testing.T) {
	k := newOpened(t)
	mustAdd(t, k, slices.Concat(photos("a", 0, 0, 2), photos("b", 1, 0, 2), photos("d", 2, 0, 1))...)
	model := readModel(t, k)
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
			before := files(t, k.store.Dir)
			err := k.Rename(context.Background(), test.from, test.to)
			if test.err != nil {
				wantError(t, err, test.err)
				sameFiles(t, files(t, k.store.Dir), before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantTaught(t, k, test.want)
			wantTaught(t, openWorkspace(t, k.store.Dir, Options{}), test.want)
			if undone, err := k.Undo(context.Background()); undone.Verb != "rename" || err != nil {
				t.Fatalf("undo: got %q, %v", undone.Verb, err)
			}
			if !bytes.Equal(readModel(t, k), model) {
				t.Error("the model is another one after undo")
			}
		})
	}
}

// TestUndo takes more changes back than are remembered, by a process that did not
// make them.
func TestUndo(t *testing.T) {
	ctx := context.Background()
	k := newOpened(t)
	var models [][]byte
	for i := range uint64(store.MaxHistory + 3) {
		mustAdd(t, k, photos(numbered(i), i%3, i, 1)...)
		models = append(models, readModel(t, k))
	}
	k = openWorkspace(t, k.store.Dir, Options{})
	for i := range store.MaxHistory {
		if undone, err := k.Undo(ctx); undone.Verb != "add" || err != nil {
			t.Fatalf("undo %d: got %q, %v", i, undone.Verb, err)
		}
		if want := models[len(models)-2-i]; !bytes.Equal(readModel(t, k), want) {
			t.Fatalf("undo %d: the model is not the one before", i)
		}
	}
	before := files(t, k.store.Dir)
	_, err := k.Undo(ctx)
	wantError(t, err, ErrNothingToUndo)
	sameFiles(t, files(t, k.store.Dir), before)
	wantTaught(t, k, map[string]int{"kind 0": 1, "kind 1": 1, "kind 2": 1})
}

func TestRetrain(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	o.Backbone = phototest.Backbone(t, "classifier.tflite", backbonetest.Classifier(4))
	k := openWorkspace(t, dir, o)
	mustAdd(t, k, slices.Concat(photos("a", 0, 0, 3), photos("b", 2, 0, 3))...)
	float := readModel(t, k)
	yes, no := true, false
	tests := []struct {
		name   string
		set    Options
		want   Settings
		labels []string
	}{
		{"coral", Options{Layout: classifier.Coral}, Settings{Resize: dataset.Crop, Layout: classifier.Coral, KeepClasses: false, Head: classifier.Mean}, []string{"a", "b"}},
		{"keep", Options{KeepClasses: &yes}, Settings{Resize: dataset.Crop, Layout: classifier.Coral, KeepClasses: true, Head: classifier.Mean}, []string{"base 0", "base 1", "base 2", "base 3", "a", "b"}},
		{"as before", Options{}, Settings{Resize: dataset.Crop, Layout: classifier.Coral, KeepClasses: true, Head: classifier.Mean}, []string{"base 0", "base 1", "base 2", "base 3", "a", "b"}},
		{"float", Options{Layout: classifier.Float}, Settings{Resize: dataset.Crop, Layout: classifier.Float, KeepClasses: true, Head: classifier.Mean}, []string{"base 0", "base 1", "base 2", "base 3", "a", "b"}},
		{"not keep", Options{KeepClasses: &no}, Settings{Resize: dataset.Crop, Layout: classifier.Float, KeepClasses: false, Head: classifier.Auto}, []string{"a", "b"}},
	}
	for _, test := range tests {
		k := openWorkspace(t, dir, test.set)
		if err := k.Retrain(ctx, ""); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		again := openWorkspace(t, dir, Options{})
		labels, err := labelsIn(again)
		if again.Settings() != test.want || !slices.Equal(labels, test.labels) || err != nil {
			t.Errorf("%s: got %+v, %q, %v, want %+v, %q", test.name, again.Settings(), labels, err, test.want, test.labels)
		}
		if got := again.state.Settings.Head; got != classifier.Auto {
			t.Errorf("%s: the head for when others are possible again is %q", test.name, got)
		}
		if got, err := os.ReadFile(filepath.Join(dir, store.LabelsFile)); string(got) != string(store.LabelLines(test.labels)) || err != nil {
			t.Errorf("%s: %s is %q, %v", test.name, store.LabelsFile, got, err)
		}
		if got := labelsOf(classify(t, again, photo("?", 0, 8), photo("?", 2, 8))); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%s: photos of a, b are named %q", test.name, got)
		}
	}
	if !bytes.Equal(readModel(t, k), float) {
		t.Error("back at the first settings the model is another one")
	}
	k = openWorkspace(t, dir, Options{})
	for range tests {
		if undone, err := k.Undo(ctx); undone.Verb != "retrain" || err != nil {
			t.Fatalf("undo: got %q, %v", undone.Verb, err)
		}
	}
	if want := (Settings{Resize: dataset.Crop, Layout: classifier.Float, KeepClasses: false, Head: classifier.Auto}); k.Settings() != want || !bytes.Equal(readModel(t, k), float) {
		t.Errorf("after undoing all: got %+v, want %+v and the first model", k.Settings(), want)
	}
	if _, err := k.Undo(ctx); err != nil { // the add
		t.Fatal(err)
	}
	wantError(t, k.Retrain(ctx, ""), ErrNoClasses)
}

// TestAddSettings changes the settings with the photos added, and undo with them.
func TestAddSettings(t *testing.T) {
	k := newOpened(t)
	mustAdd(t, k, photos("a", 0, 0, 2)...)
	model := readModel(t, k)
	coral := openWorkspace(t, k.store.Dir, Options{Layout: classifier.Coral})
	mustAdd(t, coral, photos("b", 1, 0, 2)...)
	if got := openWorkspace(t, k.store.Dir, Options{}).Settings().Layout; got != classifier.Coral {
		t.Errorf("got layout %s", got)
	}
	if _, err := coral.Undo(context.Background()); err != nil {
		t.Fatal(err)
	}
	if coral.Settings().Layout != classifier.Float || !bytes.Equal(readModel(t, k), model) {
		t.Errorf("after undo: layout %s, the same model: %v", coral.Settings().Layout, bytes.Equal(readModel(t, k), model))
	}
}

// TestByteIdentity makes random changes and compares the model with that of a new
// workspace which was only ever taught, in another order, what is left.
func TestByteIdentity(t *testing.T) {
	ctx := context.Background()
	runs, changes := 12, 25
	if testing.Short() {
		runs = 3
	}
	backbones := []string{phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor()), phototest.Backbone(t, "classifier.tflite", backbonetest.Classifier(3))}
	for run := range runs {
		seed := uint64(run)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			keep := run%4 == 3
			o := Options{Backbone: backbones[run%2], Layout: []classifier.Layout{classifier.Float, classifier.Coral}[run/2%2], KeepClasses: &keep}
			k := openWorkspace(t, filepath.Join(t.TempDir(), "ws"), o)

			// What should be there, kept with simpler means; past has it before each
			// change.
			type content = map[[2]uint64]string // label of each picture's kind and seed
			now := content{}
			var past []content
			remember := func() {
				c := content{}
				for p, l := range now {
					c[p] = l
				}
				past = append(past, c)
			}
			labels := func() (l []string) {
				for _, label := range now {
					if !slices.Contains(l, label) {
						l = append(l, label)
					}
				}
				slices.Sort(l)
				return l
			}
			for range changes {
				var err error
				what := r.IntN(10)
				switch {
				case what < 4 || len(past) == 0: // add
					var items []dataset.Item
					was := len(now)
					next := content{}
					for p, l := range now {
						next[p] = l
					}
					for range 1 + r.IntN(4) {
						p := [2]uint64{r.Uint64N(5), r.Uint64N(8)}
						it := photo(fmt.Sprint("kind ", p[0]), p[0], p[1])
						items = append(items, it)
						if _, known := next[p]; !known {
							next[p] = it.Label
						}
					}
					if len(next) > was {
						remember()
					}
					now = next
					_, err = k.Add(ctx, items, AddOptions{})
				case what < 6 && len(now) > 0: // remove a label
					label := labels()[r.IntN(len(labels()))]
					remember()
					for p, l := range now {
						if l == label {
							delete(now, p)
						}
					}
					_, err = k.Remove(ctx, label, nil)
				case what < 7 && len(now) > 0: // remove a photo
					c := k.Classes()[0].Photos[0]
					remember()
					for p := range now {
						if store.Sum(picture(p[0], p[1])).String() == c.SHA256 {
							delete(now, p)
						}
					}
					_, err = k.Remove(ctx, "", []string{photoFile(t, "copy.png", contentOf(c.SHA256))})
				case what < 8 && len(now) > 0: // rename
					from, to := labels()[0], fmt.Sprint("name ", len(past), r.IntN(1000))
					remember()
					for p, l := range now {
						if l == from {
							now[p] = to
						}
					}
					err = k.Rename(ctx, from, to)
				default: // undo
					_, err = k.Undo(ctx)
					now, past = past[len(past)-1], past[:len(past)-1]
				}
				if err != nil {
					t.Fatal(err)
				}
				if r.IntN(4) == 0 { // by another process
					k = openWorkspace(t, k.store.Dir, o)
				}
			}
			if len(now) == 0 {
				p := [2]uint64{6, 0}
				mustAdd(t, k, photo("kind 6", p[0], p[1]))
				now[p] = "kind 6"
			}
			var items []dataset.Item
			for p, label := range now {
				items = append(items, photo(label, p[0], p[1]))
			}
			slices.SortFunc(items, func(a, b dataset.Item) int { return bytes.Compare(a.Content, b.Content) })
			r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
			fresh := openWorkspace(t, filepath.Join(t.TempDir(), "ws"), o)
			for chunk := range slices.Chunk(items, 3) {
				mustAdd(t, fresh, chunk...)
			}
			wantTaught(t, k, taught(fresh))
			for _, name := range []string{store.ModelFile, store.LabelsFile} {
				got, err := os.ReadFile(k.store.Path(name))
				want, err2 := os.ReadFile(fresh.store.Path(name))
				if err != nil || err2 != nil || !bytes.Equal(got, want) {
					t.Errorf("%s is not that of a new workspace: %d bytes, want %d; %v %v", name, len(got), len(want), err, err2)
				}
			}
		})
	}
}

// contentOf finds the picture with that checksum.
func contentOf(sha256 string) []byte {
	for kind := range uint64(8) {
		for seed := range uint64(8) {
			if b := picture(kind, seed); store.Sum(b).String() == sha256 {
				return b
			}
		}
	}
	return nil
}

// TestAddOfRecording keeps what a photo is a part of and when it was taken: bursts are
// told by it.
func TestAddOfRecording(t *testing.T) {
	dir, o := newWorkspace(t)
	k := openWorkspace(t, dir, o)
	part := photo("a", 1, 1)
	part.Source, part.Time = "tub:/car/data#26-11-28_0", time.UnixMilli(1795900000050).UTC()
	mustAdd(t, k, part, photo("b", 2, 1))
	for _, k := range []*Workspace{k, openWorkspace(t, dir, o)} {
		if a, b := k.state.Examples[0], k.state.Examples[1]; a.Source != part.Source || !a.Taken.Equal(part.Time) || b.Source != "" || !b.Taken.IsZero() {
			t.Errorf("got %q at %v and %q at %v, want %q at %v and none", a.Source, a.Taken, b.Source, b.Taken, part.Source, part.Time)
		}
	}
}
