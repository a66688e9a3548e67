package models

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fixture returns a made-up model, large enough to take many reads.
func fixture() (Published, []byte) {
	content := make([]byte, 300_000)
	for r, i := rand.New(rand.NewPCG(1, 2)), 0; i < len(content); i++ {
		content[i] = byte(r.Uint32())
	}
	sum := sha256.Sum256(content)
	return Published{Name: "fixture", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}, content
}

// A server records the requests that it receives.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []http.Header
}

// serve starts a server that answers with handle. n is the number of the request, counted
// from 1. The returned Store pulls from the server.
func serve(t *testing.T, handle func(n int, w http.ResponseWriter, r *http.Request)) (*server, Store) {
	t.Helper()
	s := new(server)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Header.Clone())
		n := len(s.requests)
		s.mu.Unlock()
		if r.URL.Path != "/base/fixture.tflite" {
			t.Errorf("request for %s", r.URL.Path)
		}
		handle(n, w, r)
	}))
	t.Cleanup(s.Close)
	return s, Store{
		Dir: filepath.Join(t.TempDir(), "models"), BaseURL: s.URL + "/base",
		backoff: time.Microsecond, lockPoll: time.Millisecond,
	}
}

func (s *server) received() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// content serves b with the given ETag and supports ranges.
func content(w http.ResponseWriter, r *http.Request, b []byte, tag string) {
	w.Header().Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// breakOff sends b with a Content-Length of promised, then drops the connection.
func breakOff(w http.ResponseWriter, status int, b []byte, promised int) {
	w.Header().Set("Content-Length", strconv.Itoa(promised))
	w.WriteHeader(status)
	w.Write(b)
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// leaveBehind writes the files that an interrupted pull leaves.
func leaveBehind(t *testing.T, s Store, part []byte, tag string) {
	t.Helper()
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir, "fixture.tflite.part")
	if err := os.WriteFile(path, part, 0o644); err != nil {
		t.Fatal(err)
	}
	if tag != "" {
		if err := os.WriteFile(path+".etag", []byte(tag), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// files returns the names of the files in the store, without locks.
func files(t *testing.T, s Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			names = append(names, e.Name())
		}
	}
	return names
}

// wantPulled checks that a pull succeeded and that the folder contains only the model.
func wantPulled(t *testing.T, s Store, path string, err error, want []byte) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the file at %s is not the model", path)
	}
	if names := files(t, s); !slices.Equal(names, []string{"fixture.tflite"}) {
		t.Errorf("files in the store: %v, want only fixture.tflite", names)
	}
}
