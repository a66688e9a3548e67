package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

// body returns the response body of a GET request, which must have status 200.
func (s *testServer) body(path string) []byte {
	s.t.Helper()
	r, err := s.client.Get("http://imprint" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: got status %d, want 200; error %v, body %s", path, r.StatusCode, err, b)
	}
	return b
}

// example trains a class with one photo of a kind.
func (s *testServer) example(label string, kind, seed uint64, status int, response any) {
	s.t.Helper()
	s.do("POST", "/v1/examples?label="+label, string(backbonetest.Photo(kind, seed)), status, response)
}

// TestWorkspaceGone moves the workspace's folder away, as if a USB stick were pulled out, and moves
// it back.
func TestWorkspaceGone(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	s.example("a", 0, 0, 200, nil)
	s.example("b", 1, 0, 200, nil)
	dir, away := s.workspace.dir, filepath.Join(t.TempDir(), "away")
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	var p Problem
	s.example("c", 2, 0, 503, &p)
	if !strings.Contains(p.Error, "the workspace is gone") || p.Hint == "" {
		t.Errorf("got problem %+v, want that the workspace is gone, with a hint", p)
	}
	s.do("POST", "/v1/undo", "", 503, &p)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the server created the folder again: %v", err)
	}
	var r Result
	s.do("POST", "/v1/classify", string(backbonetest.Photo(1, 5)), 200, &r)
	if r.Label != "b" || r.Generation != 2 {
		t.Errorf("without the folder: got result %+v, want b of generation 2", r)
	}
	// A mount point remains when its disk is gone.
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.example("c", 2, 0, 503, &p)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("got files %v, %v in the empty folder, want none", entries, err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	var c Changed
	s.example("c", 2, 0, 200, &c)
	if c.Generation != 3 {
		t.Errorf("with the folder back: got generation %d, want 3", c.Generation)
	}
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	if len(list.Classes) != 3 || list.Generation != 3 {
		t.Errorf("with the folder back: got %+v, want 3 classes of generation 3", list)
	}
}

// TestSendsOwnModel checks that the server sends the model and labels of the generation in use
// even if model.tflite and labels.txt are damaged.
func TestSendsOwnModel(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	s.do("GET", "/v1/model", "", 404, nil)
	s.do("GET", "/v1/labels", "", 404, nil)
	s.example("a", 0, 0, 200, nil)
	s.example("b", 1, 0, 200, nil)
	model, labels := s.body("/v1/model"), s.body("/v1/labels")
	if string(labels) != "0  a\n1  b\n" {
		t.Errorf("got labels %q, want a and b", labels)
	}
	for name, content := range map[string][]byte{"model.tflite": model[:len(model)/2], "labels.txt": []byte("0  x\n")} {
		path := filepath.Join(s.workspace.dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.body("/v1/model"); !bytes.Equal(got, model) {
		t.Errorf("got %d bytes that differ from the model", len(got))
	}
	if got := s.body("/v1/labels"); !bytes.Equal(got, labels) {
		t.Errorf("got labels %q, want %q", got, labels)
	}
	if err := os.Remove(filepath.Join(s.workspace.dir, "model.tflite")); err != nil {
		t.Fatal(err)
	}
	if got := s.body("/v1/model"); !bytes.Equal(got, model) {
		t.Errorf("got %d bytes that differ from the model", len(got))
	}
}

// TestClassesOfAnotherGeneration replaces the server's workspace with another workspace that has
// the same generation number. The server must list the classes of the model in use.
func TestClassesOfAnotherGeneration(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	s.example("a", 0, 0, 200, nil)
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	other := filepath.Join(t.TempDir(), "ws")
	ws, err := imprint.Open(other, s.workspace.options)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	addPhotoOf(t, ws, "b", 1)
	for _, name := range []string{"state.0", "state.1", "labels.txt", "model.tflite"} {
		from, to := filepath.Join(other, name), filepath.Join(s.workspace.dir, name)
		if _, err := os.Stat(from); err != nil {
			os.Remove(to)
			continue
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	s.do("POST", "/v1/reload", "", 200, nil)
	s.do("GET", "/v1/classes", "", 200, &list)
	if list.Generation != 1 || len(list.Classes) != 1 || list.Classes[0].Label != "b" {
		t.Errorf("got classes %+v, want b of generation 1", list)
	}
	if got := string(s.body("/v1/labels")); got != "0  b\n" {
		t.Errorf("got labels %q, want b", got)
	}
}

// TestBodiesThatNeverCome checks that clients that declare large bodies but send nothing do not
// block other clients.
func TestBodiesThatNeverCome(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	clients := maxBodies / photoLimits.MaxBytes
	for range clients {
		c, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /v1/classify HTTP/1.1\r\nHost: imprint\r\nContent-Length: %d\r\n\r\n", photoLimits.MaxBytes)
	}
	s.awaitFreeMemory(maxBodies - clients*firstBody)
	s.example("a", 0, 0, 200, nil)
}

func (s *testServer) dial() (net.Conn, error) { return net.Dial("unix", s.socket) }

func addPhotoOf(t *testing.T, ws *imprint.Workspace, label string, kind uint64) {
	t.Helper()
	if _, err := ws.Add(context.Background(), []dataset.Item{{Path: "x", Label: label, Content: backbonetest.Photo(kind, 0)}}, imprint.AddOptions{}); err != nil {
		t.Fatal(err)
	}
}
