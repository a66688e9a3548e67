package live_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
)

func TestLive(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	l := openLive(t, dir, o)
	img := decoded(t, picture(0, 50))
	r, err := l.Observe(ctx, img, 1)
	if err != nil || !r.Unknown || r.Label != "" || r.Generation != 0 || len(r.Embedding) == 0 {
		t.Errorf("with nothing taught: got %+v, %v", r, err)
	}
	if r := mustReload(t, l); r.Changed || r.Generation != 0 {
		t.Errorf("without a workspace a reload gives %+v", r)
	}
	shared := l.Backbone()
	k := openWorkspace(t, dir, o)
	mustAdd(t, k, kinds(0, 3)...)
	for i, change := range []func() error{
		func() error { return nil },
		func() error { return k.Rename(ctx, "blue", "navy") },
		func() error { return k.Retrain(ctx, classifier.Mean) },
		func() error {
			k = openWorkspace(t, dir, imprint.Options{Layout: classifier.Coral})
			return k.Retrain(ctx, "")
		},
		func() error { _, err := k.Undo(ctx); return err },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		got := mustReload(t, l)
		if !got.Changed || got.Generation != uint64(i+1) || got.Classes != 4 || l.Generation() != got.Generation {
			t.Errorf("generation %d: reload gives %+v", i+1, got)
		}
		if again := mustReload(t, l); again.Changed || again.Generation != got.Generation || again.Classes != 4 {
			t.Errorf("generation %d once more: reload gives %+v", i+1, again)
		}
		if l.Backbone() != shared {
			t.Errorf("generation %d: the backbone was loaded again", i+1)
		}
		for kind := range uint64(4) {
			content := picture(2*kind, 50)
			item := dataset.Item{Content: content}
			want := classify(t, k, item)[0]
			got, err := l.Classify(ctx, decoded(t, content), 0)
			if err != nil || !sameResult(got, want) || got.Generation != uint64(i+1) {
				t.Errorf("generation %d: got %+v, %v, want %+v", i+1, got, err, want)
			}
			file, err := dataset.Open(item, dataset.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := l.ClassifyFile(ctx, file, 0); err != nil || !sameResult(got, want) {
				t.Errorf("generation %d, as a file: got %+v, %v, want %+v", i+1, got, err, want)
			}
			if seen, err := l.Observe(ctx, decoded(t, content), 0); err != nil || !sameResult(seen, want) || len(seen.Embedding) != k.Backbone().EmbeddingSize() {
				t.Errorf("generation %d, observed: got %+v, %v", i+1, seen, err)
			}
		}
	}
	other, err := l.Workspace(ctx)
	if err != nil || other.Backbone() != shared || other.Generation() != 5 {
		t.Errorf("a imprint.Workspace with another backbone or state, %v", err)
	}
	for _, c := range k.Classes() {
		if _, err := k.Remove(ctx, c.Label, nil); err != nil {
			t.Fatal(err)
		}
	}
	mustReload(t, l)
	if r, err := l.Classify(ctx, img, 1); err != nil || !r.Unknown || r.Label != "" || r.Generation != 9 {
		t.Errorf("with all forgotten: got %+v, %v", r, err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.Classify(canceled, img, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.Classify(ctx, img, 1); !errors.Is(err, live.ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
	if _, err := l.Reload(ctx); !errors.Is(err, live.ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
}

// A gated picture lets nobody see it until open is closed, and tells of the first who
// tries.
type gated struct {
	image.Image
	seen func()
	open chan struct{}
}

func (g gated) At(x, y int) color.Color {
	g.seen()
	<-g.open
	return g.Image.At(x, y)
}

// A frame under way is finished by the generation that it began with, also when others
// come after it, and Close waits for it.
func TestLiveFrameUnderWay(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	k := openWorkspace(t, dir, o)
	mustAdd(t, k, photos("a", 0, 0, 2)...)
	l := openLive(t, dir, imprint.Options{})
	seen, open := make(chan struct{}), make(chan struct{})
	var once sync.Once
	under := gated{decoded(t, picture(0, 9)), func() { once.Do(func() { close(seen) }) }, open}
	type answer struct {
		predict.Result
		error
	}
	first := make(chan answer, 1)
	go func() {
		r, err := l.Classify(ctx, under, 0)
		first <- answer{r, err}
	}()
	<-seen
	for i, to := range []string{"b", "c"} {
		if err := k.Rename(ctx, k.Classes()[0].Label, to); err != nil {
			t.Fatal(err)
		}
		mustReload(t, l)
		if r, err := l.Classify(ctx, under.Image, 0); err != nil || r.Label != to || r.Generation != uint64(i+2) {
			t.Errorf("got %+v, %v, want %s", r, err, to)
		}
	}
	closed := make(chan struct{})
	go func() {
		l.Close()
		close(closed)
	}()
	select {
	case <-closed:
		t.Error("Close has not waited for the frame")
	case got := <-first:
		t.Errorf("answered unseen: %+v", got)
	case <-time.After(50 * time.Millisecond):
	}
	close(open)
	if got := <-first; got.error != nil || got.Label != "a" || got.Generation != 1 {
		t.Errorf("got %+v", got)
	}
	<-closed
}

// What can't be used leaves what is served, and says why.
func TestLiveBadFile(t *testing.T) {
	ctx := context.Background()
	img := decoded(t, picture(2, 50))
	newer := func(b []byte) []byte { // a state of version 99, with the right sum
		s, err := store.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		s.Version, s.Generation = 99, s.Generation+1
		b, err = s.Encode(store.MaxState)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	flip := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b }
	half := func(b []byte) []byte { return b[:len(b)/2] }
	tests := []struct {
		name, file string
		damage     func([]byte) []byte
		want       error
	}{
		{"torn model", store.ModelFile, half, store.ErrCorrupt},
		{"model with a wrong bit", store.ModelFile, flip, store.ErrCorrupt},
		{"no model", store.ModelFile, nil, store.ErrCorrupt},
		{"torn state", store.SlotFile(3), half, store.ErrCorrupt},
		{"state with a wrong bit", store.SlotFile(3), flip, store.ErrCorrupt},
		{"state of a newer imprint", store.SlotFile(3), newer, store.ErrVersion},
		{"older state damaged", store.SlotFile(2), flip, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, o := newWorkspace(t)
			k := openWorkspace(t, dir, o)
			mustAdd(t, k, photos("a", 0, 0, 2)...)
			mustAdd(t, k, photos("b", 2, 0, 2)...)
			l := openLive(t, dir, imprint.Options{})
			want, err := l.Classify(ctx, img, 0)
			if err != nil || want.Label != "b" {
				t.Fatal(want, err)
			}
			mustAdd(t, k, photos("c", 4, 0, 2)...)
			path := filepath.Join(dir, test.file)
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if test.damage == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, test.damage(good), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := l.Reload(ctx)
			if !errors.Is(err, test.want) {
				t.Errorf("reload: got %+v, %v, want %v", r, err, test.want)
			}
			if test.want != nil {
				if got, err := l.Classify(ctx, img, 0); err != nil || !sameResult(got, want) || r.Generation != 2 {
					t.Errorf("after it: got %+v, %v, want %+v", got, err, want)
				}
			} else if !r.Changed || r.Generation != 3 || len(r.Warnings) == 0 {
				t.Errorf("reload: got %+v", r)
			}
			if err := os.WriteFile(path, good, 0o644); err != nil {
				t.Fatal(err)
			}
			mustReload(t, l)
			if got, err := l.Classify(ctx, img, 0); err != nil || got.Generation != 3 || len(got.Top) != 3 {
				t.Errorf("put right: got %+v, %v", got, err)
			}
		})
	}
}

func TestLiveWorkspaceGone(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	mustAdd(t, openWorkspace(t, dir, o), photos("a", 0, 0, 2)...)
	l := openLive(t, dir, imprint.Options{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reload(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	if r, err := l.Classify(ctx, decoded(t, picture(0, 1)), 1); err != nil || r.Label != "a" {
		t.Errorf("got %+v, %v", r, err)
	}
	mustAdd(t, openWorkspace(t, dir, o), photos("b", 0, 0, 2)...)
	if r := mustReload(t, l); !r.Changed || r.Generation != 1 {
		t.Errorf("got %+v", r)
	}
	if r, err := l.Classify(ctx, decoded(t, picture(0, 1)), 1); err != nil || r.Label != "b" {
		t.Errorf("got %+v, %v", r, err)
	}
}

// A process killed before it published is no obstacle to beginning.
func TestOpenLiveUnpublished(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	k := openWorkspace(t, dir, o)
	mustAdd(t, k, kinds(0, 2)...)
	if err := os.WriteFile(k.ModelPath(), []byte("of before"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := openLive(t, dir, imprint.Options{})
	got, err := l.Classify(ctx, decoded(t, picture(2, 50)), 0)
	if want := classify(t, k, photo("?", 2, 50))[0]; err != nil || !sameResult(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if r := mustReload(t, l); r.Changed || !published(t, k) {
		t.Errorf("afterwards: %+v, published %v", r, published(t, k))
	}
}

func TestLiveWatch(t *testing.T) {
	dir, o := newWorkspace(t)
	dir = filepath.Join(dir, "below", "another")
	l := openLive(t, dir, o)
	ctx, cancel := context.WithCancel(context.Background())
	type told struct {
		r   live.Reloaded
		err error
	}
	reports, ended := make(chan told, 100), make(chan error, 1)
	go func() {
		ended <- l.Watch(ctx, func(r live.Reloaded, err error) { reports <- told{r, err} })
	}()
	wait := func(what string, wanted func(told) bool) {
		t.Helper()
		for end := time.After(20 * time.Second); ; {
			select {
			case got := <-reports:
				if wanted(got) {
					return
				}
			case <-end:
				t.Fatalf("%s: not told; generation %d is served", what, l.Generation())
			}
		}
	}
	generation := func(n uint64) func(told) bool {
		return func(got told) bool { return got.err == nil && got.r.Generation == n }
	}
	k := openWorkspace(t, dir, o)
	mustAdd(t, k, photos("a", 0, 0, 2)...)
	wait("first", generation(1))
	mustAdd(t, k, photos("b", 2, 0, 2)...)
	wait("second", generation(2))
	good := readModel(t, k)
	if err := os.WriteFile(k.ModelPath(), good[:100], 0o644); err != nil {
		t.Fatal(err)
	}
	wait("bad model", func(got told) bool { return errors.Is(got.err, store.ErrCorrupt) && got.r.Generation == 2 })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wait("no workspace", func(got told) bool { return errors.Is(got.err, fs.ErrNotExist) })
	k = openWorkspace(t, dir, o)
	mustAdd(t, k, photos("c", 0, 0, 2)...)
	wait("a new one", generation(1))
	mustAdd(t, k, photos("b", 2, 0, 2)...)
	wait("its second", generation(2))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
