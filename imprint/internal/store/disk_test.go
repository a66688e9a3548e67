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
