// Package classifier trains the last layer of an image classifier on the
// embeddings of a few photos and writes it into TensorFlow Lite models.
//
// To imprint class means, add unit embeddings to a [Sums], call [Sums.Mean] and
// write the resulting [Head] into a model with [Head.Append]. To choose among
// several linear classifiers by leave-one-out cross-validation, call [Fit].
// [Reject] adds a row for unknown objects to a fitted head.
//
// The package opens no files and uses no devices. Values are safe for concurrent use by multiple
// goroutines as long as none of them modifies the value. All arithmetic has a fixed order and no
// fused multiply-add, so the same examples produce the same bytes on every processor.
package classifier

import (
	"errors"
	"fmt"
	"math"
)

// ErrShape means that the shapes or types of vectors, heads or models do not match.
var ErrShape = errors.New("shape mismatch")

// ErrExamples means that no head can be trained on the examples, for instance because there are
// none or because all embeddings of a class are zero.
var ErrExamples = errors.New("unusable examples")

// A Head is a linear layer on an L2-normalized embedding x:
//
//	logits = Weights·x + Bias
//	scores = softmax(logits)
type Head struct {
	Labels []string // name of each class
	Dim    int      // number of values in an embedding
	// Sqrt reports whether the input of the layer is √x, normalized again, instead of x.
	Sqrt    bool
	Weights []float32 // Dim values per class, one class after another
	Bias    []float32 // one value per class
}

// Row returns the weights of class c, a sub-slice of h.Weights.
func (h *Head) Row(c int) []float32 { return h.Weights[c*h.Dim : (c+1)*h.Dim] }

// Check returns an error wrapping [ErrShape] if the sizes of h's fields do not match or
// if a weight or bias is not finite.
func (h *Head) Check() error {
	n := len(h.Labels)
	if n == 0 || h.Dim <= 0 {
		return fmt.Errorf("head has %d classes and %d dimensions: %w", n, h.Dim, ErrShape)
	}
	if len(h.Weights) != n*h.Dim || len(h.Bias) != n {
		return fmt.Errorf("head of %d classes and %d dimensions has %d weights and %d biases: %w",
			n, h.Dim, len(h.Weights), len(h.Bias), ErrShape)
	}
	for _, v := range []struct {
		name   string
		values []float32
	}{{"weight", h.Weights}, {"bias", h.Bias}} {
		for i, f := range v.values {
			if f64 := float64(f); math.IsNaN(f64) || math.IsInf(f64, 0) {
				return fmt.Errorf("head's %s %d is %v, not finite: %w", v.name, i, f, ErrShape)
			}
		}
	}
	return nil
}

// Logits writes the logit of each class for the unit embedding x to dst.
// It panics if dst is shorter than h.Labels or if x has fewer than h.Dim values.
func (h *Head) Logits(dst, x []float64) {
	x = x[:h.Dim]
	if h.Sqrt {
		x = squareRoots(x)
	}
	for c := range dst[:len(h.Labels)] {
		sum := float64(h.Bias[c])
		for i, w := range h.Row(c) {
			sum += float64(float64(w) * x[i])
		}
		dst[c] = sum
	}
}

// ApplySoftmax replaces logits with their softmax: scores between 0 and 1 that sum
// to 1. It panics if logits is empty.
func ApplySoftmax(logits []float64) {
	top := logits[ArgMax(logits)]
	var sum float64
	for i, v := range logits {
		logits[i] = exp(v - top)
		sum += logits[i]
	}
	for i := range logits {
		logits[i] /= sum
	}
}

// ArgMax returns the index of the first largest value in v, or 0 if v is empty.
func ArgMax(v []float64) int {
	if len(v) == 0 {
		return 0
	}
	best, top := 0, v[0]
	for i, x := range v {
		if x > top {
			best, top = i, x
		}
	}
	return best
}
