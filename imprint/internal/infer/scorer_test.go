package infer

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

// smallHead returns a head of two classes for the extractor.
func smallHead(b *backbone.Backbone) *classifier.Head {
	h := &classifier.Head{Labels: []string{"a", "b"}, Dim: b.Dim(), Weights: make([]float32, 2*b.Dim()), Bias: []float32{0.5, -0.25}}
	for i := range h.Weights {
		h.Weights[i] = float32(i%7) - 3
	}
	return h
}

// lastOperators adds a head to a model and returns the operators after the embedding.
func lastOperators(t *testing.T, b *backbone.Backbone, h *classifier.Head) *backbone.Interpreter {
	t.Helper()
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Append(m, b.Embedding.Index, classifier.Float, nil); err != nil {
		t.Fatal(err)
	}
	m.Subgraphs[0].Inputs = []int32{b.Embedding.Index}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestScores(t *testing.T) {
	b := extractor(t)
	_, raw := run(t, newPool(t, 1), 1)
	h := smallHead(b)
	x, fromHead := make([]float64, b.Dim()), make([]float64, 2)
	if norm := Unit(b, x, raw); !(norm > 0) {
		t.Fatalf("got an embedding of length %v, want it positive", norm)
	}
	h.Logits(fromHead, x)
	classifier.ApplySoftmax(fromHead)
	values := make([]float64, b.Dim())
	b.Dequantize(values, raw)

	var shared Scratch
	for range 2 { // both scorers use the same scratch
		for _, test := range []struct {
			name string
			s    *Scorer
			want []float64
		}{
			{"head", &Scorer{Labels: h.Labels, Embedding: b.Embedding, Dim: b.Dim(), Head: h}, fromHead},
			{"last operators", &Scorer{Labels: h.Labels, Embedding: b.Embedding, Dim: b.Dim(), Last: lastOperators(t, b, h)}, fromHead},
			{"raw values", &Scorer{Labels: h.Labels, Embedding: b.Embedding, Dim: b.Dim()}, values[:2]},
		} {
			for _, m := range []*Scratch{&shared, new(Scratch)} {
				got, err := test.s.Scores(context.Background(), m, raw)
				if err != nil || !slices.EqualFunc(got, test.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }) {
					t.Errorf("%s: got %v, %v, want %v", test.name, got, err, test.want)
				}
			}
		}
	}
}

func TestReadBackbone(t *testing.T) {
	path := phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
	for _, test := range []struct {
		name, want string
		err        error
	}{
		{"", builtin.Name, nil},
		{builtin.Name, builtin.Name, nil},
		{path, "extractor.tflite", nil},
		{path + "x", "", ErrNoBackbone},
		{"no such model", "", ErrNoBackbone},
	} {
		file, got, err := ReadBackbone(test.name)
		wantError(t, err, test.err)
		if got != test.want || (len(file) > 0) != (test.err == nil) {
			t.Errorf("%q: got %d bytes of %q, want %q", test.name, len(file), got, test.want)
		}
	}
}

func TestResizeFor(t *testing.T) {
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	if err := (classifier.Metadata{Version: 1, Resize: "pad", Layout: classifier.Float}).Store(m); err != nil {
		t.Fatal(err)
	}
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	named, err := backbone.Parse(file, backbone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		b    *backbone.Backbone
		mode dataset.Resize
		want dataset.Resize
	}{
		{"chosen", named, dataset.Squash, dataset.Squash},
		{"from the model", named, "", dataset.Pad},
		{"from the model, auto", named, Auto, dataset.Pad},
		{"default", extractor(t), "", dataset.Crop},
		{"default, auto", extractor(t), Auto, dataset.Crop},
	} {
		if got := ResizeFor(test.b, test.mode); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}
