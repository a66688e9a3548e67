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
	"strconv"
	"strings"
	"time"

	"github.com/imprintkit/imprint/backbone/models/filelock"
)

// maxAttempts is the maximum number of consecutive download attempts that make no
// progress.
const maxAttempts = 4

// maxUnlisted is the maximum size of a file whose size is not in the list, in bytes.
const maxUnlisted = 64 << 20

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
	size     int64 // 0 until the server tells it, if the list does not
	client   *http.Client
	progress func(done, total int64)
	backoff  time.Duration // before the first retry; doubles with each retry

	part   *os.File // path + ".part"
	offset int64    // bytes of part to keep for a retry or the next run; 0 if the bytes are wrong
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
	if n := d.offset; d.size > 0 && n > d.size {
		d.offset = 0
		return fmt.Errorf("%s: %w: %d bytes, more than %d", d.part.Name(), ErrContent, n, d.size)
	}
	// Progress resets the failure count, so that a bad connection gets all the attempts
	// it needs. Only bytes beyond the furthest offset so far count as progress. Otherwise
	// a server that always starts over and breaks off would cause endless retries.
	furthest, failures := d.offset, 0
	for d.size == 0 || d.offset < d.size {
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
	// broken marks a connection error as temporary. context.Cause(ctx) shows whether the
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
			return broken(fmt.Errorf("get %s: after %d of %d bytes: %w", d.url, d.offset, d.size, err))
		}
	}
	if d.offset < d.size {
		return broken(fmt.Errorf("get %s: after %d of %d bytes: %w", d.url, d.offset, d.size, io.ErrUnexpectedEOF))
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
		// Without a tag, the final checksum detects a file that was joined from two
		// versions.
		if tag, err := os.ReadFile(d.tagPath()); err == nil && len(tag) > 0 {
			req.Header.Set("If-Range", string(tag))
		}
	}
	return req, nil
}

// append appends b to part and reports progress.
func (d *download) append(b []byte) error {
	if d.offset+int64(len(b)) > d.size {
		d.offset = 0
		return fmt.Errorf("get %s: %w: more than %d bytes", d.url, ErrContent, d.size)
	}
	if len(b) == 0 {
		return nil
	}
	n, err := d.part.Write(b)
	d.offset += int64(n)
	if err != nil {
		return fmt.Errorf("%w (after %d of %d bytes)", err, d.offset, d.size)
	}
	if d.progress != nil {
		d.progress(d.offset, d.size)
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
		if d.size > 0 {
			return nil
		}
		_, total, _ := strings.Cut(where, "/")
		n, err := strconv.ParseInt(total, 10, 64)
		if err != nil || n < d.offset {
			return d.restartAfter(fmt.Errorf("get %s: no size in the range %q", d.url, where))
		}
		return d.learnSize(n)
	}
	switch n := resp.ContentLength; {
	case d.size == 0:
		if err := d.learnSize(n); err != nil {
			return err
		}
	case n >= 0 && n != d.size:
		return fmt.Errorf("get %s: %w: %d bytes, not %d", d.url, ErrContent, n, d.size)
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

// learnSize takes the size of the file from the server. Its checksum is checked later.
func (d *download) learnSize(n int64) error {
	if n <= 0 || n > maxUnlisted {
		d.offset = 0
		return fmt.Errorf("get %s: %w: the server gives its size as %d bytes; the limit is %d", d.url, ErrContent, n, maxUnlisted)
	}
	d.size = n
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
