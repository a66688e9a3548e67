package classifier

import (
	"cmp"
	"math"
	"slices"
)

// uncalibratedRidge is the factor that converts outputs of ridge regression to logits if too few
// examples are left out for calibration. It makes the scores about as confident as the mean
// head's scores. On clothing and Oxford 17 flowers, with 1 to 20 photos per class, the
// maximum-likelihood factor was between 8 and 25.
const uncalibratedRidge = MeanScale

// A calibration maps the outputs of a layer to logits.
type calibration struct {
	scale       float64 // factor from outputs to logits
	temperature float64 // factor from logits to uncalibrated logits
	// logLoss returns the mean over the left-out examples, or NaN if there are too few.
	logLoss func() float64
}

// calibrate finds the factor from outputs to logits that minimizes the log loss over the
// left-out examples. total is the number of these examples. Adjacent candidates differ by a
// factor of 2^(1/4), so rounding errors do not affect the choice.
func (t *training) calibrate(m Method, leftOut [][]float64, total int) calibration {
	var spread float64
	for _, row := range leftOut {
		if row != nil {
			spread += deviation(row) / float64(total)
		}
	}
	uncalibrated := 1.0 // outputs of LDA are logits
	switch m {
	case Mean:
		uncalibrated = MeanScale
	case Ridge:
		uncalibrated = uncalibratedRidge
	}
	if spread == 0 || total < minLeftOut {
		return calibration{uncalibrated, 1, math.NaN}
	}
	factor := func(k int) float64 {
		return math.Ldexp([4]float64{1, 1.189207115002721, 1.4142135623730951, 1.681792830507429}[k%4], k/4-3) / spread
	}
	every := 1
	if t.coarse { // about as many examples as Auto compares recipes on
		every = total / maxCompared
	}
	some := t.relative(leftOut, total, every)
	losses := make(map[int]float64)
	loss := func(k int) float64 {
		if _, ok := losses[k]; !ok {
			losses[k] = some.logLoss(factor(k))
		}
		return losses[k]
	}
	falls := func(k int) bool { return loss(k+1) < loss(k)*(1-1e-9) }
	// The loss is convex in the factor, so it has one minimum. The search starts where it was for
	// another method, or else usually is, and then takes longer and longer steps to find a factor
	// below it and one above.
	const first, usual, last = 0, 24, 39
	low, high := first-1, last // falls(low) is true, or low is below first; falls(high) is false, or high is last
	for at, step := min(cmp.Or(t.lastFactor, usual), last-1), 1; low < at && at < high; step *= 2 {
		if falls(at) {
			low, at = at, at+step
		} else {
			high, at = at, at-step
		}
	}
	for low+1 < high {
		if middle := (low + high) / 2; falls(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	t.lastFactor = high
	best, least := factor(high), loss(high)
	return calibration{best, uncalibrated / best, func() float64 {
		if !t.coarse {
			return least / float64(total)
		}
		all := t.relative(leftOut, total, 1)
		return all.logLoss(best) / float64(total)
	}}
}

// relativeOutputs holds the outputs for left-out examples, minus the largest output for each.
type relativeOutputs struct {
	outputs []float64 // of all classes, for one example after another
	own     []float64 // of the true class of each example
}

// relative returns the outputs for every nth left-out example of total.
// They are valid until the next call.
func (t *training) relative(leftOut [][]float64, total, n int) (r relativeOutputs) {
	r.outputs = slices.Grow(t.relativeOutputs[:0], total/max(n, 1)*len(t.labels))
	next := 0
	for i, row := range leftOut {
		if row == nil {
			continue
		}
		if next++; n > 1 && next%n != 0 {
			continue
		}
		top := row[ArgMax(row)]
		all := len(r.outputs)
		r.outputs = append(r.outputs, row...)
		for c, v := range r.outputs[all:] {
			r.outputs[all+c] = v - top
		}
		r.own = append(r.own, row[t.class[i]]-top)
	}
	t.relativeOutputs = r.outputs
	return r
}

// logLoss returns the sum of −log(score of the true class) over the examples.
func (r *relativeOutputs) logLoss(scale float64) (sum float64) {
	classes := len(r.outputs) / len(r.own)
	for i, own := range r.own {
		var all float64
		for _, v := range r.outputs[i*classes : (i+1)*classes] {
			// Terms below e^−40 do not change the sum.
			if d := v * scale; d > -40 {
				all += exp(d)
			}
		}
		sum += log(all) - float64(own*scale)
	}
	return sum
}

// calibrationError returns the expected calibration error on the left-out examples: the mean
// absolute difference between the score of the predicted class and the accuracy, over ten bins
// of equal width. (Guo et al.: On Calibration of Modern Neural Networks, ICML 2017.)
func (t *training) calibrationError(leftOut [][]float64, scale float64) float64 {
	const bins = 10
	var score, correct [bins]float64
	total := 0.0
	for i, c := range t.class {
		row := leftOut[i]
		if row == nil {
			continue
		}
		best, sum := ArgMax(row), 0.0
		for _, v := range row {
			// Terms below e^−40 hardly change the sum.
			if d := float64((v - row[best]) * scale); d > -40 {
				sum += exp(d)
			}
		}
		b := min(int(bins/sum), bins-1)
		score[b] += 1 / sum
		if best == c {
			correct[b]++
		}
		total++
	}
	var e float64
	for b := range score {
		e += math.Abs(score[b]-correct[b]) / total
	}
	return e
}

// deviation returns the standard deviation of v.
func deviation(v []float64) float64 {
	var mean, sum float64
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		sum += float64((x - mean) * (x - mean))
	}
	return math.Sqrt(sum / float64(len(v)))
}
