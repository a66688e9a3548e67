package serve

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
	// patience is after how long without a frame a camera counts as gone.
	patience = 5 * time.Second
	// maxPicture is the largest that a camera may send, in bytes.
	maxPicture = 16 << 20
)

// mjpeg is a camera that sends its pictures over HTTP, as network cameras and a Donkey
// Car's /video do. While it is open a goroutine reads it, so that a reader which comes
// late gets what is seen now and not what the network had kept.
type mjpeg struct {
	url     *url.URL
	client  *http.Client
	patient time.Duration

	stop   context.CancelFunc // nil while it is not open
	latest chan Frame         // at most one
	failed chan error         // why the goroutine ended
	ended  sync.WaitGroup
}

func newMJPEG(where string) (Source, error) {
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w mjpeg:%s: it is no address like http://car.local:8887/video", ErrSource, where)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = patience
	transport.DisableKeepAlives = true // a stream is never read to its end
	return &mjpeg{url: u, client: &http.Client{Transport: transport}, patient: patience}, nil
}

// String leaves a password out.
func (m *mjpeg) String() string { return "mjpeg:" + m.url.Redacted() }

func (m *mjpeg) Close() error {
	if m.stop != nil {
		m.stop()
		m.ended.Wait()
		m.stop = nil
	}
	return nil
}

// Next implements Source.
func (m *mjpeg) Next(ctx context.Context) (Frame, error) {
	if m.stop == nil {
		m.open()
	}
	late := time.NewTimer(m.patient)
	defer late.Stop()
	var err error
	select {
	case f := <-m.latest:
		return f, nil
	case <-ctx.Done():
		return Frame{}, ctx.Err()
	case err = <-m.failed:
	case <-late.C:
		err = fmt.Errorf("no picture for %v", m.patient)
	}
	m.Close()
	return Frame{}, fmt.Errorf("camera %s: %w", m.url.Redacted(), err)
}

func (m *mjpeg) open() {
	ctx, stop := context.WithCancel(context.Background())
	m.stop, m.latest, m.failed = stop, make(chan Frame, 1), make(chan error, 1)
	m.ended.Go(func() { m.failed <- m.read(ctx) })
}

// read keeps the latest picture until the stream ends. It ends with ctx.
func (m *mjpeg) read(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url.String(), nil)
	if err != nil {
		return err
	}
	response, err := m.client.Do(request)
	if err != nil {
		if u, ok := err.(*url.Error); ok {
			err = u.Err // the rest is said already
		}
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: it answers %s", dataset.ErrStream, response.Status)
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
		case <-m.latest: // nobody asked for it
		default:
		}
		m.latest <- Frame{Captured: time.Now(), Photo: picture}
	}
}
