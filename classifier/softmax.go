package classifier

import "math"

const (
	// maxSteps and maxWork limit the number of steps and multiplications in logistic regression.
	maxSteps = 200
	maxWork  = int64(1) << 35
	// patience is the number of steps without improvement of the log loss after which the
	// descent stops.
	patience = 10
	// softmaxFolds is the number of folds for cross-validating the number of steps.
	softmaxFolds = 5
)

// softmax trains a layer by logistic regression, with full-batch gradient descent that starts
// from ridge regression. It chooses the number of steps with the smallest cross-validated log
// loss. For each example, leftOut holds the outputs of a layer trained without the example's
// fold.
func (t *training) softmax(lambda float64) (*solution, error) {
	leftOut := make([][]float64, len(t.class))
	var folds []*fold
	for n := range min(softmaxFolds, len(t.bursts)) {
		out := make([]bool, len(t.class))
		for b, burst := range t.bursts {
			for _, i := range burst {
				out[i] = b%softmaxFolds == n && !t.isWholeClass(burst)
			}
		}
		f, err := t.newFold(lambda, out)
		if err != nil {
			return nil, err
		}
		folds = append(folds, f)
	}
	best, loss := 0, math.Inf(1)
	work := int64(softmaxFolds) * int64(len(t.class)) * int64(len(t.class)) * int64(len(t.labels)) // multiplications per step; may exceed 32 bits
	steps := int(min(maxSteps, maxWork/max(work, 1)))
	for step := 0; step <= min(best+patience, steps); step++ {
		var sum float64
		for _, f := range folds {
			sum += f.logLoss()
		}
		if sum < loss*(1-1e-9) {
			best, loss = step, sum
			for _, f := range folds {
				for i, logits := range f.logits {
					if f.out[i] {
						leftOut[i] = append(leftOut[i][:0], logits...)
					}
				}
			}
		}
		for _, f := range folds {
			f.step()
		}
	}
	all, err := t.newFold(lambda, make([]bool, len(t.class)))
	if err != nil {
		return nil, err
	}
	for range best {
		all.step()
	}
	l := all.addTo(all.layer, t, nil)
	return &solution{leftOut, func() layer { return l }}, nil
}

// A fold is a logistic regression that leaves out some of the examples.
type fold struct {
	*descent
	t        *training
	layer    layer // initial layer
	out      []bool
	logits   [][]float64 // logits of the left-out examples after the last step
	n        int         // number of examples that are not left out
	previous [][]float64 // factors before the last step
	age      float64     // number of steps taken
}

// newFold returns a fold that starts from ridge regression on the examples that are not
// left out.
func (t *training) newFold(lambda float64, out []bool) (*fold, error) {
	var examples []Example
	for i, e := range t.examples {
		if !out[i] {
			examples = append(examples, e)
		}
	}
	rest, err := newTraining(examples, t.sqrt)
	if err != nil {
		return nil, err
	}
	s, err := rest.ridge(lambda)
	if err != nil {
		return nil, err
	}
	l, scale := s.layer(), rest.calibrate(Ridge, s.leftOut, countRows(s.leftOut)).scale
	start, rows := newTable(len(t.class), len(t.labels)), t.rows()
	for c, w := range l.weights {
		for i := range w {
			w[i] *= scale
		}
		l.bias[c] *= scale
		for i, x := range rows {
			start[i][c] = dot(x, w) + l.bias[c]
		}
	}
	return &fold{
		descent: t.newDescent(start, nil), t: t, layer: l, out: out, n: len(rest.class),
		logits: start, previous: newTable(len(t.class), len(t.labels)),
	}, nil
}

// step takes one step of accelerated gradient descent (Nesterov 1983). The learning rate is 1,
// because the gradient has a Lipschitz constant of at most 1: including the bias feature, no
// feature vector is longer than √2.
func (f *fold) step() {
	f.age++
	momentum := (f.age - 1) / (f.age + 2)
	for i := range f.factor {
		for c, v := range f.factor[i] {
			f.factor[i][c], f.previous[i][c] = v+float64(momentum*(v-f.previous[i][c])), v
		}
	}
	// The gradient is computed after the momentum is applied.
	p := make([]float64, len(f.t.labels))
	gradient := newTable(len(f.t.class), len(f.t.labels))
	for i, c := range f.t.class {
		if f.out[i] {
			continue
		}
		f.descent.logits(p, i)
		ApplySoftmax(p)
		p[c]--
		copy(gradient[i], p)
	}
	for i, g := range gradient {
		axpy(-1/float64(f.n), g, f.factor[i])
	}
	f.logits = newTable(len(f.t.class), len(f.t.labels))
	for i := range f.logits {
		if f.out[i] {
			f.descent.logits(f.logits[i], i)
		}
	}
}

// logLoss returns the sum of −log(score of the true class) over the left-out examples.
func (f *fold) logLoss() (sum float64) {
	p := make([]float64, len(f.t.labels))
	for i, c := range f.t.class {
		if f.out[i] {
			copy(p, f.logits[i])
			ApplySoftmax(p)
			sum -= log(max(p[c], 1e-300))
		}
	}
	return sum
}
