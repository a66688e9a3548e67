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
		t.Errorf("without classes: got %+v, %v, want Unknown with an embedding", r, err)
	}
	if r := mustReload(t, l); r.Changed || r.Generation != 0 {
		t.Errorf("reload without a workspace: got %+v, want no change", r)
	}
	shared := l.Backbone()
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, kinds(0, 3)...)
	for i, change := range []func() error{
		func() error { return nil },
		func() error { return w.Rename(ctx, "blue", "navy") },
		func() error { return w.Retrain(ctx, classifier.Mean) },
		func() error {
			w = openWorkspace(t, dir, imprint.Options{Layout: classifier.Coral})
			return w.Retrain(ctx, "")
		},
		func() error { _, err := w.Undo(ctx); return err },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		got := mustReload(t, l)
		if !got.Changed || got.Generation != uint64(i+1) || got.Classes != 4 || l.Generation() != got.Generation {
			t.Errorf("generation %d: reload got %+v, want a change to 4 classes", i+1, got)
		}
		if again := mustReload(t, l); again.Changed || again.Generation != got.Generation || again.Classes != 4 {
			t.Errorf("generation %d: second reload got %+v, want no change", i+1, again)
		}
		if l.Backbone() != shared {
			t.Errorf("generation %d: the backbone was loaded again", i+1)
		}
		for kind := range uint64(4) {
			content := picture(2*kind, 50)
			item := dataset.Item{Content: content}
			want := classify(t, w, item)[0]
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
			if seen, err := l.Observe(ctx, decoded(t, content), 0); err != nil || !sameResult(seen, want) || len(seen.Embedding) != w.Backbone().EmbeddingSize() {
				t.Errorf("generation %d, observed: got %+v, %v, want %+v with an embedding", i+1, seen, err, want)
			}
		}
	}
	other, err := l.Workspace(ctx)
	if err != nil || other.Backbone() != shared || other.Generation() != 5 {
		t.Errorf("workspace: got another backbone or generation, or error %v", err)
	}
	for _, c := range w.Classes() {
		if _, err := w.Remove(ctx, c.Label, nil); err != nil {
			t.Fatal(err)
		}
	}
	mustReload(t, l)
	if r, err := l.Classify(ctx, img, 1); err != nil || !r.Unknown || r.Label != "" || r.Generation != 9 {
		t.Errorf("after removing all classes: got %+v, %v, want Unknown", r, err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.Classify(canceled, img, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got error %v, want %v", err, context.Canceled)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.Classify(ctx, img, 1); !errors.Is(err, live.ErrClosed) {
		t.Errorf("classify after Close: got error %v, want %v", err, live.ErrClosed)
	}
	if _, err := l.Reload(ctx); !errors.Is(err, live.ErrClosed) {
		t.Errorf("reload after Close: got error %v, want %v", err, live.ErrClosed)
	}
}

// A gatedImage calls seen when it is read, then blocks until open is closed.
type gatedImage struct {
	image.Image
	seen func()
	open chan struct{}
}

func (g gatedImage) At(x, y int) color.Color {
	g.seen()
	<-g.open
	return g.Image.At(x, y)
}

// TestFrameUnderWay checks that a frame is classified by the generation that was current when it
// arrived, even after reloads, and that Close waits for the frame.
func TestFrameUnderWay(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	l := openLive(t, dir, imprint.Options{})
	seen, open := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := gatedImage{decoded(t, picture(0, 9)), func() { once.Do(func() { close(seen) }) }, open}
	type answer struct {
		predict.Result
		error
	}
	first := make(chan answer, 1)
	go func() {
		r, err := l.Classify(ctx, slow, 0)
		first <- answer{r, err}
	}()
	<-seen
	for i, label := range []string{"b", "c"} {
		if err := w.Rename(ctx, w.Classes()[0].Label, label); err != nil {
			t.Fatal(err)
		}
		mustReload(t, l)
		if r, err := l.Classify(ctx, slow.Image, 0); err != nil || r.Label != label || r.Generation != uint64(i+2) {
			t.Errorf("got %+v, %v, want %s of generation %d", r, err, label, i+2)
		}
	}
	closed := make(chan struct{})
	go func() {
		l.Close()
		close(closed)
	}()
	select {
	case <-closed:
		t.Error("Close did not wait for the frame")
	case got := <-first:
		t.Errorf("got a result before the image was read: %+v", got)
	case <-time.After(50 * time.Millisecond):
	}
	close(open)
	if got := <-first; got.error != nil || got.Label != "a" || got.Generation != 1 {
		t.Errorf("got %+v, want a of generation 1", got)
	}
	<-closed
}

// TestReloadDamaged reloads damaged files. Reload must return the reason, and the current
// generation must stay in use.
func TestReloadDamaged(t *testing.T) {
	ctx := context.Background()
	img := decoded(t, picture(2, 50))
	newer := func(b []byte) []byte { // version 99 with a correct checksum
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
		{"cut model", store.ModelFile, half, store.ErrCorrupt},
		{"flipped bit in the model", store.ModelFile, flip, store.ErrCorrupt},
		{"missing model", store.ModelFile, nil, store.ErrCorrupt},
		{"cut state", store.SlotFile(3), half, store.ErrCorrupt},
		{"flipped bit in the state", store.SlotFile(3), flip, store.ErrCorrupt},
		{"state of a newer version", store.SlotFile(3), newer, store.ErrVersion},
		{"flipped bit in the older state", store.SlotFile(2), flip, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, o := newWorkspace(t)
			w := openWorkspace(t, dir, o)
			mustAdd(t, w, photos("a", 0, 0, 2)...)
			mustAdd(t, w, photos("b", 2, 0, 2)...)
			l := openLive(t, dir, imprint.Options{})
			want, err := l.Classify(ctx, img, 0)
			if err != nil || want.Label != "b" {
				t.Fatal(want, err)
			}
			mustAdd(t, w, photos("c", 4, 0, 2)...)
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
					t.Errorf("after the reload: got %+v, %v, want %+v", got, err, want)
				}
			} else if !r.Changed || r.Generation != 3 || len(r.Warnings) == 0 {
				t.Errorf("reload: got %+v, want generation 3 with a warning", r)
			}
			if err := os.WriteFile(path, good, 0o644); err != nil {
				t.Fatal(err)
			}
			mustReload(t, l)
			if got, err := l.Classify(ctx, img, 0); err != nil || got.Generation != 3 || len(got.Top) != 3 {
				t.Errorf("after restoring the file: got %+v, %v, want generation 3", got, err)
			}
		})
	}
}

