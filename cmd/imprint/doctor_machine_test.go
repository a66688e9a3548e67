package main

import (
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint/serve/source"
	"github.com/imprintkit/imprint/tpu"
)

func TestCameraFindings(t *testing.T) {
	got := cameraFindings([]source.Camera{{Path: "/dev/video0", Name: "UVC Camera"}, {Path: "/dev/video2", Name: "unicam", Err: fs.ErrPermission}})
	want := []tpu.Finding{
		{State: "camera", Text: "camera /dev/video0: UVC Camera"},
		{Severity: tpu.Hint, State: "camera-no-permission", Text: "you have no permission to open the camera /dev/video2", Fix: "sudo usermod -aG video $USER, then log in again"},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := cameraFindings(nil); len(got) != 1 || got[0].State != "no-camera" {
		t.Errorf("without cameras: got %+v, want no-camera", got)
	}
}

// TestServerFinding checks the finding for servers in several states.
func TestServerFinding(t *testing.T) {
	answer := func(status int, body string) string {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		s := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			w.Write([]byte(body))
		})}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		return socket
	}
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct{ socket, state, text string }{
		{none, "no-server", "imprint serve is not running"},
		{answer(200, `{"status":"ok"}`), "server", "imprint serve runs at "},
		{answer(200, `{"status":"degraded","source":{"error":"unplugged"}}`), "server-degraded", "is degraded: unplugged"},
		{answer(503, `{"status":"down","device":{"error":"stalled"}}`), "server-down", "is down: stalled"},
		{answer(200, `hello`), "server-failed", "unexpected response 200 OK"},
		{answer(401, `{"error":"no token"}`), "server-failed", "401 Unauthorized: no token"},
	} {
		got := serverFinding(t.Context(), none, c.socket)
		if got.State != c.state || !strings.Contains(got.Text, c.text) {
			t.Errorf("got %s: %q, want %s: %q", got.State, got.Text, c.state, c.text)
		}
	}
}

func TestWorkspaceFinding(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ws")
	if got := workspaceFinding(dir, nil); got.State != "no-classes" || !strings.HasPrefix(got.Fix, "imprint add ") {
		t.Errorf("without classes: got %+v", got)
	}
	photos := t.TempDir()
	for kind, label := range []string{"ball", "cone"} {
		if err := os.Mkdir(filepath.Join(photos, label), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(photos, label, "1.jpg"), backbonetest.Photo(uint64(kind+1), 1), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	printed(t, "--workspace", dir, "add", photos)
	if got, want := workspaceFinding(dir, nil), (tpu.Finding{State: "classes", Text: "the workspace " + dir + " has 2 classes", Fix: "imprint classify PHOTO"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	cameras := []source.Camera{{Path: "/dev/video0", Err: fs.ErrPermission}, {Path: "/dev/video2"}}
	if got, want := workspaceFinding(dir, cameras).Fix, "imprint serve --source camera:/dev/video2"; got != want {
		t.Errorf("with a camera: got %q, want %q", got, want)
	}

	states, err := filepath.Glob(filepath.Join(dir, "state.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range states {
		if err := os.WriteFile(state, []byte("junk"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := workspaceFinding(dir, nil); got.State != "workspace-failed" || !strings.Contains(got.Text, "damaged") {
		t.Errorf("a damaged workspace: got %+v", got)
	}
}
