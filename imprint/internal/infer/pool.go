// Package infer turns photos into embeddings and embeddings into scores. Start with
// [NewPool] for a backbone, then [Pool.Photos] for a list of photos or [Pool.Run] for one;
// a [Scorer] does the rest.
//
// A Pool and a Scorer may be used by several goroutines at once.
package infer

import (
	"context"
	"fmt"
	"image"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
)

// Cores returns threads, or for 0 the number of cores that may be used.
func Cores(threads int) int {
	if threads > 0 {
		return threads
	}
	return runtime.GOMAXPROCS(0)
}

// A Pool holds the runners of one backbone. It makes them when they are first needed.
type Pool struct {
	backbone *backbone.Backbone
	idle     chan *Runner
	unmade   chan struct{} // one value for each runner that may still be made
	users    atomic.Int64
}

// A Runner embeds one photo after the other.
type Runner struct {
	*backbone.Runner
	Scratch Scratch
	resizer dataset.Resizer
}

// NewPool returns a pool of at most n runners of b, with one user. The pool is closed when
// its last user leaves.
func NewPool(b *backbone.Backbone, n int) *Pool {
	p := &Pool{backbone: b, idle: make(chan *Runner, n), unmade: make(chan struct{}, n)}
	for range n {
		p.unmade <- struct{}{}
	}
	p.users.Store(1)
	return p
}

// Backbone returns the model that the pool runs.
func (p *Pool) Backbone() *backbone.Backbone { return p.backbone }

// Join adds a user.
func (p *Pool) Join() { p.users.Add(1) }

// Leave ends the work of one user, none of whose calls may be running. The last one to
// leave closes the runners.
func (p *Pool) Leave() {
	if p.users.Add(-1) > 0 {
		return
	}
	for range cap(p.idle) {
		select {
		case w := <-p.idle:
			w.Close()
		case <-p.unmade:
		}
	}
}

// take waits for a runner that uses so many threads.
func (p *Pool) take(ctx context.Context, threads int) (*Runner, error) {
	var w *Runner
	select {
	case w = <-p.idle: // rather than make another
	default:
		select {
		case w = <-p.idle:
		case <-p.unmade:
			w = new(Runner)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if w.Runner == nil || w.Threads() != threads {
		if w.Runner != nil {
			w.Close()
		}
		w.Runner = p.backbone.NewRunner(threads)
		w.resizer.Width, w.resizer.Height = p.backbone.Width, p.backbone.Height
	}
	return w, nil
}

// An Input is a picture in one of three forms.
type Input struct {
	Image    image.Image
	File     *dataset.File
	Prepared *Prepared
}

// Prepared is a photo that is decoded and resized for a backbone.
type Prepared struct {
	rgb           []byte
	resize        dataset.Resize
	width, height int
}

// ErrPrepared is wrapped when a prepared photo does not fit the backbone's input or the
// resize mode.
var ErrPrepared = fmt.Errorf("the photo was prepared for another backbone or resize mode")

// Prepare decodes a photo and resizes it. It uses no runner.
func (p *Pool) Prepare(mode dataset.Resize, f *dataset.File) (*Prepared, error) {
	r := &Prepared{resize: mode, width: p.backbone.Width, height: p.backbone.Height}
	r.rgb = make([]byte, r.width*r.height*3)
	resizer := dataset.Resizer{Mode: mode, Width: r.width, Height: r.height}
	return r, resizer.Read(r.rgb, f)
}

func (r *Runner) load(mode dataset.Resize, in Input) error {
	r.resizer.Mode = mode
	switch {
	case in.Prepared != nil:
		got, want := in.Prepared, &r.resizer
		if got.resize != want.Mode || got.width != want.Width || got.height != want.Height {
			return fmt.Errorf("%d×%d pixels by %s instead of %d×%d by %s: %w", got.width, got.height, got.resize, want.Width, want.Height, want.Mode, ErrPrepared)
		}
		copy(r.RGB(), got.rgb)
		return nil
	case in.File != nil:
		return r.resizer.Read(r.RGB(), in.File)
	}
	return r.resizer.Resize(r.RGB(), in.Image)
}

// Run runs the backbone on one picture with so many threads. It calls use with the raw
// output, which is valid until use returns, and the time the backbone took.
func (p *Pool) Run(ctx context.Context, threads int, mode dataset.Resize, in Input, use func(w *Runner, raw []byte, took time.Duration) error) error {
	w, err := p.take(ctx, threads)
	if err != nil {
		return err
	}
	defer func() { p.idle <- w }()
	if err := w.load(mode, in); err != nil {
		return err
	}
	start := time.Now()
	raw, err := w.Embed(ctx)
	if err != nil {
		return err
	}
	return use(w, raw, time.Since(start))
}

// An Embedding is what the backbone made of one photo.
type Embedding struct {
	Photo  [32]byte // SHA-256 of the file
	Raw    []byte
	Hash   uint64        // dataset.Hash of the resized photo
	Took   time.Duration // by the backbone alone
	Device string
	Err    error // why the photo has no embedding
	fatal  error // an error of the backbone: no photo can be embedded
}

// Photos reads and embeds photos with so many threads and delivers the embeddings in
// order. Fewer photos than threads get several threads each. Only an error of the
// backbone, of deliver or of ctx ends it early.
func (p *Pool) Photos(ctx context.Context, threads int, mode dataset.Resize, items []dataset.Item, deliver func(i int, e Embedding) error) error {
	if len(items) == 0 {
		return ctx.Err()
	}
	workers := min(threads, len(items), cap(p.idle))
	each := max(threads/len(items), 1)
	work := func(ctx context.Context, _ int, f *dataset.File) (e Embedding, err error) {
		w, err := p.take(ctx, each)
		if err != nil {
			return Embedding{fatal: err}, nil
		}
		defer func() { p.idle <- w }()
		if err := w.load(mode, Input{File: f}); err != nil {
			return Embedding{}, err
		}
		hash := dataset.Hash(w.RGB(), p.backbone.Width, p.backbone.Height)
		start := time.Now()
		raw, err := w.Embed(ctx)
		if err != nil {
			return Embedding{fatal: err}, nil
		}
		return Embedding{Photo: f.SHA256(), Raw: slices.Clone(raw), Hash: hash, Took: time.Since(start), Device: w.Device()}, nil
	}
	return dataset.Load(ctx, items, dataset.DefaultLimits(), workers, work, func(i int, e Embedding, err error) error {
		if e.fatal != nil {
			return e.fatal
		}
		if err != nil {
			e.Err = err
		}
		return deliver(i, e)
	})
}
