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

	"github.com/imprintkit/imprint/backbone/models/filelock"
)

// maxAttempts is the maximum number of consecutive attempts without progress.
const maxAttempts = 4

// stallTimeout is the maximum time for which a server may send no data, before or during
// its response.
const stallTimeout = 30 * time.Second

var (
	errStalled  = errors.New("the server stopped sending")
	errInsecure = errors.New("redirected away from https")
)

// temporary marks an error after which another attempt may succeed.
type temporary struct{ error }

func (t temporary) Unwrap() error { return t.error }

// client returns the HTTP client for one pull, and a function to call when the pull has
// ended.
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
		// A local server, such as a test's, may redirect to itself over http.
		local := isLoopback(req.URL) && isLoopback(via[0].URL)
		if req.URL.Scheme != "https" && !local {
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

// A download fetches one model to path. Its owner holds the lock on path.
type download struct {
	model    Published
	url      string
	path     string
	client   *http.Client
	progress func(done, total int64)
	backoff  time.Duration // before the first retry; doubles with each retry

	part   *os.File // path + ".part"
	offset int64    // bytes of part to keep for a retry or the next run; 0 if they are wrong
}

// run downloads the file, checks it and renames it to path.
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
		return filelock.SyncDir(filepath.Dir(d.path))
	}
	if d.offset == 0 {
		os.Remove(d.part.Name())
		os.Remove(d.tagPath())
	}
	return err
}

// fill requests the missing bytes until part is complete. It retries after temporary
// failures.
func (d *download) fill(ctx context.Context) error {
	var err error
	if d.offset, err = d.part.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if n := d.offset; n > d.model.Size {
		d.offset = 0
		return fmt.Errorf("%s: %w: %d bytes, more than %d", d.part.Name(), ErrContent, n, d.model.Size)
	}
	// Progress resets the failure count, so that a bad connection gets all the attempts
	// it needs. Only bytes beyond the furthest offset so far count as progress. Otherwise
	// a server that always starts over and breaks off would cause endless retries.
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
		if !errors.As(err, new(temporary)) || failures == maxAttempts {
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

// request makes one request for the missing bytes and appends them to part. It returns
// nil if part is complete afterwards.
func (d *download) request(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	deadline := time.AfterFunc(stallTimeout, func() { cancel(errStalled) })
	defer deadline.Stop()
	// broken marks a connection error as temporary. The cause of ctx tells whether the
	// connection stalled.
	broken := func(err error) error {
		if errors.Is(context.Cause(ctx), errStalled) {
			err = fmt.Errorf("get %s: %w", d.url, errStalled)
		}
		return temporary{err}
	}

	req, err := d.newRequest(ctx)
	if err != nil {
		return err
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
		deadline.Reset(stallTimeout)
		if err := d.append(buf[:n]); err != nil {
			return err
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

// newRequest returns a request for the bytes from offset on.
func (d *download) newRequest(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, err
	}
	// Ranges and tags refer to the uncompressed file.
	req.Header.Set("Accept-Encoding", "identity")
	if d.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.offset))
		// Without a tag, the final checksum detects a file made of parts of two files.
		if tag, err := os.ReadFile(d.tagPath()); err == nil && len(tag) > 0 {
			req.Header.Set("If-Range", string(tag))
		}
	}
	return req, nil
}

// append appends b to part and reports progress.
func (d *download) append(b []byte) error {
	if d.offset+int64(len(b)) > d.model.Size {
		d.offset = 0
		return fmt.Errorf("get %s: %w: more than %d bytes", d.url, ErrContent, d.model.Size)
	}
	if len(b) == 0 {
		return nil
	}
	n, err := d.part.Write(b)
	d.offset += int64(n)
	if err != nil {
		return fmt.Errorf("%w (after %d of %d bytes)", err, d.offset, d.model.Size)
	}
	if d.progress != nil {
		d.progress(d.offset, d.model.Size)
	}
	return nil
}

// accept checks the status and headers of a response and prepares part for its body:
// unchanged if the server resumes, empty if it starts over. See RFC 9110, sections
// 13.1.5 and 14.
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
			return d.restartAfter(fmt.Errorf("get %s: requested bytes from %d, got %q", d.url, d.offset, where))
		}
		return nil
	}
	if n := resp.ContentLength; n >= 0 && n != d.model.Size {
		return fmt.Errorf("get %s: %w: %d bytes, not %d", d.url, ErrContent, n, d.model.Size)
	}
	if err := d.restart(); err != nil {
		return err
	}
	// Files with the same weak tag may differ in some bytes, so they cannot be joined.
	if tag := resp.Header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return os.WriteFile(d.tagPath(), []byte(tag), 0o644)
	}
	return nil
}

// restart empties part and removes its tag.
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

// restartAfter empties part and returns failure, marked as temporary.
func (d *download) restartAfter(failure error) error {
	if err := d.restart(); err != nil {
		return err
	}
	return temporary{failure}
}

// tagPath returns the path of the file that holds the ETag of the bytes in part.
func (d *download) tagPath() string { return d.path + ".part.etag" }
