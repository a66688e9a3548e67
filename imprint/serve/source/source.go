// Package source reads frames from cameras, MJPEG streams, snapshots on web servers, folders of
// photos and Donkey Car tubs. [Parse] turns a name such as camera:/dev/video0 into a [Source]; then call
// Next once per frame.
//
// A Source serves one goroutine at a time and recovers by itself: after an error, the
// next call to Next reopens the device or connection.
package source

import (
	"context"
	"errors"
	"fmt"
	"image"
	"strings"
	"time"
)

// A Frame is one picture from a [Source]. It belongs to the caller of Next; the source keeps no
// reference to its contents.
type Frame struct {
	// Captured is when the picture was taken, as precisely as the source knows.
	Captured time.Time
	// Photo is the encoded picture, in any format that package dataset reads. It is not decoded
	// yet, because most frames of a fast camera are dropped.
	Photo []byte
	// Image holds the pixels when Photo is nil.
	Image image.Image
	// Name identifies a replayed picture, for example by its path. It is empty for a live
	// camera.
	Name string
}

// A Source delivers frames from a camera, a stream or a recording. Only one goroutine may
// use it at a time.
type Source interface {
	// Next waits for the next frame. The first call opens the source. It returns io.EOF at the end
	// of a recording. After any other error the caller waits briefly and calls Next again, which
	// reopens the source if necessary. A live source drops frames that nobody requested in time, so
	// Next returns a current frame.
	Next(ctx context.Context) (Frame, error)
	// Close releases the source. It must not be called during Next.
	Close() error
	// String returns the name that Parse accepts, without any password.
	fmt.Stringer
}

// Options control how recordings are replayed, and how often snapshots are read.
type Options struct {
	Rate float64 // frames per second; 0 means the source's own rate, or 1 for snapshots
	Loop bool    // start over at the end
}

// ErrSpec means that the name of a source is invalid.
var ErrSpec = errors.New("invalid source")

// maxRate is the largest rate that Parse accepts, in frames per second.
const maxRate = 1000

// Parse returns the source named by spec: camera:DEVICE, mjpeg:URL, folder:DIR, tub:DIR, none, or
// the http or https URL of a snapshot. For none, it returns nil. It opens nothing. Its errors wrap [ErrSpec].
func Parse(spec string, o Options) (Source, error) {
	if o.Rate < 0 || o.Rate > maxRate {
		return nil, fmt.Errorf("%w: %v frames per second is outside 0 to %d", ErrSpec, o.Rate, maxRate)
	}
	kind, where, _ := strings.Cut(spec, ":")
	if kind == "none" && where == "" {
		return nil, nil
	}
	if where != "" {
		switch kind {
		case "folder":
			return newFolder(where, o), nil
		case "tub":
			return newTub(where, o), nil
		case "mjpeg":
			return newMJPEG(where)
		case "http", "https":
			return newSnapshot(spec, o)
		case "camera":
			// A number or a URL would be opened as a file, which never exists.
			if strings.Trim(where, "0123456789") != "" && !strings.Contains(where, "://") {
				return newCamera(where, o), nil
			}
		}
	}
	return nil, fmt.Errorf("%w %q: want camera:DEVICE, mjpeg:URL, the URL of a snapshot, folder:DIR, tub:DIR or none", ErrSpec, masked(spec))
}

// masked returns a source's name without the user and password of a URL, which may be invalid.
func masked(spec string) string {
	start, end := strings.Index(spec, "//"), strings.LastIndex(spec, "@")
	if start < 0 || end < start {
		return spec
	}
	return spec[:start+2] + "…" + spec[end:]
}
