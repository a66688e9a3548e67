package imprint

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

// TestMain is also the program that the tests of killed and of concurrent
// processes start: this binary once more.
func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(child(role, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// newWorkspace names a folder that does not exist yet, and a backbone for it.
func newWorkspace(t testing.TB) (dir string, o Options) {
	t.Helper()
	return filepath.Join(t.TempDir(), "ws"), Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())}
}

func openWorkspace(t testing.TB, dir string, o Options) *Workspace {
	t.Helper()
	k, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// newKit opens a new workspace.
func newOpened(t testing.TB) *Workspace {
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

func mustAdd(t testing.TB, k *Workspace, items ...dataset.Item) *Added {
	t.Helper()
	l, err := k.Add(context.Background(), items, AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// photoFile writes a photo to a file of its own.
func photoFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// files is everything below dir: the content of files, and folders as "".
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

// sameFiles reports how two results of files differ.
func sameFiles(t testing.TB, got, want map[string]string) {
	t.Helper()
	for path := range got {
		if w, ok := want[path]; !ok {
			t.Errorf("%s is new", path)
		} else if w != got[path] {
			t.Errorf("%s has changed", path)
		}
	}
	for path := range want {
		if _, ok := got[path]; !ok {
			t.Errorf("%s is gone", path)
		}
	}
}

func readModel(t testing.TB, k *Workspace) []byte {
	t.Helper()
	b, err := os.ReadFile(k.ModelPath())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// taught is label → number of photos.
func taught(k *Workspace) map[string]int {
	n := make(map[string]int)
	for _, c := range k.Classes() {
		n[c.Label] = len(c.Photos)
	}
	return n
}

func wantTaught(t testing.TB, k *Workspace, want map[string]int) {
	t.Helper()
	if got := taught(k); !maps.Equal(got, want) {
		t.Errorf("taught %v, want %v", got, want)
	}
}

func classify(t testing.TB, k *Workspace, items ...dataset.Item) []predict.Result {
	t.Helper()
	var results []predict.Result
	err := k.Classify(context.Background(), items, 0, func(r predict.Result) error {
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

func export(k *Workspace, path, labels string, layout classifier.Layout, keepClasses bool) error {
	_, err := k.Export(path, labels, layout, keepClasses)
	return err
}

func labelsIn(w *Workspace) ([]string, error) {
	h, err := w.currentHead()
	if err != nil {
		return nil, err
	}
	return h.Head.Labels, nil
}
