package live_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	picture = phototest.Picture
	photo   = phototest.Photo
	photos  = phototest.Photos
	kinds   = phototest.Kinds
)

// newWorkspace returns the path of a workspace that does not exist yet, and options to open it
// with.
func newWorkspace(t testing.TB) (dir string, o imprint.Options) {
	t.Helper()
	return filepath.Join(t.TempDir(), "ws"), imprint.Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())}
}

func openWorkspace(t testing.TB, dir string, o imprint.Options) *imprint.Workspace {
	t.Helper()
	w, err := imprint.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func mustAdd(t testing.TB, w *imprint.Workspace, items ...dataset.Item) {
	t.Helper()
	if _, err := w.Add(context.Background(), items, imprint.AddOptions{}); err != nil {
		t.Fatal(err)
	}
}

func readModel(t testing.TB, w *imprint.Workspace) []byte {
	t.Helper()
	b, err := os.ReadFile(w.ModelPath())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// published reports whether model.tflite belongs to the state.
func published(t testing.TB, w *imprint.Workspace) bool {
	t.Helper()
	_, err := w.PublishedSnapshot()
	if err != nil && !errors.Is(err, imprint.ErrUnpublished) {
		t.Fatal(err)
	}
	return err == nil
}

func classify(t testing.TB, w *imprint.Workspace, items ...dataset.Item) []predict.Result {
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

func openLive(t testing.TB, dir string, o imprint.Options) *live.Live {
	t.Helper()
	l, err := live.Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func decoded(t testing.TB, photo []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(photo))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// sameResult reports whether two results are equal except for their time.
func sameResult(a, b predict.Result) bool {
	return a.Label == b.Label && a.Score == b.Score && slices.Equal(a.Top, b.Top) && a.Device == b.Device && a.Generation == b.Generation && a.Unknown == b.Unknown
}

func mustReload(t testing.TB, l *live.Live) live.Reloaded {
	t.Helper()
	r, err := l.Reload(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}
