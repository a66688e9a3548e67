package models

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// unlisted returns the fixture as a model whose size and SHA-256 are unknown. The id is from git
// hash-object.
func unlisted() (Published, []byte) {
	_, b := fixture()
	return Published{Name: "fixture", GitBlob: "64d6c2b7d38c6636f4273e706961f2356d5da8c3"}, b
}

// TestPullUnlistedSize checks that a pull of a model of unknown size takes the size from the server
// and resumes, and that git's id of the file is checked.
func TestPullUnlistedSize(t *testing.T) {
	p, b := unlisted()
	honest := func(_ int, w http.ResponseWriter, r *http.Request) { content(w, r, b, `"a"`) }
	other := func(_ int, w http.ResponseWriter, r *http.Request) {
		content(w, r, append([]byte{b[0] + 1}, b[1:]...), `"a"`)
	}
	for _, tt := range []struct {
		name     string
		part     []byte
		handle   func(n int, w http.ResponseWriter, r *http.Request)
		requests int
		want     string // part of the error; "" for success
	}{
		{"whole", nil, honest, 1, ""},
		{"resumed", b[:1000], honest, 1, ""},
		{"part is complete", b, honest, 2, ""}, // the server must tell the size
		{"broken off", nil, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				breakOff(w, http.StatusOK, b[:1000], len(b))
			}
			honest(n, w, r)
		}, 2, ""},
		{"no size in the range", b[:1000], func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 1000-%d/*", len(b)-1))
				w.WriteHeader(http.StatusPartialContent)
				return
			}
			honest(n, w, r)
		}, 2, ""},
		{"another file", nil, other, 1, "git id "},
		{"no size", nil, func(_ int, w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.Write(b) }, 1, "gives its size as -1 bytes"},
		{"too large", nil, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(maxUnlisted+1))
		}, 1, "the limit is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, s := serve(t, tt.handle)
			if tt.part != nil {
				leaveBehind(t, s, tt.part, "")
			}
			path, err := s.pull(t.Context(), p, nil)
			if n := len(srv.received()); n != tt.requests {
				t.Errorf("got %d requests, want %d", n, tt.requests)
			}
			if tt.want == "" {
				wantPulled(t, s, path, err, b)
			} else if !errors.Is(err, ErrContent) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want ErrContent that contains %q", err, tt.want)
			} else if left := files(t, s); len(left) > 0 {
				t.Errorf("files left: %v", left)
			}
		})
	}
}
