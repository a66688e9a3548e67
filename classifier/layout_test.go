package classifier_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// embedKinds generates the given number of photos of each kind and returns them as examples
// with the labels "a", "b" and so on.
func embedKinds(t testing.TB, b *backbone.Backbone, kinds, photos int) []classifier.Example {
	t.Helper()
	r := b.NewRunner(1)
	defer r.Close()
	var examples []classifier.Example
	for kind := range kinds {
		for n := range photos {
			p, err := dataset.Decode(backbonetest.Photo(uint64(kind), uint64(n)), dataset.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			examples = append(examples, embed(t, b, r, p, dataset.Squash, string(rune('a'+kind))))
		}
	}
	return examples
}

// embed returns an example of label with the embedding of p.
func embed(t testing.TB, b *backbone.Backbone, r *backbone.Runner, p *dataset.Photo, resize dataset.Resize, label string) classifier.Example {
	t.Helper()
	if err := resize.Resize(r.RGB(), p.Image, b.Width, b.Height); err != nil {
		t.Fatal(err)
	}
	raw, err := r.Embed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, b.Dim())
	b.Dequantize(x, raw)
	norm := classifier.Normalize(x)
	return classifier.Example{Label: label, Unit: x, Norm: norm}
}

func parse(t testing.TB, model []byte) *backbone.Backbone {
	t.Helper()
	b, err := backbone.Parse(model, backbone.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sums(t testing.TB, examples []classifier.Example) *classifier.Sums {
	t.Helper()
	s := new(classifier.Sums)
	for _, e := range examples {
		if err := s.Add(e.Label, e.Unit); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// write appends head to the model, encodes the result as a file, and returns the parsed file.
func write(t testing.TB, model []byte, b *backbone.Backbone, head *classifier.Head, layout classifier.Layout, norms []float64) *tflite.Model {
	t.Helper()
	m, err := tflite.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	if err := head.Append(m, b.Embedding.Index, layout, norms); err != nil {
		t.Fatal(err)
	}
	if err := m.SetLabels(head.Labels); err != nil {
		t.Fatal(err)
	}
	return reread(t, m)
}

// reread returns m as it is read from its file.
func reread(t testing.TB, m *tflite.Model) *tflite.Model {
	t.Helper()
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if m, err = tflite.Parse(file); err != nil {
		t.Fatal(err)
	}
	return m
}

// run returns the model's output for a photo.
func run(t testing.TB, m *tflite.Model, photo []byte) []byte {
	t.Helper()
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p, err := dataset.Decode(photo, dataset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if err := dataset.Squash.Resize(in.Input(0), p.Image, backbonetest.Size, backbonetest.Size); err != nil {
		t.Fatal(err)
	}
	if err := in.Invoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(in.Output(0))
}

func randomHead(classes, dim int, negative bool) *classifier.Head {
	r := rand.New(rand.NewPCG(uint64(classes), uint64(dim)))
	h := &classifier.Head{Dim: dim}
	for c := range classes {
		h.Labels = append(h.Labels, string(rune('a'+c)))
		for range dim {
			w := float32(r.NormFloat64())
			if !negative && w < 0 {
				w = -w
			}
			h.Weights = append(h.Weights, w)
		}
		h.Bias = append(h.Bias, float32(r.NormFloat64()))
	}
	return h
}

// TestWrittenModelMatchesHead compares a written model's scores for photos with the
// head's scores for their embeddings.
func TestWrittenModelMatchesHead(t *testing.T) {
	const kinds, support = 5, 4
	for name, model := range map[string][]byte{"extractor": backbonetest.Extractor(), "classifier": backbonetest.Classifier(9)} {
		b := parse(t, model)
		all := embedKinds(t, b, kinds, 12)
		var training []classifier.Example
		for i, e := range all {
			if i%12 < support {
				training = append(training, e)
			}
		}
		head, err := sums(t, training).Mean()
		if err != nil {
			t.Fatal(err)
		}
		fitted, err := classifier.Fit(training, classifier.LDA, true)
		if err != nil {
			t.Fatal(err)
		}
		fitted.Head.Sqrt = true // any weights will do
		float := write(t, model, b, head, classifier.Float, nil)
		coral := write(t, model, b, head, classifier.Coral, nil)
		sqrt := write(t, model, b, fitted.Head, classifier.Float, nil)
		logits := make([]float64, kinds)
		clear := 0
		for i, e := range all {
			photo := backbonetest.Photo(uint64(i/12), uint64(i%12))
			checkFloatScores(t, name+", float layout", i, run(t, float, photo), head, e)
			checkFloatScores(t, name+", float layout with square roots", i, run(t, sqrt, photo), fitted.Head, e)
			// Rounding the unit vector to multiples of 1/128 changes a cosine by up to about
			// 0.01.
			head.Logits(logits, e.Unit)
			winner := classifier.ArgMax(logits)
			ranked := slices.Sorted(slices.Values(logits))
			margin := ranked[kinds-1] - ranked[kinds-2]
			if margin < 0.02*classifier.MeanScale {
				continue
			}
			clear++
			if got := run(t, coral, photo); got[winner] != slices.Max(got) {
				t.Errorf("%s, photo %d: coral layout scores %v, but the head predicts class %d by a margin of %v", name, i, got, winner, margin)
			}
		}
		if clear < 20 {
			t.Errorf("%s: only %d photos have a clear winner", name, clear)
		}
		checkFrozen(t, name, model, float)
		checkFrozen(t, name, model, coral)
	}
}

// checkFloatScores compares the float32 scores in got with head's scores for e.
func checkFloatScores(t *testing.T, name string, photo int, got []byte, head *classifier.Head, e classifier.Example) {
	t.Helper()
	want := make([]float64, len(head.Labels))
	head.Logits(want, e.Unit)
	classifier.ApplySoftmax(want)
	for c, w := range want {
		if g := float64(math.Float32frombits(binary.LittleEndian.Uint32(got[4*c:]))); math.Abs(g-w) > 1e-5 {
			t.Errorf("%s, photo %d, class %d: got score %v, want %v", name, photo, c, g, w)
		}
	}
}

// checkFrozen checks that the constants in the frozen part of a written model have not changed.
func checkFrozen(t *testing.T, name string, model []byte, written *tflite.Model) {
	t.Helper()
	in, err := tflite.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	for i, op := range written.Subgraphs[0].Operators[:4] {
		for j, tensor := range op.Inputs {
			if !bytes.Equal(written.TensorBytes(0, tensor), in.TensorBytes(0, in.Subgraphs[0].Operators[i].Inputs[j])) {
				t.Errorf("%s: input %d of operator %d has changed", name, j, i)
			}
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	good := randomHead(2, b.Dim(), true)
	for _, tt := range []struct {
		name      string
		head      *classifier.Head
		embedding int32
		layout    classifier.Layout
	}{
		{"other dimension", randomHead(2, b.Dim()+1, true), b.Embedding.Index, classifier.Float},
		{"no classes", &classifier.Head{Dim: b.Dim()}, b.Embedding.Index, classifier.Float},
		{"no such tensor", good, 1000, classifier.Float},
		{"no such layout", good, b.Embedding.Index, "tpu9"},
		{"all weights zero", &classifier.Head{Labels: []string{"a"}, Dim: b.Dim(), Weights: make([]float32, b.Dim()), Bias: []float32{0}}, b.Embedding.Index, classifier.Coral},
		{"not a number", &classifier.Head{Labels: []string{"a"}, Dim: 1, Weights: []float32{float32(math.NaN())}, Bias: []float32{0}}, b.Embedding.Index, classifier.Float},
	} {
		m, err := tflite.Parse(model)
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.head.Append(m, tt.embedding, tt.layout, nil); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}
