package serve

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"time"
)

const (
	// maxStreams limits the number of open streams. Picture and event streams both count.
	maxStreams = 64
	// maxHead limits the header of a request, in bytes.
	maxHead = 16 << 10
	// headSlack is the number of bytes that net/http reads beyond MaxHeaderBytes
	// (net/http/server.go, initialReadLimitSize).
	headSlack = 4 << 10
	// maxJSON limits a JSON request body, in bytes.
	maxJSON = 64 << 10
	// idleTimeout is the time after which a connection without requests is closed.
	idleTimeout = time.Minute
)

// timeouts limit the time that clients may take to send the header of a request, to send its
// body, and to read a response or one part of a stream.
type timeouts struct{ head, body, write time.Duration }

// httpLimits limits the time, memory and processor time that clients use.
type httpLimits struct {
	timeouts timeouts
	bodies   *bodyMemory
	decoding chan struct{} // holds a value per photo being decoded
	streams  chan struct{} // holds a value per open stream
}

func newHTTPLimits() *httpLimits {
	return &httpLimits{
		timeouts: timeouts{head: 5 * time.Second, body: 10 * time.Second, write: 5 * time.Second},
		bodies:   newBodyMemory(),
		decoding: make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1)),
		streams:  make(chan struct{}, maxStreams),
	}
}

// enterStream admits a stream unless too many are open.
func (l *httpLimits) enterStream() (leave func(), err error) {
	select {
	case l.streams <- struct{}{}:
		return func() { <-l.streams }, nil
	default:
		return nil, refused{http.StatusServiceUnavailable, fmt.Errorf("all %d streams are in use", cap(l.streams)), "close a page that shows the camera"}
	}
}

// enterDecoding waits until the number of photos being decoded is below the limit.
func (l *httpLimits) enterDecoding(ctx context.Context) (leave func(), err error) {
	select {
	case l.decoding <- struct{}{}:
		return func() { <-l.decoding }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
