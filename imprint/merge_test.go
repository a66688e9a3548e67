package imprint

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// observed adds each list of observations to a new workspace in a separate change, and returns the
// folder.
func observed(t *testing.T, o Options, items ...[]Observation) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ws")
	w := openWorkspace(t, dir, o)
	for _, some := range items {
		if _, err := w.AddObservations(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sourcesIn returns the workspaces in folders, to merge them.
func sourcesIn(dirs ...string) []fleet.Source {
	var sources []fleet.Source
	for _, dir := range dirs {
		sources = append(sources, fleet.Source{Dir: dir})
	}
	return sources
}

func modelOf(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, store.ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestMerge merges workspaces that share photos, in every order, into new workspaces and into one
// of the given workspaces. The model must be identical to the model of a workspace to which all
// photos were added.
func TestMerge(t *testing.T) {
	all := slices.Concat(varied("blue", 0, 9), varied("green", 1, 8), varied("red", 2, 7), varied("teal", 3, 1))
	for i := range all {
		all[i].Source = []string{"morning", "evening"}[i%2]
		all[i].Taken = time.Unix(int64(i/3), 0)
	}
	parts := [][]Observation{all[:12], all[8:20], slices.Concat(all[18:], all[:3])}
	keep := true
	for name, o := range map[string]Options{
		"auto": {}, "lda": {Head: classifier.LDA}, "coral": {Layout: classifier.Coral},
		"keep": {KeepClasses: &keep, Backbone: phototest.Backbone(t, "classifier.tflite", backbonetest.Classifier(3))},
	} {
		t.Run(name, func(t *testing.T) {
			if o.Backbone == "" {
				o.Backbone = phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
			}
			want := modelOf(t, observed(t, o, all))
			var dirs []string
			for i, p := range parts {
				later := slices.Clone(p)
				for j := range later { // the earliest example of a photo must be kept
					later[j].Path = strings.Repeat("x", i) + later[j].Path
				}
				dirs = append(dirs, observed(t, o, later[:4], later[4:]))
			}
			var first map[string]string // labels, paths and times after the first merge
			for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}, {2, 1, 0, 1}} {
				var others []string
				for _, i := range order {
					others = append(others, dirs[i])
				}
				dir := filepath.Join(t.TempDir(), "new", "ws")
				w, m, err := Merge(t.Context(), dir, sourcesIn(others...), Options{})
				if err != nil {
					t.Fatal(err)
				}
				if modelOf(t, dir) != want || m.Photos != len(all) || m.Duplicates != len(slices.Concat(parts...))-len(all)+12*(len(order)-3) {
					t.Errorf("%v: got %d photos, %d duplicates, same model as with all photos added: %t", order, m.Photos, m.Duplicates, modelOf(t, dir) == want)
				}
				if !maps.Equal(m.Classes, map[string]int{"blue": 9, "green": 8, "red": 7, "teal": 1}) || m.Estimate != w.Head().Estimate {
					t.Errorf("%v: got %+v, want 9 blue, 8 green, 7 red and 1 teal photo", order, m)
				}
				seen := make(map[string]string)
				for _, e := range w.state.Examples {
					seen[e.Photo.String()] = e.Label + " " + e.Path + " " + e.Time.String()
				}
				if first == nil {
					first = seen
				} else if !maps.Equal(seen, first) {
					t.Errorf("%v: got other paths or times than in the first order", order)
				}
				if undone, err := w.Undo(t.Context()); err != nil || undone.Verb != "merge" || len(w.Classes()) != 0 {
					t.Errorf("undo: got %+v, %v, %d classes left, want an undone merge and no classes", undone, err, len(w.Classes()))
				}
				w.Close()
			}

			before := modelOf(t, dirs[1])
			w, m, err := Merge(t.Context(), dirs[1], sourcesIn(dirs[2], dirs[0]), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if modelOf(t, dirs[1]) != want || m.Photos != len(all)-len(parts[1]) {
				t.Errorf("merge into a given workspace: got %d new photos, same model as with all photos added: %t", m.Photos, modelOf(t, dirs[1]) == want)
			}
			if undone, err := w.Undo(t.Context()); err != nil || undone.Verb != "merge" || modelOf(t, dirs[1]) != before {
				t.Errorf("undo: got %+v, %v, same model as before: %t, want an undone merge and the same model", undone, err, modelOf(t, dirs[1]) == before)
			}
			generation := w.Generation()
			again, m, err := Merge(t.Context(), dirs[1], sourcesIn(dirs[1]), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if again.Generation() != generation || m.Photos != 0 || m.Duplicates != len(parts[1]) {
				t.Errorf("merge with itself: got generation %d, %+v, want %d, no photos", again.Generation(), m, generation)
			}
		})
	}
}

// TestMergeNegatives merges workspaces with negatives, and checks that a photo can't be a negative
// in one workspace and belong to a class in another.
func TestMergeNegatives(t *testing.T) {
	ctx := t.Context()
	rate := 0.1
	o := Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor()), Unknown: &rate}
	items := kinds(0, 3)
	negatives := photos("", 7, 0, 4)
	train := func(items, negatives []dataset.Item) string {
		dir := filepath.Join(t.TempDir(), "ws")
		if _, err := openWorkspace(t, dir, o).Add(ctx, items, AddOptions{Negatives: negatives}); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	want := modelOf(t, train(items, negatives))
	a, b := train(items[:7], negatives[:3]), train(items[5:], negatives[2:])
	for _, order := range [][]string{{a, b}, {b, a}} {
		dir := filepath.Join(t.TempDir(), "ws")
		w, m, err := Merge(ctx, dir, sourcesIn(order...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		if modelOf(t, dir) != want || m.Photos != len(items) || m.Negatives != 4 || m.Duplicates != 3 || len(m.Classes) != 4 {
			t.Errorf("got %+v, same model as with all photos added: %t", m, modelOf(t, dir) == want)
		}
	}
	clash := train(append(photos("white", 7, 0, 1), items[:3]...), nil)
	_, _, err := Merge(ctx, filepath.Join(t.TempDir(), "ws"), sourcesIn(a, clash), Options{})
	wantError(t, err, ErrConflict)
	if err == nil || !strings.Contains(err.Error(), `is a negative in `+a+` and "white" in `+clash) {
		t.Errorf("got error %v, want both workspaces named", err)
	}
}

// TestMergeSettings checks that a merge takes its settings from the options, from the target, or
// from the sources if all sources have the same settings.
func TestMergeSettings(t *testing.T) {
	extractor := phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
	lda := observed(t, Options{Backbone: extractor, Head: classifier.LDA}, varied("a", 0, 5))
	mean := observed(t, Options{Backbone: extractor, Head: classifier.Mean}, varied("b", 1, 5))
	off := observed(t, Options{Backbone: extractor, Head: classifier.LDA, Unknown: new(float64)}, varied("b", 1, 5))
	tests := []struct {
		name   string
		others []string
		into   string // "" is a new workspace
		head   classifier.Method
		want   classifier.Method // "" is ErrOtherSettings

		differs string // in the error
	}{
		{"equal", []string{lda, lda}, "", "", classifier.LDA, ""},
		{"named", []string{lda, mean}, "", classifier.Ridge, classifier.Ridge, ""},
		{"different", []string{lda, mean}, "", "", "", "head lda in the float layout"},
		{"unknown off", []string{lda, off}, "", "", "", `head lda in the float layout, never "unknown"`},
		{"of the target", []string{lda}, mean, "", classifier.Mean, ""},
		{"target, named", []string{mean}, lda, classifier.Ridge, classifier.Ridge, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := test.into
			if dir == "" {
				dir = filepath.Join(t.TempDir(), "ws")
			}
			w, _, err := Merge(t.Context(), dir, sourcesIn(test.others...), Options{Head: test.head})
			if test.want == "" {
				wantError(t, err, ErrOtherSettings)
				if !strings.Contains(err.Error(), test.differs) {
					t.Errorf("got %v, want %q in it", err, test.differs)
				}
				if _, err := os.Stat(dir); !os.IsNotExist(err) {
					t.Errorf("the failed merge created the folder: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if w.Settings().Head != test.want || w.Backbone().Name != "extractor.tflite" || w.state.Backbone.Name != "extractor.tflite" {
				t.Errorf("got head %s, backbone %q, want %s, extractor.tflite", w.Settings().Head, w.state.Backbone.Name, test.want)
			}
		})
	}
}

// TestMergeErrors checks that a failing merge changes no file.
func TestMergeErrors(t *testing.T) {
	extractor := phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
	o := Options{Backbone: extractor}
	one := observed(t, o, varied("a", 0, 6))
	empty := observed(t, o, varied("a", 0, 1))
	w := openWorkspace(t, empty, Options{})
	if _, err := w.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	clash := varied("a", 0, 3)
	for i := range clash {
		clash[i].Label = "b"
	}
	o.Resize = dataset.Pad
	padded := observed(t, o, varied("c", 2, 2))
	o.Resize = ""
	o.Embedding = "pointwise"
	tensor := filepath.Join(t.TempDir(), "ws")
	mustAdd(t, openWorkspace(t, tensor, o), photos("d", 0, 0, 1)...)
	o.Embedding = ""
	damaged := observed(t, o, varied("e", 3, 2))
	if err := os.WriteFile(filepath.Join(damaged, "state.1"), []byte("IMPRINT1 damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	bare := observed(t, o, varied("f", 3, 2)) // its backbone file is removed below
	if err := os.Remove(filepath.Join(bare, store.BackboneFile)); err != nil {
		t.Fatal(err)
	}
	o.Backbone = phototest.Backbone(t, "classifier.tflite", backbonetest.Classifier(3))
	other := observed(t, o, varied("c", 2, 2))
	clashing := observed(t, Options{Backbone: extractor}, clash)
	file := photoFile(t, "a.png", picture(0, 0))

	for name, test := range map[string]struct {
		others []string
		want   error
	}{
		"no workspace":        {nil, ErrNoClasses},
		"missing":             {[]string{filepath.Join(one, "nowhere")}, ErrNoClasses},
		"no classes":          {[]string{one, empty}, ErrNoClasses},
		"a file":              {[]string{file}, errAny},
		"conflict":            {[]string{clashing, one}, ErrConflict},
		"another backbone":    {[]string{one, other}, ErrOtherBackbone},
		"another tensor":      {[]string{one, tensor}, ErrOtherBackbone},
		"another resize mode": {[]string{one, padded}, ErrOtherResize},
		"damaged":             {[]string{one, damaged}, store.ErrCorrupt},
		"no backbone":         {[]string{bare, bare}, errAny},
	} {
		for into, dir := range map[string]string{"new": filepath.Join(t.TempDir(), "ws"), "existing": observed(t, Options{Backbone: extractor}, varied("a", 0, 4))} {
			if name == "no backbone" && into == "existing" {
				continue // the target has a backbone file
			}
			t.Run(name+", "+into, func(t *testing.T) {
				parents := []string{filepath.Dir(dir), filepath.Dir(one), filepath.Dir(clashing)}
				var before []map[string]string
				for _, p := range parents {
					before = append(before, files(t, p))
				}
				_, _, err := Merge(t.Context(), dir, sourcesIn(test.others...), Options{})
				wantError(t, err, test.want)
				for i, p := range parents {
					got := files(t, p)
					// The lock file contains the process ID of its last holder, so it may differ.
					delete(got, filepath.Join(dir, store.LockFile))
					delete(before[i], filepath.Join(dir, store.LockFile))
					sameFiles(t, got, before[i])
				}
			})
		}
	}

	t.Run("conflicts are named", func(t *testing.T) {
		_, _, err := Merge(t.Context(), filepath.Join(t.TempDir(), "ws"), sourcesIn(one, clashing), Options{})
		wantError(t, err, ErrConflict)
		if s := err.Error(); !strings.Contains(s, `is "a" in `+one+` and "b" in `+clashing) || !strings.HasSuffix(s, "and 2 more photos have two labels") {
			t.Errorf("got error %q, want both labels and the number of other conflicts", s)
		}
	})
	t.Run("servers are named", func(t *testing.T) {
		sources := []fleet.Source{{Dir: one, Name: "http://car1:8230"}, {Dir: other, Name: "http://car2:8230"}}
		_, _, err := Merge(t.Context(), filepath.Join(t.TempDir(), "ws"), sources, Options{})
		wantError(t, err, ErrOtherBackbone)
		if s := err.Error(); !strings.Contains(s, "http://car1:8230 has ") || !strings.Contains(s, "http://car2:8230 has ") {
			t.Errorf("got error %q, want the names of the servers", s)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		lock, err := (store.Store{Dir: one}).Lock(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Release()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err = Merge(ctx, one, sourcesIn(one), Options{})
		wantError(t, err, context.Canceled)
	})
}

// TestMergeLabels checks that Merge makes one class of two labels that are the same text in
// different Unicode forms, and that it rejects labels that differ only in case.
func TestMergeLabels(t *testing.T) {
	_, o := newWorkspace(t)
	workspace := func(label string, kind, first uint64) string {
		dir := filepath.Join(t.TempDir(), "ws")
		mustAdd(t, openWorkspace(t, dir, o), photos(label, kind, first, 2)...)
		return dir
	}
	composed, decomposed := "caf\u00e9", "cafe\u0301"
	one, same, upper := workspace(composed, 0, 0), workspace(composed, 0, 2), workspace("CAF\u00c9", 1, 0)
	s, _, err := store.Store{Dir: same}.Load() // as an older version would have written it
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Examples {
		s.Examples[i].Label = decomposed
	}
	u := &union{at: make(map[store.Digest]int)}
	u.add(s, "same")
	if err := u.spellLike(&store.State{}); err != nil {
		t.Fatal(err)
	}
	for _, e := range u.examples {
		if e.Label != composed {
			t.Errorf("got label %q, want %q", e.Label, composed)
		}
	}
	if s.Examples[0].Label != decomposed {
		t.Error("the merge changed the source")
	}
	into := filepath.Join(t.TempDir(), "fleet")
	if _, _, err := Merge(t.Context(), into, sourcesIn(one, upper), Options{}); !errors.Is(err, ErrLabel) {
		t.Errorf("another case: got error %v, want ErrLabel", err)
	}
	w, _, err := Merge(t.Context(), into, sourcesIn(one, same), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	wantPhotos(t, w, map[string]int{composed: 4})
}
