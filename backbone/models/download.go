package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// attempts is how often in a row a download may fail without having come any further.
const attempts = 4

// longestPause is how long a server may send nothing, whether before its answer or within.
const longestPause = 30 * time.Second

var (
	errStalled  = errors.New("the server has stopped sending")
	errInsecure = errors.New("redirected away from https")
)

// temporary marks failures after which trying again makes sense.
type temporary struct{ error }

func (t temporary) Unwrap() error { return t.error }

// client returns the HTTP client for one pull, and what to call after it.
func (s Store) client() (client *http.Client, done func()) {
	var c http.Client
	done = func() {}
	if s.Client != nil {
		c = *s.Client
	} else {
		transport := &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout: 15 * time.Second,
			ForceAttemptHTTP2:   true,
		}
		c.Transport, done = transport, transport.CloseIdleConnections
	}
	follow := c.CheckRedirect
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		// A server on this machine may send us on to itself, as those of the tests do.
		onThisMachine := isLoopback(req.URL) && isLoopback(via[0].URL)
		if req.URL.Scheme != "https" && !onThisMachine {
			return fmt.Errorf("%w to %s", errInsecure, req.URL.Redacted())
		}
		if follow != nil {
			return follow(req, via)
		}
		if len(via) >= 10 {
			return errors.New("redirected 10 times")
		}
		return nil
	}
	return &c, done
}

func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// download brings one model to path. Its owner holds the lock on path.
type download struct {
	model    Published
	url      string
	path     string
	client   *http.Client
	progress func(done, total int64)
	backoff  time.Duration // before the first retry; doubled for each that follows

	part   *os.File // path + ".part"
	offset int64    // bytes in part worth keeping, over retries and runs; 0 also when they turned out to be wrong
}

// run fetches, checks and publishes the file.
func (d *download) run(ctx context.Context) (err error) {
	d.part, err = os.OpenFile(d.path+".part", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	err = d.fill(ctx)
	if err == nil {
		if err = checkFile(d.part, d.model); errors.Is(err, ErrContent) {
			d.offset = 0
		}
	}
	if err == nil {
		err = d.part.Sync()
	}
	if closeErr := d.part.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(d.part.Name(), d.path)
	}
	if err == nil {
		os.Remove(d.tagPath())
		return syncDir(filepath.Dir(d.path))
	}
	if d.offset == 0 {
		os.Remove(d.part.Name())
		os.Remove(d.tagPath())
	}
	return err
}

// fill requests the rest of the file until the part has all bytes, trying again after failures that may pass.
func (d *download) fill(ctx context.Context) error {
	var err error
	if d.offset, err = d.part.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if n := d.offset; n > d.model.Size {
		d.offset = 0
		return fmt.Errorf("%s: %w: %d bytes, more than %d", d.part.Name(), ErrContent, n, d.model.Size)
	}
	// Coming further clears the record, so that a bad line gets all the retries it needs. Further than ever before:
	// a server that always starts anew and always breaks off must not keep us for ever.
	furthest, failures := d.offset, 0
	for d.offset < d.model.Size {
		err := d.request(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.offset > furthest {
			furthest, failures = d.offset, 0
		}
		failures++
		if !errors.As(err, new(temporary)) || failures == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(d.backoff << (failures - 1)):
		}
	}
	return nil
}

// request makes one request for what is missing and appends what comes. It returns nil when the part is complete.
func (d *download) request(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(longestPause, func() { cancel(errStalled) })
	defer watch.Stop()
	// broken is a failure of the line; the context knows better than the error whether it was a stall.
	broken := func(err error) error {
		if errors.Is(context.Cause(ctx), errStalled) {
			err = fmt.Errorf("get %s: %w", d.url, errStalled)
		}
		return temporary{err}
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return err
	}
	// Ranges and tags are those of the plain file; a compressed answer could not be continued.
	req.Header.Set("Accept-Encoding", "identity")
	if d.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.offset))
		// Without a tag the sum at the end still tells when the two halves do not belong together.
		if tag, err := os.ReadFile(d.tagPath()); err == nil && len(tag) > 0 {
			req.Header.Set("If-Range", string(tag))
		}
	}
	resp, err := d.client.Do(req)
	if errors.Is(err, errInsecure) {
		return err
	} else if err != nil {
		return broken(err)
	}
	defer resp.Body.Close()
	if err := d.accept(resp); err != nil {
		return err
	}

	buf := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		watch.Reset(longestPause)
		if d.offset+int64(n) > d.model.Size {
			d.offset = 0
			return fmt.Errorf("get %s: %w: more than %d bytes", d.url, ErrContent, d.model.Size)
		}
		if n > 0 {
			written, err := d.part.Write(buf[:n])
			d.offset += int64(written)
			if err != nil {
				return fmt.Errorf("%w (%d of %d bytes are there)", err, d.offset, d.model.Size)
			}
			if d.progress != nil {
				d.progress(d.offset, d.model.Size)
			}
		}
		if err == io.EOF {
			break
		} else if err != nil {
			return broken(fmt.Errorf("get %s: after %d of %d bytes: %w", d.url, d.offset, d.model.Size, err))
		}
	}
	if d.offset < d.model.Size {
		return broken(fmt.Errorf("get %s: after %d of %d bytes: %w", d.url, d.offset, d.model.Size, io.ErrUnexpectedEOF))
	}
	return nil
}

// accept looks at the head of an answer and makes the part ready for its body: as it is when the server continues,
// empty when it starts anew. RFC 9110, sections 13.1.5 and 14.
func (d *download) accept(resp *http.Response) error {
	failed := fmt.Errorf("get %s: %s", d.url, resp.Status)
	switch code := resp.StatusCode; {
	case code == http.StatusOK || code == http.StatusPartialContent:
	case code == http.StatusRequestedRangeNotSatisfiable:
		return d.restartAfter(failed)
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return temporary{failed}
	default:
		return failed
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fmt.Errorf("get %s: the server insists on Content-Encoding %s", d.url, encoding)
	}
	if resp.StatusCode == http.StatusPartialContent {
		where := resp.Header.Get("Content-Range")
		if !strings.HasPrefix(where, fmt.Sprintf("bytes %d-", d.offset)) {
			return d.restartAfter(fmt.Errorf("get %s: asked for bytes from %d, got %q", d.url, d.offset, where))
		}
		return nil
	}
	if n := resp.ContentLength; n >= 0 && n != d.model.Size {
		return fmt.Errorf("get %s: %w: %d bytes, not %d", d.url, ErrContent, n, d.model.Size)
	}
	if err := d.restart(); err != nil {
		return err
	}
	// A weak tag promises too little to put two halves together.
	if tag := resp.Header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return os.WriteFile(d.tagPath(), []byte(tag), 0o644)
	}
	return nil
}

// restart empties the part.
func (d *download) restart() error {
	if err := os.Remove(d.tagPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if d.offset == 0 {
		return nil
	}
	d.offset = 0
	if err := d.part.Truncate(0); err != nil {
		return err
	}
	_, err := d.part.Seek(0, io.SeekStart)
	return err
}

// restartAfter empties the part so that the next try begins at the first byte.
func (d *download) restartAfter(failure error) error {
	if err := d.restart(); err != nil {
		return err
	}
	return temporary{failure}
}

// tagPath is where the server's tag for the bytes in the part is kept.
func (d *download) tagPath() string { return d.path + ".part.etag" }
