package source

import (
	"context"
	"fmt"
	"time"

	"github.com/imprintkit/imprint/dataset"
)

// A Camera is a local camera that [Cameras] finds.
type Camera struct {
	Path string // path of the device file, such as /dev/video0
	Name string // name that the driver reports
	Err  error  // not nil if this process has no permission to open the camera
}

// camera is the Source for a camera attached to this machine.
type camera struct {
	path   string
	rate   float64 // requested frames per second; 0 means the camera's default
	open   func(path string, rate float64) (videoDevice, videoFormat, error)
	device videoDevice // nil while closed
	format videoFormat
}

// A videoDevice is an open camera. It shares its buffers with the kernel.
type videoDevice interface {
	// WaitForFrame waits for a frame, for at most the given number of seconds.
	WaitForFrame(seconds uint32) error
	// GetFrame returns the oldest pending frame and its buffer. isNoFrame reports whether
	// an error means that no frame is pending.
	GetFrame() ([]byte, uint32, error)
	ReleaseFrame(buffer uint32) error
	Close() error
}

// A videoFormat describes the bytes of a frame.
type videoFormat struct {
	jpeg          bool // otherwise YUYV
	width, height int
}

func newCamera(path string, o Options) *camera {
	return &camera{path: path, rate: o.Rate, open: openVideo}
}

func (c *camera) String() string { return "camera:" + c.path }

func (c *camera) Close() error {
	if c.device == nil {
		return nil
	}
	err := c.device.Close()
	c.device = nil
	return err
}

// Next implements Source. It returns within a second after ctx is canceled.
func (c *camera) Next(ctx context.Context) (Frame, error) {
	frame, err := c.next(ctx)
	if err != nil && ctx.Err() == nil {
		c.Close()
		return Frame{}, fmt.Errorf("camera %s: %w", c.path, err)
	}
	return frame, err
}

func (c *camera) next(ctx context.Context) (Frame, error) {
	if c.device == nil {
		var err error
		if c.device, c.format, err = c.open(c.path, c.rate); err != nil {
			return Frame{}, err
		}
	}
	for start := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return Frame{}, err
		}
		raw, err := c.newest()
		if err != nil {
			return Frame{}, err
		}
		if raw != nil {
			return c.frame(raw)
		}
		if time.Since(start) > frameTimeout {
			return Frame{}, fmt.Errorf("no frame for %v", frameTimeout)
		}
		if err := c.device.WaitForFrame(1); err != nil && !isTimeout(err) {
			return Frame{}, err
		}
	}
}

// newest copies the newest pending frame and releases all buffers. It returns nil if no
// frame is pending.
func (c *camera) newest() ([]byte, error) {
	var newest []byte
	for {
		raw, buffer, err := c.device.GetFrame()
		if err != nil && isNoFrame(err) {
			return newest, nil
		}
		if err != nil {
			return nil, err
		}
		if len(raw) > 0 { // a frame that was damaged in transit is empty
			newest = append(newest[:0], raw...)
		}
		if err := c.device.ReleaseFrame(buffer); err != nil {
			return nil, err
		}
	}
}

func (c *camera) frame(raw []byte) (Frame, error) {
	f := Frame{Captured: time.Now()}
	if c.format.jpeg {
		f.Photo = withHuffmanTables(raw)
		return f, nil
	}
	// Drivers pad all rows by the same amount, or none.
	stride := max(len(raw)/max(c.format.height, 1), 2*c.format.width)
	img, err := dataset.YUYV(raw, c.format.width, c.format.height, stride)
	if err != nil {
		return Frame{}, err
	}
	f.Image = img
	return f, nil
}
