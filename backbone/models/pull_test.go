package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestPull(t *testing.T) {
	p, b := fixture()
	srv, s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { content(w, r, b, `"a"`) })
	var last, total int64
	calls := 0
	path, err := s.pull(t.Context(), p, func(done, of int64) {
		if done <= last {
			t.Errorf("progress went from %d to %d", last, done)
		}
		last, total = done, of
		calls++
	})
	wantPulled(t, s, path, err, b)
	if last != p.Size || total != p.Size || calls < 2 {
		t.Errorf("progress ended at %d of %d after %d calls, want %d of %d", last, total, calls, p.Size, p.Size)
	}
	first := srv.received()[0]
	if first.Get("Range") != "" || first.Get("If-Range") != "" || first.Get("Accept-Encoding") != "identity" {
		t.Errorf("first request has headers %v", first)
	}

	path, err = s.pull(t.Context(), p, nil)
	wantPulled(t, s, path, err, b)
	if n := len(srv.received()); n != 1 {
		t.Errorf("got %d requests, want 1: the second pull should make none", n)
	}

	if err := os.WriteFile(path, b[1:], 0o644); err != nil {
		t.Fatal(err)
	}
	path, err = s.pull(t.Context(), p, nil)
	wantPulled(t, s, path, err, b)
	if n := len(srv.received()); n != 2 {
		t.Errorf("got %d requests, want 2: a damaged file should be pulled again", n)
	}
}

func TestPullResumes(t *testing.T) {
	p, b := fixture()
	wrong := bytes.Repeat([]byte{1}, 1000)
	ignoreRange := func(_ int, w http.ResponseWriter, r *http.Request) { w.Write(b) }
	honest := func(_ int, w http.ResponseWriter, r *http.Request) { content(w, r, b, `"a"`) }
	tests := []struct {
		name        string
		part        []byte
		tag         string
		handle      func(n int, w http.ResponseWriter, r *http.Request)
		wantIfRange string
		requests    int
	}{
		{"same tag", b[:1000], `"a"`, honest, `"a"`, 1},
		{"another tag starts over", wrong, `"b"`, honest, `"b"`, 1},
		{"no tag", b[:1000], "", honest, "", 1},
		{"server ignores Range", wrong, `"a"`, ignoreRange, `"a"`, 1},
		{"part is complete", b, `"a"`, honest, "", 0},
		{"wrong range", b[:1000], `"a"`, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(b)-1, len(b)))
				w.WriteHeader(http.StatusPartialContent)
				return
			}
			honest(n, w, r)
		}, `"a"`, 2},
		{"range not satisfiable", b[:1000], `"a"`, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			honest(n, w, r)
		}, `"a"`, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv, s := serve(t, tt.handle)
			leaveBehind(t, s, tt.part, tt.tag)
			path, err := s.pull(t.Context(), p, nil)
			wantPulled(t, s, path, err, b)
			asked := srv.received()
			if len(asked) != tt.requests {
				t.Fatalf("got %d requests, want %d", len(asked), tt.requests)
			}
			if tt.requests == 0 {
				return
			}
			if got, want := asked[0].Get("Range"), fmt.Sprintf("bytes=%d-", len(tt.part)); got != want {
				t.Errorf("got Range %q, want %q", got, want)
			}
			if got := asked[0].Get("If-Range"); got != tt.wantIfRange {
				t.Errorf("got If-Range %q, want %q", got, tt.wantIfRange)
			}
			if tt.requests == 2 && asked[1].Get("Range") != "" {
				t.Errorf("second request still has Range %q", asked[1].Get("Range"))
			}
		})
	}
}

