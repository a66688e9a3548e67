package imprint

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/dataset"
)

// A Picture is a photo as a workspace's backbone takes it.
type Picture struct {
	rgb           []byte
	resize        dataset.Resize
	width, height int
}

// Prepare decodes a photo and fits it to the model. No device has a part in it: a large
// photo can be prepared while frames are answered.
func (l *Live) Prepare(f *dataset.File) (*Picture, error) {
	l.closing.RLock()
	defer l.closing.RUnlock()
	if l.closed {
		return nil, ErrLiveClosed
	}
	g := l.enter()
	defer g.leave()
	p := &Picture{resize: g.resize, width: g.runners.backbone.Width, height: g.runners.backbone.Height}
	p.rgb = make([]byte, p.width*p.height*3)
	fitter := dataset.Resizer{Mode: p.resize, Width: p.width, Height: p.height}
	return p, fitter.Read(p.rgb, f)
}

// ObservePicture does what Observe does. It fails with ErrOtherFit when the workspace
// has become one that takes photos of another size or fitted otherwise.
func (l *Live) ObservePicture(ctx context.Context, p *Picture, top int) (Result, error) {
	return l.answer(ctx, frame{prepared: p}, top, true)
}

// ObserveFile does what Observe does, with a photo that is not decoded yet.
func (l *Live) ObserveFile(ctx context.Context, f *dataset.File, top int) (Result, error) {
	return l.answer(ctx, frame{file: f}, top, true)
}

// copyTo puts the picture where a runner of b takes it, if it fits there.
func (p *Picture) copyTo(rgb []byte, f *dataset.Resizer) error {
	if p.resize != f.Mode || p.width != f.Width || p.height != f.Height {
		return fmt.Errorf("a photo of %d×%d pixels for %d×%d: %w", p.width, p.height, f.Width, f.Height, ErrOtherResize)
	}
	copy(rgb, p.rgb)
	return nil
}
