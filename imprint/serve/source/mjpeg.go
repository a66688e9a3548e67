package source

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/imprintkit/imprint/dataset"
)

const (
	// frameTimeout is the time without a frame after which a camera counts as lost.
	frameTimeout = 5 * time.Second
	// maxPicture limits one picture of a stream, in bytes.
	maxPicture = 16 << 20
)

// mjpeg is the Source for JPEGs that are streamed over HTTP, as network cameras and Donkey Car's
// /video do. While the stream is open, a goroutine keeps reading it, so that a slow caller gets the
// current picture and not an older picture from a network buffer.
type mjpeg struct {
	url     *url.URL // without user and password
	name    string   // the URL with the password masked
	client  *http.Client
	timeout time.Duration // longest time between pictures

	stop   context.CancelFunc // nil while closed
	latest chan Frame         // holds at most one frame
	failed chan error         // receives the goroutine's error
	reader sync.WaitGroup
}

func newMJPEG(where string) (Source, error) {
	u, client, err := newHTTPCamera("mjpeg:", where)
	if err != nil {
		return nil, err
	}
	client.Transport.(login).RoundTripper.(*http.Transport).DisableKeepAlives = true // a stream never ends, so its connection can't be reused
	return &mjpeg{url: anonymous(u), name: u.Redacted(), client: client, timeout: frameTimeout}, nil
}

func (m *mjpeg) String() string { return "mjpeg:" + m.name }

func (m *mjpeg) Close() error {
	if m.stop != nil {
		m.stop()
		m.reader.Wait()
		m.stop = nil
	}
	return nil
}

// Next implements Source.
func (m *mjpeg) Next(ctx context.Context) (Frame, error) {
	if m.stop == nil {
		m.open()
	}
	late := time.NewTimer(m.timeout)
	defer late.Stop()
	var err error
	select {
	case f := <-m.latest:
		return f, nil
	case <-ctx.Done():
		return Frame{}, ctx.Err()
	case err = <-m.failed:
	case <-late.C:
		err = fmt.Errorf("no picture for %v", m.timeout)
	}
	m.Close()
	return Frame{}, fmt.Errorf("camera %s: %w", m.name, err)
}

func (m *mjpeg) open() {
	ctx, stop := context.WithCancel(context.Background())
	m.stop, m.latest, m.failed = stop, make(chan Frame, 1), make(chan error, 1)
	m.reader.Go(func() { m.failed <- m.read(ctx) })
}

// read keeps the latest picture until the stream or ctx ends.
func (m *mjpeg) read(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url.String(), nil)
	if err != nil {
		return err
	}
	response, err := m.client.Do(request)
	if err != nil {
		if u, ok := err.(*url.Error); ok {
			err = u.Err // Next adds the URL
		}
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: the server answered %s", dataset.ErrStream, response.Status)
	}
	stream, err := dataset.NewStream(response.Body, response.Header.Get("Content-Type"), dataset.Limits{MaxBytes: maxPicture})
	if err != nil {
		return err
	}
	for {
		picture, err := stream.Next()
		if err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		select {
		case <-m.latest: // replace the unread picture
		default:
		}
		m.latest <- Frame{Captured: time.Now(), Photo: picture}
	}
}
