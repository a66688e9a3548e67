package serve

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint/serve/source"
)

// parseSource returns the source named by spec.
func parseSource(t *testing.T, spec string) source.Source {
	t.Helper()
	s, err := source.Parse(spec, source.Options{Loop: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSourceFails tells a source that never was from one that can't be opened, and from one
// that has gone.
func TestSourceFails(t *testing.T) {
	dir := t.TempDir()
	absent, empty, file, gone := filepath.Join(dir, "absent"), filepath.Join(dir, "empty"), filepath.Join(dir, "file"), filepath.Join(dir, "gone")
	for _, d := range []string{empty, gone} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{file, filepath.Join(gone, "1.png")} {
		if err := os.WriteFile(path, backbonetest.Photo(1, 1), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(s *testServer) {
		s.await(0, anyResult)
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		spec, state, explain string
		act                  func(*testServer)
	}{
		{"camera:" + absent, "missing", "camera:" + absent + " was not found", nil},
		{"folder:" + absent, "missing", "folder:" + absent + " was not found", nil},
		{"tub:" + absent, "missing", "tub:" + absent + " was not found", nil},
		{"folder:" + empty, "failed", "folder:" + empty + " sends no frames: folder " + empty + ": no photos", nil},
		{"tub:" + file, "failed", "tub:" + file + " sends no frames: ", nil},
		{"mjpeg:http://127.0.0.1:1/", "failed", "mjpeg:http://127.0.0.1:1/ sends no frames: ", nil},
		{"folder:" + gone, "lost", "folder:" + gone + " is lost: ", remove},
	} {
		t.Run(c.spec[:3]+" "+c.state, func(t *testing.T) {
			if strings.HasPrefix(c.spec, "camera:") && runtime.GOOS != "linux" {
				t.Skip("cameras need Linux")
			}
			s := start(t, testConfig{options: Options{Source: parseSource(t, c.spec)}})
			if c.act != nil {
				c.act(s)
			}
			h := s.awaitHealth(func(h Health) bool { return h.Source.Error != "" })
			if h.Source.State != c.state || h.Status != "degraded" || h.Source.Name != c.spec {
				t.Errorf("health %+v, want the state %s", h, c.state)
			}
			if got := s.intake.status.explain(); !strings.HasPrefix(got, c.explain) {
				t.Errorf("explained as %q, want %q", got, c.explain)
			}
			if c.act == nil {
				s.do("GET", "/v1/frame.jpg", "", 404, nil)
			}
		})
	}
}

// TestPageSourceMissing opens the page of a server whose source does not exist.
func TestPageSourceMissing(t *testing.T) {
	ctx := browser(t)
	s := start(t, testConfig{options: Options{Source: parseSource(t, "folder:no-such-folder")}})
	v := visitor{t, ctx}
	v.run(network.Enable(), chromedp.Navigate(s.url))
	v.sees("#trouble", "folder:no-such-folder not found: plug it in, choose photos, or start imprint serve with another --source. Trying again…")
	v.awaits(`document.getElementById("camera").hidden`)
}
