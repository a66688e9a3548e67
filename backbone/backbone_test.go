package backbone_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
)

func embed(t *testing.T, b *backbone.Backbone, photo []byte) []byte {
	t.Helper()
	p, err := dataset.Decode(photo, dataset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	r := b.NewRunner(1)
	defer r.Close()
	if err := dataset.Squash.Resize(r.RGB(), p.Image, b.Width, b.Height); err != nil {
		t.Fatal(err)
	}
	raw, err := r.Embed(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(raw)
}

func TestParseFindsEmbedding(t *testing.T) {
	for _, tt := range []struct {
		name      string
		model     []byte
		embedding string
		want      string
		last      bool
	}{
		{"extractor", backbonetest.Extractor(), "", "embedding", false},
		{"classifier", backbonetest.Classifier(7), "", "embedding", true},
		{"efficientnet", backbonetest.EfficientNet(7), "", "embedding", true},
		{"by name", backbonetest.Classifier(7), "logits", "logits", false},
		{"by index", backbonetest.Extractor(), "#0", "photo", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := backbone.Parse(tt.model, backbone.Options{Name: tt.name, Embedding: tt.embedding})
			if err != nil {
				t.Fatal(err)
			}
			if b.Embedding.Name != tt.want || (b.LastLayer >= 0) != tt.last {
				t.Errorf("got embedding %q, last layer %d; want %q, last layer %v", b.Embedding.Name, b.LastLayer, tt.want, tt.last)
			}
		})
	}
}

// TestClassifierHasExtractorsEmbedding checks that the classifier, which starts with the
// extractor's operators, computes the same embedding as the extractor.
func TestClassifierHasExtractorsEmbedding(t *testing.T) {
	photo := backbonetest.Photo(3, 1)
	var raw [2][]byte
	for i, model := range [][]byte{backbonetest.Extractor(), backbonetest.Classifier(5)} {
		b, err := backbone.Parse(model, backbone.Options{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		raw[i] = embed(t, b, photo)
	}
	if !bytes.Equal(raw[0], raw[1]) {
		t.Errorf("got %v from the extractor, but %v from the classifier", raw[0], raw[1])
	}
	if slices.Max(raw[0]) == slices.Min(raw[0]) {
		t.Errorf("all values of the embedding are equal: %v", raw[0])
	}
}

func TestParseErrors(t *testing.T) {
	change := func(f func(*tflite.Model)) []byte {
		return backbonetest.Changed(backbonetest.Extractor(), f)
	}
	places := change(func(m *tflite.Model) { // outputs one vector for each position in the photo
		g := &m.Subgraphs[0]
		g.Outputs = []int32{g.Operators[len(g.Operators)-1].Inputs[0]}
	})
	custom := change(func(m *tflite.Model) {
		m.Subgraphs[0].Operators[0].Opcode = m.OperatorCode(tflite.OpCustom, "edgetpu-custom-op", 1)
		m.Subgraphs[0].Operators[0].Options = tflite.Options{}
	})
	for _, tt := range []struct {
		name      string
		model     []byte
		embedding string
		want      error
		text      string
	}{
		{"not a model", []byte("hello"), "", tflite.ErrCorrupt, "not a model"},
		{"no vector", places, "", backbone.ErrNoEmbedding, "not one vector"},
		{"no such tensor", backbonetest.Extractor(), "nowhere", backbone.ErrNoEmbedding, `"nowhere"`},
		{"compiled", custom, "", backbone.ErrUnsupportedOperator, "Edge TPU"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := backbone.Parse(tt.model, backbone.Options{Name: tt.name, Embedding: tt.embedding})
			if b != nil || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, %v; want error %v that contains %q", b, err, tt.want, tt.text)
			}
		})
	}
}

func TestEmbedDoesNotAllocate(t *testing.T) {
	b, err := backbone.Parse(backbonetest.Extractor(), backbone.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r := b.NewRunner(1)
	defer r.Close()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Embed(t.Context()); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Embed allocates %v times, want 0", n)
	}
}
