package infer

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/background"
	"github.com/imprintkit/imprint/classifier"
)

// backgroundShare is the proportion of the target false-accept rate at which the threshold accepts
// the background. The head is trained against the background, so it accepts more photos of other
// kinds (docs/accuracy.md).
const backgroundShare = 0.4

// DefaultRate is the target false-accept rate of a workspace for which the user has chosen none.
const DefaultRate = 0.05

// A Background rejects unknown things with the shipped embeddings of a backbone. The zero value is
// ready to use. It serves one goroutine at a time.
type Background struct {
	of          *backbone.Backbone
	units       [][]float64
	plain, sqrt *classifier.Background // nil until needed
}

// Units returns embeddings of things of many kinds, scaled to length 1, or nil if there are none for
// b.
func (g *Background) Units(b *backbone.Backbone) [][]float64 {
	if g.of != b {
		units := background.Embeddings(fmt.Sprintf("%x", b.SHA256), b.Embedding.Index)
		for _, u := range units {
			classifier.Normalize(u)
		}
		*g = Background{of: b, units: units}
	}
	return g.units
}

// Reject adds a row for unknown things to f's head, as [classifier.Background.Reject] does. About a
// proportion rate of other things is accepted. Without embeddings for b, it is
// [classifier.RejectUnlike].
func (g *Background) Reject(b *backbone.Backbone, f *classifier.Fitted, examples, negatives []classifier.Example, rate float64) (*classifier.Head, *classifier.Rejection, error) {
	if len(g.Units(b)) == 0 {
		return classifier.RejectUnlike(f, examples, negatives, rate)
	}
	return g.reject(b, f.Head.Sqrt, func(prepared *classifier.Background) (*classifier.Head, *classifier.Rejection, error) {
		return prepared.Reject(f, examples, negatives, rate)
	})
}

// RejectSample is like Reject, given the sample of the examples. There must be embeddings for b.
func (g *Background) RejectSample(b *backbone.Backbone, f *classifier.Fitted, s *classifier.BackgroundSample, negatives []classifier.Example, rate float64) (*classifier.Head, *classifier.Rejection, error) {
	return g.reject(b, f.Head.Sqrt, func(prepared *classifier.Background) (*classifier.Head, *classifier.Rejection, error) {
		return prepared.RejectSample(f, s, negatives, rate)
	})
}

// Extend adds the classes of sums, and a row for unknown things, to the backbone's own classes, as
// [classifier.Background.Extend] does. There must be embeddings for b.
func (g *Background) Extend(b *backbone.Backbone, sums *classifier.Sums, own *classifier.Head, examples, negatives []classifier.Example, rate float64) (*classifier.Head, *classifier.Rejection, error) {
	return g.reject(b, false, func(prepared *classifier.Background) (*classifier.Head, *classifier.Rejection, error) {
		return prepared.Extend(sums, own, examples, negatives, rate)
	})
}

// RejectStream is like Reject for the examples of s, of which f is the result of Fit.
func (g *Background) RejectStream(b *backbone.Backbone, f *classifier.Fitted, s *classifier.Stream, rate float64) (*classifier.Head, *classifier.Rejection, error) {
	if len(g.Units(b)) == 0 {
		return s.RejectUnlike(f, rate)
	}
	return g.reject(b, f.Head.Sqrt, func(prepared *classifier.Background) (*classifier.Head, *classifier.Rejection, error) {
		return s.Reject(prepared, f, rate)
	})
}

func (g *Background) reject(b *backbone.Backbone, sqrt bool, add func(*classifier.Background) (*classifier.Head, *classifier.Rejection, error)) (*classifier.Head, *classifier.Rejection, error) {
	units, prepared := g.Units(b), &g.plain
	if sqrt {
		prepared = &g.sqrt
	}
	if *prepared == nil {
		var err error
		if *prepared, err = classifier.NewBackground(units, sqrt, backgroundShare); err != nil {
			return nil, nil, err
		}
	}
	head, r, err := add(*prepared)
	if err == nil {
		r.Background = true
	}
	return head, r, err
}
