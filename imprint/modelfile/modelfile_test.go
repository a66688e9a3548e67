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

// trained is a workspace with classes.
func trained(t *testing.T, o imprint.Options) *imprint.Workspace {
	t.Helper()
	if o.Backbone == "" {
		o.Backbone = phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
	}
	w, err := imprint.Open(filepath.Join(t.TempDir(), "ws"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if _, err := w.Add(context.Background(), phototest.Kinds(0, 2), imprint.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	return w
}

// A model that a workspace published names the resize mode that photos need for it.
func TestBackbone(t *testing.T) {
	extractor := phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
	b, mode, err := modelfile.Backbone(extractor, nil, backbone.Options{})
	if err != nil || b.Dim() != backbonetest.Dim || b.Name != "extractor.tflite" || mode != dataset.Crop {
		t.Errorf("got %v, %s, %v", b, mode, err)
	}
	w := trained(t, imprint.Options{Backbone: extractor, Resize: dataset.Squash})
	if _, mode, err := modelfile.Backbone(w.ModelPath(), nil, backbone.Options{}); err != nil || mode != dataset.Squash {
		t.Errorf("of a published model: got %s, %v", mode, err)
	}
	if _, _, err := modelfile.Backbone("no such model", nil, backbone.Options{}); !errors.Is(err, imprint.ErrNoBackbone) {
		t.Errorf("got %v, want ErrNoBackbone", err)
	}
}
