// Package live answers frames while the workspace that holds their model changes. Start
// with [Open]; then classify with [Live.Classify] and keep [Live.Watch] running.
//
// One generation answers a frame from beginning to end: the one that was current when the frame
// came. A reload takes effect for later frames. Neither waits for the other. If a file can't be
// used, the reload fails and changes nothing.
//
// The backbone stays loaded as long as it is the same. A new generation sends Edge TPUs only
// what they need to run it.
//
// The methods of a Live may be called by several goroutines at once.
package live

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/predict"
)

// ErrClosed is returned by a Live after Close.
var ErrClosed = errors.New("the model is closed")

// settling is how long a reload waits for the model that belongs to the state: a change
// replaces first one file and then the other.
const settling = 300 * time.Millisecond

// Live classifies frames with the newest model of a workspace.
type Live struct {
	dir     string
	current atomic.Pointer[generation]

	closing sync.RWMutex // held for reading by each frame
	closed  bool

	options imprint.Options
	gate    chan struct{} // holds one value during a reload, an open or a close
	over    bool          // after Close; guarded by gate
}

// Reloaded is the result of [Live.Reload].
type Reloaded struct {
	Generation uint64        `json:"generation"` // that answers now
	Changed    bool          `json:"changed"`    // whether it is a new one
	Classes    int           `json:"classes"`
	Elapsed    time.Duration `json:"-"`
	Warnings   []string      `json:"warnings,omitempty"` // of damage that was worked around
}

