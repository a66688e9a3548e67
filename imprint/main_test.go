package imprint

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

// TestMain runs child if a test has started this binary as another process.
func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(child(role, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// newWorkspace returns the path of a workspace that does not exist yet, and options to open it
// with.
func newWorkspace(t testing.TB) (dir string, o Options) {
	t.Helper()
	return filepath.Join(t.TempDir(), "ws"), Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())}
}

func openWorkspace(t testing.TB, dir string, o Options) *Workspace {
	t.Helper()
	w, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// openNew opens a workspace that does not exist yet.
func openNew(t testing.TB) *Workspace {
	t.Helper()
	dir, o := newWorkspace(t)
	return openWorkspace(t, dir, o)
}

var (
	picture = phototest.Picture
	photo   = phototest.Photo
	photos  = phototest.Photos
	kinds   = phototest.Kinds
)

func mustAdd(t testing.TB, w *Workspace, items ...dataset.Item) *Added {
	t.Helper()
	added, err := w.Add(context.Background(), items, AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return added
}

// photoFile writes a photo to a file in a new folder and returns its path.
func photoFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// files returns the contents of dir by path: the content of each file, and "" for each folder.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			found[path+"/"] = ""
			return err
		}
		b, err := os.ReadFile(path)
		found[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sameFiles fails the test unless got and want, which are results of files, are equal.
func sameFiles(t testing.TB, got, want map[string]string) {
	t.Helper()
	for path := range got {
		if content, ok := want[path]; !ok {
			t.Errorf("%s is new", path)
		} else if content != got[path] {
			t.Errorf("%s has changed", path)
		}
	}
	for path := range want {
		if _, ok := got[path]; !ok {
			t.Errorf("%s is missing", path)
		}
	}
}

func readModel(t testing.TB, w *Workspace) []byte {
	t.Helper()
	b, err := os.ReadFile(w.ModelPath())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// photoCounts returns the number of photos by label.
func photoCounts(w *Workspace) map[string]int {
	n := make(map[string]int)
	for _, c := range w.Classes() {
		n[c.Label] = len(c.Photos)
	}
	return n
}

func wantPhotos(t testing.TB, w *Workspace, want map[string]int) {
	t.Helper()
	if got := photoCounts(w); !maps.Equal(got, want) {
		t.Errorf("got photos %v, want %v", got, want)
	}
}

func classify(t testing.TB, w *Workspace, items ...dataset.Item) []predict.Result {
	t.Helper()
	var results []predict.Result
	err := w.Classify(context.Background(), items, 0, func(r predict.Result) error {
		results = append(results, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func labelsOf(results []predict.Result) []string {
	var labels []string
	for _, r := range results {
		labels = append(labels, r.Label)
	}
	return slices.Clip(labels)
}

func export(w *Workspace, path, labels string, layout classifier.Layout, keepClasses bool) error {
	_, err := w.Export(path, labels, layout, keepClasses)
	return err
}

func headLabels(w *Workspace) ([]string, error) {
	h, err := w.currentHead()
	if err != nil {
		return nil, err
	}
	return h.Head.Labels, nil
}

// errAny makes wantError accept any error.
var errAny = errors.New("any error")

// wantError checks that err wraps want and that its message is one line.
func wantError(t testing.TB, err, want error) {
	t.Helper()
	if err == nil || (want != errAny && !errors.Is(err, want)) {
		t.Errorf("got error %v, want %v", err, want)
		return
	}
	t.Log(err)
	if s := err.Error(); strings.Contains(s, "\n") || strings.Contains(s, "%!") {
		t.Errorf("error %q is not one line", s)
	}
}

func addOne(w *Workspace) error {
	_, err := w.Add(context.Background(), photos("b", 1, 0, 1), AddOptions{})
	return err
}
