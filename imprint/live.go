package imprint

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// ErrLiveClosed is returned by a Live after Close.
var ErrLiveClosed = errors.New("the model is not live any more")

// settling is how long a reload waits for a model that does not belong to the state:
// whoever changes the workspace replaces one right after the other.
const settling = 300 * time.Millisecond

// Live answers frames with the model of a workspace while other goroutines and
// processes change that. Its methods may be called from several goroutines.
//
// A frame is answered by one generation from beginning to end, that which was there
// when it came, and a reload takes effect for the frames that come after it. Neither
// waits for the other. What can't be used on the disk is an error of the reload, and
// changes nothing. The backbone is loaded once as long as it is the same, and nothing
// is sent to devices for a new generation but what an Edge TPU itself needs to know of
// it.
type Live struct {
	store   store.Store
	current atomic.Pointer[generation]

	closing sync.RWMutex // held for reading by each frame
	closed  bool

	gate      chan struct{} // holds one value while somebody reloads or closes; the rest is his
	options   Options
	workspace *Workspace // of the current generation, without its examples
}

// Reloaded tells what a reload found.
type Reloaded struct {
	Generation uint64 `json:"generation"` // that is served now
	// Changed is false if it was served before.
	Changed bool          `json:"changed"`
	Classes int           `json:"classes"`
	Elapsed time.Duration `json:"-"`
	// Warnings tell of damage that was worked around.
	Warnings []string `json:"warnings,omitempty"`
}

// OpenLive makes the model of the workspace in dir ready to answer. There need not be
// a workspace yet: o says as for [Open] which backbone it will have, unless it turns
// out to have another.
func OpenLive(ctx context.Context, dir string, o Options) (*Live, error) {
	l := &Live{store: store.Store{Dir: dir}, options: o, gate: make(chan struct{}, 1)}
	k, model, err := l.load(ctx)
	if errors.Is(err, errUnpublished) {
		// A process was killed before it came to that. The state has all that is in it,
		// should the disk not take it.
		if model, _, err = k.build(k.state); err == nil {
			k.Repair(ctx)
		}
	}
	var g *generation
	if err == nil {
		g, err = l.generation(k, model)
	}
	if err != nil {
		return nil, fmt.Errorf("open the model of %s: %w", dir, err)
	}
	l.serve(k, g)
	return l, nil
}

// Close ends the answering of frames and waits for those under way.
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
	l.workspace = nil
	<-l.gate
	return nil
}

// Generation is that of the workspace which is served.
func (l *Live) Generation() uint64 {
	return l.current.Load().number
}

// Labels are the names of the classes served, in the order of the model's scores.
func (l *Live) Labels() []string {
	return slices.Clone(l.current.Load().labels())
}

// Warnings tell of damage that OpenLive worked around.
func (l *Live) Warnings() []string { return l.current.Load().warnings }

// Workspace opens the workspace to be changed, with the backbone that is in memory.
func (l *Live) Workspace(ctx context.Context) (*Workspace, error) {
	if err := l.enterGate(ctx); err != nil {
		return nil, err
	}
	defer l.leaveGate()
	return open(l.store.Dir, l.options, l.workspace)
}

