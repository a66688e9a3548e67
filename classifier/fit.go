package classifier

import (
	"math"
	"slices"
)

// A Fitted is a trained head with its leave-one-out evaluation.
type Fitted struct {
	Head     *Head
	Recipe   Recipe
	Estimate Estimate
	// ByClass is the estimate of each class, in the order of Head.Labels. It may leave out examples
	// that Estimate counts as excluded.
	ByClass []Estimate
	// LogLoss is the mean of −log(score of the true class) over the left-out examples, or NaN
	// if there are too few.
	LogLoss float64
	// CalibrationError is the expected calibration error over the left-out examples: the mean
	// absolute difference between score and accuracy in ten bins of scores. UncalibratedError
	// is the same error without calibration. Both are NaN if LogLoss is NaN.
	CalibrationError, UncalibratedError float64
	// Temperature is the factor that converts the head's logits to uncalibrated logits.
	Temperature float64
	// Rejection describes the row that [Reject] adds. Fit leaves it nil.
	Rejection *Rejection
	// Candidates lists the recipes that [Auto] compared, in the order of comparison, followed
	// by [Mean] for reference. It is nil if [Auto] compared no recipes.
	Candidates []Candidate
	// Advice names the class that is expected to gain the most from more photos. It is nil if no
	// class is expected to gain.
	Advice *Advice

	scale         float64     // factor from outputs to logits
	leftOutTops   []float64   // see training.leftOutTops
	leftOutBursts [][]int     // examples that were left out together
	classMeans    [][]float64 // mean of the features in each class
	classCounts   []int       // number of examples in each class
}

// A Candidate is a recipe that Auto compared, and its leave-one-out log loss.
type Candidate struct {
	Recipe
	// LogLoss is defined like [Fitted.LogLoss], but computed on at most about 500 examples.
	LogLoss float64 `json:"loss"`
}

const (
	// minLeftOut is the minimum number of left-out examples for calibrating a head or choosing
	// a recipe.
	minLeftOut = 10
	// maxCompared is the approximate maximum number of examples on which Auto compares
	// recipes. The head is then trained on all examples.
	maxCompared = 500
)

// Fit trains a head on examples and calibrates it: it scales the logits to minimize the log
// loss of left-out examples. The order of examples does not matter. If sqrt is set, [Auto] also
// considers square-root features, which need embeddings without negative values.
//
// [Auto] chooses the recipe with the smallest leave-one-out log loss. If fewer than ten
// examples can be left out, or fewer than two per class on average, it chooses [Ridge]. For a
// single class it chooses [Mean]. It compares the log loss instead of the accuracy, because the
// accuracy of equally good recipes differs by chance. It does not choose the simplest recipe
// within one standard error of the best: that recipe is often [Mean], which is less accurate
// (docs/accuracy.md).
//
// An error about the examples wraps [ErrExamples] or [ErrShape].
func Fit(examples []Example, method Method, sqrt bool) (*Fitted, error) {
	t, recipe, err := choose(sortedExamples(examples), method, sqrt, nil)
	if err != nil {
		return nil, err
	}
	f, _, err := t.fit(recipe)
	return f, err
}

// LeaveOneOut is like [Fit] and also returns leave-one-out logits, in the order of examples. The
// logits for an example come from a head trained without the example's burst. [Softmax] trains
// once for each fifth of the bursts; the other methods have closed forms and train only once.
//
// The logits are nil for an example whose class has no other burst, and for all examples with
// [CoralSGD]. With more than 2000 examples, LeaveOneOut may leave out only some of them, and the
// logits for the others are nil.
func LeaveOneOut(examples []Example, method Method, sqrt bool) (*Fitted, [][]float64, error) {
	order := make([]int, len(examples))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareExamples(examples[a], examples[b]) })
	t, recipe, err := choose(pick(examples, order), method, sqrt, nil)
	if err != nil {
		return nil, nil, err
	}
	f, leftOut, err := t.fit(recipe)
	if err != nil {
		return nil, nil, err
	}
	logits := make([][]float64, len(examples))
	for i, row := range leftOut {
		if row == nil {
			continue
		}
		if t.indexes != nil {
			i = t.indexes[i]
		}
		logits[order[i]] = make([]float64, len(row))
		axpy(f.scale, row, logits[order[i]])
	}
	return f, logits, nil
}

// choose returns the recipe for sorted examples and a training prepared for the recipe. If memory is
// not nil, it has just been updated with the examples.
func choose(examples []Example, method Method, sqrt bool, memory *Memory) (*training, Recipe, error) {
	if method != Auto {
		r, err := method.recipe()
		if err != nil {
			return nil, r, err
		}
		t, err := r.training(examples, memory)
		return t, r, err
	}
	indexes := sampleByHash(examples, memory.hashes())
	sample := pick(examples, indexes)
	if c := memory.choiceFor(sample, sqrt); c != nil {
		t, err := c.training(examples, memory)
		return t, c.recipe, err
	}
	if memory != nil {
		for _, i := range indexes {
			memory.list[i].ready()
		}
	}
	compared := comparison{examples: sample, single: len(sample) < len(examples), trainings: make(map[bool]*training)}
	best, err := compared.best(sqrt)
	if err != nil {
		return nil, best, err
	}
	t := compared.trainings[best.Sqrt]
	if len(sample) == len(examples) {
		t.candidates = compared.candidates
		return t, best, nil
	}
	c := &choice{sample, sqrt, best, compared.candidates, t.lastFactor}
	if memory != nil {
		memory.choice = c
	}
	t, err = c.training(examples, memory)
	return t, best, err
}

