package imprint

import (
	"context"
	"slices"

	"github.com/imprintkit/imprint/backbone"
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
	classifier.Unit(s.x)
	t.head.Logits(s.values, s.x)
	classifier.Scores(s.values)
	return s.values, nil
}
