// Package classifier turns the embeddings of a few photos into a last layer, and
// a last layer into TensorFlow Lite operators and back. Start with [Sums]: add
// the unit embeddings of every class, call [Sums.Mean] for a [Head], and
// [Head.Append] to write it into a model.
//
// The package knows no files and no devices. Its values may be read from many
// goroutines at once and are changed by one at a time. All arithmetic is done in
// a fixed order and without fused multiply-add, so that the same examples give
// the same bytes on every processor.
package classifier

import (
	"errors"
	"fmt"
	"math"
)

// ErrShape is wrapped when vectors, heads and models do not fit each other.
var ErrShape = errors.New("shape mismatch")

// A Head is one linear layer on the L2-normalised embedding x:
//
//	logits = Weights·x + Bias, score = softmax(logits)
//
// Class c is named Labels[c]; its weights are Weights[c·Dim : (c+1)·Dim].
type Head struct {
	Labels []string
	Dim    int
	// Root is whether the layer works on √x, scaled to length 1, in place of x.
	Root    bool
	Weights []float32
	Bias    []float32
}

// Row returns the weights of class c, a sub-slice of h.Weights.
func (h *Head) Row(c int) []float32 { return h.Weights[c*h.Dim : (c+1)*h.Dim] }

// Check says whether the parts of h fit each other and are finite.
func (h *Head) Check() error {
	n := len(h.Labels)
	if n == 0 || h.Dim <= 0 {
		return fmt.Errorf("head of %d classes on %d values: %w", n, h.Dim, ErrShape)
	}
	if len(h.Weights) != n*h.Dim || len(h.Bias) != n {
		return fmt.Errorf("head of %d classes on %d values has %d weights and %d biases: %w",
			n, h.Dim, len(h.Weights), len(h.Bias), ErrShape)
	}
	for _, v := range [][]float32{h.Weights, h.Bias} {
		for i, f := range v {
			if f64 := float64(f); math.IsNaN(f64) || math.IsInf(f64, 0) {
				return fmt.Errorf("head has the value %v at %d: %w", f, i, ErrShape)
			}
		}
	}
	return nil
}

// Logits writes one logit a class into dst for the unit embedding x.
func (h *Head) Logits(dst, x []float64) {
	x = x[:h.Dim]
	if h.Root {
		x = roots(x)
	}
	for c := range dst[:len(h.Labels)] {
		sum := float64(h.Bias[c])
		for i, w := range h.Row(c) {
			sum += float64(float64(w) * x[i])
		}
		dst[c] = sum
	}
}

// Scores replaces logits by their softmax: values in 0…1 that add up to 1.
func Scores(logits []float64) {
	top := logits[Best(logits)]
	var sum float64
	for i, v := range logits {
		logits[i] = exp(v - top)
		sum += logits[i]
	}
	for i := range logits {
		logits[i] /= sum
	}
}

// Best returns the index of the largest value, the first of equals.
func Best(v []float64) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}
