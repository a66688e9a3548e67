package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tools/tflitepeer"
)

// TestList checks that list.txt is well formed: parsing and printing it reproduces the text, and every URL begins with
// https.
func TestList(t *testing.T) {
	l, err := parseList(listed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(l.format(), listed) {
		t.Error("list.txt differs from what -pin prints")
	}
	if len(l.files) < 200 || len(l.goldens) < 50 {
		t.Errorf("got %d files and %d goldens", len(l.files), len(l.goldens))
	}
	seen := make(map[string]bool)
	for _, f := range l.files {
		u, err := url.Parse(f.url)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%s: URL %s, %v", f.path, f.url, err)
		}
		if f.size <= 0 || len(f.sha256) != 64 {
			t.Errorf("%s: %d bytes, SHA-256 %s", f.path, f.size, f.sha256)
		}
		if seen[f.path] {
			t.Errorf("%s is listed twice", f.path)
		}
		seen[f.path] = true
	}
	for _, g := range l.goldens {
		if !seen["models/"+g.model+".tflite"] {
			t.Errorf("there is a golden for %s, which is not listed", g.model)
		}
		if strings.HasPrefix(g.source, "images/") && !seen[g.source] {
			t.Errorf("there is a golden for %s, which is not listed", g.source)
		}
	}
}

func TestListErrors(t *testing.T) {
	for line, want := range map[string]string{
		"file a 1 x":           "not a valid line",
		"other":                "not a valid line",
		"file a one x b/c":     "expected integer",
		"file a 1 x b/c":       `no line "from b"`,
		"golden m c const:0 -": "not a valid line",
		"from b https://example.com\nfile ../a 1 x b/c": "is outside the folder",
	} {
		if _, err := parseList([]byte(line + "\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want one with %q", line, err, want)
		}
	}
}

