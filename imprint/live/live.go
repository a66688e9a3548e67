// Package live classifies frames with the model of a workspace while the workspace changes. Start
// with [Open]; then classify with [Live.Classify] and keep [Live.Watch] running.
//
// Each frame is classified by a single generation, which was current when the frame arrived. A
// reload takes effect for later frames. Frames and reloads do not wait for each other. If a file
// can't be used, the reload fails and changes nothing.
//
// The backbone stays loaded until the workspace changes to another backbone. A new generation sends
// an Edge TPU only the data that has changed.
//
// A Live is safe for concurrent use by multiple goroutines.
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

// ErrClosed means that Close has been called.
var ErrClosed = errors.New("the model is closed")

// settling is how long a reload waits for the model that belongs to the state. A change replaces
// the state first, then the model.
const settling = 300 * time.Millisecond

// Live classifies frames with the newest model of a workspace.
type Live struct {
	dir     string
	current atomic.Pointer[generation]

	closing sync.RWMutex // held for reading while a frame is classified
	closed  bool

	options imprint.Options
	gate    chan struct{} // holds one value while Reload, Workspace or Close runs
	over    bool          // true after Close; guarded by gate
}

// Reloaded is the result of [Live.Reload].
type Reloaded struct {
	Generation uint64        `json:"generation"` // current generation
	Changed    bool          `json:"changed"`    // whether the reload made it current
	Classes    int           `json:"classes"`
	Elapsed    time.Duration `json:"-"`
	Warnings   []string      `json:"warnings,omitempty"` // damage that the reload worked around
}

// Open loads the model of the workspace in dir. If the workspace does not exist yet, o names the
// backbone to expect, as for [imprint.Open].
func Open(ctx context.Context, dir string, o imprint.Options) (*Live, error) {
	l := &Live{dir: dir, options: o, gate: make(chan struct{}, 1)}
	w, s, err := l.load(ctx)
	if errors.Is(err, imprint.ErrUnpublished) {
		// A process was killed before it published the model. The model can be made from the state,
		// even if the disk is full and Repair fails.
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

// Close waits for the frames that are being classified. After that, classifying fails with
// ErrClosed.
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

// Generation returns the number of the current generation.
func (l *Live) Generation() uint64 { return l.current.Load().Generation }

// Labels returns the names of the classes, in the order of the model's scores.
func (l *Live) Labels() []string { return slices.Clone(l.current.Load().Labels) }

// Warnings describes the damage that was found and worked around when the current generation was
// loaded.
func (l *Live) Warnings() []string { return l.current.Load().Warnings }

// Workspace opens the workspace for changes. The workspace shares the loaded backbone.
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

// Reload makes the newest generation of the workspace current. If that generation can't be used,
// Reload fails and the current generation stays in use.
func (l *Live) Reload(ctx context.Context) (Reloaded, error) {
	start := time.Now()
	if err := l.enterGate(ctx); err != nil {
		return Reloaded{Generation: l.Generation()}, err
	}
	defer l.leaveGate()
	was := l.current.Load()
	w, s, err := l.load(ctx)
	if err != nil {
		return Reloaded{Generation: was.Generation}, fmt.Errorf("reload %s: %w; generation %d stays in use", l.dir, err, was.Generation)
	}
	r := Reloaded{Generation: s.Generation, Changed: s != was.Snapshot, Classes: len(s.Labels), Warnings: w.Warnings()}
	if r.Changed {
		l.serve(s)
	}
	r.Elapsed = time.Since(start)
	return r, nil
}

// load reads the workspace. It returns the current snapshot if nothing has changed. If it fails
// with ErrUnpublished, it still returns the workspace.
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
			if damage := w.Warnings(); len(damage) > 0 && w.Generation() <= was.Generation && !w.IsCurrent(was.Snapshot) {
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

// Classify classifies an image and returns the best classes, at most top of them, or all if top is
// 0. Without classes, the result is Unknown.
func (l *Live) Classify(ctx context.Context, img image.Image, top int) (predict.Result, error) {
	return l.answer(ctx, infer.Input{Image: img}, top, false)
}

// ClassifyFile is like Classify, for an encoded photo.
func (l *Live) ClassifyFile(ctx context.Context, f *dataset.File, top int) (predict.Result, error) {
	return l.answer(ctx, infer.Input{File: f}, top, false)
}

// Observe is like Classify, but the result includes the embedding.
func (l *Live) Observe(ctx context.Context, img image.Image, top int) (predict.Result, error) {
	return l.answer(ctx, infer.Input{Image: img}, top, true)
}

// ObserveFile is like Observe, for an encoded photo.
func (l *Live) ObserveFile(ctx context.Context, f *dataset.File, top int) (predict.Result, error) {
	return l.answer(ctx, infer.Input{File: f}, top, true)
}

// ObservePicture is like Observe, for a prepared photo. It fails with imprint.ErrOtherResize if
// the input size or resize mode of the workspace has changed since Prepare.
func (l *Live) ObservePicture(ctx context.Context, p *Picture, top int) (predict.Result, error) {
	r, err := l.answer(ctx, infer.Input{Prepared: p.prepared, File: p.file}, top, true)
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

// A Picture is a photo that has been decoded and resized for a workspace's backbone. For a workspace
// with a detector it is only read: what to decode depends on what the detector finds.
type Picture struct {
	prepared *infer.Prepared
	file     *dataset.File // nil if prepared is not
}

// Prepare decodes a photo and resizes it for the backbone. It uses no device, so a large photo can
// be prepared while frames are classified.
func (l *Live) Prepare(f *dataset.File) (*Picture, error) {
	g, err := l.enter()
	if err != nil {
		return nil, err
	}
	defer l.exit(g)
	if g.finder != nil {
		return &Picture{file: f}, nil
	}
	p, err := g.embedders.Prepare(g.Resize, f)
	if err != nil {
		return nil, err
	}
	return &Picture{prepared: p}, nil
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

// enter adds a user to the current generation, and makes Close wait until exit is called.
func (l *Live) enter() (*generation, error) {
	l.closing.RLock()
	if l.closed {
		l.closing.RUnlock()
		return nil, ErrClosed
	}
	for {
		g := l.current.Load()
		// A generation without users is closed, and another generation has become current.
		if n := g.users.Load(); n > 0 && g.users.CompareAndSwap(n, n+1) {
			return g, nil
		}
	}
}

func (l *Live) exit(g *generation) {
	g.leave()
	l.closing.RUnlock()
}
