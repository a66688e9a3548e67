package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestInterruptedFirstChange loads workspaces whose state files are empty. Only an interrupted
// first change leaves an empty state.1 alone; anything else is damage.
func TestInterruptedFirstChange(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		fresh bool
	}{
		{"state.1 empty", map[string]string{"state.1": ""}, true},
		{"state.1 cut", map[string]string{"state.1": "IMPRINT1"}, false},
		{"state.0 empty", map[string]string{"state.0": ""}, false},
		{"both empty", map[string]string{"state.0": "", "state.1": ""}, false},
		{"state.0 cut", map[string]string{"state.0": "IMPRINT1", "state.1": ""}, false},
	}
	for _, test := range tests {
		s := Store{Dir: t.TempDir()}
		for name, content := range test.files {
			if err := os.WriteFile(s.Path(name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, damaged, err := s.Load()
		if !test.fresh {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: got %v, %v, want %v", test.name, got, err, ErrCorrupt)
			}
			continue
		}
		if got != nil || err != nil || len(damaged) != 1 {
			t.Errorf("%s: got %v, %v, %v, want no state and one damaged file", test.name, got, damaged, err)
			continue
		}
		if w := Warnings(got, damaged); len(w) != 2 || !strings.Contains(w[1], "starting a new workspace") {
			t.Errorf("%s: got warnings %q", test.name, w)
		}
	}
}

// TestSyncPath checks which folders the first change of a workspace syncs if another program has
// created the workspace's folder.
func TestSyncPath(t *testing.T) {
	top := t.TempDir()
	if err := os.WriteFile(filepath.Join(top, "other"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "a", "b", "ws")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var synced []string
	fail := map[string]error{}
	s := Store{Dir: dir, Disk: Disk{Before: func(op, path string) error {
		if op == "sync" {
			synced = append(synced, path)
		}
		return fail[path]
	}}}
	if err := s.SyncPath(new(Lock)); err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(top, "a", "b"), filepath.Join(top, "a"), top}
	if !slices.Equal(synced, want) {
		t.Errorf("got syncs of %q, want %q", synced, want)
	}
	synced = nil
	if err := s.SyncPath(&Lock{made: []string{dir}}); err != nil || synced != nil {
		t.Errorf("folder made by Lock: got syncs of %q, %v, want none", synced, err)
	}
	fail[top] = fs.ErrPermission // a folder in which only others may list files
	if err := s.SyncPath(new(Lock)); err != nil {
		t.Errorf("unreadable folder: %v", err)
	}
	fail[top] = syscall.EIO
	if err := s.SyncPath(new(Lock)); !errors.Is(err, syscall.EIO) {
		t.Errorf("got error %v, want %v", err, syscall.EIO)
	}
}
