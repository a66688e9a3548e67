package models

import (
	"errors"
	"io/fs"
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
	if want := "pull " + name + ": get " + srv.URL + "/" + name + ".tflite: 404 Not Found"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, name+".tflite"), []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Path(name); !errors.Is(err, ErrContent) {
		t.Errorf("got error %v, want ErrContent", err)
	}
}

func TestDefaultDir(t *testing.T) {
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

// TestPublishedFiles checks the list against the published files, pulled from a local
// server.
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
		t.Errorf("%s contains none of the listed models", dir)
	}
	t.Logf("%d of %d listed models checked", checked, len(List()))
}

func TestLocate(t *testing.T) {
	t.Chdir(t.TempDir())
	const name = "mobilenet_v1_0.25_128_quant"
	s := Store{Dir: "store"}
	for _, tt := range []struct {
		name string
		want error
		text string
	}{
		{"resnet50", ErrUnknown, `"resnet50" is neither a file nor a known model`},
		{"inat_bird", ErrUnknown, `"inat_bird" is neither a file nor a known model; did you mean mobilenet_v2_1.0_224_inat_bird_quant or mobilenet_v2_1.0_224_inat_bird_quant_edgetpu?`},
		{name, ErrNotPulled, name + " has not been pulled"},
		{filepath.Join("models", name), fs.ErrNotExist, filepath.Join("models", name) + ": file does not exist"},
	} {
		if path, err := s.Locate(tt.name); path != "" || !errors.Is(err, tt.want) || err.Error() != tt.text {
			t.Errorf("Locate(%q) = %q, error %v; want %s", tt.name, path, err, tt.text)
		}
	}
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if path, err := s.Locate(name); path != name || err != nil {
		t.Errorf("Locate of a file = %q, %v", path, err)
	}
}
