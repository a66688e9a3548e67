package compiled

import (
	"math"
	"slices"
)

// foldBias returns a layer without biases, for embeddings that are all divided by the same length.
// Its predictions approximate the predictions of l for unit embeddings.
//
// Its rows add up to zeros, because a component common to all rows changes no prediction and wastes
// codes. The longer an embedding is, the less a bias would count. So foldBias adds the biases to
// the weights, along a direction in which all unit embeddings have a component of about 1.
//
// The chip does not normalize embeddings, so some predictions differ from l's. On the clothing set
// (5 support photos per class, eight episodes), 3.2 to 7.0 % of the predictions of ridge regression
// and LDA differ if biases stay biases, and 1.7 to 3.0 % with foldBias.
func foldBias(l *LastLayer, embeddings []Embedding) *LastLayer {
	n := len(l.Labels)
	folded := &LastLayer{Labels: l.Labels, Inputs: l.Inputs, Weights: make([]float32, len(l.Weights)), Bias: make([]float32, n)}
	var direction []float64
	if slices.Max(l.Bias) > slices.Min(l.Bias) {
		direction = unitDirection(embeddings)
	}
	meanBias := 0.0
	for _, b := range l.Bias {
		meanBias += float64(b) / float64(n)
	}
	for i := range l.Inputs {
		mean := 0.0
		for c := range n {
			mean += float64(l.row(c)[i]) / float64(n)
		}
		for c := range n {
			w := float64(l.row(c)[i]) - mean
			if direction != nil {
				w += float64((float64(l.Bias[c]) - meanBias) * direction[i])
			}
			folded.row(c)[i] = float32(w)
		}
	}
	return folded
}

// unitDirection returns a vector a with a·u near 1 for the unit vectors u of all embeddings. It
// minimizes Σ(a·u − 1)² + λ|a|² by conjugate gradients, and then scales a to make a·u 1 on average.
// If all embeddings are zeros, it returns zeros.
func unitDirection(embeddings []Embedding) []float64 {
	const (
		lambda = 0.3
		steps  = 30
	)
	dim := len(embeddings[0].Unit)
	a, residual := make([]float64, dim), make([]float64, dim)
	for _, e := range embeddings {
		axpy(residual, 1, e.Unit)
	}
	search := slices.Clone(residual)
	norm := dot(residual, residual)
	first := norm
	for range steps {
		if !(norm > first*1e-12) {
			break
		}
		product := make([]float64, dim) // product of the matrix and search
		axpy(product, lambda, search)
		for _, e := range embeddings {
			axpy(product, dot(e.Unit, search), e.Unit)
		}
		step := norm / dot(search, product)
		axpy(a, step, search)
		axpy(residual, -step, product)
		previous := norm
		norm = dot(residual, residual)
		for i := range search {
			search[i] = residual[i] + float64(search[i]*(norm/previous))
		}
	}
	mean := 0.0
	for _, e := range embeddings {
		mean += dot(a, e.Unit) / float64(len(embeddings))
	}
	if !(math.Abs(mean) > 1e-9) {
		return make([]float64, dim)
	}
	for i := range a {
		a[i] /= mean
	}
	return a
}

// dot returns the inner product of a and b. Like axpy, it converts each product
// explicitly before adding it, so that no processor fuses the two operations.
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