// A choice is the recipe that Auto has chosen by comparing all recipes on a sample of the examples.
type choice struct {
	sample     []Example
	sqrt       bool // as for Fit
	recipe     Recipe
	candidates []Candidate
	lastFactor int
}

// training prepares sorted examples for training with the recipe.
func (c *choice) training(examples []Example, memory *Memory) (*training, error) {
	t, err := c.recipe.training(examples, memory)
	if err == nil {
		t.candidates, t.lastFactor = c.candidates, c.lastFactor
	}
	return t, err
}

// A comparison chooses a recipe for Auto.
type comparison struct {
	examples   []Example
	single     bool               // see training; must not be set if these are all examples
	trainings  map[bool]*training // the key is true for square-root features
	candidates []Candidate
}

// best returns the recipe with the smallest log loss and fills in c.candidates.
func (c *comparison) best(sqrt bool) (Recipe, error) {
	best, loss := Recipe{Method: Ridge, Lambda: ridgeLambda}, math.Inf(1)
	for _, r := range autoRecipes(sqrt) {
		t := c.trainings[r.Sqrt]
		if t == nil {
			var err error
			if t, err = prepare(c.examples, r.Sqrt, nil); err != nil {
				return best, err
			}
			if other := c.trainings[!r.Sqrt]; other != nil {
				t.bursts, t.lastFactor = other.bursts, other.lastFactor
			} else {
				t.group()
			}
			t.single = c.single
			c.trainings[r.Sqrt] = t
		}
		if len(t.labels) < 2 {
			best = Recipe{Method: Mean}
			break
		}
		total := t.totalLeftOut()
		if total < max(minLeftOut, 2*len(t.labels)) {
			break
		}
		s, err := t.solve(r)
		if err != nil {
			return best, err
		}
		var logLoss float64
		if part := t.layers[r.Method]; part != nil && part.solution == s {
			logLoss = part.logLoss()
		} else {
			logLoss = t.calibrate(r.Method, s.leftOut, total).logLoss()
		}
		// Ignore differences caused only by rounding.
		if logLoss < loss*(1-1e-9) {
			best, loss = r, logLoss
		}
		if !math.IsNaN(logLoss) {
			c.candidates = append(c.candidates, Candidate{r, logLoss})
		}
	}
	if len(c.candidates) > 0 {
		mean, err := c.trainings[false].calibrated(Mean)
		if err != nil {
			return best, err
		}
		if loss := mean.logLoss(); !math.IsNaN(loss) {
			c.candidates = append(c.candidates, Candidate{Recipe{Method: Mean}, loss})
		}
	}
	return best, nil
}

// fit trains a head with recipe r. It also returns the outputs for each left-out example.
func (t *training) fit(r Recipe) (*Fitted, [][]float64, error) {
	l, leftOut, err := t.layer(r)
	if err != nil {
		return nil, nil, err
	}
	byClass := t.estimateByClass(leftOut)
	estimate := t.estimate(byClass)
	c := t.calibrate(r.Method, leftOut, estimate.Total)
	f := &Fitted{
		Head:              &Head{Labels: t.labels, Dim: t.dim, Sqrt: r.Sqrt},
		Recipe:            r,
		Estimate:          estimate,
		ByClass:           byClass,
		LogLoss:           c.logLoss(),
		CalibrationError:  math.NaN(),
		UncalibratedError: math.NaN(),
		Temperature:       c.temperature,
		Candidates:        t.candidates,
		Advice:            t.advise(leftOut),
		scale:             c.scale,
		leftOutTops:       t.leftOutTops(&l, c.scale, leftOut),
		leftOutBursts:     t.leftOutBursts(leftOut),
		classMeans:        t.classMean,
		classCounts:       t.count,
	}
	if !math.IsNaN(f.LogLoss) {
		f.CalibrationError = t.calibrationError(leftOut, f.scale)
		f.UncalibratedError = t.calibrationError(leftOut, f.scale*f.Temperature)
	}
	// Subtracting the same row from all rows does not change the scores and keeps the logits
	// small.
	mean := l.meanRow()
	for c, w := range l.weights {
		for i, v := range w {
			f.Head.Weights = append(f.Head.Weights, float32(float64(v-mean[i])*f.scale))
		}
		f.Head.Bias = append(f.Head.Bias, float32(l.bias[c]*f.scale))
	}
	for _, x := range t.packed {
		x.release()
	}
	t.packed = nil
	return f, leftOut, f.Head.Check()
}