// Open loads the model of the workspace in dir. The workspace need not exist yet: then o names
// the backbone that it is expected to have, as for [imprint.Open].
func Open(ctx context.Context, dir string, o imprint.Options) (*Live, error) {
	l := &Live{dir: dir, options: o, gate: make(chan struct{}, 1)}
	w, s, err := l.load(ctx)
	if errors.Is(err, imprint.ErrUnpublished) {
		// A process was killed before it published the model. The state has all that is in
		// it, even if the disk is full and Repair fails.
		if s, err = w.Snapshot(); err == nil {
			w.Repair(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the model of %s: %w", dir, err)
	}
	l.serve(s)
	return l, nil
}

// Close waits for the frames under way. Later ones fail with ErrClosed.
func (l *Live) Close() error {
	l.closing.Lock()
	closed := l.closed
	l.closed = true
	l.closing.Unlock()
	if closed {
		return nil
	}
	l.gate <- struct{}{}
	l.current.Load().leave()
	l.over = true
	<-l.gate
	return nil
}

// Generation returns the generation that answers.
func (l *Live) Generation() uint64 { return l.current.Load().Generation }

// Labels returns the names of the classes, in the order of the model's scores.
func (l *Live) Labels() []string { return slices.Clone(l.current.Load().Labels) }

// Warnings describe damage that was worked around.
func (l *Live) Warnings() []string { return l.current.Load().Warnings }

// Workspace opens the workspace for changes. It shares the backbone that is in memory.
func (l *Live) Workspace(ctx context.Context) (*imprint.Workspace, error) {
	if err := l.enterGate(ctx); err != nil {
		return nil, err
	}
	defer l.leaveGate()
	w, err := l.open()
	if err != nil {
		return nil, err
	}
	if err := l.checkGone(w); err != nil {
		w.Close()
		return nil, fmt.Errorf("open workspace %s: %w", l.dir, err)
	}
	return w, nil
}

func (l *Live) open() (*imprint.Workspace, error) {
	o := l.options
	if g := l.current.Load(); g != nil {
		o = imprint.Options{Reuse: g.Snapshot}
	}
	return imprint.Open(l.dir, o)
}

func (l *Live) enterGate(ctx context.Context) error {
	select {
	case l.gate <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.over {
		l.leaveGate()
		return ErrClosed
	}
	return nil
}

func (l *Live) leaveGate() { <-l.gate }

// Reload makes the newest generation of the workspace current. If that can't be used, Reload
// fails and the current generation stays.
func (l *Live) Reload(ctx context.Context) (Reloaded, error) {
	start := time.Now()
	if err := l.enterGate(ctx); err != nil {
		return Reloaded{Generation: l.Generation()}, err
	}
	defer l.leaveGate()
	was := l.current.Load()
	w, s, err := l.load(ctx)
	if err != nil {
		return Reloaded{Generation: was.Generation}, fmt.Errorf("reload %s: %w; generation %d keeps answering", l.dir, err, was.Generation)
	}
	r := Reloaded{Generation: s.Generation, Changed: s != was.Snapshot, Classes: len(s.Labels), Warnings: w.Warnings()}
	if r.Changed {
		l.serve(s)
	}
	r.Elapsed = time.Since(start)
	return r, nil
}

// load reads the workspace. It returns the current snapshot if nothing has changed. With
// ErrUnpublished it returns the workspace too.
func (l *Live) load(ctx context.Context) (*imprint.Workspace, *imprint.Snapshot, error) {
	for end := time.Now().Add(settling); ; {
		w, err := l.open()
		if err != nil {
			return nil, nil, err
		}
		was := l.current.Load()
		if was != nil {
			if err := l.checkGone(w); err != nil {
				return nil, nil, err
			}
			if damage := w.Warnings(); len(damage) > 0 && w.Generation() <= was.Generation {
				return nil, nil, fmt.Errorf("%w: %s", imprint.ErrCorrupt, damage[0])
			}
		}
		s, err := w.PublishedSnapshot()
		if err == nil && was != nil && w.IsCurrent(was.Snapshot) {
			s = was.Snapshot
		}
		if !errors.Is(err, imprint.ErrUnpublished) {
			return w, s, err
		}
		if time.Now().After(end) {
			return w, nil, err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// serve makes s the current generation.
func (l *Live) serve(s *imprint.Snapshot) {
	g := newGeneration(s, l.options.Threads, l.current.Load())
	if was := l.current.Swap(g); was != nil {
		was.leave()
	}
}

// Classify classifies an image and returns the top best classes, or all if top is 0.
// Without classes the result is Unknown.
func (l *Live) Classify(ctx context.Context, img image.Image, top int) (predict.Result, error) {
	return l.answer(ctx, infer.Input{Image: img}, top, false)
}

// ClassifyFile does what Classify does with an encoded photo.
func (l *Live) ClassifyFile(ctx context.Context, f *dataset.File, top int) (predict.Result, error) {
	return l.answer(ctx, infer.Input{File: f}, top, false)
}

// Observe does what Classify does and returns the embedding too.
func (l *Live) Observe(ctx context.Context, img image.Image, top int) (predict.Result, error) {
	return l.answer(ctx, infer.Input{Image: img}, top, true)
}

// ObserveFile does what Observe does with an encoded photo.
func (l *Live) ObserveFile(ctx context.Context, f *dataset.File, top int) (predict.Result, error) {
	return l.answer(ctx, infer.Input{File: f}, top, true)
}

// ObservePicture does what Observe does with a prepared photo. It fails with
// imprint.ErrOtherResize if the workspace has another input size or resize mode by now.
func (l *Live) ObservePicture(ctx context.Context, p *Picture, top int) (predict.Result, error) {
	r, err := l.answer(ctx, infer.Input{Prepared: p.prepared}, top, true)
	if errors.Is(err, infer.ErrPrepared) {
		err = fmt.Errorf("%w: %w", imprint.ErrOtherResize, err)
	}
	return r, err
}

// WarmUp runs the model on an empty picture if Edge TPUs run it, and returns the device.
// Then they are open and have the model before the first frame comes. If the CPU runs the
// model, WarmUp does nothing and returns "".
func (l *Live) WarmUp(ctx context.Context) (device string, err error) {
	if g := l.current.Load(); g.Model == nil && !(l.options.Devices.UsesTPU() && backbone.Compiled(g.Backbone.Model())) {
		return "", nil
	}
	r, err := l.Observe(ctx, image.NewGray(image.Rect(0, 0, 16, 16)), 1)
	return r.Device, err
}

// A Picture is a photo that is decoded and resized for a workspace's backbone.
type Picture struct{ prepared *infer.Prepared }

// Prepare decodes a photo and resizes it for the backbone. It uses no device, so that a
// large photo can be prepared while frames are answered.
func (l *Live) Prepare(f *dataset.File) (*Picture, error) {
	g, err := l.enter()
	if err != nil {
		return nil, err
	}
	defer l.exit(g)
	p, err := g.embedders.Prepare(g.Resize, f)
	if err != nil {
		return nil, err
	}
	return &Picture{p}, nil
}

func (l *Live) answer(ctx context.Context, in infer.Input, top int, embed bool) (predict.Result, error) {
	g, err := l.enter()
	if err != nil {
		return predict.Result{}, err
	}
	defer l.exit(g)
	r, err := g.answer(ctx, in, top, embed)
	if err != nil {
		return predict.Result{Generation: g.Generation}, fmt.Errorf("classify with generation %d: %w", g.Generation, err)
	}
	return r, nil
}

// enter joins the current generation, and makes Close wait until exit.
func (l *Live) enter() (*generation, error) {
	l.closing.RLock()
	if l.closed {
		l.closing.RUnlock()
		return nil, ErrClosed
	}
	for {
		g := l.current.Load()
		// A generation without users is closed, and another is current by now.
		if n := g.users.Load(); n > 0 && g.users.CompareAndSwap(n, n+1) {
			return g, nil
		}
	}
}

func (l *Live) exit(g *generation) {
	g.leave()
	l.closing.RUnlock()
}
