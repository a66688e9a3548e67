package imprint

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

// fleetOf makes workspaces that share photos and disagree about some, and returns their folders.
func fleetOf(t *testing.T, o Options, n int) (dirs []string) {
	t.Helper()
	pool := slices.Concat(varied("blue", 0, 8), varied("green", 1, 8), varied("red", 2, 8))
	r := rand.New(rand.NewPCG(5, 6))
	for i := range n {
		var mine []Observation
		for range 6 {
			item := pool[r.IntN(len(pool))]
			item.Source, item.Taken = fmt.Sprint("drive ", r.IntN(2)), time.Unix(int64(r.IntN(3)), 0)
			item.Path = fmt.Sprint("car", i, "/", item.Path)
			if r.IntN(5) == 0 {
				item.Label = "yellow"
			}
			mine = append(mine, item)
		}
		dirs = append(dirs, observed(t, o, mine))
	}
	return dirs
}

// TestFleet merges workspaces in random orders and in steps, and removes the contribution of each
// again. The model must be the same as that of a merge without it.
func TestFleet(t *testing.T) {
	o := Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())}
	dirs := fleetOf(t, o, 7)
	for _, rule := range []fleet.Rule{fleet.Oldest, fleet.Newest, fleet.Majority} {
		t.Run(string(rule), func(t *testing.T) {
			merge := func(into string, dirs ...string) (*Workspace, *fleet.Merged) {
				t.Helper()
				w, m, err := Merge(t.Context(), into, sourcesIn(dirs...), Options{Conflicts: &rule})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { w.Close() })
				return w, m
			}
			without := func(i int) string {
				w, _ := merge(filepath.Join(t.TempDir(), "ws"), slices.Delete(slices.Clone(dirs), i, i+1)...)
				return modelOf(t, w.store.Dir)
			}
			all, m := merge(filepath.Join(t.TempDir(), "ws"), dirs...)
			want := modelOf(t, all.store.Dir)
			if len(m.Conflicts) == 0 || m.Duplicates == 0 || len(all.Contributions()) != len(dirs) {
				t.Fatalf("got %d conflicts, %d duplicates, %d contributions, want some, some, %d", len(m.Conflicts), m.Duplicates, len(all.Contributions()), len(dirs))
			}
			r := rand.New(rand.NewPCG(3, 4))
			for range 5 {
				order := slices.Clone(dirs)
				r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
				into, half := filepath.Join(t.TempDir(), "ws"), r.IntN(len(order)-1)+1
				merge(into, order[:half]...)
				if merge(into, order[half:]...); modelOf(t, into) != want {
					t.Errorf("%v, then %v: got another model", order[:half], order[half:])
				}
			}
			for i := range dirs {
				if _, _, err := all.RemoveContribution(t.Context(), dirs[i]); err != nil {
					t.Fatal(err)
				}
				if modelOf(t, all.store.Dir) != without(i) {
					t.Errorf("workspace %d removed: got another model than without it", i)
				}
				if undone, err := all.Undo(t.Context()); err != nil || undone.Verb != "remove" || modelOf(t, all.store.Dir) != want {
					t.Errorf("undo: got %+v, %v, same model as before: %t", undone, err, modelOf(t, all.store.Dir) == want)
				}
			}
		})
	}
}

// TestRemoveContributionErrors checks names that mean no workspace or several.
func TestRemoveContributionErrors(t *testing.T) {
	o := Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())}
	one, two := observed(t, o, varied("a", 0, 2)), observed(t, o, varied("b", 1, 2))
	w, _, err := Merge(t.Context(), filepath.Join(t.TempDir(), "ws"), sourcesIn(one, two), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for name, want := range map[string]error{"": ErrNoPhotos, "nowhere": ErrNoPhotos, "s": ErrNoPhotos, "ws": fleet.ErrAmbiguous} {
		_, _, err := w.RemoveContribution(t.Context(), name)
		wantError(t, err, want)
	}
	if photos, negatives, err := w.RemoveContribution(t.Context(), filepath.Join(filepath.Base(filepath.Dir(one)), "ws")); err != nil || photos != 2 || negatives != 0 {
		t.Errorf("got %d photos, %d negatives, %v, want 2, 0", photos, negatives, err)
	}
}

// TestFleetChanges moves and renames photos of merged workspaces. What a workspace says later does
// not undo that.
func TestFleetChanges(t *testing.T) {
	o := Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())}
	items := varied("a", 0, 2)
	one, two := observed(t, o, items, varied("b", 1, 2)), observed(t, o, items[1:], varied("c", 2, 1))
	w, _, err := Merge(t.Context(), filepath.Join(t.TempDir(), "ws"), sourcesIn(one, two), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Rename(t.Context(), "a", "e"); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Move(t.Context(), "d", []string{items[1].Path}); err != nil || n != 1 {
		t.Fatalf("move: got %d, %v, want 1", n, err)
	}
	wantPhotos(t, w, map[string]int{"b": 2, "c": 1, "d": 1, "e": 1})
	_, _, err = Merge(t.Context(), w.store.Dir, sourcesIn(one), Options{})
	wantError(t, err, ErrConflict)
	if err == nil || !strings.Contains(err.Error(), `is "a" in `+one+` and "e" in `+w.store.Dir) {
		t.Errorf("got error %v, want both workspaces named", err)
	}
	rule := fleet.Newest
	again, m, err := Merge(t.Context(), w.store.Dir, sourcesIn(one), Options{Conflicts: &rule})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantPhotos(t, again, map[string]int{"b": 2, "c": 1, "d": 1, "e": 1})
	if len(m.Conflicts) != 2 {
		t.Errorf("got %d conflicts, want 2", len(m.Conflicts))
	}
	if _, _, err := again.RemoveContribution(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	wantPhotos(t, again, map[string]int{"c": 1, "d": 1})
}
