package dataset

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Load reads and decodes items on so many goroutines (0: one for each core), calls
// work there with each photo and the goroutine's number, and deliver on the
// caller's goroutine with what work made of it, in the order of items. A photo that
// cannot be read is delivered as an error and does not stop the run; an error from
// deliver does, and is returned.
//
// All photos under way together take no more memory than one photo of the largest
// size l allows, as long as work does not keep them. Load does not look for
// duplicates: compare Photo.SHA256.
//
// When ctx ends Load returns its error after the photos then under way. No
// goroutine outlives Load.
func Load[T any](ctx context.Context, items []Item, l Limits, workers int, work func(ctx context.Context, worker int, p *Photo) T, deliver func(i int, v T, err error) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	memory := semaphore.NewWeighted(l.memory() + l.MaxBytes)
	ordered := make(chan *pending[T], workers)
	queue := make(chan *pending[T])
	wg.Go(func() {
		defer close(ordered)
		defer close(queue)
		// One goroutine reads all files and takes memory for them in order.
		// What holds memory is then always ahead of what waits for it, so
		// delivering in order cannot block for ever.
		for _, item := range items {
			p := begin[T](item, l)
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
				if photo := p.decode(); photo != nil {
					p.value = work(ctx, w, photo)
				}
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
	item   Item
	bytes  []byte
	header header
	memory int64 // bytes held until work is done

	done  chan struct{} // closed when value or err is set
	value T
	err   error
}

// begin reads a file and its header.
func begin[T any](item Item, l Limits) *pending[T] {
	p := &pending[T]{item: item, bytes: item.Content, done: make(chan struct{})}
	if p.bytes == nil {
		p.bytes, p.err = readBytes(item.Path, l)
	}
	if p.err == nil {
		p.header, p.err = readHeader(p.bytes, l)
	}
	if p.err != nil {
		p.bytes = nil
		return p
	}
	p.memory = int64(len(p.bytes)) + p.header.memory
	return p
}

// decode decodes what begin has read; without a photo p.err says why.
func (p *pending[T]) decode() *Photo {
	var photo *Photo
	if p.err == nil {
		photo, p.err = p.header.decode(p.bytes)
		p.bytes = nil
	}
	if p.err != nil {
		p.err = inFile(p.item.Path, p.err)
		return nil
	}
	photo.Path, photo.Label = p.item.Path, p.item.Label
	return photo
}
