package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// changeTimeout limits the time for a change, including the wait for a change of another
	// process. To train 10,000 classes can take a minute on a busy machine.
	changeTimeout = 5 * time.Minute
	// responseTimeout limits the time for a response to a request that changes nothing.
	responseTimeout = time.Minute
	// longestPoll is the maximum value of the parameter wait of /v1/result.
	longestPoll = 30 * time.Second
)

// changeContext returns a context for a change. The change continues if the client disconnects.
func changeContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), changeTimeout)
}

// readJSON reads a request body into v. An empty body leaves v as it is.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	b, release, err := s.http.readBody(w, r, maxJSON)
	if err != nil {
		return err
	}
	defer release()
	if len(b) == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refused{http.StatusUnsupportedMediaType, fmt.Errorf("unsupported Content-Type %q", r.Header.Get("Content-Type")), "send JSON with the header Content-Type: application/json"}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return refusef(http.StatusBadRequest, "invalid JSON: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return refused{http.StatusBadRequest, errors.New("request body has more than one JSON value"), ""}
	}
	return nil
}

// queryNumber returns a query parameter as a number, or 0 if it is missing.
func queryNumber(r *http.Request, name string, most uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, refusef(http.StatusBadRequest, "%s=%.40q: want a number from 0 to %d", name, text, most)
	}
	return n, nil
}

// pathSHA256 returns the SHA-256 in the request's path.
func pathSHA256(r *http.Request) (string, error) {
	s := r.PathValue("sha256")
	if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return "", refusef(http.StatusBadRequest, "%.80q is not a SHA-256 of 64 lowercase hexadecimal digits", s)
	}
	return s, nil
}

// respond returns err if it is not nil, and else sends v.
func respond[T any](s *Server, w http.ResponseWriter, v T, err error) error {
	if err != nil {
		return err
	}
	return s.respondJSON(w, http.StatusOK, v)
}

func (s *Server) respondJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.respondBytes(w, status, "application/json", append(b, '\n'))
}

// respondBytes sends a response. It ignores write errors, because the client may have
// disconnected.
func (s *Server) respondBytes(w http.ResponseWriter, status int, contentType string, b []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	s.http.limitWriting(w, int64(len(b)))
	w.WriteHeader(status)
	w.Write(b)
	return nil
}

// limitWriting makes a response of that size fail unless the client reads at least 64 KiB per second.
func (l *httpLimits) limitWriting(w http.ResponseWriter, size int64) {
	slow := time.Duration(size) * time.Second / (64 << 10)
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(l.timeouts.write + slow))
}
