package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	atOnce   = 4
	attempts = 4
	// maxFailures is the number of failed downloads after which the program gives up if no download has succeeded, for
	// example without a network. It is also the maximum number of errors reported.
	maxFailures = 8
	// attemptTimeout is the time limit for one attempt. The largest file has 4 MB.
	attemptTimeout = 5 * time.Minute
)

// downloader downloads files into a folder.
type downloader struct {
	folder string
	server string // replaces the scheme and host of every URL, unless it is ""
	client *http.Client
	log    func(string)
	pause  time.Duration // time before the second attempt, doubled before each further one; 0 means a second
}

// all downloads every file that is missing or has the wrong checksum. It continues after a failure and returns the
// first maxFailures errors, joined.
func (d *downloader) all(ctx context.Context, files []*file) error {
	var mu sync.Mutex
	var failed []error
	arrived := false
	hopeless := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return !arrived && len(failed) >= maxFailures
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, f := range files {
		if ctx.Err() != nil || hopeless() {
			break
		}
		group.Go(func() error {
			err := d.one(ctx, f)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", f.path, err))
			} else {
				arrived = true
			}
			return nil
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if n := len(failed) - maxFailures; n > 0 {
		failed = append(failed[:maxFailures], fmt.Errorf("and %d more", n))
	}
	return errors.Join(failed...)
}

func (d *downloader) one(ctx context.Context, f *file) error {
	path := filepath.Join(d.folder, filepath.FromSlash(f.path))
	if b, err := os.ReadFile(path); err == nil && sum(b) == f.sha256 {
		return nil
	}
	from := f.url
	if d.server != "" {
		u, err := url.Parse(f.url)
		if err != nil {
			return err
		}
		from = d.server + u.Path
	}
	pause := d.pause
	if pause == 0 {
		pause = time.Second
	}
	for attempt := 1; ; attempt++ {
		b, again, err := d.get(ctx, from, f.size)
		if err == nil {
			if sum(b) != f.sha256 {
				return fmt.Errorf("%s has SHA-256 %s, want %s", from, sum(b), f.sha256)
			}
			d.log(f.path)
			return write(path, b)
		}
		if !again || attempt == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause << (attempt - 1)):
		}
	}
}

// get returns the content of a URL. The content must have size bytes. again reports whether a retry may succeed.
func (d *downloader) get(ctx context.Context, from string, size int64) (b []byte, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, false, err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, true, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		again := resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
		return nil, again, fmt.Errorf("get %s: %s", from, resp.Status)
	}
	b, err = io.ReadAll(io.LimitReader(resp.Body, size+1))
	if err != nil {
		return nil, true, err
	}
	if int64(len(b)) != size {
		return nil, int64(len(b)) < size, fmt.Errorf("%s does not have %d bytes", from, size)
	}
	return b, false, nil
}

// write creates the folders of path and writes the file atomically.
func write(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) // fails if the file has been renamed
	_, err = part.Write(b)
	if err == nil {
		err = part.Chmod(0o644)
	}
	if closeErr := part.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(part.Name(), path)
	}
	return err
}
