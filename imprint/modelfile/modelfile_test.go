package modelfile_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/modelfile"
)

// TestBackbone loads an extractor, and a workspace's published model, which has the resize mode in
// its metadata.
func TestBackbone(t *testing.T) {
	extractor := phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
	b, mode, err := modelfile.Backbone(extractor, nil, backbone.Options{})
	if err != nil || b.Dim() != backbonetest.Dim || b.Name != "extractor.tflite" || mode != dataset.Crop {
		t.Errorf("got %v, %s, %v, want extractor.tflite, %s", b, mode, err, dataset.Crop)
	}
	w, err := imprint.Open(filepath.Join(t.TempDir(), "ws"), imprint.Options{Backbone: extractor, Resize: dataset.Squash})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Add(context.Background(), phototest.Kinds(0, 2), imprint.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, mode, err := modelfile.Backbone(w.ModelPath(), nil, backbone.Options{}); err != nil || mode != dataset.Squash {
		t.Errorf("published model: got %s, %v, want %s", mode, err, dataset.Squash)
	}
	if _, _, err := modelfile.Backbone("no such model", nil, backbone.Options{}); !errors.Is(err, imprint.ErrNoBackbone) {
		t.Errorf("unknown name: got error %v, want %v", err, imprint.ErrNoBackbone)
	}
}
