package classifier_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// imprinting returns a model in the Coral layout with two classes, of which b can't be trained further.
func imprinting(t *testing.T) *classifier.Imprinting {
	t.Helper()
	model := backbonetest.Extractor()
	b := parse(t, model)
	s := sums(t, embedKinds(t, b, 2, 4))
	head, err := s.Mean()
	if err != nil {
		t.Fatal(err)
	}
	i, err := classifier.ReadImprinting(write(t, model, b, head, classifier.Coral, []float64{s.Norm("a"), 0}))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestImprintingTrains adds a class as Coral's engine does: it adds up the outputs of the extractor.
func TestImprintingTrains(t *testing.T) {
	extractor, err := imprinting(t).Extractor()
	if err != nil {
		t.Fatal(err)
	}
	i := imprinting(t)
	if got := i.Norms; len(got) != 2 || !(got[0] > 3) || got[1] != 0 {
		t.Errorf("norms are %v, want one of nearly 4, and 0", got)
	}
	if !slices.Equal(i.Labels, []string{"a", "b"}) {
		t.Errorf("labels are %q, want a and b", i.Labels)
	}
	sum := make([]float32, i.Dim)
	for n := range uint64(4) {
		for k, q := range run(t, extractor, backbonetest.Photo(2, n)) {
			sum[k] += (float32(q) - 128) / 128
		}
	}
	i.Rows, i.Norms = append(i.Rows, sum...), append(i.Norms, 3.5)
	m, err := i.Write()
	if err != nil {
		t.Fatal(err)
	}
	m = reread(t, m)
	for kind := range uint64(3) {
		scores := run(t, m, backbonetest.Photo(kind, 9))
		if got := slices.Index(scores, slices.Max(scores)); len(scores) != 3 || got != int(kind) {
			t.Errorf("a photo of kind %d has the scores %v, want the largest at %d", kind, scores, kind)
		}
	}
	again, err := classifier.ReadImprinting(m)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Labels, []string{"a", "b", "2"}) || again.Norms[1] != 0 || math.Abs(again.Norms[2]-3.5) > 1e-6 {
		t.Errorf("the written model has labels %q and norms %v, want a, b, 2 and … 0 3.5", again.Labels, again.Norms)
	}
}

func TestImprintingErrors(t *testing.T) {
	m, err := tflite.Parse(backbonetest.Classifier(3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := classifier.ReadImprinting(m); !errors.Is(err, classifier.ErrNoHead) {
		t.Errorf("read a model without L2_NORMALIZATION: %v, want ErrNoHead", err)
	}
	for name, change := range map[string]func(*classifier.Imprinting){
		"no class":    func(i *classifier.Imprinting) { i.Rows, i.Norms = nil, nil },
		"part of row": func(i *classifier.Imprinting) { i.Rows = i.Rows[1:] },
		"norms":       func(i *classifier.Imprinting) { i.Norms = i.Norms[1:] },
	} {
		i := imprinting(t)
		change(i)
		if _, err := i.Write(); !errors.Is(err, classifier.ErrShape) {
			t.Errorf("%s: %v, want ErrShape", name, err)
		}
	}
}

// TestImprintingUnusual changes what TensorFlow Lite does not check. No change may cause a panic.
func TestImprintingUnusual(t *testing.T) {
	for name, change := range map[string]func(*tflite.Tensor){
		"scalar":        func(t *tflite.Tensor) { t.Shape = nil },
		"no zero point": func(t *tflite.Tensor) { t.Quantization.ZeroPoint = nil },
		"no scale":      func(t *tflite.Tensor) { t.Quantization.Scale = nil },
		"two scales":    func(t *tflite.Tensor) { t.Quantization.Scale = []float32{1, 2} },
		"scale 0":       func(t *tflite.Tensor) { t.Quantization.Scale = []float32{0} },
		"float32":       func(t *tflite.Tensor) { t.Type = tflite.TypeFloat32 },
		"no content":    func(t *tflite.Tensor) { t.Buffer = 0 },
	} {
		m, err := imprinting(t).Write()
		if err != nil {
			t.Fatal(err)
		}
		file, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		written := 0
		for tensor := range m.Subgraphs[0].Tensors {
			if m, err = tflite.Parse(file); err != nil {
				t.Fatal(err)
			}
			changed := &m.Subgraphs[0].Tensors[tensor]
			if changed.Quantization == nil {
				changed.Quantization = &tflite.Quantization{}
			}
			change(changed)
			i, err := classifier.ReadImprinting(m)
			if err == nil {
				_, err = i.Write()
			}
			if err == nil {
				written++
			} else if !errors.Is(err, classifier.ErrNoHead) {
				t.Errorf("%s in tensor %d: %v, want ErrNoHead", name, tensor, err)
			}
		}
		if written == 0 {
			t.Errorf("%s: no changed model was written, not even if the change is before the head", name)
		}
	}
}

// TestAppendQuantized compares a written model's scores with those of the head.
func TestAppendQuantized(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	head := randomHead(4, b.Dim(), true)
	for k := range head.Weights {
		head.Weights[k] /= 20
	}
	m, err := tflite.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	examples := embedKinds(t, b, 3, 1)
	wants, low, high := make([][]float64, len(examples)), 0.0, 0.0
	for k, e := range examples {
		for i := range e.Unit {
			e.Unit[i] *= e.Norm
		}
		wants[k] = make([]float64, 4)
		head.Logits(wants[k], e.Unit)
		low, high = min(low, slices.Min(wants[k])), max(high, slices.Max(wants[k]))
		classifier.ApplySoftmax(wants[k])
	}
	if err := head.AppendQuantized(m, b.Embedding.Index, low, high); err != nil {
		t.Fatal(err)
	}
	for kind, want := range wants {
		for c, q := range run(t, m, backbonetest.Photo(uint64(kind), 0)) {
			if got := float64(q) / 256; math.Abs(got-want[c]) > 0.03 {
				t.Errorf("kind %d, class %d: score %v, want %v", kind, c, got, want[c])
			}
		}
	}
}
