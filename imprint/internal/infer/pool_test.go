package infer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

// TestMain checks that every runner is closed. An open runner would leave goroutines running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func extractor(t testing.TB) *backbone.Backbone {
	t.Helper()
	b, err := backbone.Parse(backbonetest.Extractor(), backbone.Options{Name: "extractor.tflite"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newPool returns a pool of at most n runners of the extractor. The pool's user leaves when the
// test ends.
func newPool(t testing.TB, n int) *Pool {
	t.Helper()
	p := NewPool(extractor(t), n)
	t.Cleanup(p.Leave)
	return p
}

func fileOf(t testing.TB, item dataset.Item) *dataset.File {
	t.Helper()
	f, err := dataset.Open(item, dataset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// run embeds one photo and returns the runner and a copy of its output.
func run(t testing.TB, p *Pool, threads int) (used *Runner, output []byte) {
	t.Helper()
	in := Input{File: fileOf(t, phototest.Photo("a", 1, 1))}
	err := p.Run(context.Background(), threads, dataset.Crop, in, func(r *Runner, raw []byte, _ time.Duration) error {
		used, output = r, bytes.Clone(raw)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return used, output
}

func TestRunReusesRunners(t *testing.T) {
	p := newPool(t, 3)
	first, want := run(t, p, 1)
	inner := first.Runner
	for range 3 {
		if r, got := run(t, p, 1); r != first || r.Runner != inner || !bytes.Equal(got, want) {
			t.Error("the second run used another runner or returned another output")
		}
	}
	r, got := run(t, p, 2)
	if r != first || r.Runner == inner || r.Threads() != 2 || !bytes.Equal(got, want) {
		t.Errorf("with 2 threads: got %d threads, same output: %v", r.Threads(), bytes.Equal(got, want))
	}
	if n := len(p.unmade); n != 2 {
		t.Errorf("got %d runners, want 1", 3-n)
	}
}

// TestRunWaits checks that a pool makes no more runners than its limit, and that waiting for a
// runner ends with the context.
func TestRunWaits(t *testing.T) {
	p := newPool(t, 2)
	in := Input{File: fileOf(t, phototest.Photo("a", 1, 1))}
	busy, finish := make(chan *Runner), make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			err := p.Run(context.Background(), 1, dataset.Crop, in, func(r *Runner, _ []byte, _ time.Duration) error {
				busy <- r
				<-finish
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	if a, b := <-busy, <-busy; a == b {
		t.Error("two concurrent runs got the same runner")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := p.Run(ctx, 1, dataset.Crop, in, func(*Runner, []byte, time.Duration) error {
		t.Error("a third run got a runner, want it to wait")
		return nil
	})
	wantError(t, err, context.DeadlineExceeded)
	close(finish)
	wg.Wait()
	run(t, p, 1) // both runners are idle again
}

// TestRunError checks that a runner returns to the pool after a run that fails.
func TestRunError(t *testing.T) {
	p := newPool(t, 1)
	in := Input{File: fileOf(t, phototest.Photo("a", 1, 1))}
	item := phototest.Photo("a", 1, 1)
	item.Content = item.Content[:100]
	err := p.Run(context.Background(), 1, dataset.Crop, Input{File: fileOf(t, item)}, nil)
	wantError(t, err, dataset.ErrDamaged)
	mine := errors.New("mine")
	err = p.Run(context.Background(), 1, dataset.Crop, in, func(*Runner, []byte, time.Duration) error { return mine })
	wantError(t, err, mine)
	run(t, p, 1)
}

func TestPrepare(t *testing.T) {
	ctx := context.Background()
	p := newPool(t, 1)
	f := fileOf(t, phototest.Photo("a", 1, 1))
	photo, err := p.Prepare(dataset.Crop, f)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.unmade) != 1 {
		t.Error("Prepare made a runner")
	}
	narrow := *photo
	narrow.width--
	_, want := run(t, p, 1)
	for _, test := range []struct {
		name  string
		mode  dataset.Resize
		photo *Prepared
		err   error
	}{
		{"same", dataset.Crop, photo, nil},
		{"another resize mode", dataset.Squash, photo, ErrPrepared},
		{"another width", dataset.Crop, &narrow, ErrPrepared},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []byte
			err := p.Run(ctx, 1, test.mode, Input{Prepared: test.photo}, func(_ *Runner, raw []byte, _ time.Duration) error {
				got = bytes.Clone(raw)
				return nil
			})
			wantError(t, err, test.err)
			if test.err == nil && !bytes.Equal(got, want) {
				t.Error("got another output for the prepared photo than for the file")
			}
		})
	}
}

// TestPhotos checks that Photos delivers embeddings in order and continues after photos that
// can't be read.
func TestPhotos(t *testing.T) {
	p := newPool(t, 3)
	items := phototest.Kinds(0, 3)
	items[4].Content = items[4].Content[:100]
	items[7] = dataset.Item{Path: filepath.Join(t.TempDir(), "none.png")}
	for _, threads := range []int{1, 2, 3, 8} {
		t.Run(fmt.Sprint(threads, " threads"), func(t *testing.T) {
			next := 0
			err := p.Photos(context.Background(), threads, dataset.Crop, items, func(i int, e Embedding) error {
				if i != next {
					t.Errorf("got photo %d, want %d", i, next)
				}
				next++
				switch i {
				case 4:
					wantError(t, e.Err, dataset.ErrDamaged)
				case 7:
					wantError(t, e.Err, os.ErrNotExist)
				default:
					if e.Err != nil || e.Photo != sha256.Sum256(items[i].Content) || len(e.Raw) != backbonetest.Dim || e.Device != "cpu" || e.Hash == 0 || e.Took <= 0 {
						t.Errorf("photo %d: got embedding %+v", i, e)
					}
				}
				return nil
			})
			if err != nil || next != len(items) {
				t.Errorf("got %d embeddings, error %v, want %d", next, err, len(items))
			}
		})
	}
}

// TestPhotosThreads checks that each photo gets several threads if there are few photos.
func TestPhotosThreads(t *testing.T) {
	for n, want := range map[uint64]int{1: 4, 2: 2, 3: 1, 4: 1, 9: 1} {
		p := newPool(t, 4)
		err := p.Photos(context.Background(), 4, dataset.Crop, phototest.Photos("a", 0, 0, n), func(int, Embedding) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		for range len(p.idle) {
			r := <-p.idle
			if got := r.Threads(); got != want {
				t.Errorf("%d photos: got %d threads each, want %d", n, got, want)
			}
			p.idle <- r
		}
	}
}

func TestPhotosEnd(t *testing.T) {
	p := newPool(t, 2)
	items := phototest.Kinds(0, 5)
	mine := errors.New("mine")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	during, cancelDuring := context.WithCancel(context.Background())
	defer cancelDuring()
	for _, test := range []struct {
		name    string
		ctx     context.Context
		items   []dataset.Item
		deliver func(i int, e Embedding) error
		want    error
		limit   int // the largest number of embeddings that may be delivered
	}{
		{"no photos", context.Background(), nil, nil, nil, 0},
		{"no photos, cancelled", cancelled, nil, nil, context.Canceled, 0},
		{"cancelled", cancelled, items, func(int, Embedding) error { return nil }, context.Canceled, 0},
		{"cancelled while delivering", during, items, func(i int, _ Embedding) error {
			if i == 2 {
				cancelDuring()
			}
			return nil
		}, context.Canceled, len(items) - 1},
		{"error of deliver", context.Background(), items, func(i int, _ Embedding) error {
			if i == 2 {
				return mine
			}
			return nil
		}, mine, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			err := p.Photos(test.ctx, 2, dataset.Crop, test.items, func(i int, e Embedding) error {
				n++
				return test.deliver(i, e)
			})
			wantError(t, err, test.want)
			if n > test.limit {
				t.Errorf("got %d embeddings, want at most %d", n, test.limit)
			}
			if n := len(p.idle) + len(p.unmade); n != 2 {
				t.Errorf("got %d idle runners, want 2", n)
			}
		})
	}
}

// TestLeave checks that the last user to leave closes the runners.
func TestLeave(t *testing.T) {
	before := goleak.IgnoreCurrent()
	p := NewPool(extractor(t), 2)
	p.Join()
	run(t, p, 4) // several threads start goroutines
	p.Leave()
	if r, _ := run(t, p, 4); r.Threads() != 4 {
		t.Errorf("got %d threads, want 4", r.Threads())
	}
	if goleak.Find(before, goleak.IgnoreTopFunction("testing.(*T).Run")) == nil {
		t.Error("the runner has no goroutines, or Leave has closed it before the last user left")
	}
	p.Leave()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	if len(p.idle)+len(p.unmade) != 0 {
		t.Error("the pool still has runners")
	}
}
