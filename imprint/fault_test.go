package imprint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/imprintkit/imprint/imprint/internal/store"
	"golang.org/x/sys/unix"
)

// TestFaults makes each disk operation fail, one at a time, in every kind of change. The change
// must return the disk's error and leave all files as they were, and it must succeed when tried
// again.
func TestFaults(t *testing.T) {
	second, found := efficientNet(t), photosOnDisk(t, photos("a", 0, 0, 4))
	verbs := []struct {
		name   string
		before bool // whether the workspace has photos
		verb   func(*Workspace) error
	}{
		{"first add", false, func(w *Workspace) error { return addOne(w) }},
		{"add", true, func(w *Workspace) error { return addOne(w) }},
		{"remove all", true, func(w *Workspace) error { _, err := w.Remove(context.Background(), "a", nil); return err }},
		{"undo", true, func(w *Workspace) error { _, err := w.Undo(context.Background()); return err }},
		{"change the backbone", true, func(w *Workspace) error {
			_, err := w.ChangeBackbone(context.Background(), second, found, false, nil)
			return err
		}},
	}
	for _, v := range verbs {
		for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
			t.Run(fmt.Sprint(v.name, " ", cause), func(t *testing.T) {
				dir, o := newWorkspace(t)
				dir = filepath.Join(filepath.Dir(dir), "new", "ws") // two folders to create and remove
				if v.before {
					w := openWorkspace(t, dir, o)
					mustAdd(t, w, photos("a", 0, 0, 2)...)
					mustAdd(t, w, photos("a", 0, 2, 2)...)
				}
				before := files(t, filepath.Dir(filepath.Dir(dir)))
				w := openWorkspace(t, dir, o)
				generation, classes := w.Generation(), photoCounts(w)
				failures := 0
				for n := 1; ; n++ {
					steps, failed := 0, ""
					w.store.Disk.Before = func(op, path string) error {
						if steps++; steps == n {
							failed = op + " " + path
							return cause
						}
						return nil
					}
					err := v.verb(w)
					w.store.Disk.Before = nil
					if failed == "" {
						if err != nil {
							t.Fatalf("without a fault: %v", err)
						}
						break
					}
					failures++
					if !errors.Is(err, cause) {
						t.Fatalf("%s: got error %v, want %v", failed, err, cause)
					}
					sameFiles(t, files(t, filepath.Dir(filepath.Dir(dir))), before)
					wantPhotos(t, w, classes)
					if w.Generation() != generation {
						t.Errorf("%s: got generation %d, want %d", failed, w.Generation(), generation)
					}
					if t.Failed() {
						t.Fatalf("after %s failed: %v", failed, err)
					}
				}
				if failures < 5 {
					t.Errorf("got %d operations, want at least 5", failures)
				}
				if again := openWorkspace(t, dir, Options{}); again.Generation() != generation+1 || !again.isPublished() {
					t.Errorf("after the change: got generation %d, published: %v, want %d, published", again.Generation(), again.isPublished(), generation+1)
				}
			})
		}
	}
}

// TestDiskFails makes an operation and all later operations fail, so that nothing can be restored.
// The state on the disk must still be valid, and the next change must repair the rest.
func TestDiskFails(t *testing.T) {
	for n := 1; ; n++ {
		w := openNew(t)
		mustAdd(t, w, photos("a", 0, 0, 2)...)
		old := readModel(t, w)
		steps := 0
		w.store.Disk.Before = func(op, path string) error {
			if steps++; steps >= n {
				return syscall.EIO
			}
			return nil
		}
		err := addOne(w)
		w.store.Disk.Before = nil
		if steps < n {
			break
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("from operation %d on: got error %v, want %v", n, err, syscall.EIO)
		}
		next := openWorkspace(t, w.store.Dir, Options{})
		if next.Generation() == 1 && string(readModel(t, next)) != string(old) {
			t.Errorf("from operation %d on: got another model than before the change", n)
		}
		mustAdd(t, next, photos("b", 1, 0, 1)...)
		wantPhotos(t, next, map[string]int{"a": 2, "b": 1})
		if !next.isPublished() {
			t.Errorf("from operation %d on: the next add did not publish its model", n)
		}
	}
}

