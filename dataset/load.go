package dataset

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Load reads items and calls work with each on so many goroutines (0: one for each
// core), with the goroutine's number, and deliver on the caller's goroutine with what
// work made of it, in the order of items. Decoding the photo is left to work. A photo
// that cannot be read is delivered as an error, as is one of work, and does not stop
// the run; an error from deliver does, and is returned.
//
// All photos under way together take no more memory than one photo of the largest
// size l allows, as long as work does not keep them. Load does not look for
// duplicates: compare File.SHA256.
//
// When ctx ends Load returns its error after the photos then under way. No
// goroutine outlives Load.
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
		// One goroutine reads all files and takes memory for them in order.
		// What holds memory is then always ahead of what waits for it, so
		// delivering in order cannot block for ever.
		for _, item := range items {
			p := &pending[T]{done: make(chan struct{})}
			if p.file, p.err = Open(item, l); p.err == nil {
				// Decoders may copy the file.
				p.memory = 2*int64(len(p.file.content)) + p.file.header.memory
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
		if p == nil { // closed because ctx ended
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

// pending is a photo on its way through Load.
type pending[T any] struct {
	file   *File
	memory int64 // bytes held until work is done

	done  chan struct{} // closed when value and err are set
	value T
	err   error
}
