package imprint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/imprint/internal/store"
)

// TestDamage checks that Open uses the newest undamaged state file, and that the next change keeps
// a copy of each damaged file.
func TestDamage(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	tests := []struct {
		name   string
		damage map[string]func([]byte) []byte // by state file; nil removes the file
		want   uint64                         // the generation; 0 for an error
		warns  bool
	}{
		{"none", nil, 2, false},
		{"newest flipped", map[string]func([]byte) []byte{"state.0": flip}, 1, true},
		{"newest empty", map[string]func([]byte) []byte{"state.0": func([]byte) []byte { return nil }}, 1, true},
		{"newest cut", map[string]func([]byte) []byte{"state.0": func(b []byte) []byte { return b[:len(b)-9] }}, 1, true},
		{"newest missing", map[string]func([]byte) []byte{"state.0": nil}, 1, false},
		{"oldest flipped", map[string]func([]byte) []byte{"state.1": flip}, 2, true},
		{"both", map[string]func([]byte) []byte{"state.0": flip, "state.1": flip}, 0, false},
		{"one missing, one flipped", map[string]func([]byte) []byte{"state.0": nil, "state.1": flip}, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, o := newWorkspace(t)
			w := openWorkspace(t, dir, o)
			mustAdd(t, w, photos("a", 0, 0, 2)...)
			mustAdd(t, w, photos("b", 1, 0, 2)...)
			var damaged []string
			for name, f := range test.damage {
				path := filepath.Join(dir, name)
				if f == nil {
					os.Remove(path)
					continue
				}
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				b = f(b)
				damaged = append(damaged, string(b))
				if err := os.WriteFile(path, b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := files(t, dir)
			w, err := Open(dir, Options{})
			if test.want == 0 {
				if !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("got error %v, want %v", err, store.ErrCorrupt)
				}
				if err := openAndAdd(dir, o); !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("add: got error %v, want %v", err, store.ErrCorrupt)
				}
				sameFiles(t, files(t, dir), before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if w.Generation() != test.want || len(w.Warnings()) > 0 != test.warns {
				t.Errorf("got generation %d, warnings %q, want %d, with warnings: %v", w.Generation(), w.Warnings(), test.want, test.warns)
			}
			sameFiles(t, files(t, dir), before)
			mustAdd(t, w, photos("c", 2, 0, 2)...)
			again := openWorkspace(t, dir, Options{})
			if warnings := again.Warnings(); len(warnings) > 0 || again.Generation() != test.want+1 || !again.isPublished() {
				t.Errorf("after the next add: got generation %d, warnings %q, published: %v, want %d, published", again.Generation(), warnings, again.isPublished(), test.want+1)
			}
			var kept []string
			for path, content := range files(t, dir) {
				if strings.HasPrefix(path, filepath.Join(dir, store.DamagedDir)+"/") && !strings.HasSuffix(path, "/") {
					kept = append(kept, content)
				}
			}
			if fmt.Sprint(kept) != fmt.Sprint(damaged) {
				t.Errorf("got %d damaged files, want %d with their content", len(kept), len(damaged))
			}
		})
	}
}

func openAndAdd(dir string, o Options) error {
	w, err := Open(dir, o)
	if err != nil {
		return err
	}
	defer w.Close()
	return addOne(w)
}

// TestNewerState checks that Open and Add refuse the workspace of a newer version and do not report
// it as damaged.
func TestNewerState(t *testing.T) {
	w := openNew(t)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	s := *w.state
	s.Version, s.Generation = store.Version+1, 2
	b, err := s.Encode(store.MaxState)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.store.Path(store.SlotFile(2)), b, 0o644); err != nil {
		t.Fatal(err)
	}
	want := files(t, w.store.Dir)
	if _, err := Open(w.store.Dir, Options{}); !errors.Is(err, store.ErrVersion) || errors.Is(err, store.ErrCorrupt) {
		t.Errorf("open: got error %v, want %v", err, store.ErrVersion)
	}
	if err := addOne(w); !errors.Is(err, store.ErrVersion) {
		t.Errorf("add: got error %v, want %v", err, store.ErrVersion)
	}
	sameFiles(t, files(t, w.store.Dir), want)
}

// TestRepair checks that Repair replaces a damaged model, and that an Add of duplicates does so
// too.
func TestRepair(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name   string
		damage func(model string) error
		want   bool
	}{
		{"nothing", func(string) error { return nil }, false},
		{"removed", os.Remove, true},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, true},
		{"cut", func(p string) error { return os.Truncate(p, 1000) }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := openNew(t)
			mustAdd(t, w, photos("a", 0, 0, 2)...)
			want := files(t, w.store.Dir)
			if err := test.damage(w.ModelPath()); err != nil {
				t.Fatal(err)
			}
			// Classifying must not write to the disk.
			damaged := files(t, w.store.Dir)
			classify(t, openWorkspace(t, w.store.Dir, Options{}), photo("?", 0, 9))
			sameFiles(t, files(t, w.store.Dir), damaged)

			if got, err := w.Repair(ctx); got != test.want || err != nil {
				t.Errorf("repair: got %v, %v, want %v", got, err, test.want)
			}
			sameFiles(t, files(t, w.store.Dir), want)
			if err := test.damage(w.ModelPath()); err != nil {
				t.Fatal(err)
			}
			if added := mustAdd(t, w, photos("a", 0, 0, 2)...); added.Photos != 0 {
				t.Errorf("add of duplicates: got %d photos added, want 0", added.Photos)
			}
			sameFiles(t, files(t, w.store.Dir), want)
		})
	}
	t.Run("model without classes", func(t *testing.T) {
		w := openNew(t)
		mustAdd(t, w, photos("a", 0, 0, 2)...)
		model := readModel(t, w)
		if _, err := w.Undo(ctx); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.ModelPath(), model, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := w.Repair(ctx); !got || err != nil {
			t.Errorf("repair: got %v, %v, want true", got, err)
		}
		if _, err := os.Stat(w.ModelPath()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the model still exists, or error %v", err)
		}
	})
	t.Run("locked", func(t *testing.T) {
		w := openNew(t)
		mustAdd(t, w, photos("a", 0, 0, 2)...)
		os.Remove(w.ModelPath())
		lock, err := w.store.Lock(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Release()
		if got, err := w.Repair(ctx); got || err != nil {
			t.Errorf("repair next to a writer: got %v, %v, want false", got, err)
		}
	})
	t.Run("new workspace", func(t *testing.T) {
		w := openNew(t)
		if got, err := w.Repair(ctx); got || err != nil {
			t.Errorf("repair: got %v, %v, want false", got, err)
		}
		if _, err := os.Stat(w.store.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("repair created a workspace: %v", err)
		}
	})
}
