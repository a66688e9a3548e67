package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/imprintkit/imprint/dataset"
)

// snapshotRate is the number of snapshots per second, unless Options say otherwise.
const snapshotRate = 1

// snapshot is the Source for a picture that a web server renews. It asks for it again and again, in
// a way that costs little if the picture is still the same (RFC 9110, section 13.1).
type snapshot struct {
	url     *url.URL // without user and password
	name    string   // the URL with the password masked
	client  *http.Client
	timeout time.Duration // limits one request
	period  time.Duration

	due    time.Time   // of the next request
	latest []byte      // nil before the first picture
	header http.Header // makes a request conditional on the picture being newer than latest
}

func newSnapshot(where string, o Options) (Source, error) {
	u, client, err := newHTTPCamera("", where)
	if err != nil {
		return nil, err
	}
	rate := o.Rate
	if rate == 0 {
		rate = snapshotRate
	}
	return &snapshot{url: anonymous(u), name: u.Redacted(), client: client, timeout: 2 * frameTimeout, period: time.Duration(float64(time.Second) / rate)}, nil
}

func (s *snapshot) String() string { return s.name }

func (s *snapshot) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Next implements Source. If the picture has not changed, Next returns it once more, because the
// camera still sees it.
func (s *snapshot) Next(ctx context.Context) (Frame, error) {
	wait := time.NewTimer(time.Until(s.due))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return Frame{}, ctx.Err()
	}
	now := time.Now()
	if s.due = s.due.Add(s.period); s.due.Before(now) {
		s.due = now.Add(s.period)
	}
	if err := s.read(ctx); err != nil {
		if ctx.Err() != nil {
			return Frame{}, ctx.Err()
		}
		return Frame{}, fmt.Errorf("camera %s: %w", s.name, err)
	}
	return Frame{Captured: now, Photo: bytes.Clone(s.latest)}, nil
}

// read brings latest up to date.
func (s *snapshot) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		return err
	}
	if s.header != nil {
		request.Header = s.header.Clone()
	}
	response, err := s.client.Do(request)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // Next adds the URL
		}
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		if s.latest != nil {
			return nil
		}
		fallthrough
	default:
		io.CopyN(io.Discard, response.Body, 1<<10) // so that the connection can be used again
		return fmt.Errorf("the server answered %s", response.Status)
	}
	// A server may give any type, or none, to a picture. It is decoded later.
	switch kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); {
	case kind == "multipart/x-mixed-replace":
		return fmt.Errorf("the server sends an MJPEG stream, not a picture: put mjpeg: before the URL")
	case kind == "text/html":
		return fmt.Errorf("%w: the server sent a page", dataset.ErrFormat)
	}
	photo, err := io.ReadAll(io.LimitReader(response.Body, maxPicture+1))
	if err != nil {
		return err
	}
	if len(photo) > maxPicture {
		return fmt.Errorf("%w: more than %d bytes", dataset.ErrTooLarge, maxPicture)
	}
	s.latest, s.header = photo, make(http.Header)
	for condition, from := range map[string]string{"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"} {
		if v := response.Header.Get(from); v != "" {
			s.header.Set(condition, v)
		}
	}
	return nil
}
