package dataset

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Load opens items, calls work on each file in parallel, and calls deliver with the
// results in the order of items.
//
// work runs on workers goroutines, or on one goroutine per core if workers is 0. Its argument
// worker is the goroutine's number, counted from 0. work must decode the photo itself, for
// example with one Resizer per worker. deliver runs on the caller's goroutine. Its argument i is
// the photo's index in items.
//
// If a photo cannot be opened or work fails, Load passes the error to deliver and
// continues. If deliver returns an error, Load stops and returns that error.
//
// All photos in progress together allocate no more memory than one photo of the maximum size
// allowed by l, plus two files of the maximum size, provided that work does not retain them. Load does not detect duplicates; to find them,
// compare File.SHA256.
//
// When ctx is done, Load waits for the photos in progress and returns ctx's error. No goroutine
// outlives Load.
func Load[T any](ctx context.Context, items []Item, l Limits, workers int, work func(ctx context.Context, worker int, f *File) (T, error), deliver func(i int, v T, err error) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	memory := semaphore.NewWeighted(l.memory() + 2*l.MaxBytes)
	ordered := make(chan *pending[T], workers)
	queue := make(chan *pending[T])
	wg.Go(func() {
		defer close(ordered)
		defer close(queue)
		// A single goroutine opens all files and acquires memory in order. A photo that
		// holds memory therefore comes before the photos that wait for memory, and
		// delivering in order cannot deadlock.
		for _, item := range items {
			p := &pending[T]{done: make(chan struct{})}
			if p.file, p.err = Open(item, l); p.err == nil {
				// Decoders may copy the file.
				p.memory = 2*int64(len(p.file.content)) + min(p.file.header.memory, l.memory())
			}
			if memory.Acquire(ctx, p.memory) != nil {
				return
			}
			select {
			case ordered <- p:
			case <-ctx.Done():
				return
			}
			select {
			case queue <- p:
			case <-ctx.Done():
				return
			}
		}
	})
	for w := range workers {
		wg.Go(func() {
			for p := range queue {
				if p.err == nil {
					p.value, p.err = work(ctx, w, p.file)
				}
				p.file = nil
				memory.Release(p.memory)
				close(p.done)
			}
		})
	}
	for i := range items {
		var p *pending[T]
		select {
		case p = <-ordered:
		case <-ctx.Done():
		}
		if p == nil { // ctx is done, and ordered may be closed
			return ctx.Err()
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := deliver(i, p.value, p.err); err != nil {
			return err
		}
	}
	return nil
}

// pending is a photo in progress.
type pending[T any] struct {
	file   *File
	memory int64 // bytes of memory held until work returns

	done  chan struct{} // closed when value and err are set
	value T
	err   error
}
