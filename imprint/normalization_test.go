package imprint

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

// TestNormalizationOfOldWorkspace uses a float model with metadata that says how to normalize
// pixels. A new workspace must normalize them. Older versions did not, so their workspaces must
// continue to embed photos without normalization.
func TestNormalizationOfOldWorkspace(t *testing.T) {
	model := phototest.Backbone(t, "float.tflite", backbonetest.FloatClassifier(backbonetest.Float16Weights, 3, []float32{0}, []float32{255}))
	dir := filepath.Join(t.TempDir(), "ws")
	w, err := Open(dir, Options{Backbone: model})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(context.Background(), phototest.Kinds(0, 2), AddOptions{}); err != nil {
		t.Fatal(err)
	}
	if !w.state.Backbone.Normalized || !w.backbone.Normalized || w.state.Version != 3 {
		t.Errorf("a new workspace has version %d and normalizes: %t, %t", w.state.Version, w.state.Backbone.Normalized, w.backbone.Normalized)
	}
	// The published model alone must give the same results as the workspace.
	photos := phototest.Kinds(2, 3)
	scores := map[string]float64{}
	if err := w.Classify(context.Background(), photos, 1, func(r predict.Result) error { scores[r.Path] = r.Score; return r.Err }); err != nil {
		t.Fatal(err)
	}
	err = predict.File(context.Background(), w.ModelPath(), predict.Options{Top: 1}, photos, func(r predict.Result) error {
		if d := scores[r.Path] - r.Score; d > 1e-5 || d < -1e-5 || r.Err != nil {
			t.Errorf("%s: the model gives %v, the workspace %v, error %v", r.Path, r.Score, scores[r.Path], r.Err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	w, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if !w.backbone.Normalized {
		t.Error("the workspace does not normalize after it was opened again")
	}
	w.state.Backbone.Normalized = false // as older versions left it
	if err := w.loadBackbone(false); err != nil {
		t.Fatal(err)
	}
	if w.backbone.Normalized {
		t.Error("the old workspace embeds photos differently than before")
	}
	if got := w.state.OldestVersion(); got != 1 {
		t.Errorf("the state has version %d, want 1", got)
	}
}
