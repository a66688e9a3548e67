package classifier

import (
	"fmt"
	"math"
	"slices"
)

const (
	// leastLeftOut is the minimum number of left-out examples from which [RejectUnlike] chooses a threshold.
	leastLeftOut = 10
	// unlikeSlope is like slopePerDeviation, for a score with a standard deviation of 1.
	unlikeSlope = 3
	// The threshold lies this many standard deviations below the mean score of left-out examples. With 2,
	// 90 to 98 % of other photos of the classes were kept (docs/accuracy.md).
	unlikeDeviations = 2
)

// RejectUnlike is like [Background.Reject] for a backbone without a background. The accept score is s·g
// + the largest logit of the classes, where g is the inner product with the mean of the class means. The
// threshold is two standard deviations below the mean score of left-out examples, so it does not depend
// on rate unless there are negatives: at most a proportion rate of them is accepted, as long as half of
// the left-out examples are.
//
// RejectUnlike needs ten left-out examples; otherwise the error wraps [ErrNoNegatives]. Other errors wrap
// [ErrLabelTaken], [ErrRate], [ErrShape] or [ErrExamples].
func RejectUnlike(f *Fitted, examples, negatives []Example, rate float64) (*Head, *Rejection, error) {
	return f.rejectUnlike(sortedExamples(examples), negatives, rate)
}

// RejectUnlike is like the function [RejectUnlike] for f, the result of Fit, without negatives.
func (s *Stream) RejectUnlike(f *Fitted, rate float64) (*Head, *Rejection, error) {
	examples, err := s.Read(s.leftOut)
	if err != nil {
		return nil, nil, err
	}
	return f.rejectUnlike(examples, nil, rate)
}

// rejectUnlike is like RejectUnlike, given the examples that the indexes in f.leftOutTops and
// f.leftOutBursts mean.
func (f *Fitted) rejectUnlike(examples, negatives []Example, rate float64) (*Head, *Rejection, error) {
	if err := canReject(f.Head, rate); err != nil {
		return nil, nil, err
	}
	mean := make([]float64, f.Head.Dim) // of the class means
	for _, m := range f.classMeans {
		axpy(1/float64(len(f.classMeans)), m, mean)
	}
	g := make([]float64, len(f.leftOutTops))
	for _, burst := range f.leftOutBursts {
		for k, v := range f.withoutBurst(pick(examples, burst), mean) {
			g[burst[k]] = v
		}
	}
	var near, tops []float64 // g and largest logit of each left-out example
	for i, top := range f.leftOutTops {
		if !math.IsNaN(top) {
			near, tops = append(near, g[i]), append(tops, top)
		}
	}
	if len(near) < leastLeftOut {
		return nil, nil, fmt.Errorf("add a row %q with %d of %d left-out examples: %w", UnknownLabel, len(near), leastLeftOut, ErrNoNegatives)
	}
	slope := max(minSlope, unlikeSlope*deviation(tops)/max(deviation(near), 1e-3))
	own := make([]float64, len(near))
	var middle float64
	for i, g := range near {
		own[i] = tops[i] + float64(slope*g)
		middle += own[i] / float64(len(own))
	}
	slices.Sort(own)
	r := &Rejection{Own: true, TargetFAR: rate, Threshold: middle - float64(unlikeDeviations*deviation(own)), Positives: len(own)}
	if len(negatives) > 0 {
		r.separateFrom(own, f.Head, mean, negatives, slope)
	}
	r.Rejected, _ = slices.BinarySearch(own, r.Threshold)
	h := *f.Head
	h.Labels, h.Weights, h.Bias = append(slices.Clone(h.Labels), UnknownLabel), slices.Clone(h.Weights), append(slices.Clone(h.Bias), float32(r.Threshold))
	for _, v := range mean {
		h.Weights = append(h.Weights, float32(-slope*v))
	}
	return &h, r, h.Check()
}

// separateFrom raises the threshold above the scores of most negatives, but not above the middle of own.
func (r *Rejection) separateFrom(own []float64, h *Head, mean []float64, negatives []Example, slope float64) {
	var rows [][]float64
	for _, e := range negatives {
		rows = append(rows, features(e.Unit, h.Sqrt))
	}
	scores := largestLogits(h, rows)
	for i, row := range rows {
		scores[i] += float64(slope * dot(mean, row))
	}
	r.Negatives = len(scores)
	r.Threshold = max(r.Threshold, min(newRejection(scores, r.TargetFAR).Threshold, own[len(own)/2]))
	first, _ := slices.BinarySearch(scores, r.Threshold)
	r.FalseAccepts = len(scores) - first
}

// withoutBurst returns the inner product of each example of a burst with the mean of the class means of
// the other examples. mean is the mean of all class means.
func (f *Fitted) withoutBurst(burst []Example, mean []float64) []float64 {
	c, _ := slices.BinarySearch(f.Head.Labels, burst[0].Label)
	all, rest := float64(f.classCounts[c]), float64(max(f.classCounts[c]-len(burst), 1))
	rows, g := make([][]float64, len(burst)), make([]float64, len(burst))
	for k, e := range burst {
		rows[k] = features(e.Unit, f.Head.Sqrt)
	}
	for k, x := range rows {
		var within float64
		for _, y := range rows {
			within += dot(x, y)
		}
		own := dot(x, f.classMeans[c])
		without := (float64(own*all) - within) / rest
		g[k] = dot(x, mean) + (without-own)/float64(len(f.classMeans))
	}
	return g
}
