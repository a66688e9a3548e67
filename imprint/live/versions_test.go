package live_test

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
)

// A version holds the published files of a workspace and its results for the probes.
type version struct {
	state  *store.State
	model  []byte
	labels []byte
	want   []predict.Result // result for each probe
}

// versions trains a workspace n times with different photos. It returns the published files of
// each version and the results for probes.
func versions(t testing.TB, dir string, o imprint.Options, n int, probes []dataset.Item) []version {
	t.Helper()
	w := openWorkspace(t, dir, o)
	var all []version
	for i := range n {
		var items []dataset.Item
		for kind := range uint64(4) { // each version labels the kinds differently
			items = append(items, photos(fmt.Sprint("class ", (kind+uint64(i))%4), 2*kind, uint64(10*i), 1)...)
		}
		if i > 0 {
			if _, err := w.Undo(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		mustAdd(t, w, items...)
		v := versionOf(t, w, dir)
		v.want = classify(t, w, probes...)
		all = append(all, v)
	}
	return all
}

// versionOf returns the files that w has published in dir.
func versionOf(t testing.TB, w *imprint.Workspace, dir string) version {
	t.Helper()
	files := store.Store{Dir: dir}
	s, _, err := files.Load()
	if err != nil {
		t.Fatal(err)
	}
	labels, err := os.ReadFile(files.Path(store.LabelsFile))
	if err != nil {
		t.Fatal(err)
	}
	return version{state: s, model: readModel(t, w), labels: labels}
}

// publish publishes v as generation n of the workspace in dir. It writes the same files as a
// Workspace but omits the syncs, which would take most of the time.
func (v *version) publish(t testing.TB, dir string, n uint64) {
	t.Helper()
	s := *v.state
	s.Generation = n
	b, err := s.Encode(store.MaxState)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []store.Replacement{{Path: store.SlotFile(n), Content: b}, {Path: store.LabelsFile, Content: v.labels}, {Path: store.ModelFile, Content: v.model}} {
		path := filepath.Join(dir, f.Path)
		if err := os.WriteFile(path+".new", f.Content, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// A frameLoop classifies probes in turn at a steady rate, several at once if they are slow.
type frameLoop struct {
	frames sync.WaitGroup
	stop   chan struct{}
	sent   int
	done   chan struct{}
	mu     sync.Mutex
	got    []frameAnswer
}

type frameAnswer struct {
	probe  int
	oldest uint64 // the generation that was current before the frame was sent
	predict.Result
	err  error
	took time.Duration
}

const perFrame = time.Second / 200

func startFrames(l *live.Live, probes []image.Image, every time.Duration) *frameLoop {
	f := &frameLoop{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		underWay := make(chan struct{}, 16) // limits the frames in progress on a slow machine
		for {
			select {
			case <-tick.C:
			case <-f.stop:
				f.frames.Wait()
				return
			}
			probe := f.sent % len(probes)
			f.sent++
			underWay <- struct{}{}
			f.frames.Go(func() {
				defer func() { <-underWay }()
				oldest, start := l.Generation(), time.Now()
				r, err := l.Classify(context.Background(), probes[probe], 0)
				f.mu.Lock()
				defer f.mu.Unlock()
				f.got = append(f.got, frameAnswer{probe, oldest, r, err, time.Since(start)})
			})
		}
	}()
	return f
}

// end stops the loop and returns all results.
func (f *frameLoop) end() []frameAnswer {
	close(f.stop)
	<-f.done
	return f.got
}

// newest returns the newest generation that has classified a frame.
func (f *frameLoop) newest() (newest uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.got {
		newest = max(newest, a.Generation)
	}
	return newest
}

func images(t testing.TB, items []dataset.Item) (all []image.Image) {
	t.Helper()
	for _, it := range items {
		all = append(all, decoded(t, it.Content))
	}
	return all
}
