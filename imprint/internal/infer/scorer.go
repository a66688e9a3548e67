package infer

import (
	"context"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// A Scorer computes scores from embeddings. It is safe for concurrent use by multiple goroutines.
//
// With a Head, it computes scores in float64. With Last, it runs the model's own last operators.
// Last is for layouts that round, because rounding may change a prediction in a near tie. Without
// Head and Last, the scores are the raw values.
type Scorer struct {
	Labels    []string
	Embedding backbone.TensorInfo
	Dim       int
	Head      *classifier.Head
	Last      *backbone.Interpreter // cloned for each Scratch
}

// Scratch is the memory that one goroutine needs for [Scorer.Scores]. The zero value is ready
// for use.
type Scratch struct {
	of     *Scorer
	last   *backbone.Interpreter
	out    backbone.TensorInfo
	x      []float64
	values []float64
}

// Scores returns the score, 0…1, of each label for a raw embedding. The result is valid until
// the next use of m.
func (s *Scorer) Scores(ctx context.Context, m *Scratch, raw []byte) ([]float64, error) {
	if m.of != s {
		m.of, m.last = s, nil
		if s.Last != nil {
			var err error
			if m.last, err = s.Last.Clone(); err != nil {
				return nil, err
			}
			m.out = m.last.Outputs()[0]
		}
	}
	m.values = slices.Grow(m.values[:0], len(s.Labels))[:len(s.Labels)]
	switch {
	case m.last != nil:
		copy(m.last.Input(0), raw)
		if err := m.last.Invoke(ctx); err != nil {
			return nil, err
		}
		m.out.Dequantize(m.values, m.last.Output(0))
	case s.Head == nil:
		s.Embedding.Dequantize(m.values, raw)
	default:
		m.x = slices.Grow(m.x[:0], s.Dim)[:s.Dim]
		s.Embedding.Dequantize(m.x, raw)
		classifier.Normalize(m.x)
		s.Head.Logits(m.values, m.x)
		classifier.ApplySoftmax(m.values)
	}
	return m.values, nil
}

// Unit writes the unit vector of a raw embedding to dst and returns the length of the embedding.
func Unit(b *backbone.Backbone, dst []float64, raw []byte) float64 {
	b.Dequantize(dst, raw)
	return classifier.Normalize(dst)
}

// Roots reports whether no embedding of b has negative values, so that square roots can be features.
func Roots(b *backbone.Backbone) bool {
	e := b.Embedding
	return e.Type == tflite.TypeUint8 && len(e.ZeroPoint) == 1 && e.ZeroPoint[0] == 0 ||
		e.Type == tflite.TypeInt8 && len(e.ZeroPoint) == 1 && e.ZeroPoint[0] == -128
}
