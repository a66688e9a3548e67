// Package infer computes embeddings from photos and scores from embeddings. Start with [NewPool]
// for a backbone, then [Pool.Photos] for a list of photos or [Pool.Run] for one photo. A [Scorer]
// computes the scores.
//
// A Pool and a Scorer are safe for concurrent use by multiple goroutines.
package infer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
)

// Cores returns threads, or the number of usable cores if threads is 0.
func Cores(threads int) int {
	if threads > 0 {
		return threads
	}
	return runtime.GOMAXPROCS(0)
}

// A Pool holds the runners of one backbone. It creates each runner when it is first needed.
type Pool struct {
	backbone *backbone.Backbone
	idle     chan *Runner
	unmade   chan struct{} // one value for each runner that may still be made
	users    atomic.Int64
}

// A Runner embeds one photo at a time.
type Runner struct {
	*backbone.Runner
	Scratch Scratch
	resizer dataset.Resizer
}

// NewPool returns a pool of at most n runners of b, with one user. The pool closes its runners
// when the last user leaves.
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

// Join adds a user of the pool.
func (p *Pool) Join() { p.users.Add(1) }

// Leave removes a user of the pool. None of that user's calls may be running. When the last user
// leaves, the runners are closed.
func (p *Pool) Leave() {
	if p.users.Add(-1) > 0 {
		return
	}
	for range cap(p.idle) {
		select {
		case r := <-p.idle:
			r.Close()
		case <-p.unmade:
		}
	}
}

// take waits for a runner and makes it use the given number of threads.
func (p *Pool) take(ctx context.Context, threads int) (*Runner, error) {
	var r *Runner
	select {
	case r = <-p.idle: // prefer an idle runner to a new one
	default:
		select {
		case r = <-p.idle:
		case <-p.unmade:
			r = new(Runner)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if r.Runner == nil || r.Threads() != threads {
		if r.Runner != nil {
			r.Close()
		}
		r.Runner = p.backbone.NewRunner(threads)
		r.resizer.Width, r.resizer.Height = p.backbone.Width, p.backbone.Height
	}
	return r, nil
}

// An Input is a picture in one of three forms. The other two fields are nil.
type Input struct {
	Image    image.Image
	File     *dataset.File
	Prepared *Prepared
	Box      dataset.Box // the part of Image or File to embed; zero means all
}

// Prepared is a photo that has been decoded and resized for a backbone.
type Prepared struct {
	rgb           []byte
	resize        dataset.Resize
	width, height int
}

// ErrPrepared means that a prepared photo does not have the size of the backbone's input, or was
// resized with another mode.
var ErrPrepared = errors.New("the photo was prepared for another backbone or resize mode")

// Prepare decodes a photo and resizes it. It uses no runner.
func (p *Pool) Prepare(mode dataset.Resize, f *dataset.File) (*Prepared, error) {
	photo := &Prepared{resize: mode, width: p.backbone.Width, height: p.backbone.Height}
	photo.rgb = make([]byte, photo.width*photo.height*3)
	resizer := dataset.Resizer{Mode: mode, Width: photo.width, Height: photo.height}
	return photo, resizer.Read(photo.rgb, f)
}

// load writes a picture to the input of the runner.
func (r *Runner) load(mode dataset.Resize, in Input) error {
	r.resizer.Mode = mode
	switch {
	case in.Prepared != nil:
		got, want := in.Prepared, &r.resizer
		if got.resize != want.Mode || got.width != want.Width || got.height != want.Height {
			return fmt.Errorf("%w: got %d×%d pixels (%s), want %d×%d (%s)", ErrPrepared, got.width, got.height, got.resize, want.Width, want.Height, want.Mode)
		}
		copy(r.RGB(), got.rgb)
		return nil
	case in.File != nil && in.Box != (dataset.Box{}):
		return r.resizer.Read(r.RGB(), in.File.Within(in.Box))
	case in.File != nil:
		return r.resizer.Read(r.RGB(), in.File)
	}
	return r.resizer.ResizeBox(r.RGB(), in.Image, in.Box)
}

// unreadable is the reason why a picture can't be decoded or resized.
type unreadable struct{ error }

func (e unreadable) Unwrap() error { return e.error }

// IsUnreadable reports whether an error of [Pool.Run] is about the picture, not the backbone.
func IsUnreadable(err error) bool { return errors.As(err, new(unreadable)) }

// Run runs the backbone on one picture with the given number of threads. It calls use with the
// raw output, which is valid until use returns, and with the time that the backbone took.
func (p *Pool) Run(ctx context.Context, threads int, mode dataset.Resize, in Input, use func(r *Runner, raw []byte, took time.Duration) error) error {
	r, err := p.take(ctx, threads)
	if err != nil {
		return err
	}
	defer func() { p.idle <- r }()
	if err := r.load(mode, in); err != nil {
		return unreadable{err}
	}
	start := time.Now()
	raw, err := r.Embed(ctx)
	if err != nil {
		return err
	}
	return use(r, raw, time.Since(start))
}

// An Embedding is the embedding of one photo, or the reason why it has none.
type Embedding struct {
	Photo  [sha256.Size]byte // SHA-256 of the file
	Raw    []byte            // raw output of the backbone
	Hash   uint64            // dataset.Hash of the resized photo
	Took   time.Duration     // time spent in the backbone
	Device string            // the device that ran the backbone
	Err    error             // why the photo has no embedding
	fatal  error             // why no photo can be embedded
}

// Photos reads and embeds photos, several at once, and delivers the embeddings in order. It uses
// the given number of threads; if there are fewer photos than threads, each photo gets several.
// Photos stops early only if the backbone or deliver fails, or when ctx ends.
func (p *Pool) Photos(ctx context.Context, threads int, mode dataset.Resize, items []dataset.Item, deliver func(i int, e Embedding) error) error {
	if len(items) == 0 {
		return ctx.Err()
	}
	workers := min(threads, len(items), cap(p.idle))
	each := max(threads/len(items), 1)
	work := func(ctx context.Context, _ int, f *dataset.File) (Embedding, error) {
		r, err := p.take(ctx, each)
		if err != nil {
			return Embedding{fatal: err}, nil
		}
		defer func() { p.idle <- r }()
		if err := r.load(mode, Input{File: f}); err != nil {
			return Embedding{}, err
		}
		hash := dataset.Hash(r.RGB(), p.backbone.Width, p.backbone.Height)
		start := time.Now()
		raw, err := r.Embed(ctx)
		if err != nil {
			return Embedding{fatal: err}, nil
		}
		return Embedding{Photo: f.SHA256(), Raw: slices.Clone(raw), Hash: hash, Took: time.Since(start), Device: r.Device()}, nil
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