// TestPullResumesAfterEveryBreak checks that a pull succeeds if every attempt gets some
// bytes, however often the connection breaks.
func TestPullResumesAfterEveryBreak(t *testing.T) {
	p, b := fixture()
	const step = 20_000 // more breaks than maxAttempts
	srv, s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		var from int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("ETag", `"a"`)
		if from == 0 {
			breakOff(w, http.StatusOK, b[:step], len(b))
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		breakOff(w, http.StatusPartialContent, b[from:min(from+step, len(b))], len(b)-from)
	})
	path, err := s.pull(t.Context(), p, nil)
	wantPulled(t, s, path, err, b)
	if got, want := len(srv.received()), len(b)/step; got != want {
		t.Errorf("got %d requests, want %d", got, want)
	}
}

func TestPullRetries(t *testing.T) {
	p, b := fixture()
	for _, status := range []int{500, 502, 503, 429, 408} {
		srv, s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if n < maxAttempts {
				w.WriteHeader(status)
				return
			}
			content(w, r, b, `"a"`)
		})
		path, err := s.pull(t.Context(), p, nil)
		wantPulled(t, s, path, err, b)
		if n := len(srv.received()); n != maxAttempts {
			t.Errorf("status %d: got %d requests, want %d", status, n, maxAttempts)
		}
	}
}

func TestPullErrors(t *testing.T) {
	p, b := fixture()
	other := bytes.Clone(b)
	other[len(b)-1] ^= 1
	half := b[:len(b)/2]
	const partFile = "fixture.tflite.part"
	tests := []struct {
		name     string
		part     []byte // left by an earlier pull
		handle   func(w http.ResponseWriter, r *http.Request)
		content  bool // want ErrContent
		want     string
		requests int
		files    []string
	}{
		{name: "not found", requests: 1, want: "404 Not Found",
			handle: func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }},
		{name: "not found keeps the part", part: half, requests: 1, want: "404 Not Found", files: []string{partFile},
			handle: func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }},
		{name: "server error", requests: maxAttempts, want: "500 Internal Server Error",
			handle: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }},
		{name: "other content", requests: 1, content: true, want: "SHA-256",
			handle: func(w http.ResponseWriter, r *http.Request) { content(w, r, other, `"a"`) }},
		{name: "other content after the part", part: half, requests: 1, content: true, want: "SHA-256",
			handle: func(w http.ResponseWriter, r *http.Request) { content(w, r, other, `"a"`) }},
		{name: "other size keeps the part", part: half, requests: 1, content: true, want: "17 bytes, not 300000", files: []string{partFile},
			handle: func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "please log in! :)") }},
		{name: "longer than expected, no length given", requests: 1, content: true, want: "more than 300000 bytes",
			handle: func(w http.ResponseWriter, r *http.Request) { w.Write(b); w.(http.Flusher).Flush(); w.Write(b) }},
		{name: "part is too long", part: append(bytes.Clone(b), 0), requests: 0, content: true, want: "300001 bytes, more than 300000"},
		{name: "part is wrong", part: other, requests: 0, content: true, want: "SHA-256"},
		{name: "breaks off at the same half every time", requests: maxAttempts, want: "after 150000 of 300000 bytes", files: []string{partFile},
			handle: func(w http.ResponseWriter, r *http.Request) { breakOff(w, 200, half, len(b)) }},
		{name: "shorter than expected, no length given", requests: maxAttempts, want: "unexpected EOF", files: []string{partFile},
			handle: func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); w.Write(half) }},
		{name: "compressed", requests: 1, want: "Content-Encoding gzip",
			handle: func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Encoding", "gzip"); w.Write(b) }},
		{name: "redirected to http", requests: 1, want: "redirected away from https to http://192.0.2.1/",
			handle: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
			}},
		{name: "redirected forever", requests: 10 * maxAttempts, want: "redirected 10 times",
			handle: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv, s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { tt.handle(w, r) })
			if tt.part != nil {
				leaveBehind(t, s, tt.part, "")
			}
			_, err := s.pull(t.Context(), p, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrContent) != tt.content {
				t.Errorf("got error %v, want %q, ErrContent %v", err, tt.want, tt.content)
			}
			if n := len(srv.received()); n != tt.requests {
				t.Errorf("got %d requests, want %d", n, tt.requests)
			}
			if got := files(t, s); !slices.Equal(got, tt.files) {
				t.Errorf("files left: %v, want %v", got, tt.files)
			}
		})
	}
}

