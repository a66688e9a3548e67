package serve

import (
	"context"
	"errors"
	"fmt"
	"image"
	"strings"
	"time"
)

// A Frame is one picture of a Source. It belongs to the receiver: the source keeps
// no reference to what it holds.
type Frame struct {
	// Captured is when the picture was taken, as near as the source knows.
	Captured time.Time
	// Photo is the encoded picture, of a kind that package dataset reads. Decoding is
	// left to the receiver, who throws most frames of a fast camera away.
	Photo []byte
	// Image has the pixels when Photo is nil.
	Image image.Image
	// Name says which picture it is where they have names: a file, a record of a tub.
	Name string
}

// A Source gives the frames of a camera, or of what stands for one.
type Source interface {
	// Next waits for the next frame. The first call opens the source. After an error
	// but io.EOF, which is the end of what is replayed, the caller waits a little and
	// calls again, and Next opens the source anew if it has to: a camera that was
	// unplugged comes back. Frames that nobody asked for in time are lost, so that Next
	// gives what is seen now. It is called by one goroutine at a time.
	Next(ctx context.Context) (Frame, error)
	// Close gives the source back. Next is not under way then.
	Close() error
	// String names the source as ParseSource takes it.
	fmt.Stringer
}

// SourceOptions say how pictures are replayed.
type SourceOptions struct {
	Rate float64 // frames a second; 0 is the source's own
	Loop bool    // begin again at the end
}

// ErrSource is wrapped when a source is named that there is not.
var ErrSource = errors.New("unusable source")

// ParseSource makes the source that spec names: camera:DEVICE, mjpeg:URL, folder:DIR,
// tub:DIR, or none, which is nil: then frames are posted by clients. Nothing is opened
// yet.
func ParseSource(spec string, o SourceOptions) (Source, error) {
	if o.Rate < 0 || o.Rate > maxRate {
		return nil, fmt.Errorf("%w: %v frames a second: it must be up to %d", ErrSource, o.Rate, maxRate)
	}
	kind, where, _ := strings.Cut(spec, ":")
	if kind == "none" && where == "" {
		return nil, nil
	}
	if where == "" {
		return nil, fmt.Errorf("%w %q: %s", ErrSource, spec, sourceForms)
	}
	switch kind {
	case "folder":
		return newFolder(where, o), nil
	case "tub":
		return newTub(where, o), nil
	case "mjpeg":
		return newMJPEG(where)
	case "camera":
		return newCamera(where, o), nil
	}
	return nil, fmt.Errorf("%w %q: %s", ErrSource, spec, sourceForms)
}

const sourceForms = "it must be camera:DEVICE, mjpeg:URL, folder:DIR, tub:DIR or none"

// maxRate is more than any camera gives, in frames a second.
const maxRate = 1000

// A pace spaces what is replayed in time.
type pace struct {
	next time.Time // of the frame to come
}

// wait waits until the next frame is due, which is seen for so long. A reader that came
// late is not made up for by frames in a hurry.
func (p *pace) wait(ctx context.Context, seen time.Duration) error {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	d := p.next.Sub(now)
	p.next = p.next.Add(seen)
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
