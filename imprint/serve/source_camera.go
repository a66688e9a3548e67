package serve

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"sync"
	"time"

	"github.com/imprintkit/imprint/dataset"
)

// camera is a camera of this machine. It is used by one goroutine.
type camera struct {
	path   string
	rate   float64 // frames a second asked for; 0 is the camera's own
	open   func(path string, rate float64) (videoDevice, videoFormat, error)
	device videoDevice // nil while it is not open
	format videoFormat
}

// A videoDevice is an open camera. Frames are in buffers that are shared with the kernel
// until they are released.
type videoDevice interface {
	// WaitForFrame waits so many seconds.
	WaitForFrame(seconds uint32) error
	// GetFrame gives the oldest frame that has not been taken, and its buffer, or an
	// error for which errNoFrame is true where there is none.
	GetFrame() ([]byte, uint32, error)
	ReleaseFrame(buffer uint32) error
	Close() error
}

// A videoFormat is what the bytes of a frame mean.
type videoFormat struct {
	jpeg          bool // else YUYV
	width, height int
}

func newCamera(path string, o SourceOptions) *camera {
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

// Next implements Source. It looks at the end of ctx once a second.
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
		if time.Since(start) > patience {
			return Frame{}, fmt.Errorf("no frame for %v", patience)
		}
		if err := c.device.WaitForFrame(1); err != nil && !isTimeout(err) {
			return Frame{}, err
		}
	}
}

// newest copies the newest frame out of its buffer; nil is none. Older ones, that nobody
// asked for, go back.
func (c *camera) newest() ([]byte, error) {
	var newest []byte
	for {
		raw, buffer, err := c.device.GetFrame()
		if err != nil && errNoFrame(err) {
			return newest, nil
		}
		if err != nil {
			return nil, err
		}
		if len(raw) > 0 { // a frame that was spoilt on its way has no bytes
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
	// The rows have no padding, or all the same.
	stride := max(len(raw)/max(c.format.height, 1), 2*c.format.width)
	img, err := dataset.YUYV(raw, c.format.width, c.format.height, stride)
	if err != nil {
		return Frame{}, err
	}
	f.Image = img
	return f, nil
}

// withHuffmanTables puts the usual Huffman tables (T.81 annex K.3) into a JPEG that has
// none. Many cameras leave them out, as "MJPG" allows.
func withHuffmanTables(picture []byte) []byte {
	for at := 2; at+4 <= len(picture) && picture[at] == 0xff; {
		marker, size := picture[at+1], 2+int(binary.BigEndian.Uint16(picture[at+2:]))
		switch marker {
		case 0xc4: // DHT
			return picture
		case 0xda: // SOS
			return bytes.Join([][]byte{picture[:at], huffmanTables(), picture[at:]}, nil)
		}
		at += size
	}
	return picture
}

// huffmanTables are the DHT segments of what image/jpeg writes, which are the usual ones.
var huffmanTables = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 1, 1)), nil); err != nil {
		return nil
	}
	var tables []byte
	for p := b.Bytes()[2:]; len(p) > 4 && p[0] == 0xff && p[1] != 0xda; {
		segment := p[:2+int(binary.BigEndian.Uint16(p[2:]))]
		if segment[1] == 0xc4 {
			tables = append(tables, segment...)
		}
		p = p[len(segment):]
	}
	return tables
})
