package detector

import (
	"slices"

	"github.com/imprintkit/imprint/backbone/kernels"
)

const (
	positiveOverlap = 0.5 // IoU from which a box is right
	negativeOverlap = 0.4 // IoU below which a box is wrong
	// positiveWeight is the weight of all right boxes, relative to that of all wrong ones.
	positiveWeight = 0.05
	// shrinkage pulls the levels' slopes to a common one, and the offsets of levels and anchors to 0.
	shrinkage = 0.0025
	// slopeUnit multiplies predictions, so that slopes are about 1.
	slopeUnit = 10
)

// A calibration turns the predictions of different levels and anchors into comparable logits.
// A logit is slope·(own prediction) + shared·(mean prediction at the place) + offset.
type calibration struct {
	slope, shared []float64   // by level
	offset        [][]float64 // by level and anchor
}

// A sample is a box with the prediction of a regression that did not see its photo.
type sample struct {
	level, anchor int
	own, mean     float64
	right         bool
	weight        float64
}

// A regression is a logistic regression for the parameters of a calibration. Parameters are the common
// slope and offset, then for each level slope, shared slope and offset, then the anchors' offsets.
type regression struct {
	samples []sample
	first   []int     // parameter of the first anchor, by level
	penalty []float64 // by parameter
}

// terms returns the parameters of a sample's logit and their factors.
func (r *regression) terms(s *sample) (index [6]int, factor [6]float64) {
	level := 2 + 3*s.level
	return [6]int{0, 1, level, level + 1, level + 2, r.first[s.level] + s.anchor},
		[6]float64{slopeUnit * s.own, 1, slopeUnit * s.own, slopeUnit * s.mean, 1, 1}
}

// gradient returns the gradient of the weighted negative log-likelihood with its penalty and, if
// hessian is not nil, adds the second derivatives to its lower triangle.
func (r *regression) gradient(x []float64, hessian [][]float64) []float64 {
	g := make([]float64, len(x))
	for i := range x {
		g[i] = float64(r.penalty[i] * x[i])
	}
	for i := range r.samples {
		s := &r.samples[i]
		index, factor := r.terms(s)
		z := 0.0
		for k, i := range index {
			z += float64(x[i] * factor[k])
		}
		p := 1 / (1 + kernels.Exp(-z))
		e := p
		if s.right {
			e--
		}
		e = float64(e * s.weight)
		for k, i := range index {
			g[i] += float64(e * factor[k])
		}
		if hessian == nil {
			continue
		}
		h := float64(s.weight * float64(p*(1-p)))
		for k, i := range index {
			v := float64(h * factor[k])
			for m, j := range index[:k+1] {
				hessian[i][j] += float64(v * factor[m])
			}
		}
	}
	return g
}

// minimize returns the parameters with the smallest loss, by Newton's method from x.
func (r *regression) minimize(x []float64) []float64 {
	const maxSteps, halvings, enough = 50, 30, 1e-9
	for range maxSteps {
		hessian := newTable(len(x), len(x))
		for i := range x {
			hessian[i][i] = r.penalty[i]
		}
		g := r.gradient(x, hessian)
		step := slices.Clone(g)
		cholesky(hessian)
		solve(hessian, step)
		slope := dot(g, step)
		next := make([]float64, len(x))
		for range halvings { // far from the minimum, a whole step may lead beyond it
			for i := range x {
				next[i] = x[i] - step[i]
			}
			if dot(r.gradient(next, nil), step) >= -slope/2 {
				break
			}
			for i := range step {
				step[i] /= 2
			}
			slope /= 2
		}
		x = next
		if slope < enough {
			break
		}
	}
	return x
}

// calibrate fits a logistic regression by Newton's method.
func calibrate(levels []level, samples []sample) calibration {
	n := len(levels)
	r := regression{samples: samples, first: make([]int, n)}
	size := 2 + 3*n
	for i, l := range levels {
		r.first[i], size = size, size+l.anchors
	}
	r.penalty = filled(size, shrinkage)
	r.penalty[0], r.penalty[1] = 1e-5, 1e-5
	x := make([]float64, size)
	x[0] = 1
	x = r.minimize(x)
	c := calibration{slope: make([]float64, n), shared: make([]float64, n)}
	for i, l := range levels {
		at := 2 + 3*i
		c.slope[i], c.shared[i] = slopeUnit*(x[0]+x[at]), slopeUnit*x[at+1]
		offset := make([]float64, l.anchors)
		for a := range offset {
			offset[a] = (x[1] + x[at+2]) + x[r.first[i]+a]
		}
		c.offset = append(c.offset, offset)
	}
	return c
}

func filled(n int, v float64) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// logit returns the logit of a box.
func (c *calibration) logit(level, anchor int, own, mean float64) float64 {
	return float64(c.slope[level]*own) + float64(c.shared[level]*mean) + c.offset[level][anchor]
}

// apply returns the filter that predicts logits, given the regression of a level.
func (c *calibration) apply(level int, f filter) filter {
	dim, n := len(f.weights[0]), float64(len(f.weights))
	mean := make([]float64, dim)
	bias := 0.0
	for a, w := range f.weights {
		for i, v := range w {
			mean[i] += v / n
		}
		bias += f.bias[a] / n
	}
	out := filter{bias: make([]float64, len(f.bias))}
	for a, w := range f.weights {
		row := make([]float64, dim)
		for i, v := range w {
			row[i] = float64(c.slope[level]*v) + float64(c.shared[level]*mean[i])
		}
		out.weights = append(out.weights, row)
		out.bias[a] = c.logit(level, a, f.bias[a], bias)
	}
	return out
}
