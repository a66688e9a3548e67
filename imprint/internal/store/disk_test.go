package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// recorded returns a disk that appends its operations to ops, each as "op name".
func recorded(ops *[]string) Disk {
	return Disk{Before: func(op, path string) error {
		*ops = append(*ops, op+" "+filepath.Base(path))
		return nil
	}}
}

// TestReplaceSyncsRenamedFiles checks the order that FAT needs: after the renames and the sync of
// the folder, each file is synced once more.
func TestReplaceSyncsRenamedFiles(t *testing.T) {
	dir := t.TempDir()
	var ops []string
	d := recorded(&ops)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := d.Replace(Replacement{a, []byte("1")}, Replacement{b, []byte("2")}); err != nil {
		t.Fatal(err)
	}
	folder := "sync " + filepath.Base(dir)
	want := []string{"rename a", "rename b", folder, "sync a", "sync b"}
	if got := ops[len(ops)-len(want):]; !slices.Equal(got, want) {
		t.Errorf("got last operations %q, want %q", got, want)
	}
	// Files that are restored after an error must be synced again too.
	ops = nil
	n := 0
	d.Before = func(op, path string) error {
		ops = append(ops, op+" "+filepath.Base(path))
		if op == "sync" && path == dir {
			if n++; n == 1 {
				return syscall.EIO
			}
		}
		return nil
	}
	if err := d.Replace(Replacement{a, []byte("3")}, Replacement{b, nil}); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got error %v, want %v", err, syscall.EIO)
	}
	want = []string{folder, "sync b", "sync a"}
	if got := ops[len(ops)-len(want):]; !slices.Equal(got, want) {
		t.Errorf("after an error: got last operations %q, want %q", got, want)
	}
	for path, want := range map[string]string{a: "1", b: "2"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("got files %v, %v, want 2", entries, err)
	}
}

func BenchmarkReplace(b *testing.B) {
	for _, kib := range []int{4, 512, 4096} {
		b.Run(fmt.Sprint(kib, " KiB"), func(b *testing.B) {
			path, content := filepath.Join(b.TempDir(), "a"), []byte(strings.Repeat("x", kib<<10))
			for b.Loop() {
				if err := WriteFile(path, content); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestDiskWithoutPermissions writes to disks that have no permissions or can't sync folders, such
// as vfat and exfat mounted for another user, and FUSE.
func TestDiskWithoutPermissions(t *testing.T) {
	for _, chmod := range []syscall.Errno{syscall.EPERM, syscall.ENOTSUP} {
		for _, sync := range []syscall.Errno{syscall.EINVAL, syscall.ENOTSUP} {
			dir := filepath.Join(t.TempDir(), "new")
			path := filepath.Join(dir, "a")
			d := Disk{Before: func(op, path string) error {
				if info, err := os.Stat(path); op == "sync" && err == nil && info.IsDir() {
					return sync
				}
				if op == "chmod" {
					return chmod
				}
				return nil
			}}
			if _, err := d.makeDir(dir); err != nil {
				t.Fatalf("chmod %v, sync %v: %v", chmod, sync, err)
			}
			if err := d.Replace(Replacement{path, []byte("1")}); err != nil {
				t.Errorf("chmod %v, sync %v: %v", chmod, sync, err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "1" {
				t.Errorf("chmod %v, sync %v: got content %q, %v, want 1", chmod, sync, got, err)
			}
		}
	}
	// Failing to sync a file must still be an error.
	d := Disk{Before: func(op, path string) error {
		if op == "sync" {
			return syscall.EIO
		}
		return nil
	}}
	if err := d.Replace(Replacement{filepath.Join(t.TempDir(), "a"), []byte("1")}); !errors.Is(err, syscall.EIO) {
		t.Errorf("got error %v, want %v", err, syscall.EIO)
	}
}

// TestSweepOld checks that SweepOld removes the old temporary files of one file, and nothing
// else.
func TestSweepOld(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * sweepAge)
	for name, keep := range map[string]bool{".a.123.tmp": false, ".b.123.tmp": true, "a": true, ".a.young.tmp": true, ".a.tmp.txt": true} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if name != ".a.young.tmp" {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
		Disk{}.SweepOld(filepath.Join(dir, "a"))
		if _, err := os.Stat(path); (err == nil) != keep {
			t.Errorf("%s: got %v, want kept: %v", name, err, keep)
		}
	}
}

// TestUnreadableState loads a state while the other slot is a folder or a file that is too large.
// The next change must move that folder or file out of the way, even if an interrupted change left
// another one there.
func TestUnreadableState(t *testing.T) {
	spoil := map[string]func(path string) error{
		"folder": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o755), os.WriteFile(filepath.Join(path, "x"), nil, 0o644))
		},
		"over 1 GiB": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, MaxState+1))
		},
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			s := Store{Dir: t.TempDir()}
			st := smallState()
			if err := WriteFile(s.Path(SlotFile(st.Generation)), encoded(t, st)); err != nil {
				t.Fatal(err)
			}
			other := s.Path(SlotFile(st.Generation + 1))
			if err := spoil(other); err != nil {
				t.Fatal(err)
			}
			got, damaged, err := s.Load()
			if err != nil || got.Generation != st.Generation || len(damaged) != 1 {
				t.Fatalf("load: got state %+v, damaged %v, error %v", got, damaged, err)
			}
			aside := filepath.Join(s.Path(DamagedDir), fmt.Sprintf("%s.%d", filepath.Base(other), st.Generation+1), "x")
			if err := os.MkdirAll(aside, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := s.KeepDamaged(damaged, st.Generation+1); err != nil {
				t.Fatal(err)
			}
			if err := WriteFile(other, []byte("next")); err != nil {
				t.Errorf("write the next state: %v", err)
			}
			if kept, err := os.ReadDir(s.Path(DamagedDir)); err != nil || len(kept) != 2 {
				t.Errorf("got damaged files %v, %v, want 2", kept, err)
			}
		})
	}
}

// TestDotLabels checks that CheckLabel rejects "." and "..", which have a special meaning in URLs
// and paths, and that Decode accepts them in old states.
func TestDotLabels(t *testing.T) {
	for _, label := range []string{".", ".."} {
		wantError(t, CheckLabel(label), ErrLabel)
		s := &State{Version: 1, Generation: 1, Backbone: BackboneRef{Size: 1}, Settings: Settings{Resize: "crop", Layout: "float"}}
		s.Apply(Change{Verb: "add", Added: []Example{{Label: label, Raw: []byte{1}}}, Settings: s.Settings})
		if _, err := Decode(encoded(t, s)); err != nil {
			t.Errorf("%q: %v", label, err)
		}
	}
	for _, label := range []string{"...", ".a", "a."} {
		wantError(t, CheckLabel(label), nil)
	}
}
