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
		{"one of two there already", "b", []string{a0, b0}, 1, map[string]int{"a": 1, "b": 2}, nil},
		{"there already", "a", []string{a0, a1}, 0, map[string]int{"a": 2, "b": 1}, nil},
		{"no photos", "b", nil, 0, nil, ErrNoPhotos},
		{"unknown photo", "b", []string{a0, a0 + "x"}, 0, nil, ErrNoPhotos},
		{"no label", "", []string{a0}, 0, nil, ErrLabel},
		{"another case", "B", []string{a0}, 0, nil, ErrLabel},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := openNew(t)
			items := []dataset.Item{{Path: a0, Label: "a", Source: "camera", Time: taken}, {Path: a1, Label: "a"}, {Path: b0, Label: "b"}}
			if _, err := k.Add(t.Context(), items, AddOptions{Negatives: []dataset.Item{{Path: other}}}); err != nil {
				t.Fatal(err)
			}
			before, model, state := files(t, k.store.Dir), readModel(t, k), slices.Clone(k.state.Examples)
			moved, err := k.Move(t.Context(), test.label, test.paths)
			if moved != test.want {
				t.Errorf("moved %d, want %d", moved, test.want)
			}
			if test.err != nil {
				wantError(t, err, test.err)
			}
			if test.want == 0 {
				sameFiles(t, files(t, k.store.Dir), before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantPhotos(t, k, test.left)
			again := openWorkspace(t, k.store.Dir, Options{})
			wantPhotos(t, again, test.left)
			wantSameButLabels(t, again.state.Examples, state)
			undone, err := again.Undo(t.Context())
			if undone.Verb != "move" || undone.To != test.label || err != nil {
				t.Fatalf("undo: got %+v, %v", undone, err)
			}
			if !reflect.DeepEqual(again.state.Examples, state) || !bytes.Equal(readModel(t, k), model) {
				t.Error("undo does not restore what was there")
			}
		})
	}
}

// wantSameButLabels checks that two lists have the same photos, whatever their labels.
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
		t.Errorf("moving changed more than labels:\n%+v\n%+v", got, want)
	}
}

// Moved photos are, to the byte, photos that were added to the class at once.
func TestMoveIsExact(t *testing.T) {
	k, direct := openNew(t), openNew(t)
	a0, a1, b0 := photoFile(t, "a0.png", picture(0, 0)), photoFile(t, "a1.png", picture(0, 1)), photoFile(t, "b0.png", picture(1, 0))
	mustAdd(t, k, dataset.Item{Path: a0, Label: "b"}, dataset.Item{Path: a1, Label: "a"}, dataset.Item{Path: b0, Label: "b"})
	mustAdd(t, direct, dataset.Item{Path: a0, Label: "a"}, dataset.Item{Path: a1, Label: "a"}, dataset.Item{Path: b0, Label: "b"})
	if n, err := k.Move(t.Context(), "a", []string{a0}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if !bytes.Equal(readModel(t, k), readModel(t, direct)) {
		t.Error("the model differs from that of photos added to the class")
	}
	if k.state.Version != 1 {
		t.Errorf("state version %d: older programs can't undo it", k.state.Version)
	}
}

// Labels that are the same text are one class, and no two differ only in case.
func TestLabelsAreOne(t *testing.T) {
	composed, decomposed := "caf\u00e9", "cafe\u0301"
	k := openNew(t)
	mustAdd(t, k, slices.Concat(photos(composed, 0, 0, 1), photos(decomposed, 0, 1, 1))...)
	wantPhotos(t, k, map[string]int{composed: 2})
	mustAdd(t, k, photos(decomposed, 0, 2, 1)...)
	wantPhotos(t, k, map[string]int{composed: 3})
	if _, err := k.Add(t.Context(), photos("CAF\u00c9", 1, 0, 1), AddOptions{}); !errors.Is(err, ErrLabel) {
		t.Errorf("another case: got %v", err)
	}
	if _, err := k.Add(t.Context(), slices.Concat(photos("hat", 1, 0, 1), photos("Hat", 1, 1, 1)), AddOptions{}); !errors.Is(err, ErrLabel) {
		t.Errorf("two cases at once: got %v", err)
	}
	if err := k.Rename(t.Context(), decomposed, "Cafe"); err != nil {
		t.Fatal(err)
	}
	if err := k.Rename(t.Context(), "Cafe", "cafe"); err != nil {
		t.Errorf("a class in another case: %v", err)
	}
	mustAdd(t, k, photos("tea", 1, 0, 1)...)
	if err := k.Rename(t.Context(), "tea", "CAFE"); !errors.Is(err, ErrLabel) {
		t.Errorf("rename to another case: got %v", err)
	}
	if n, err := k.Remove(t.Context(), "cafe", nil); n != 3 || err != nil {
		t.Errorf("remove: got %d, %v", n, err)
	}
}

// Workspaces of older versions may hold labels in another form, or in two cases.
func TestLabelsOfOlderVersions(t *testing.T) {
	decomposed := "cafe\u0301"
	s := &store.State{Examples: []store.Example{{Label: "Hat"}, {Label: decomposed}, {Label: "hat"}}}
	got, err := s.ResolveLabels([]string{"caf\u00e9", "hat", "Hat", "", "new"})
	want := map[string]string{"caf\u00e9": decomposed, "hat": "hat", "Hat": "Hat", "": "", "new": "new"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := s.ResolveLabels([]string{"HAT"}); !errors.Is(err, ErrLabel) {
		t.Errorf("a third case: got %v", err)
	}
}