// TestFullDisk checks that a full disk makes Add fail and leaves the workspace usable.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("imprint", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("only root can mount a disk: ", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, 0) })
	_, o := newWorkspace(t)
	w := openWorkspace(t, filepath.Join(disk, "ws"), o)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	want := files(t, w.store.Dir)
	full := filepath.Join(disk, "full")
	if err := os.WriteFile(full, make([]byte, 1<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := addOne(w); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want %v", err, syscall.ENOSPC)
	}
	sameFiles(t, files(t, w.store.Dir), want)
	if got := classify(t, w, photo("?", 0, 9)); got[0].Label != "a" {
		t.Errorf("got %v, want a", got)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if err := addOne(w); err != nil {
		t.Error(err)
	}
}

// TestReadOnly checks that a workspace on a read-only disk can be used but not changed.
func TestReadOnly(t *testing.T) {
	dir, o := newWorkspace(t)
	mustAdd(t, openWorkspace(t, dir, o), photos("a", 0, 0, 2)...)
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err == nil {
		t.Cleanup(func() { unix.Unmount(dir, 0) })
		if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	} else if os.Getuid() == 0 {
		t.Skip("root can write everywhere: ", err)
	} else {
		for path := range files(t, dir) {
			os.Chmod(path, 0o555)
		}
		t.Cleanup(func() { os.Chmod(dir, 0o755) })
	}
	w := openWorkspace(t, dir, Options{})
	want := files(t, dir)
	if err := addOne(w); !errors.Is(err, syscall.EROFS) && !errors.Is(err, fs.ErrPermission) {
		t.Errorf("add: got error %v, want %v or %v", err, syscall.EROFS, fs.ErrPermission)
	}
	if got := classify(t, w, photo("?", 0, 9)); got[0].Label != "a" {
		t.Errorf("got %v, want a", got)
	}
	if repaired, err := w.Repair(context.Background()); repaired || err != nil {
		t.Errorf("repair: got %v, %v, want false", repaired, err)
	}
	sameFiles(t, files(t, dir), want)
}

// TestSyncOrder checks that the operations of a change are in an order that survives power loss.
// All files are synced before the first is renamed, and the backbone is durable before the state
// that names it. After the renames the folder is synced and then, for FAT, each renamed file
// again.
func TestSyncOrder(t *testing.T) {
	dir, o := newWorkspace(t)
	steps := stepsOf(t, dir, o.Backbone, 0)
	at := func(step string) int {
		t.Helper()
		i := slices.Index(steps, step)
		if i < 0 {
			t.Fatalf("no %q among %q", step, steps)
		}
		return i
	}
	order := func(first, then string) {
		t.Helper()
		if at(first) >= at(then) {
			t.Errorf("%q comes after %q", first, then)
		}
	}
	for _, name := range []string{store.SlotFile(1), store.LabelsFile, store.ModelFile} {
		order("write "+name, "sync "+name)
		order("sync "+name, "rename "+store.SlotFile(1))
	}
	order("sync "+store.BackboneFile, "rename "+store.BackboneFile)
	order("rename "+store.BackboneFile, "sync ws")
	order("sync ws", "rename "+store.SlotFile(1))
	order("rename "+store.SlotFile(1), "rename "+store.LabelsFile)
	order("rename "+store.LabelsFile, "rename "+store.ModelFile)
	want := []string{"sync ws", "sync " + store.SlotFile(1), "sync " + store.LabelsFile, "sync " + store.ModelFile}
	if last := steps[len(steps)-len(want):]; !slices.Equal(last, want) {
		t.Errorf("got %q last, want %q", last, want)
	}
	// The backbone must be durable before the state that names it is written, on FAT too.
	between := steps[at("rename "+store.BackboneFile):at("rename "+store.SlotFile(1))]
	if again := []string{"sync ws", "sync " + store.BackboneFile}; !slices.Equal(between[1:3], again) {
		t.Errorf("after the rename of the backbone: got %q, want %q", between[1:], again)
	}
}
