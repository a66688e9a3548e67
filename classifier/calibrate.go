package classifier

import "math"

// uncalibratedRidge is the factor from outputs of ridge regression to logits if too few
// examples are left out to calibrate. It makes scores as confident as those of the mean
// head. On clothing and Oxford 17 flowers the maximum-likelihood factor was 8 to 25,
// with 1 to 20 photos per class.
const uncalibratedRidge = MeanScale

// A calibration maps the outputs of a layer to logits.
type calibration struct {
	scale       float64 // from outputs to logits
	temperature float64 // from logits to uncalibrated logits
	logLoss     float64 // mean over the examples left out; NaN if there are too few
}

// calibrate finds the factor from outputs to logits with the lowest log loss over the
// examples left out. total is their number. It tries powers of 2^(1/4), so that rounding
// does not decide between neighbors.
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
		return calibration{uncalibrated, 1, math.NaN()}
	}
	factor := func(k int) float64 {
		return math.Ldexp([4]float64{1, 1.189207115002721, 1.4142135623730951, 1.681792830507429}[k%4], k/4-3) / spread
	}
	losses := make(map[int]float64)
	loss := func(k int) float64 {
		if _, ok := losses[k]; !ok {
			losses[k] = t.logLoss(leftOut, factor(k)) / float64(total)
		}
		return losses[k]
	}
	// The loss is convex in the factor, so it has one minimum.
	low, high := 0, 39
	for low < high {
		if k := (low + high) / 2; loss(k+1) < loss(k)*(1-1e-9) {
			low = k + 1
		} else {
			high = k
		}
	}
	return calibration{factor(low), uncalibrated / factor(low), loss(low)}
}

// logLoss returns the sum of −log(score of the true class) over the examples left out.
func (t *training) logLoss(leftOut [][]float64, scale float64) (sum float64) {
	for i, row := range leftOut {
		if row == nil {
			continue
		}
		top := row[ArgMax(row)]
		var all float64
		for _, v := range row {
			// Smaller terms do not change the sum.
			if d := (v - top) * scale; d > -40 {
				all += exp(d)
			}
		}
		sum += log(all) - float64((row[t.class[i]]-top)*scale)
	}
	return sum
}

// calibrationError returns the expected calibration error of the examples left out: the
// mean difference between the winner's score and the accuracy, over ten bins of equal
// width. (Guo et al.: On Calibration of Modern Neural Networks, ICML 2017.)
func (t *training) calibrationError(leftOut [][]float64, scale float64) float64 {
	const bins = 10
	var score, correct [bins]float64
	total := 0.0
	scores := make([]float64, len(t.labels))
	for i, c := range t.class {
		if leftOut[i] == nil {
			continue
		}
		for j, v := range leftOut[i] {
			scores[j] = v * scale
		}
		ApplySoftmax(scores)
		best := ArgMax(scores)
		b := min(int(scores[best]*bins), bins-1)
		score[b] += scores[best]
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
