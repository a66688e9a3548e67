package imprint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/imprintkit/imprint/imprint/internal/store"
	"golang.org/x/sys/unix"
)

// TestFaults fails each operation on the disk of a change, one at a time: the error
// is the disk's, all files are as they were, and the change can be made later.
func TestFaults(t *testing.T) {
	verbs := []struct {
		name   string
		before bool // with photos taught before
		verb   func(*Workspace) error
	}{
		{"first add", false, func(k *Workspace) error { return addOne(k) }},
		{"add", true, func(k *Workspace) error { return addOne(k) }},
		{"withdraw", true, func(k *Workspace) error { _, err := k.Remove(context.Background(), "a", nil); return err }},
		{"undo", true, func(k *Workspace) error { _, err := k.Undo(context.Background()); return err }},
	}
	for _, v := range verbs {
		for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
			t.Run(fmt.Sprint(v.name, " ", cause), func(t *testing.T) {
				dir, o := newWorkspace(t)
				dir = filepath.Join(filepath.Dir(dir), "new", "ws") // two folders to make and to take away
				if v.before {
					k := openWorkspace(t, dir, o)
					mustAdd(t, k, photos("a", 0, 0, 2)...)
					mustAdd(t, k, photos("a", 0, 2, 2)...)
				}
				before := files(t, filepath.Dir(filepath.Dir(dir)))
				k := openWorkspace(t, dir, o)
				generation, classes := k.Generation(), taught(k)
				failures := 0
				for n := 1; ; n++ {
					steps, failed := 0, ""
					k.store.Disk.Before = func(op, path string) error {
						if steps++; steps == n {
							failed = op + " " + path
							return cause
						}
						return nil
					}
					err := v.verb(k)
					k.store.Disk.Before = nil
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
					wantTaught(t, k, classes)
					if k.Generation() != generation {
						t.Errorf("%s: generation %d, want %d", failed, k.Generation(), generation)
					}
					if t.Failed() {
						t.Fatalf("after a fault of %q: %v", failed, err)
					}
				}
				if failures < 5 {
					t.Errorf("only %d operations could fail", failures)
				}
				if again := openWorkspace(t, dir, o); again.Generation() != generation+1 || !again.isPublished() {
					t.Errorf("after it all generation %d, want %d, published %v", again.Generation(), generation+1, again.isPublished())
				}
			})
		}
	}
}

func addOne(k *Workspace) error {
	_, err := k.Add(context.Background(), photos("b", 1, 0, 1), AddOptions{})
	return err
}

// TestDiskGone fails an operation and all after it, so that nothing can be put
// back: whatever state is found then is sound, and the next change makes all well.
func TestDiskGone(t *testing.T) {
	for n := 1; ; n++ {
		k := newOpened(t)
		mustAdd(t, k, photos("a", 0, 0, 2)...)
		old := readModel(t, k)
		steps := 0
		k.store.Disk.Before = func(op, path string) error {
			if steps++; steps >= n {
				return syscall.EIO
			}
			return nil
		}
		err := addOne(k)
		k.store.Disk.Before = nil
		if steps < n {
			break
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("from operation %d on: got error %v", n, err)
		}
		next := openWorkspace(t, k.store.Dir, Options{})
		if next.Generation() == 1 && string(readModel(t, next)) != string(old) {
			t.Errorf("from operation %d on: the model is not of the state before", n)
		}
		mustAdd(t, next, photos("b", 1, 0, 1)...)
		wantTaught(t, next, map[string]int{"a": 2, "b": 1})
		if !next.isPublished() {
			t.Errorf("from operation %d on: the next add has not published its model", n)
		}
	}
}

