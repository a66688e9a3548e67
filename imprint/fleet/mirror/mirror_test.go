package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/imprint/fleet"
)

// A fakeServer lists files and serves them.
type fakeServer struct {
	*httptest.Server
	generation uint64
	files      map[string]string // content by name
	listed     func(*fleet.Files)
	send       func(w http.ResponseWriter, r *http.Request, content string) bool // reports whether it has responded
	sent       []string                                                          // "NAME RANGE" for each request of a file
}

func newFakeServer(t *testing.T, secure bool) *fakeServer {
	s := &fakeServer{generation: 3, files: map[string]string{"state.1": strings.Repeat("state", 40_000), "backbone.tflite": "model"}}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer right" {
			http.Error(w, `{"error":"missing or wrong token"}`, http.StatusUnauthorized)
			return
		}
		name, isFile := strings.CutPrefix(r.URL.Path, "/v1/workspace/")
		if !isFile {
			json.NewEncoder(w).Encode(s.list())
			return
		}
		s.sent = append(s.sent, strings.TrimSpace(name+" "+r.Header.Get("Range")))
		content := s.files[name]
		w.Header().Set("ETag", `"`+digest(content)+`"`)
		if s.send == nil || !s.send(w, r, content) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
		}
	})
	if secure {
		s.Server = httptest.NewTLSServer(handler)
	} else {
		s.Server = httptest.NewServer(handler)
	}
	t.Cleanup(s.Close)
	return s
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func (s *fakeServer) list() fleet.Files {
	list := fleet.Files{Generation: s.generation}
	for _, name := range []string{"state.1", "state.0", "backbone.tflite"} {
		if content, ok := s.files[name]; ok {
			list.Files = append(list.Files, fleet.File{Name: name, Size: int64(len(content)), SHA256: digest(content)})
		}
	}
	if s.listed != nil {
		s.listed(&list)
	}
	return list
}

func (s *fakeServer) copy(t *testing.T, dir string, models bool) (string, error) {
	t.Helper()
	server, err := New(s.URL, "right", s.Client())
	if err != nil {
		t.Fatal(err)
	}
	from, warning, err := server.Copy(t.Context(), dir, models)
	if err == nil && (from.Dir != dir || from.Name != s.URL) {
		t.Errorf("got source %+v, want %s named %s", from, dir, s.URL)
	}
	return warning, err
}

// TestCopy copies a workspace, over TLS too, and checks that a second copy downloads nothing and a
// third only what is new.
func TestCopy(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s, dir := newFakeServer(t, secure), filepath.Join(t.TempDir(), "copy")
		if _, err := s.copy(t, dir, true); err != nil {
			t.Fatal(err)
		}
		for name, want := range s.files {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
				t.Errorf("%s: got %d bytes, %v, want %d", name, len(got), err, len(want))
			}
		}
		if _, err := s.copy(t, dir, true); err != nil {
			t.Fatal(err)
		}
		delete(s.files, "state.1")
		s.files["state.0"], s.generation = "new", 4
		if _, err := s.copy(t, dir, true); err != nil {
			t.Fatal(err)
		}
		if want := []string{"backbone.tflite", "state.1", "state.0"}; !slices.Equal(s.sent, want) {
			t.Errorf("got requests %q, want %q", s.sent, want)
		}
		if _, err := os.Stat(filepath.Join(dir, "state.1")); !os.IsNotExist(err) {
			t.Errorf("the older state: got %v, want that it was removed", err)
		}
	}
}

// TestCopyResumes checks that a copy goes on where the connection was cut, in the same call and in
// the next.
func TestCopyResumes(t *testing.T) {
	s, dir := newFakeServer(t, false), filepath.Join(t.TempDir(), "copy")
	cuts := 0
	s.send = func(w http.ResponseWriter, r *http.Request, content string) bool {
		if cuts++; cuts > 1 {
			return false
		}
		w.Header().Set("Content-Length", "200000")
		w.Write([]byte(content[:70_000]))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	if _, err := s.copy(t, dir, false); err != nil {
		t.Fatal(err)
	}
	if want := []string{"state.1", "state.1 bytes=70000-"}; !slices.Equal(s.sent, want) {
		t.Errorf("got requests %q, want %q", s.sent, want)
	}
	// The state changes after the connection was cut: the rest of the old one is not used.
	s.sent, cuts, s.generation = nil, 0, 5
	s.files["state.1"] = strings.Repeat("other", 40_000)
	was := s.send
	s.send = func(w http.ResponseWriter, r *http.Request, content string) bool {
		if cuts == 1 {
			s.files["state.1"], s.generation = strings.Repeat("third", 40_000), 7
			content = s.files["state.1"]
			w.Header().Set("ETag", `"`+digest(content)+`"`)
			cuts++
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
			return true
		}
		return was(w, r, content)
	}
	if _, err := s.copy(t, dir, false); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "state.1")); err != nil || string(got) != s.files["state.1"] {
		t.Errorf("got %.10q…, %v, want the newest state", got, err)
	}
}