func TestWorkspaceRemoved(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	mustAdd(t, openWorkspace(t, dir, o), photos("a", 0, 0, 2)...)
	l := openLive(t, dir, imprint.Options{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reload(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want %v", err, fs.ErrNotExist)
	}
	if r, err := l.Classify(ctx, decoded(t, picture(0, 1)), 1); err != nil || r.Label != "a" {
		t.Errorf("got %+v, %v, want a", r, err)
	}
	mustAdd(t, openWorkspace(t, dir, o), photos("b", 0, 0, 2)...)
	if r := mustReload(t, l); !r.Changed || r.Generation != 1 {
		t.Errorf("got %+v, want generation 1", r)
	}
	if r, err := l.Classify(ctx, decoded(t, picture(0, 1)), 1); err != nil || r.Label != "b" {
		t.Errorf("got %+v, %v, want b", r, err)
	}
}

// TestOpenUnpublished opens a workspace after its writer was killed before publishing the model.
func TestOpenUnpublished(t *testing.T) {
	ctx := context.Background()
	dir, o := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, kinds(0, 2)...)
	if err := os.WriteFile(w.ModelPath(), []byte("an older model"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := openLive(t, dir, imprint.Options{})
	got, err := l.Classify(ctx, decoded(t, picture(2, 50)), 0)
	if want := classify(t, w, photo("?", 2, 50))[0]; err != nil || !sameResult(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if r := mustReload(t, l); r.Changed || !published(t, w) {
		t.Errorf("reload got %+v, published: %v, want no change, published", r, published(t, w))
	}
}

func TestWatch(t *testing.T) {
	dir, o := newWorkspace(t)
	dir = filepath.Join(dir, "below", "another")
	l := openLive(t, dir, o)
	ctx, cancel := context.WithCancel(context.Background())
	type report struct {
		r   live.Reloaded
		err error
	}
	reports, ended := make(chan report, 100), make(chan error, 1)
	go func() {
		ended <- l.Watch(ctx, func(r live.Reloaded, err error) { reports <- report{r, err} })
	}()
	wait := func(what string, wanted func(report) bool) {
		t.Helper()
		for end := time.After(time.Minute); ; {
			select {
			case got := <-reports:
				if wanted(got) {
					return
				}
			case <-end:
				t.Fatalf("%s: got no report; generation %d is current", what, l.Generation())
			}
		}
	}
	generation := func(n uint64) func(report) bool {
		return func(got report) bool { return got.err == nil && got.r.Generation == n }
	}
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	wait("first generation", generation(1))
	mustAdd(t, w, photos("b", 2, 0, 2)...)
	wait("second generation", generation(2))
	good := readModel(t, w)
	if err := os.WriteFile(w.ModelPath(), good[:100], 0o644); err != nil {
		t.Fatal(err)
	}
	wait("damaged model", func(got report) bool { return errors.Is(got.err, store.ErrCorrupt) && got.r.Generation == 2 })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wait("removed workspace", func(got report) bool { return errors.Is(got.err, fs.ErrNotExist) })
	w = openWorkspace(t, dir, o)
	mustAdd(t, w, photos("c", 0, 0, 2)...)
	wait("new workspace", generation(1))
	mustAdd(t, w, photos("b", 2, 0, 2)...)
	wait("second generation of the new workspace", generation(2))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}
