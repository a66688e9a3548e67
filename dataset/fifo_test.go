//go:build unix

package dataset

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFIFO checks that named pipes are rejected. It hangs if a pipe is opened like a regular
// file.
func TestFIFO(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pipe.jpg")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skipf("cannot make a named pipe: %v", err)
	}
	if _, err := ReadFile(path, DefaultLimits()); !errors.Is(err, errNotRegular) {
		t.Errorf("got %v, want %v", err, errNotRegular)
	}
	items, skipped, err := Walk([]string{dir}, "x")
	if err != nil || len(items) != 0 || len(skipped) != 1 || !errors.Is(skipped[0].Err, errNotRegular) {
		t.Errorf("got %v, skipped %v, error %v, want only the pipe skipped", items, skipped, err)
	}
}
