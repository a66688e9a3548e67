package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/dataset"
)

// streamFrom returns a source for a server that answers the n-th request with handlers[n], and all
// further requests with the last handler.
func streamFrom(t *testing.T, handlers ...http.HandlerFunc) *mjpeg {
	t.Helper()
	requests := make(chan int, 1)
	requests <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := <-requests
		requests <- n + 1
		handlers[min(n, len(handlers)-1)](w, r)
	}))
	t.Cleanup(server.Close)
	s, err := newMJPEG(server.URL + "/video")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*mjpeg)
}

// donkeyVideo sends pictures as donkeycar 5.3 does, then keeps the connection open.
func donkeyVideo(pictures ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "multipart/x-mixed-replace;boundary=--boundarydonotcross")
		for _, p := range pictures {
			fmt.Fprintf(w, "--boundarydonotcross\nContent-type: image/jpeg\r\nContent-length: %d\r\n\r\n%s", len(p), p)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

func TestMJPEG(t *testing.T) {
	pictures := make([]string, 100)
	for i := range pictures {
		pictures[i] = fmt.Sprint("picture ", i)
	}
	s := streamFrom(t, donkeyVideo(pictures...))
	got := 0
	for last := ""; last != "picture 99"; got++ {
		f, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if last = string(f.Photo); !strings.HasPrefix(last, "picture ") || time.Since(f.Captured) > time.Minute {
			t.Fatalf("got frame %q, captured at %v", last, f.Captured)
		}
	}
	if got == 0 || got > 100 {
		t.Errorf("got %d of 100 frames, want at least 1", got)
	}
}

// TestMJPEGLate checks that a slow reader gets the newest picture.
func TestMJPEGLate(t *testing.T) {
	sent := make(chan struct{})
	s := streamFrom(t, func(w http.ResponseWriter, r *http.Request) {
		donkeyVideo(append(make([]string, 1000), "newest")...)(w, r.WithContext(canceled()))
		close(sent)
		<-r.Context().Done()
	})
	if _, err := s.Next(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-sent
	// The newest picture may still be in transit.
	for range 1001 {
		f, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if string(f.Photo) == "newest" {
			return
		}
	}
	t.Error("the newest frame never arrived")
}

func TestMJPEGReconnects(t *testing.T) {
	s := streamFrom(t,
		func(w http.ResponseWriter, r *http.Request) { http.Error(w, "not now", http.StatusServiceUnavailable) },
		func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) },
		func(w http.ResponseWriter, r *http.Request) {
			donkeyVideo("cut short")(w, r.WithContext(canceled()))
			panic(http.ErrAbortHandler)
		},
		donkeyVideo("good"))
	for _, want := range []string{"503 Service Unavailable", `"text/html`} {
		if f, err := s.Next(context.Background()); !errors.Is(err, dataset.ErrStream) || !strings.Contains(fmt.Sprint(err), want) {
			t.Fatalf("got %q, %v, want %s", f.Photo, err, want)
		}
	}
	var got []string
	for len(got) == 0 || got[len(got)-1] != "good" {
		f, err := s.Next(context.Background())
		if err != nil {
			got = append(got, "error")
			continue
		}
		got = append(got, string(f.Photo))
	}
	// The last picture before the disconnect may be lost.
	if text := fmt.Sprint(got); text != "[cut short error good]" && text != "[error good]" {
		t.Errorf("got frames and errors %s", text)
	}
}

func TestMJPEGSilent(t *testing.T) {
	s := streamFrom(t, donkeyVideo())
	s.timeout = 20 * time.Millisecond
	if _, err := s.Next(context.Background()); err == nil || !strings.Contains(err.Error(), "no picture for 20ms") {
		t.Errorf("got error %v, want a timeout", err)
	}
	if _, err := s.Next(canceled()); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want Canceled", err)
	}
}

func TestMJPEGGone(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	s, err := newMJPEG(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Next(context.Background()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got error %v, want connection refused", err)
	}
}
