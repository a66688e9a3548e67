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

// TestTwoProcesses lets two processes and a Workspace teach a new workspace at once, while
// others open and classify: nothing is lost, and nobody finds a half-made thing.
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
	wg.Go(func() { // a reader
		generation := uint64(0)
		for {
			select {
			case <-done:
				return
			default:
			}
			k, err := Open(dir, Options{Existing: true})
			if errors.Is(err, ErrNoClasses) && generation == 0 {
				continue
			}
			if err != nil || len(k.Warnings()) > 0 || k.Generation() < generation {
				t.Errorf("a reader found generation %d after %d, error %v", k.Generation(), generation, err)
				return
			}
			generation = k.Generation()
			classify(t, k, photo("?", 1, 99))
			k.Close()
		}
	})
	k := openWorkspace(t, dir, o)
	for i := range uint64(each) {
		mustAdd(t, k, photos(numbered(i), i%3, 2*each+i, 1)...)
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Errorf("a process failed: %v %s", err, c.errors)
		}
	}
	close(done)
	wg.Wait()
	stop()
	k = openWorkspace(t, dir, Options{})
	n := 0
	for _, c := range taught(k) {
		n += c
	}
	if n != 3*each || k.Generation() != 3*each || !k.isPublished() {
		t.Errorf("%d photos in generation %d are taught, published %v, want %d", n, k.Generation(), k.isPublished(), 3*each)
	}
}

// TestTwoWorkspaces changes a workspace through two Workspaces, each of which finds what the
// other has done.
func TestTwoWorkspaces(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	one, two := openWorkspace(t, dir, o), openWorkspace(t, dir, o)
	var wg sync.WaitGroup
	for i, k := range []*Workspace{one, two} {
		wg.Go(func() {
			for s := range uint64(6) {
				if _, err := k.Add(ctx, photos(fmt.Sprint(i), uint64(2*i), s, 1), AddOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantTaught(t, openWorkspace(t, dir, Options{}), map[string]int{"0": 6, "1": 6})

	if _, err := one.Remove(ctx, "0", nil); err != nil {
		t.Fatal(err)
	}
	// two has not heard of that, and teaches one of the photos again.
	l := mustAdd(t, two, photos("0", 0, 3, 1)...)
	if l.Photos != 1 {
		t.Errorf("a photo that was removed by another Workspace is not taught: %+v", l)
	}
	wantTaught(t, two, map[string]int{"0": 1, "1": 6})
	// one has not heard of that, and gives it as a new one.
	if l := mustAdd(t, one, photos("0", 0, 3, 1)...); l.Photos != 0 || len(l.Skipped) != 1 || !l.Skipped[0].Duplicate {
		t.Errorf("a photo taught by another Workspace: %+v", l)
	}
	wantTaught(t, one, map[string]int{"0": 1, "1": 6})
	if undone, err := one.Undo(ctx); undone.Verb != "add" || err != nil {
		t.Errorf("undo of another Workspace's change: got %q, %v", undone.Verb, err)
	}
	wantTaught(t, one, map[string]int{"1": 6})
}

// TestOtherMeanwhile makes the same new workspace with another backbone, and with
// photos fitted otherwise.
func TestOtherMeanwhile(t *testing.T) {
	dir, o := newWorkspace(t)
	squash := o
	squash.Resize = "squash"
	other := o
	other.Backbone = phototest.Backbone(t, "other.tflite", backbonetest.Classifier(2))
	same := o
	same.Backbone = phototest.Backbone(t, "same under another name.tflite", backbonetest.Extractor())
	first, second, third, fourth := openWorkspace(t, dir, o), openWorkspace(t, dir, squash), openWorkspace(t, dir, other), openWorkspace(t, dir, same)
	mustAdd(t, first, photos("a", 0, 0, 2)...)
	wantError(t, addOne(second), ErrOtherResize)
	wantError(t, addOne(third), ErrOtherBackbone)
	if err := addOne(fourth); err != nil {
		t.Error(err)
	}
}

func TestLocked(t *testing.T) {
	k := newOpened(t)
	mustAdd(t, k, photos("a", 0, 0, 2)...)
	held, err := k.store.Lock(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	before := files(t, k.store.Dir)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err = func() error { _, err := k.Remove(ctx, "a", nil); return err }()
	wantError(t, err, store.ErrLocked)
	wantError(t, err, context.DeadlineExceeded)
	if want := fmt.Sprint("by process ", os.Getpid()); err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not say %q", err, want)
	}
	sameFiles(t, files(t, k.store.Dir), before)
	// Readers do not wait.
	if got := labelsOf(classify(t, openWorkspace(t, k.store.Dir, Options{}), photo("?", 0, 9))); got[0] != "a" {
		t.Errorf("got %q", got)
	}
	// Who waits gets his turn.
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := addOne(k); err != nil {
			t.Error(err)
		}
	})
	held.Release()
	wg.Wait()
	if _, err := k.store.Lock(context.Background(), 0); err != nil {
		t.Errorf("the lock is not free after a change: %v", err)
	}
}

// TestRetract lets first changes fail beside others that succeed: the lock and the
// folder that the former take away must not be those of the latter.
func TestRetract(t *testing.T) {
	ctx := context.Background()
	for range 20 {
		dir, o := newWorkspace(t)
		var wg sync.WaitGroup
		for i := range uint64(4) {
			k := openWorkspace(t, dir, o)
			wg.Go(func() {
				if i%2 == 0 {
					k.Undo(ctx) // nothing, or what the others have added
					return
				}
				if _, err := k.Add(ctx, photos("a", 0, i, 1), AddOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		k := openWorkspace(t, dir, Options{Backbone: o.Backbone})
		if !k.isPublished() || k.Generation() < 2 {
			t.Fatalf("generation %d, published %v", k.Generation(), k.isPublished())
		}
	}
}