func TestPullFollowsLocalRedirect(t *testing.T) {
	p, b := fixture()
	srv, s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return
		}
		content(w, r, b, `"a"`)
	})
	path, err := s.pull(t.Context(), p, nil)
	wantPulled(t, s, path, err, b)
	if n := len(srv.received()); n != 2 {
		t.Errorf("got %d requests, want 2", n)
	}
}

func TestPullOffline(t *testing.T) {
	p, _ := fixture()
	srv, s := serve(t, func(int, http.ResponseWriter, *http.Request) {})
	srv.Close()
	_, err := s.pull(t.Context(), p, nil)
	if err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("got error %v, want a refused connection", err)
	}
	if got := files(t, s); len(got) != 0 {
		t.Errorf("files left: %v", got)
	}
}

func TestPullCancelled(t *testing.T) {
	p, b := fixture()
	srv, s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n > 1 {
			content(w, r, b, `"a"`)
			return
		}
		w.Header().Set("ETag", `"a"`)
		w.Write(b[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	// The pull must not keep bytes of another version after the first bytes of this one.
	leaveBehind(t, s, bytes.Repeat([]byte{1}, 2000), `"b"`)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	_, err := s.pull(ctx, p, func(done, total int64) { cancel(enough) })
	if !errors.Is(err, enough) {
		t.Fatalf("got error %v, want %v", err, enough)
	}
	if got, want := files(t, s), []string{"fixture.tflite.part", "fixture.tflite.part.etag"}; !slices.Equal(got, want) {
		t.Fatalf("files left: %v, want %v", got, want)
	}

	path, err := s.pull(t.Context(), p, nil)
	wantPulled(t, s, path, err, b)
	if last := srv.received()[1]; last.Get("Range") != "bytes=1000-" || last.Get("If-Range") != `"a"` {
		t.Errorf("the next pull has headers %v, want Range bytes=1000- and If-Range \"a\"", last)
	}
}

func TestPullIgnoresWeakTag(t *testing.T) {
	p, b := fixture()
	srv, s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `W/"a"`)
		if n == 1 {
			breakOff(w, http.StatusOK, b[:1000], len(b))
		}
		content(w, r, b, `W/"a"`)
	})
	path, err := s.pull(t.Context(), p, nil)
	wantPulled(t, s, path, err, b)
	if last := srv.received()[1]; last.Get("Range") != "bytes=1000-" || last.Get("If-Range") != "" {
		t.Errorf("second request has headers %v, want Range bytes=1000- and no If-Range", last)
	}
}

func TestPullClosesConnections(t *testing.T) {
	p, b := fixture()
	_, s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { content(w, r, b, `"a"`) })
	before := goleak.IgnoreCurrent()
	path, err := s.pull(t.Context(), p, nil)
	wantPulled(t, s, path, err, b)
	goleak.VerifyNone(t, before)
}

func TestConcurrentPulls(t *testing.T) {
	p, b := fixture()
	srv, s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { content(w, r, b, `"a"`) })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := s.pull(t.Context(), p, nil)
			if err == nil {
				err = check(path, p)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(srv.received()); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
}

func TestPullLockTimeout(t *testing.T) {
	p, _ := fixture()
	_, s := serve(t, func(int, http.ResponseWriter, *http.Request) { t.Error("request without the lock") })
	leaveBehind(t, s, nil, "")
	unlock, err := lock(t.Context(), filepath.Join(s.Dir, "fixture.tflite.lock"), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.pull(ctx, p, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestPullDiskFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	p, b := fixture()
	_, s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { content(w, r, b, `"a"`) })
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(s.Dir, "fixture.tflite.part")); err != nil {
		t.Fatal(err)
	}
	_, err := s.pull(t.Context(), p, nil)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want %v", err, syscall.ENOSPC)
	}
}
