package serve

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

// cameraServer answers each request with what serve of its number writes.
func cameraServer(t *testing.T, serve ...func(w http.ResponseWriter, r *http.Request)) *mjpeg {
	t.Helper()
	requests := make(chan int, 1)
	requests <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := <-requests
		requests <- n + 1
		serve[min(n, len(serve)-1)](w, r)
	}))
	t.Cleanup(server.Close)
	s, err := newMJPEG(server.URL + "/video")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*mjpeg)
}

// donkeyVideo sends pictures as donkeycar 5.3 does, and stays until it is left.
func donkeyVideo(pictures ...string) func(http.ResponseWriter, *http.Request) {
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
	s := cameraServer(t, donkeyVideo(pictures...))
	got := 0
	for last := ""; last != "picture 99"; got++ {
		f, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if last = string(f.Photo); !strings.HasPrefix(last, "picture ") || time.Since(f.Captured) > time.Minute {
			t.Fatalf("got %q of %v", last, f.Captured)
		}
	}
	if got == 0 || got > 100 {
		t.Errorf("got %d frames of 100", got)
	}
}

// What nobody asked for in time is lost: the newest frame is given.
func TestMJPEGLate(t *testing.T) {
	sent := make(chan struct{})
	s := cameraServer(t, func(w http.ResponseWriter, r *http.Request) {
		donkeyVideo(append(make([]string, 1000), "newest")...)(w, r.WithContext(ended()))
		close(sent)
		<-r.Context().Done()
	})
	if _, err := s.Next(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-sent
	// It may yet be on its way.
	for range 1001 {
		f, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if string(f.Photo) == "newest" {
			return
		}
	}
	t.Error("the newest frame did not come")
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestMJPEGComesBack(t *testing.T) {
	s := cameraServer(t,
		func(w http.ResponseWriter, r *http.Request) { http.Error(w, "not now", http.StatusServiceUnavailable) },
		func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) },
		func(w http.ResponseWriter, r *http.Request) {
			donkeyVideo("cut short")(w, r.WithContext(ended()))
			panic(http.ErrAbortHandler)
		},
		donkeyVideo("good"))
	for _, want := range []string{"503 Service Unavailable", `its type is "text/html`} {
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
	// The picture before the end may come or be lost with it.
	if text := fmt.Sprint(got); text != "[cut short error good]" && text != "[error good]" {
		t.Errorf("got %s", text)
	}
}

func TestMJPEGSilent(t *testing.T) {
	s := cameraServer(t, donkeyVideo())
	s.patient = 20 * time.Millisecond
	if _, err := s.Next(context.Background()); err == nil || !strings.Contains(err.Error(), "no picture for 20ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
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
		t.Errorf("got %v", err)
	}
}
