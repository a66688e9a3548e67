package models

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A transport answers requests without a network, so that tests can use fake time.
type transport func(r *http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A slowBody returns chunk bytes after each pause, until its request ends.
type slowBody struct {
	ctx   context.Context
	rest  []byte
	chunk int
	pause time.Duration
}

func (b *slowBody) Read(to []byte) (int, error) {
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(b.pause):
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(to, b.rest[:min(b.chunk, len(b.rest))])
	b.rest = b.rest[n:]
	return n, nil
}

func (b *slowBody) Close() error { return nil }

func TestPullStallTimeout(t *testing.T) {
	p, b := fixture()
	tests := []struct {
		pause    time.Duration
		want     error
		requests int
	}{
		{29 * time.Second, nil, 1}, // five minutes in total
		{31 * time.Second, errStalled, maxAttempts},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			s := Store{Dir: dir, Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
				requests++
				body := &slowBody{r.Context(), b, 30_000, tt.pause}
				return &http.Response{StatusCode: 200, ContentLength: p.Size, Header: http.Header{}, Body: body, Request: r}, nil
			})}}
			if _, err := s.pull(t.Context(), p, nil); !errors.Is(err, tt.want) {
				t.Errorf("pauses of %v: got error %v, want %v", tt.pause, err, tt.want)
			}
			if requests != tt.requests {
				t.Errorf("pauses of %v: got %d requests, want %d", tt.pause, requests, tt.requests)
			}
		})
	}
}

func TestPullBacksOff(t *testing.T) {
	p, _ := fixture()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		refused := errors.New("connection refused")
		s := Store{Dir: dir, Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			at = append(at, time.Since(start))
			return nil, refused
		})}}
		if _, err := s.pull(t.Context(), p, nil); !errors.Is(err, refused) {
			t.Errorf("got error %v, want %v", err, refused)
		}
		want := []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond}
		if !slices.Equal(at, want) {
			t.Errorf("tried at %v, want %v", at, want)
		}
	})
}