// server serves content below /owner/name/commit/ and counts the requests. It answers the first requests with statuses.
func server(t *testing.T, content map[string]string, requests *atomic.Int32, statuses ...int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := int(requests.Add(1)); n <= len(statuses) {
			w.WriteHeader(statuses[n-1])
			return
		}
		b, ok := content[strings.TrimPrefix(r.URL.Path, "/owner/name/commit/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, b)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func testList(t *testing.T, content map[string]string) *list {
	t.Helper()
	text := "from origin https://example.com/owner/name/commit\n"
	for name, b := range content {
		text += fmt.Sprintf("file models/%s %d %s origin/%s\n", name, len(b), sum([]byte(b)), name)
	}
	l, err := parseList([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestDownload(t *testing.T) {
	content := map[string]string{"a.tflite": "first", "b.tflite": "second"}
	l := testList(t, content)
	var requests atomic.Int32
	d := downloader{folder: t.TempDir(), client: http.DefaultClient, log: func(string) {}, pause: time.Millisecond}
	d.server = server(t, content, &requests, http.StatusTooManyRequests, http.StatusBadGateway)
	if err := d.all(t.Context(), l.files); err != nil {
		t.Fatal(err)
	}
	if got := requests.Load(); got != 4 {
		t.Errorf("%d requests, want 4: two that the server refused and two more", got)
	}
	for name, want := range content {
		if got, err := os.ReadFile(filepath.Join(d.folder, "models", name)); string(got) != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}

	// Only the changed file is downloaded again.
	if err := os.WriteFile(filepath.Join(d.folder, "models", "a.tflite"), []byte("damaged"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := d.all(t.Context(), l.files); err != nil || requests.Load() != 5 {
		t.Errorf("second run: %v, %d requests in all, want 5", err, requests.Load())
	}
}

func TestDownloadErrors(t *testing.T) {
	l := testList(t, map[string]string{"a.tflite": "first", "b.tflite": "second"})
	for _, tt := range []struct {
		name, want string
		content    map[string]string
		requests   int32
	}{
		{"other bytes", "models/a.tflite: .* has SHA-256", map[string]string{"a.tflite": "other", "b.tflite": "second"}, 2},
		{"longer", "does not have 5 bytes", map[string]string{"a.tflite": "first and more", "b.tflite": "second"}, 2},
		{"shorter", "does not have 5 bytes", map[string]string{"a.tflite": "1", "b.tflite": "second"}, 1 + attempts},
		{"missing", "404 Not Found", map[string]string{"b.tflite": "second"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var requests atomic.Int32
			d := downloader{folder: t.TempDir(), client: http.DefaultClient, log: func(string) {}, pause: time.Millisecond}
			d.server = server(t, tt.content, &requests)
			err := d.all(t.Context(), l.files)
			want := strings.Split(tt.want, ".*")
			if err == nil || !strings.Contains(err.Error(), want[0]) || !strings.Contains(err.Error(), want[len(want)-1]) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
			if requests.Load() != tt.requests {
				t.Errorf("%d requests, want %d", requests.Load(), tt.requests)
			}
			found, _ := filepath.Glob(filepath.Join(d.folder, "models", "*")) // the pattern is valid
			if len(found) != 1 || filepath.Base(found[0]) != "b.tflite" {
				t.Errorf("the folder holds %q, want b.tflite alone", found)
			}
		})
	}
}

func TestDownloadStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := testList(t, map[string]string{"a.tflite": "first"})
	d := downloader{folder: t.TempDir(), client: http.DefaultClient, log: func(string) {}}
	if err := d.all(ctx, l.files); err != context.Canceled {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

// TestDownloadHopeless checks that the download ends early without a network.
func TestDownloadHopeless(t *testing.T) {
	content := make(map[string]string)
	for i := range 10 * maxFailures {
		content[fmt.Sprint(i)] = fmt.Sprint(i)
	}
	l := testList(t, content)
	var requests atomic.Int32
	d := downloader{folder: t.TempDir(), client: http.DefaultClient, log: func(string) {}, pause: time.Millisecond}
	d.server = server(t, nil, &requests)
	if err := d.all(t.Context(), l.files); err == nil || int(requests.Load()) > maxFailures+2*atOnce {
		t.Errorf("got error %v after %d requests", err, requests.Load())
	}
}

func TestPin(t *testing.T) {
	folder := t.TempDir()
	for path, content := range map[string]string{"models/m.tflite": "model", "golden/m/c.in": "in", "golden/m/c.out": "out"} {
		if err := write(filepath.Join(folder, filepath.FromSlash(path)), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := parseList([]byte("# A comment.\n\nfrom origin https://example.com\nfile models/m.tflite 0 - origin/m.tflite\ngolden m c const:0 - - -\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.pin(folder); err != nil {
		t.Fatal(err)
	}
	want := "# A comment.\n\nfrom origin https://example.com\nfile models/m.tflite 5 " + sum([]byte("model")) +
		" origin/m.tflite\ngolden m c const:0 " + sum([]byte("in")) + " " + sum([]byte("out")) + " -\n"
	if got := string(l.format()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPeerMakesGoldens makes the golden files of the smallest model with the real library. It checks that a file whose
// checksum differs from the recorded one is not written.
func TestPeerMakesGoldens(t *testing.T) {
	if _, err := tflitepeer.FromEnvironment(tflitepeer.TFLite); err != nil {
		t.Skip(err)
	}
	l, err := parseList(listed)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	var few []*golden
	for _, g := range l.goldens {
		if g.model == "mobilenet_v1_0.25_128_quant" && (g.source == "images/cat.bmp" || strings.HasPrefix(g.source, "noise:")) {
			few = append(few, g)
		}
	}
	for _, path := range []string{"models/mobilenet_v1_0.25_128_quant.tflite", "images/cat.bmp"} {
		if err := write(filepath.Join(folder, filepath.FromSlash(path)), reference.Read(t, path)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := makeGoldens(t.Context(), folder, few); n != 2 || err != nil {
		t.Errorf("made %d goldens, %v, want 2", n, err)
	}
	for _, g := range few {
		for i, suffix := range suffixes {
			b, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(g.path(suffix))))
			if err != nil || sum(b) != g.sums[i] {
				t.Errorf("%s: SHA-256 %s, %v", g.path(suffix), sum(b), err)
			}
		}
	}

	other := *few[0]
	other.name, other.sums[0] = "other", few[1].sums[0]
	n, err := makeGoldens(t.Context(), folder, []*golden{&other})
	if n != 0 || err == nil || !strings.Contains(err.Error(), "the computed bytes of .in differ from the recorded ones") {
		t.Errorf("made %d goldens, %v", n, err)
	}
	if _, err := os.Stat(filepath.Join(folder, filepath.FromSlash(other.path(".in")))); err == nil {
		t.Error("a file with the wrong bytes was written")
	}
}
