package models

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
)

func TestPathAndPullByName(t *testing.T) {
	const name = "mobilenet_v1_0.25_128_quant"
	var requests atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.NotFound(w, r)
	}))
	defer srv.Close()
	s := Store{Dir: t.TempDir(), BaseURL: srv.URL + "/"}
	if _, err := s.Path("mobilenet"); !errors.Is(err, ErrUnknown) {
		t.Errorf("got error %v, want ErrUnknown", err)
	}
	if _, err := s.Pull(t.Context(), "mobilenet", nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("got error %v, want ErrUnknown", err)
	}
	if _, err := s.Path(name); !errors.Is(err, ErrNotPulled) {
		t.Errorf("got error %v, want ErrNotPulled", err)
	}
	_, err := s.Pull(t.Context(), name, nil)
	if want := "models: pull " + name + ": get " + srv.URL + "/" + name + ".tflite: 404 Not Found"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, name+".tflite"), []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Path(name); !errors.Is(err, ErrContent) {
		t.Errorf("got error %v, want ErrContent", err)
	}
}

func TestDefaultFolder(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	t.Setenv("LocalAppData", cache)
	p, _ := fixture()
	path, err := Store{}.destination(p)
	user, _ := os.UserCacheDir()
	if want := filepath.Join(user, "imprint", "models", "fixture.tflite"); err != nil || path != want {
		t.Errorf("got %s, %v, want %s", path, err, want)
	}
}

// TestPublishedFiles holds the list against the published files themselves, pulled from a server on this machine.
func TestPublishedFiles(t *testing.T) {
	dir := reference.Path(t, "models")
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	s := Store{Dir: t.TempDir(), BaseURL: srv.URL}
	checked := 0
	for _, p := range List() {
		if _, err := os.Stat(filepath.Join(dir, p.File())); err != nil {
			continue
		}
		pulled, err := s.Pull(t.Context(), p.Name, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		found, err := s.Path(p.File())
		if err != nil || found != pulled {
			t.Errorf("%s: pulled to %s, found at %s, %v", p.Name, pulled, found, err)
		}
		checked++
	}
	if checked == 0 {
		t.Errorf("%s has none of the listed models", dir)
	}
	t.Logf("%d of %d listed models checked", checked, len(List()))
}
