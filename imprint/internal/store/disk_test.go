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

// recorded returns a disk that records its operations, each as "op name".
func recorded(ops *[]string) Disk {
	return Disk{Before: func(op, path string) error {
		*ops = append(*ops, op+" "+filepath.Base(path))
		return nil
	}}
}

// TestReplaceSyncsRenamedFiles asks for the order that FAT needs: each file is synced once
// more after its rename and after the sync of the folder.
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
		t.Errorf("the last operations are %q, want %q", got, want)
	}
	// What is put back after an error needs it too.
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
		t.Errorf("after an error the last operations are %q, want %q", got, want)
	}
	for path, want := range map[string]string{a: "1", b: "2"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v, want %q", path, got, err, want)
		}
	}
	// Nothing but the two files is left.
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v, %v", entries, err)
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

// TestNoPermissionsOnDisk writes where a disk has no permissions of its own and can't sync
// folders, as vfat and exfat mounted for another user and file systems in FUSE.
func TestNoPermissionsOnDisk(t *testing.T) {
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
				t.Fatalf("%v, %v: %v", chmod, sync, err)
			}
			if err := d.Replace(Replacement{path, []byte("1")}); err != nil {
				t.Errorf("%v, %v: %v", chmod, sync, err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "1" {
				t.Errorf("%v, %v: it holds %q, %v", chmod, sync, got, err)
			}
		}
	}
	// A file that can't be synced is another matter.
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

// TestSweepOld removes what a killed process left next to a file, and nothing else.
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
			t.Errorf("%s: got %v, want kept %v", name, err, keep)
		}
	}
}

// TestStrangeStateFile falls back from a slot that is a folder or too large, and keeps it
// out of the way of the next state.
func TestStrangeStateFile(t *testing.T) {
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
				t.Fatalf("got %+v, %v, %v", got, damaged, err)
			}
			if err := s.KeepDamaged(damaged, st.Generation+1); err != nil {
				t.Fatal(err)
			}
			if err := WriteFile(other, []byte("next")); err != nil {
				t.Errorf("the next state can't be written: %v", err)
			}
			if kept, err := os.ReadDir(s.Path(DamagedDir)); err != nil || len(kept) != 1 {
				t.Errorf("kept %v, %v", kept, err)
			}
		})
	}
}

// TestDotLabels refuses "." and "..", which URLs and folders take for something else, but
// reads workspaces that have them.
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