// TestCopyErrors checks that a server that misbehaves changes nothing in the copy.
func TestCopyErrors(t *testing.T) {
	tests := []struct {
		name string
		set  func(s *fakeServer)
		want error
	}{
		{"path outside", func(s *fakeServer) {
			s.listed = func(f *fleet.Files) { f.Files[1].Name = "backbone-/../../x.tflite" }
		}, ErrContent},
		{"another file", func(s *fakeServer) { s.listed = func(f *fleet.Files) { f.Files[1].Name = "lock" } }, ErrContent},
		{"too large", func(s *fakeServer) { s.listed = func(f *fleet.Files) { f.Files[0].Size = 1 << 40 } }, ErrContent},
		{"no state", func(s *fakeServer) { s.listed = func(f *fleet.Files) { f.Files = nil } }, ErrContent},
		{"other generation", func(s *fakeServer) { s.generation = 8 }, ErrContent},
		{"other content", func(s *fakeServer) {
			s.send = func(w http.ResponseWriter, r *http.Request, content string) bool {
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.ToUpper(content)))
				return true
			}
		}, ErrContent},
		{"longer", func(s *fakeServer) {
			s.send = func(w http.ResponseWriter, r *http.Request, content string) bool {
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content+"more"))
				return true
			}
		}, ErrContent},
		{"gone", func(s *fakeServer) {
			s.send = func(w http.ResponseWriter, r *http.Request, content string) bool {
				http.NotFound(w, r)
				return true
			}
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := newFakeServer(t, false), filepath.Join(t.TempDir(), "copy")
			if _, err := s.copy(t, dir, true); err != nil {
				t.Fatal(err)
			}
			want := s.files["state.1"]
			s.files["state.1"], s.generation = "newer", 5
			tt.set(s)
			_, err := s.copy(t, dir, false)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want %v", err, tt.want)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "state.1")); err != nil || string(got) != want {
				t.Errorf("got %.10q…, %v, want the state of the first copy", got, err)
			}
		})
	}
}

// TestRefusals checks servers that do not admit the client or are something else.
func TestRefusals(t *testing.T) {
	s := newFakeServer(t, false)
	other := func(status int, body string) string {
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", s.URL+"/v1/workspace")
			w.WriteHeader(status)
			w.Write([]byte(body))
		}))
		t.Cleanup(h.Close)
		return h.URL
	}
	tests := []struct {
		name, url, token string
		want             error
	}{
		{"no token", s.URL, "", ErrToken},
		{"wrong token", s.URL, "wrong", ErrToken},
		{"wrong token in the URL", s.URL + "/?token=wrong", "right", ErrToken},
		{"token in the URL", s.URL + "/?token=right", "", nil},
		{"another program", other(200, "<html>"), "right", ErrTooOld},
		{"an older server", other(404, `{"error":"no such path"}`), "right", ErrTooOld},
		{"no classes", other(404, `{"error":"no model yet"}`), "right", ErrNotTrained},
		{"a path", s.URL + "/v1", "right", ErrURL},
		{"a host", "car17", "right", ErrURL},
		{"a password", "http://me:secret@car17", "right", ErrURL},
	}
	for _, tt := range tests {
		server, err := New(tt.url, tt.token, nil)
		if err == nil {
			_, _, err = server.Copy(t.Context(), t.TempDir(), false)
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, url := range []string{other(302, ""), other(503, `{"error":"busy"}`)} {
		server, err := New(url, "right", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = server.Copy(t.Context(), t.TempDir(), false); err == nil {
			t.Error("got no error")
		}
	}
	secure := newFakeServer(t, true)
	server, err := New(secure.URL, "right", nil) // without the certificate
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = server.Copy(t.Context(), t.TempDir(), false); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got error %v, want one about the certificate", err)
	}
}
