package handle_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
)

// TestNothingFound uses a workspace whose detector finds nothing: the label of a photo is "", and it
// has no embedding.
func TestNothingFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ws")
	model := filepath.Join(t.TempDir(), "detector.tflite")
	if err := os.WriteFile(model, backbonetest.Detector(2), 0o644); err != nil {
		t.Fatal(err)
	}
	ws, err := imprint.Open(dir, imprint.Options{Detector: &predict.DetectorChoice{Model: model, Min: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	var items []dataset.Item
	for _, p := range append(encoded("one", 1, 2), encoded("two", 10, 2)...) {
		items = append(items, dataset.Item{Label: p.Label, Path: p.Label, Content: p.Content, Box: dataset.Box{0, 0, 10000, 10000}})
	}
	if _, err := ws.Add(ctx, items, imprint.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	w := openWorkspace(t, dir)
	photo := encoded("one", 1, 3)[2]
	if r, err := w.Classify(ctx, &photo); err != nil || r.Label != "" || r.Nearest != "" || !r.Unknown || len(r.Top) > 0 {
		t.Errorf("got %+v, %v, want no label", r, err)
	}
	if _, err := w.Embed(ctx, &photo); !errors.Is(err, imprint.ErrNoPhotos) {
		t.Errorf("embed: got error %v, want %v", err, imprint.ErrNoPhotos)
	}
}
