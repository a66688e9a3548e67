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

// fixture is a model that no one published, of a size that takes many reads.
func fixture() (Published, []byte) {
	content := make([]byte, 300_000)
	for r, i := rand.New(rand.NewPCG(1, 2)), 0; i < len(content); i++ {
		content[i] = byte(r.Uint32())
	}
	sum := sha256.Sum256(content)
	return Published{Name: "fixture", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}, content
}

// server records what it is asked for and answers with handle, which is told the number of the request, from 1.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []http.Header
}

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

func (s *server) asked() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// content serves the bytes with ranges and a strong tag.
func content(w http.ResponseWriter, r *http.Request, b []byte, tag string) {
	w.Header().Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// breakOff sends b after promising promised bytes, then drops the connection.
func breakOff(w http.ResponseWriter, status int, b []byte, promised int) {
	w.Header().Set("Content-Length", strconv.Itoa(promised))
	w.WriteHeader(status)
	w.Write(b)
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// leaveBehind writes what an earlier, interrupted pull would have left.
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

// files returns the names in the store's folder, without the lock.
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

// wantPulled checks that err is nil and the folder holds the model and nothing else.
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
		t.Errorf("files left: %v, want fixture.tflite alone", names)
	}
}