// TestFullDisk fills a small disk.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("imprint", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("a disk can be mounted by root only: ", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, 0) })
	_, o := newWorkspace(t)
	k := openWorkspace(t, filepath.Join(disk, "ws"), o)
	mustAdd(t, k, photos("a", 0, 0, 2)...)
	want := files(t, k.store.Dir)
	full := filepath.Join(disk, "full")
	if err := os.WriteFile(full, make([]byte, 1<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := addOne(k); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want %v", err, syscall.ENOSPC)
	}
	sameFiles(t, files(t, k.store.Dir), want)
	if got := classify(t, k, photo("?", 0, 9)); got[0].Label != "a" {
		t.Errorf("got %v, want a", got)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if err := addOne(k); err != nil {
		t.Error(err)
	}
}

// TestReadOnly uses a workspace that can't be written.
func TestReadOnly(t *testing.T) {
	dir, o := newWorkspace(t)
	mustAdd(t, openWorkspace(t, dir, o), photos("a", 0, 0, 2)...)
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err == nil {
		t.Cleanup(func() { unix.Unmount(dir, 0) })
		if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	} else if os.Getuid() == 0 {
		t.Skip("root may write everywhere: ", err)
	} else {
		for path := range files(t, dir) {
			os.Chmod(path, 0o555)
		}
		t.Cleanup(func() { os.Chmod(dir, 0o755) })
	}
	k := openWorkspace(t, dir, Options{})
	want := files(t, dir)
	if err := addOne(k); !errors.Is(err, syscall.EROFS) && !errors.Is(err, fs.ErrPermission) {
		t.Errorf("add: got error %v", err)
	}
	if got := classify(t, k, photo("?", 0, 9)); got[0].Label != "a" {
		t.Errorf("got %v, want a", got)
	}
	if repaired, err := k.Repair(context.Background()); repaired || err != nil {
		t.Errorf("repair: got %v, %v", repaired, err)
	}
	sameFiles(t, files(t, dir), want)
}

// TestDamage damages state files: the newest sound one is used and the damaged one
// kept for somebody to look at.
func TestDamage(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	tests := []struct {
		name   string
		damage map[string]func([]byte) []byte // of the files state.0 and state.1; nil removes
		want   uint64                         // generation, or 0 for an error
		warns  bool
	}{
		{"none", nil, 2, false},
		{"newest flipped", map[string]func([]byte) []byte{"state.0": flip}, 1, true},
		{"newest empty", map[string]func([]byte) []byte{"state.0": func([]byte) []byte { return nil }}, 1, true},
		{"newest cut", map[string]func([]byte) []byte{"state.0": func(b []byte) []byte { return b[:len(b)-9] }}, 1, true},
		{"newest gone", map[string]func([]byte) []byte{"state.0": nil}, 1, false},
		{"oldest flipped", map[string]func([]byte) []byte{"state.1": flip}, 2, true},
		{"both", map[string]func([]byte) []byte{"state.0": flip, "state.1": flip}, 0, false},
		{"one gone, one flipped", map[string]func([]byte) []byte{"state.0": nil, "state.1": flip}, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, o := newWorkspace(t)
			k := openWorkspace(t, dir, o)
			mustAdd(t, k, photos("a", 0, 0, 2)...)
			mustAdd(t, k, photos("b", 1, 0, 2)...)
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
			k, err := Open(dir, Options{})
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
			defer k.Close()
			if k.Generation() != test.want || len(k.Warnings()) > 0 != test.warns {
				t.Errorf("got generation %d, warnings %q, want %d, %v", k.Generation(), k.Warnings(), test.want, test.warns)
			}
			sameFiles(t, files(t, dir), before)
			mustAdd(t, k, photos("c", 2, 0, 2)...)
			again := openWorkspace(t, dir, Options{})
			if w := again.Warnings(); len(w) > 0 || again.Generation() != test.want+1 || !again.isPublished() {
				t.Errorf("after the next add: generation %d, warnings %q, published %v", again.Generation(), w, again.isPublished())
			}
			var kept []string
			for path, content := range files(t, dir) {
				if strings.HasPrefix(path, filepath.Join(dir, store.DamagedDir)+"/") && !strings.HasSuffix(path, "/") {
					kept = append(kept, content)
				}
			}
			if fmt.Sprint(kept) != fmt.Sprint(damaged) {
				t.Errorf("%d damaged files are kept, want %d, as they were", len(kept), len(damaged))
			}
		})
	}
}

func openAndAdd(dir string, o Options) error {
	k, err := Open(dir, o)
	if err != nil {
		return err
	}
	defer k.Close()
	return addOne(k)
}

