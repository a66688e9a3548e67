package compiled

import (
	"math"
	"slices"

	"github.com/imprintkit/imprint/classifier"
)

// plain returns a head that gives, on embeddings divided by one length for all, the
// winners that h gives on each divided by its own. Its rows add up to zeros and its
// biases are 0: what is common to all classes makes no winner and takes codes from what
// isn't, and a bias, which would count for less the longer an embedding is, becomes a
// part of the weights, along a direction in which all unit embeddings are about 1 long.
//
// On clothing, 5 photos taught, eight draws, biases left as they are give 3.2 to 7.0 %
// of photos another winner, with ridge regression and LDA, and this 1.7 to 3.0 %.
func plain(h *classifier.Head, examples []classifier.Example) *classifier.Head {
	n := len(h.Labels)
	p := &classifier.Head{Labels: h.Labels, Dim: h.Dim, Weights: make([]float32, len(h.Weights)), Bias: make([]float32, n)}
	var one []float64
	if slices.Max(h.Bias) > slices.Min(h.Bias) {
		one = oneLong(examples)
	}
	bias := 0.0
	for _, b := range h.Bias {
		bias += float64(b) / float64(n)
	}
	for i := range h.Dim {
		mean := 0.0
		for c := range n {
			mean += float64(h.Row(c)[i]) / float64(n)
		}
		for c := range n {
			w := float64(h.Row(c)[i]) - mean
			if one != nil {
				w += float64((float64(h.Bias[c]) - bias) * one[i])
			}
			p.Row(c)[i] = float32(w)
		}
	}
	return p
}

// oneLong is the vector a with a·u near 1 for the unit embeddings u of all examples: the
// minimum of Σ(a·u − 1)² + λ|a|², by conjugate gradients, and then such that a·u is 1 on
// average.
func oneLong(examples []classifier.Example) []float64 {
	const (
		lambda = 0.3
		steps  = 30
	)
	dim := len(examples[0].Unit)
	a, gradient := make([]float64, dim), make([]float64, dim)
	for _, e := range examples {
		axpy(gradient, 1, e.Unit)
	}
	way := slices.Clone(gradient)
	left := dot(gradient, gradient)
	first := left
	for range steps {
		if !(left > first*1e-12) {
			break
		}
		turned := make([]float64, dim)
		axpy(turned, lambda, way)
		for _, e := range examples {
			axpy(turned, dot(e.Unit, way), e.Unit)
		}
		step := left / dot(way, turned)
		axpy(a, step, way)
		axpy(gradient, -step, turned)
		was := left
		left = dot(gradient, gradient)
		for i := range way {
			way[i] = gradient[i] + float64(way[i]*(left/was))
		}
	}
	mean := 0.0
	for _, e := range examples {
		mean += dot(a, e.Unit) / float64(len(examples))
	}
	if !(math.Abs(mean) > 1e-9) { // of embeddings of zeros
		return make([]float64, dim)
	}
	for i := range a {
		a[i] /= mean
	}
	return a
}

// Products are converted before they are added, so that no processor fuses the two.

func dot(a, b []float64) (sum float64) {
	for i, v := range a {
		sum += float64(v * b[i])
	}
	return sum
}

// axpy adds f times x to y.
func axpy(y []float64, f float64, x []float64) {
	for i, v := range x {
		y[i] += float64(f * v)
	}
}
