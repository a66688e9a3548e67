package imprint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// TestTwoProcesses adds photos to a new workspace from this process and two others at the same
// time, while a reader keeps opening it. No photo may be lost, and the reader must see no damage.
func TestTwoProcesses(t *testing.T) {
	dir, o := newWorkspace(t)
	const each = 8
	stop := watchModel(t, filepath.Join(dir, store.ModelFile))
	defer stop()
	type running struct {
		*exec.Cmd
		errors fmt.Stringer
	}
	var children []running
	for i := range uint64(2) {
		cmd, out, stderr := startChild(t, "add", dir, o.Backbone, each*i, each*(i+1))
		go func() {
			for out.Scan() {
			}
		}()
		children = append(children, running{cmd, stderr})
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() { // the reader
		generation := uint64(0)
		for {
			select {
			case <-done:
				return
			default:
			}
			w, err := Open(dir, Options{Existing: true})
			if errors.Is(err, ErrNoClasses) && generation == 0 {
				continue
			}
			if err != nil || len(w.Warnings()) > 0 || w.Generation() < generation {
				t.Errorf("reader: got generation %d after generation %d, error %v", w.Generation(), generation, err)
				return
			}
			generation = w.Generation()
			classify(t, w, photo("?", 1, 99))
			w.Close()
		}
	})
	w := openWorkspace(t, dir, o)
	for i := range uint64(each) {
		mustAdd(t, w, photos(numbered(i), i%3, 2*each+i, 1)...)
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Errorf("process: %v %s", err, c.errors)
		}
	}
	close(done)
	wg.Wait()
	stop()
	w = openWorkspace(t, dir, Options{})
	n := 0
	for _, c := range photoCounts(w) {
		n += c
	}
	if n != 3*each || w.Generation() != 3*each || !w.isPublished() {
		t.Errorf("got %d photos in generation %d, published: %v, want %d photos and generations", n, w.Generation(), w.isPublished(), 3*each)
	}
}

// TestTwoWorkspaces checks that two Workspaces of one folder see each other's changes.
func TestTwoWorkspaces(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	one, two := openWorkspace(t, dir, o), openWorkspace(t, dir, o)
	var wg sync.WaitGroup
	for i, w := range []*Workspace{one, two} {
		wg.Go(func() {
			for s := range uint64(6) {
				if _, err := w.Add(ctx, photos(fmt.Sprint(i), uint64(2*i), s, 1), AddOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantPhotos(t, openWorkspace(t, dir, Options{}), map[string]int{"0": 6, "1": 6})

	if _, err := one.Remove(ctx, "0", nil); err != nil {
		t.Fatal(err)
	}
	// The second Workspace has not read the state that the first wrote.
	if added := mustAdd(t, two, photos("0", 0, 3, 1)...); added.Photos != 1 {
		t.Errorf("adding a photo that the other Workspace removed: got %+v, want 1 added", added)
	}
	wantPhotos(t, two, map[string]int{"0": 1, "1": 6})
	// Nor has the first Workspace read the state that the second wrote.
	if added := mustAdd(t, one, photos("0", 0, 3, 1)...); added.Photos != 0 || len(added.Skipped) != 1 || !added.Skipped[0].Duplicate {
		t.Errorf("adding a photo that the other Workspace added: got %+v, want a duplicate", added)
	}
	wantPhotos(t, one, map[string]int{"0": 1, "1": 6})
	if undone, err := one.Undo(ctx); undone.Verb != "add" || err != nil {
		t.Errorf("undo of the other Workspace's change: got %+v, %v, want an undone add", undone, err)
	}
	wantPhotos(t, one, map[string]int{"1": 6})
}

// TestOtherWorkspaceFirst checks that adding photos fails if another process has created the
// workspace since Open, with another backbone or resize mode.
func TestOtherWorkspaceFirst(t *testing.T) {
	dir, o := newWorkspace(t)
	squash := o
	squash.Resize = "squash"
	other := o
	other.Backbone = phototest.Backbone(t, "other.tflite", backbonetest.Classifier(2))
	same := o
	same.Backbone = phototest.Backbone(t, "same model.tflite", backbonetest.Extractor())
	first, second, third, fourth := openWorkspace(t, dir, o), openWorkspace(t, dir, squash), openWorkspace(t, dir, other), openWorkspace(t, dir, same)
	mustAdd(t, first, photos("a", 0, 0, 2)...)
	wantError(t, addOne(second), ErrOtherResize)
	wantError(t, addOne(third), ErrOtherBackbone)
	if err := addOne(fourth); err != nil {
		t.Error(err)
	}
}

func TestLocked(t *testing.T) {
	w := openNew(t)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	held, err := w.store.Lock(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	before := files(t, w.store.Dir)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = w.Remove(ctx, "a", nil)
	wantError(t, err, store.ErrLocked)
	wantError(t, err, context.DeadlineExceeded)
	if want := fmt.Sprint("by process ", os.Getpid()); err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("got error %q, want it to contain %q", err, want)
	}
	sameFiles(t, files(t, w.store.Dir), before)
	// Readers take no lock.
	if got := labelsOf(classify(t, openWorkspace(t, w.store.Dir, Options{}), photo("?", 0, 9))); got[0] != "a" {
		t.Errorf("got %q, want a", got)
	}
	// A writer waits for the lock.
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := addOne(w); err != nil {
			t.Error(err)
		}
	})
	held.Release()
	wg.Wait()
	if _, err := w.store.Lock(context.Background(), 0); err != nil {
		t.Errorf("lock after a change: %v", err)
	}
}

// TestRetract runs first changes of a workspace that fail at the same time as first changes that
// succeed. A failed change removes its lock file and folder, but must not remove the files of a
// successful change.
func TestRetract(t *testing.T) {
	ctx := context.Background()
	for range 20 {
		dir, o := newWorkspace(t)
		var wg sync.WaitGroup
		for i := range uint64(4) {
			w := openWorkspace(t, dir, o)
			wg.Go(func() {
				if i%2 == 0 {
					w.Undo(ctx) // fails, unless the others have added photos
					return
				}
				if _, err := w.Add(ctx, photos("a", 0, i, 1), AddOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w := openWorkspace(t, dir, Options{Backbone: o.Backbone})
		if !w.isPublished() || w.Generation() < 2 {
			t.Fatalf("got generation %d, published: %v, want at least 2, published", w.Generation(), w.isPublished())
		}
	}
}
