package dataset

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Load reads and decodes items with the given number of workers (0: one for each
// core) and calls fn for each, one call at a time and in the order of items. A
// photo that cannot be read is delivered as an error, p nil, and does not stop the
// run; an error from fn does, and is returned.
//
// All photos under way together take no more memory than one photo of the largest
// size l allows, as long as fn does not keep them. Load does not look for
// duplicates: compare Photo.SHA256.
//
// When ctx ends Load returns its error after the photos then being decoded.
// No goroutine outlives Load.
func Load(ctx context.Context, items []Item, l Limits, workers int, fn func(i int, p *Photo, err error) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	memory := semaphore.NewWeighted(l.memory() + l.MaxBytes)
	ordered := make(chan *pending, workers)
	queue := make(chan *pending)
	wg.Go(func() {
		defer close(ordered)
		defer close(queue)
		// One goroutine reads all files and takes memory for them in order.
		// What holds memory is then always ahead of what waits for it, so
		// delivering in order cannot block for ever.
		for _, item := range items {
			p := begin(item, l)
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
	for range workers {
		wg.Go(func() {
			for p := range queue {
				p.finish()
			}
		})
	}
	for i := range items {
		var p *pending
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
		if err := fn(i, p.photo, p.err); err != nil {
			return err
		}
		memory.Release(p.memory)
	}
	return nil
}

// pending is a photo on its way through Load.
type pending struct {
	item   Item
	bytes  []byte
	header header
	memory int64 // bytes held until it is delivered

	done  chan struct{} // closed when photo or err is set
	photo *Photo
	err   error
}

// begin reads a file and its header.
func begin(item Item, l Limits) *pending {
	p := &pending{item: item, done: make(chan struct{})}
	if p.bytes, p.err = readBytes(item.Path, l); p.err == nil {
		p.header, p.err = readHeader(p.bytes, l)
	}
	if p.err != nil {
		p.bytes = nil
		return p
	}
	p.memory = int64(len(p.bytes)) + p.header.memory
	return p
}

// finish decodes what begin has read.
func (p *pending) finish() {
	defer close(p.done)
	if p.err == nil {
		p.photo, p.err = p.header.decode(p.bytes)
		p.bytes = nil
	}
	if p.err != nil {
		p.err = inFile(p.item.Path, p.err)
		return
	}
	p.photo.Path, p.photo.Label = p.item.Path, p.item.Label
}
