package imprint

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/imprint/internal/store"
)

// TestRestoreBuiltinBackbone damages the workspace's copy of the built-in backbone. Until the next
// change restores the copy, Open must use the program's own copy and warn.
func TestRestoreBuiltinBackbone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ws")
	mustAdd(t, openWorkspace(t, dir, Options{}), photos("a", 0, 0, 1)...)
	path := filepath.Join(dir, store.BackboneFile)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, spoil := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, want[:len(want)/2], 0o644) },
		func() error { return os.WriteFile(path, nil, 0o644) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		w := openWorkspace(t, dir, Options{})
		if len(w.Warnings()) != 1 {
			t.Errorf("%d: got warnings %q, want 1", i, w.Warnings())
		}
		mustAdd(t, w, photos("b", 1, uint64(i), 1)...)
		if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
			t.Errorf("%d: after the next change: got %d bytes, %v, want the backbone", i, len(got), err)
		}
		if w := openWorkspace(t, dir, Options{}); len(w.Warnings()) > 0 {
			t.Errorf("%d: after the next change: got warnings %q, want none", i, w.Warnings())
		}
	}
}
