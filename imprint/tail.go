package imprint

import (
	"context"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// A tail is what makes scores of embeddings: the head, in float64, or in a layout
// whose rounding can turn near ties the last operators of the model itself. With
// neither the scores are the embedding. It does not change and may be shared.
type scorer struct {
	labels    []string
	embedding backbone.TensorInfo
	dim       int
	head      *classifier.Head
	last      *backbone.Interpreter // to be cloned
}

// tail gives that of model, which is the model of the Workspace's state.
func (k *Workspace) scorer(model []byte) (*scorer, error) {
	t := &scorer{embedding: k.backbone.Embedding, dim: k.backbone.Dim()}
	if k.state.Settings.Layout == classifier.Float {
		if k.head == nil {
			k.head = k.headIn(model)
		}
		fitted, err := k.currentHead()
		if err != nil {
			return nil, err
		}
		t.labels, t.head = fitted.Head.Labels, fitted.Head
		return t, nil
	}
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, err
	}
	if t.labels, err = m.Labels(); err != nil {
		return nil, err
	}
	if k.state.Settings.Layout == classifier.TPU {
		p, err := k.pairOf(k.state.Settings.Pair)
		if err != nil {
			return nil, err
		}
		var at int32
		if m, at, err = p.Uncompiled(model, k.backbone.Model()); err != nil {
			return nil, err
		}
		m.Subgraphs[0].Inputs = []int32{at}
	} else if err := k.cut(m); err != nil {
		return nil, err
	}
	if t.last, err = backbone.NewInterpreter(m, backbone.InterpreterOptions{Arithmetic: k.options.Arithmetic}); err != nil {
		return nil, err
	}
	if got := t.last.Outputs()[0]; len(got.Shape) == 0 || int(got.Shape[len(got.Shape)-1]) < len(t.labels) {
		return nil, fmt.Errorf("the model has an output of shape %v for %d classes: %w", got.Shape, len(t.labels), classifier.ErrShape)
	}
	return t, nil
}

// cut makes the embedding the input of m, whose last operators follow it.
func (k *Workspace) cut(m *tflite.Model) error {
	g := m.Subgraphs[0]
	if len(g.Outputs) != 1 {
		return fmt.Errorf("the model has %d outputs: %w", len(g.Outputs), classifier.ErrShape)
	}
	want := k.backbone.Embedding
	for at := g.Outputs[0]; ; {
		op := slices.IndexFunc(g.Operators, func(o tflite.Operator) bool { return slices.Contains(o.Outputs, at) })
		if op < 0 || len(g.Operators[op].Inputs) == 0 || g.Operators[op].Inputs[0] < 0 {
			return fmt.Errorf("the model has no tensor %q before its last operators: %w", want.Name, classifier.ErrShape)
		}
		at = g.Operators[op].Inputs[0]
		if t := &g.Tensors[at]; t.Name == want.Name && t.Type == want.Type && t.NumElements() == k.backbone.Dim() {
			g.Inputs = []int32{at}
			m.Subgraphs[0] = g
			return nil
		}
	}
}

// A scorer makes scores with one tail after the other, for one goroutine at a time.
// The zero value is ready for use.
type scorerState struct {
	scorer *scorer
	last   *backbone.Interpreter
	out    backbone.TensorInfo
	x      []float64
	values []float64
}

// scores gives one score a label of t for a raw embedding; they are valid until the
// next call.
func (s *scorerState) scores(ctx context.Context, t *scorer, raw []byte) ([]float64, error) {
	if s.scorer != t {
		s.scorer, s.last = t, nil
		if t.last != nil {
			var err error
			if s.last, err = t.last.Clone(); err != nil {
				return nil, err
			}
			s.out = s.last.Outputs()[0]
		}
	}
	s.values = slices.Grow(s.values[:0], len(t.labels))[:len(t.labels)]
	if s.last != nil {
		copy(s.last.Input(0), raw)
		if err := s.last.Invoke(ctx); err != nil {
			return nil, err
		}
		s.out.Dequantize(s.values, s.last.Output(0))
		return s.values, nil
	}
	if t.head == nil {
		t.embedding.Dequantize(s.values, raw)
		return s.values, nil
	}
	s.x = slices.Grow(s.x[:0], t.dim)[:t.dim]
	t.embedding.Dequantize(s.x, raw)
	classifier.Normalize(s.x)
	t.head.Logits(s.values, s.x)
	classifier.ApplySoftmax(s.values)
	return s.values, nil
}
