package filelock_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/models/filelock"
)

func TestTry(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	try := func(f *os.File, want bool) {
		t.Helper()
		if got, err := filelock.Try(f); got != want || err != nil {
			t.Errorf("got %v, error %v, want %v", got, err, want)
		}
	}
	first, second := open(), open()
	try(first, true)
	try(second, false)
	first.WriteString("12")
	if b, err := os.ReadFile(name); string(b) != "12" || err != nil {
		t.Errorf("got content %q, error %v from a locked file", b, err)
	}
	first.Close()
	try(second, true)
	if err := filelock.SyncDir(filepath.Dir(name)); err != nil {
		t.Error(err)
	}
}