func (l *Live) enterGate(ctx context.Context) error {
	select {
	case l.gate <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.workspace == nil {
		l.leaveGate()
		return ErrLiveClosed
	}
	return nil
}

func (l *Live) leaveGate() { <-l.gate }

// Reload serves what the workspace holds now. If that can't be used, as a file that is
// damaged or of a newer imprint, the error says why and the generation before goes on
// being served.
func (l *Live) Reload(ctx context.Context) (Reloaded, error) {
	start := time.Now()
	if err := l.enterGate(ctx); err != nil {
		return Reloaded{Generation: l.Generation()}, err
	}
	defer l.leaveGate()
	was := l.current.Load()
	fail := func(err error) (Reloaded, error) {
		return Reloaded{Generation: was.number}, fmt.Errorf("reload %s: %w; generation %d goes on being served", l.store.Dir, err, was.number)
	}
	k, model, err := l.load(ctx)
	if err != nil {
		return fail(err)
	}
	r := Reloaded{Generation: k.state.Generation, Warnings: k.warnings}
	if mine := l.workspace.state; mine.Generation == k.state.Generation && mine.Model == k.state.Model && mine.Backbone.Same(k.state.Backbone) {
		r.Classes, r.Elapsed = len(was.labels()), time.Since(start)
		return r, nil
	}
	g, err := l.generation(k, model)
	if err != nil {
		return fail(err)
	}
	l.serve(k, g)
	r.Changed, r.Classes, r.Elapsed = true, len(g.labels()), time.Since(start)
	return r, nil
}

// errUnpublished is wrapped when there is no model, or another than that of the state.
var errUnpublished = errors.New("its model has not been published")

// load reads the workspace. After errUnpublished the Workspace is good.
func (l *Live) load(ctx context.Context) (*Workspace, []byte, error) {
	for end := time.Now().Add(settling); ; {
		k, err := open(l.store.Dir, l.options, l.workspace)
		if err != nil {
			return nil, nil, err
		}
		if l.workspace != nil {
			switch served := l.workspace.state.Generation; {
			case k.state.Generation == 0 && served > 0:
				return nil, nil, fmt.Errorf("the workspace is gone: %w", fs.ErrNotExist)
			case k.damaged && k.state.Generation <= served:
				return nil, nil, fmt.Errorf("%w: %s", store.ErrCorrupt, k.warnings[0])
			}
		}
		model, err := k.publishedModel()
		if !errors.Is(err, store.ErrCorrupt) {
			return k, model, err
		}
		if time.Now().After(end) {
			return k, nil, fmt.Errorf("%w: %w", errUnpublished, err)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// serve makes g, of k, the current generation.
func (l *Live) serve(k *Workspace, g *generation) {
	if k.state.Generation > 0 {
		// What the options ask of a workspace it has.
		l.options.Backbone, l.options.Embedding, l.options.Resize = "", "", ""
		// What they ask of changes goes on being asked, of the Workspaces that are opened.
		l.options.Compiled, l.options.Uncompiled, l.options.Layout = k.options.Compiled, k.options.Uncompiled, k.options.Layout
	}
	slim := *k.state
	slim.Examples, slim.History = nil, nil
	l.workspace = &Workspace{store: k.store, options: k.options, state: &slim, backbone: k.backbone, file: k.file, pair: k.pair}
	if was := l.current.Swap(g); was != nil {
		was.leave()
	}
}

// Classify names what is on a picture, with the top best classes (all if top is 0).
// Where nothing is taught yet the result is Unknown.
func (l *Live) Classify(ctx context.Context, img image.Image, top int) (Result, error) {
	return l.answer(ctx, frame{img: img}, top, false)
}

// ClassifyFile does that with a photo that is not decoded yet, as [Workspace.Classify] does.
func (l *Live) ClassifyFile(ctx context.Context, f *dataset.File, top int) (Result, error) {
	return l.answer(ctx, frame{file: f}, top, false)
}

// Observe does what Classify does, and gives the embedding too.
func (l *Live) Observe(ctx context.Context, img image.Image, top int) (Result, error) {
	return l.answer(ctx, frame{img: img}, top, true)
}

// A frame is a picture in one of three forms.
type frame struct {
	img      image.Image
	file     *dataset.File
	prepared *Picture
}

func (l *Live) answer(ctx context.Context, f frame, top int, embed bool) (Result, error) {
	l.closing.RLock()
	defer l.closing.RUnlock()
	if l.closed {
		return Result{}, ErrLiveClosed
	}
	g := l.enter()
	defer g.leave()
	r, err := g.answer(ctx, f, top, embed)
	if err != nil {
		return Result{Generation: g.number}, fmt.Errorf("classify with generation %d: %w", g.number, err)
	}
	return r, nil
}

// enter takes the current generation; the caller leaves it.
func (l *Live) enter() *generation {
	for {
		g := l.current.Load()
		// Nobody uses one any more: then another is current by now.
		if n := g.users.Load(); n > 0 && g.users.CompareAndSwap(n, n+1) {
			return g
		}
	}
}
