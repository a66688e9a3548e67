package source

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/dataset"
)

// snapshotFrom returns a source for a server.
func snapshotFrom(t *testing.T, handle http.HandlerFunc) *snapshot {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	s := parse(t, server.URL+"/shot.jpg", Options{Rate: 1000}).(*snapshot)
	t.Cleanup(func() { s.Close() })
	return s
}

// TestSnapshot reads pictures of which each is served twice. The second answer is 304.
func TestSnapshot(t *testing.T) {
	requests := make(chan int, 1)
	requests <- 0
	unchanged := make(chan struct{}, 10)
	s := snapshotFrom(t, func(w http.ResponseWriter, r *http.Request) {
		n := <-requests
		requests <- n + 1
		picture := []string{"first", "second"}[n/2%2]
		w.Header().Set("ETag", `"`+picture+`"`)
		w.Header().Set("Last-Modified", "Mon, 30 Nov 2026 09:00:00 GMT")
		if r.Header.Get("If-None-Match") == `"`+picture+`"` {
			if r.Header.Get("If-Modified-Since") != "Mon, 30 Nov 2026 09:00:00 GMT" {
				t.Errorf("got header %v", r.Header)
			}
			unchanged <- struct{}{}
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write([]byte(picture))
	})
	var before time.Time
	for _, want := range []string{"first", "first", "second", "second", "first"} {
		f, err := s.Next(context.Background())
		if err != nil || string(f.Photo) != want || f.Captured.Before(before) {
			t.Errorf("got %q of %v, %v, want %q", f.Photo, f.Captured, err, want)
		}
		before = f.Captured
	}
	if len(unchanged) != 2 {
		t.Errorf("got %d answers without a picture, want 2", len(unchanged))
	}
}

// TestSnapshotFails checks what servers may send instead of a picture. After each, the next picture is
// read.
func TestSnapshotFails(t *testing.T) {
	for _, c := range []struct {
		name, want string
		is         error
		handle     http.HandlerFunc
	}{
		{"status", "the server answered 503 Service Unavailable", nil, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }},
		{"page", "the server sent a page", dataset.ErrFormat, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) }},
		{"stream", "put mjpeg: before the URL", nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=b")
		}},
		{"size", "more than 16777216 bytes", dataset.ErrTooLarge, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "image/jpeg")
			w.Write(bytes.Repeat([]byte("x"), maxPicture+1))
		}},
		{"cut", "unexpected EOF", nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "image/jpeg")
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("x"))
		}},
		{"not modified", "the server answered 304 Not Modified", nil, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotModified) }},
	} {
		fails := make(chan bool, 2)
		fails <- true
		fails <- false
		s := snapshotFrom(t, func(w http.ResponseWriter, r *http.Request) {
			if <-fails {
				c.handle(w, r)
			} else {
				w.Write([]byte{0xff, 0xd8})
			}
		})
		if _, err := s.Next(context.Background()); err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
		if f, err := s.Next(context.Background()); err != nil || len(f.Photo) != 2 {
			t.Errorf("%s: then got %q, %v", c.name, f.Photo, err)
		}
	}
}

// TestSnapshotSilent checks that a server that never answers does not hold up the source.
func TestSnapshotSilent(t *testing.T) {
	s := snapshotFrom(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.timeout = time.Millisecond
	if _, err := s.Next(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want a timeout", err)
	}
	if _, err := s.Next(canceled()); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want Canceled", err)
	}
}
