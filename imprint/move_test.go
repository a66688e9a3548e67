package imprint

import (
	"bytes"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

func TestMove(t *testing.T) {
	a0, a1, b0 := photoFile(t, "a0.png", picture(0, 0)), photoFile(t, "a1.png", picture(0, 1)), photoFile(t, "b0.png", picture(1, 0))
	other := photoFile(t, "n0.png", picture(3, 0))
	taken := time.Date(2026, 11, 28, 1, 2, 3, 0, time.UTC)
	for _, test := range []struct {
		name, label string
		paths       []string
		want        int
		left        map[string]int
		err         error
	}{
		{"one photo", "b", []string{a0}, 1, map[string]int{"a": 1, "b": 2}, nil},
		{"a new class", "c", []string{a0, b0}, 2, map[string]int{"a": 1, "c": 2}, nil},
		{"a folder", "b", []string{filepath.Dir(a0)}, 1, map[string]int{"a": 1, "b": 2}, nil},
		{"all of a class", "b", []string{a0, a1}, 2, map[string]int{"b": 3}, nil},
		{"a negative", "b", []string{other}, 1, map[string]int{"a": 2, "b": 2}, nil},
		{"one of two already in the class", "b", []string{a0, b0}, 1, map[string]int{"a": 1, "b": 2}, nil},
		{"all already in the class", "a", []string{a0, a1}, 0, map[string]int{"a": 2, "b": 1}, nil},
		{"no photos", "b", nil, 0, nil, ErrNoPhotos},
		{"unknown photo", "b", []string{a0, a0 + "x"}, 0, nil, ErrNoPhotos},
		{"no label", "", []string{a0}, 0, nil, ErrLabel},
		{"another case", "B", []string{a0}, 0, nil, ErrLabel},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := openNew(t)
			items := []dataset.Item{{Path: a0, Label: "a", Source: "camera", Time: taken}, {Path: a1, Label: "a"}, {Path: b0, Label: "b"}}
			if _, err := w.Add(t.Context(), items, AddOptions{Negatives: []dataset.Item{{Path: other}}}); err != nil {
				t.Fatal(err)
			}
			before, model, state := files(t, w.store.Dir), readModel(t, w), slices.Clone(w.state.Examples)
			moved, err := w.Move(t.Context(), test.label, test.paths)
			if moved != test.want {
				t.Errorf("got %d photos moved, want %d", moved, test.want)
			}
			if test.err != nil {
				wantError(t, err, test.err)
			}
			if test.want == 0 {
				sameFiles(t, files(t, w.store.Dir), before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantPhotos(t, w, test.left)
			again := openWorkspace(t, w.store.Dir, Options{})
			wantPhotos(t, again, test.left)
			wantSameButLabels(t, again.state.Examples, state)
			undone, err := again.Undo(t.Context())
			if undone.Verb != "move" || undone.To != test.label || err != nil {
				t.Fatalf("undo: got %+v, %v, want an undone move", undone, err)
			}
			if !reflect.DeepEqual(again.state.Examples, state) || !bytes.Equal(readModel(t, w), model) {
				t.Error("after undo the examples or the model differ")
			}
		})
	}
}

// wantSameButLabels checks that two lists of examples are equal except for their labels.
func wantSameButLabels(t *testing.T, got, want []store.Example) {
	t.Helper()
	plain := func(list []store.Example) []store.Example {
		list = slices.Clone(list)
		for i := range list {
			list[i].Label = ""
		}
		slices.SortFunc(list, store.ByLabel)
		return list
	}
	if !reflect.DeepEqual(plain(got), plain(want)) {
		t.Errorf("more than the labels changed: got %+v, want %+v", got, want)
	}
}

// TestMoveIsExact checks that moving photos to a class gives the same model as adding them to that
// class.
func TestMoveIsExact(t *testing.T) {
	w, direct := openNew(t), openNew(t)
	a0, a1, b0 := photoFile(t, "a0.png", picture(0, 0)), photoFile(t, "a1.png", picture(0, 1)), photoFile(t, "b0.png", picture(1, 0))
	mustAdd(t, w, dataset.Item{Path: a0, Label: "b"}, dataset.Item{Path: a1, Label: "a"}, dataset.Item{Path: b0, Label: "b"})
	mustAdd(t, direct, dataset.Item{Path: a0, Label: "a"}, dataset.Item{Path: a1, Label: "a"}, dataset.Item{Path: b0, Label: "b"})
	if n, err := w.Move(t.Context(), "a", []string{a0}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if !bytes.Equal(readModel(t, w), readModel(t, direct)) {
		t.Error("got another model than after adding the photos to the class")
	}
	if w.state.Version != 1 {
		t.Errorf("got state version %d, want 1, which older programs can undo", w.state.Version)
	}
}

// TestSameLabels checks that Add makes one class of two labels that are the same text in different
// Unicode forms, and that it rejects labels that differ only in case.
func TestSameLabels(t *testing.T) {
	composed, decomposed := "caf\u00e9", "cafe\u0301"
	w := openNew(t)
	mustAdd(t, w, slices.Concat(photos(composed, 0, 0, 1), photos(decomposed, 0, 1, 1))...)
	wantPhotos(t, w, map[string]int{composed: 2})
	mustAdd(t, w, photos(decomposed, 0, 2, 1)...)
	wantPhotos(t, w, map[string]int{composed: 3})
	if _, err := w.Add(t.Context(), photos("CAF\u00c9", 1, 0, 1), AddOptions{}); !errors.Is(err, ErrLabel) {
		t.Errorf("another case: got error %v, want %v", err, ErrLabel)
	}
	if _, err := w.Add(t.Context(), slices.Concat(photos("hat", 1, 0, 1), photos("Hat", 1, 1, 1)), AddOptions{}); !errors.Is(err, ErrLabel) {
		t.Errorf("two labels that differ in case: got error %v, want %v", err, ErrLabel)
	}
	if err := w.Rename(t.Context(), decomposed, "Cafe"); err != nil {
		t.Fatal(err)
	}
	if err := w.Rename(t.Context(), "Cafe", "cafe"); err != nil {
		t.Errorf("rename to another case of itself: %v", err)
	}
	mustAdd(t, w, photos("tea", 1, 0, 1)...)
	if err := w.Rename(t.Context(), "tea", "CAFE"); !errors.Is(err, ErrLabel) {
		t.Errorf("rename to another case of a class: got error %v, want %v", err, ErrLabel)
	}
	if n, err := w.Remove(t.Context(), "cafe", nil); n != 3 || err != nil {
		t.Errorf("remove: got %d, %v, want 3", n, err)
	}
}

// TestLabelsOfOlderVersions checks how labels are resolved in a workspace of an older version. Its
// labels may have another Unicode form or differ only in case.
func TestLabelsOfOlderVersions(t *testing.T) {
	decomposed := "cafe\u0301"
	s := &store.State{Examples: []store.Example{{Label: "Hat"}, {Label: decomposed}, {Label: "hat"}}}
	got, err := s.ResolveLabels([]string{"caf\u00e9", "hat", "Hat", "", "new"})
	want := map[string]string{"caf\u00e9": decomposed, "hat": "hat", "Hat": "Hat", "": "", "new": "new"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := s.ResolveLabels([]string{"HAT"}); !errors.Is(err, ErrLabel) {
		t.Errorf("a third case: got error %v, want %v", err, ErrLabel)
	}
}