// TestNewerState refuses a workspace of a newer program, and does not take it for
// damage.
func TestNewerState(t *testing.T) {
	k := newOpened(t)
	mustAdd(t, k, photos("a", 0, 0, 2)...)
	s := *k.state
	s.Version, s.Generation = store.Version+1, 2
	b, err := s.Encode(store.MaxState)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.store.Path(store.SlotFile(2)), b, 0o644); err != nil {
		t.Fatal(err)
	}
	want := files(t, k.store.Dir)
	if _, err := Open(k.store.Dir, Options{}); !errors.Is(err, store.ErrVersion) || errors.Is(err, store.ErrCorrupt) {
		t.Errorf("open: got error %v, want %v", err, store.ErrVersion)
	}
	if err := addOne(k); !errors.Is(err, store.ErrVersion) {
		t.Errorf("add: got error %v, want %v", err, store.ErrVersion)
	}
	sameFiles(t, files(t, k.store.Dir), want)
}

// TestRepair damages what is published: changes make it anew even if they find
// nothing to do.
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
			k := newOpened(t)
			mustAdd(t, k, photos("a", 0, 0, 2)...)
			want := files(t, k.store.Dir)
			if err := test.damage(k.ModelPath()); err != nil {
				t.Fatal(err)
			}
			// Looking on does not write.
			damaged := files(t, k.store.Dir)
			classify(t, openWorkspace(t, k.store.Dir, Options{}), photo("?", 0, 9))
			sameFiles(t, files(t, k.store.Dir), damaged)

			if got, err := k.Repair(ctx); got != test.want || err != nil {
				t.Errorf("repair: got %v, %v, want %v", got, err, test.want)
			}
			sameFiles(t, files(t, k.store.Dir), want)
			if err := test.damage(k.ModelPath()); err != nil {
				t.Fatal(err)
			}
			if l := mustAdd(t, k, photos("a", 0, 0, 2)...); l.Photos != 0 {
				t.Errorf("taught %d known photos", l.Photos)
			}
			sameFiles(t, files(t, k.store.Dir), want)
		})
	}
	t.Run("nothing taught, and a model there", func(t *testing.T) {
		k := newOpened(t)
		mustAdd(t, k, photos("a", 0, 0, 2)...)
		model := readModel(t, k)
		if _, err := k.Undo(ctx); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(k.ModelPath(), model, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := k.Repair(ctx); !got || err != nil {
			t.Errorf("repair: got %v, %v, want true", got, err)
		}
		if _, err := os.Stat(k.ModelPath()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the model is still there: %v", err)
		}
	})
	t.Run("locked", func(t *testing.T) {
		k := newOpened(t)
		mustAdd(t, k, photos("a", 0, 0, 2)...)
		os.Remove(k.ModelPath())
		lock, err := k.store.Lock(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Release()
		if got, err := k.Repair(ctx); got || err != nil {
			t.Errorf("repair beside a writer: got %v, %v, want false", got, err)
		}
	})
	t.Run("new", func(t *testing.T) {
		k := newOpened(t)
		if got, err := k.Repair(ctx); got || err != nil {
			t.Errorf("repair of nothing: got %v, %v", got, err)
		}
		if _, err := os.Stat(k.store.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("repair of nothing has made something: %v", err)
		}
	})
}

// TestSynced looks at the order of a change's operations, on which a power cut would
// depend as a killed process does not: all files are synced before the first is
// renamed, the backbone is there before the state that names it, and last the folder is
// synced and then, for FAT, each renamed file once more.
func TestSynced(t *testing.T) {
	dir, o := newWorkspace(t)
	steps := countSteps(t, dir, o.Backbone, 0)
	at := func(step string) int {
		t.Helper()
		i := slices.Index(steps, step)
		if i < 0 {
			t.Fatalf("there is no %q among %q", step, steps)
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
		t.Errorf("the last operations are %q, want %q", last, want)
	}
	// Before the state names it, the backbone is there even on FAT.
	between := steps[at("rename "+store.BackboneFile):at("rename "+store.SlotFile(1))]
	if again := []string{"sync ws", "sync " + store.BackboneFile}; !slices.Equal(between[1:3], again) {
		t.Errorf("after the rename of the backbone come %q, want %q", between[1:], again)
	}
}
