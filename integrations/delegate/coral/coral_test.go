package coral_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/integrations/delegate/coral"
)

// model returns a model for weight imprinting with the labels a and b, of which only a can be trained.
func model(t *testing.T) []byte {
	t.Helper()
	b, err := backbone.Parse(backbonetest.Extractor(), backbone.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	head := &classifier.Head{Labels: []string{"a", "b"}, Dim: b.Dim(), Weights: make([]float32, 2*b.Dim()), Bias: make([]float32, 2)}
	head.Weights[0], head.Weights[b.Dim()+1] = 1, 1
	if err := head.Append(m, b.Embedding.Index, classifier.Coral, []float64{3, 0}); err != nil {
		t.Fatal(err)
	}
	if err := m.SetLabels(head.Labels); err != nil {
		t.Fatal(err)
	}
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReadAndWrite(t *testing.T) {
	file := model(t)
	head, extractor, err := coral.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := tflite.Parse(extractor); err != nil || m.Subgraphs[0].Tensors[m.Subgraphs[0].Outputs[0]].NumElements() != head.Dim {
		t.Errorf("the extractor's output has not %d values (%v)", head.Dim, err)
	}
	for _, tt := range []struct {
		kept   int
		labels []string
	}{{2, []string{"a", "b", "2"}}, {0, []string{"0", "1", "2"}}, {-1, []string{"0", "1", "2"}}, {9, []string{"a", "b", "2"}}} {
		rows := slices.Concat(head.Rows, head.Rows[:head.Dim])
		written, err := coral.Write(file, rows, []float64{3, 0, 2}, tt.kept)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := coral.Read(written)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again.Labels, tt.labels) || !slices.Equal(again.Norms, []float64{3, 0, 2}) || len(again.Rows) != 3*head.Dim {
			t.Errorf("after writing with %d classes kept: labels %q, norms %v, %d weights", tt.kept, again.Labels, again.Norms, len(again.Rows))
		}
	}
}

func TestErrors(t *testing.T) {
	file, extractor := model(t), backbonetest.Extractor()
	ones := slices.Repeat([]float32{1}, 2*backbonetest.Dim)
	damaged := slices.Clone(ones)
	damaged[len(damaged)-1] = float32(math.NaN())
	for name, tt := range map[string]struct {
		call func() error
		want error
	}{
		"read garbage":         {func() error { _, _, err := coral.Read([]byte("no model")); return err }, tflite.ErrCorrupt},
		"read an extractor":    {func() error { _, _, err := coral.Read(extractor); return err }, classifier.ErrNoHead},
		"write an extractor":   {func() error { _, err := coral.Write(extractor, ones, []float64{1, 1}, 0); return err }, classifier.ErrNoHead},
		"write half a row":     {func() error { _, err := coral.Write(file, ones[1:], []float64{1, 1}, 0); return err }, classifier.ErrShape},
		"write NaN":            {func() error { _, err := coral.Write(file, damaged, []float64{1, 1}, 0); return err }, classifier.ErrShape},
		"write a norm of NaN":  {func() error { _, err := coral.Write(file, ones, []float64{1, math.NaN()}, 0); return err }, classifier.ErrShape},
		"write a norm of -Inf": {func() error { _, err := coral.Write(file, ones, []float64{math.Inf(-1), 1}, 0); return err }, classifier.ErrShape},
		"append half a row":    {func() error { _, err := coral.Append(extractor, ones[1:], []float32{1, 1}, 0, 1); return err }, classifier.ErrShape},
		"append nothing":       {func() error { _, err := coral.Append(extractor, nil, nil, 0, 1); return err }, classifier.ErrShape},
		"append other lengths": {func() error { _, err := coral.Append(extractor, ones, []float32{1}, 0, 1); return err }, classifier.ErrShape},
	} {
		if err := tt.call(); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}
