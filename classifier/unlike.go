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
	// 93 to 98 % of other photos of the classes were kept (docs/accuracy.md).
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
	if err := canReject(f, rate); err != nil {
		return nil, nil, err
	}
	m := newMeanOfClasses(sortedExamples(examples), f.Head.Sqrt)
	var near, tops []float64 // g and largest logit of each left-out example
	for i, top := range f.leftOutTops {
		if !math.IsNaN(top) {
			near, tops = append(near, m.withoutBurst(i)), append(tops, top)
		}
	}
	if len(near) < leastLeftOut {
		return nil, nil, fmt.Errorf("add a row %q with %d of %d left-out examples: %w", UnknownLabel, len(near), leastLeftOut, ErrNoNegatives)
	}
	slope := max(minSlope, unlikeSlope*deviation(tops)/max(deviation(near), 1e-3))
	own := make([]float64, len(near))
	var mean float64
	for i, g := range near {
		own[i] = tops[i] + float64(slope*g)
		mean += own[i] / float64(len(own))
	}
	slices.Sort(own)
	r := &Rejection{Own: true, TargetFAR: rate, Threshold: mean - float64(unlikeDeviations*deviation(own)), Positives: len(own)}
	if len(negatives) > 0 {
		r.separateFrom(own, f.Head, m, negatives, slope)
	}
	r.Rejected, _ = slices.BinarySearch(own, r.Threshold)
	h := *f.Head
	h.Labels, h.Weights, h.Bias = append(slices.Clone(h.Labels), UnknownLabel), slices.Clone(h.Weights), append(slices.Clone(h.Bias), float32(r.Threshold))
	for _, v := range m.mean {
		h.Weights = append(h.Weights, float32(-slope*v))
	}
	return &h, r, h.Check()
}

// separateFrom raises the threshold above the scores of most negatives, but not above the middle of own.
func (r *Rejection) separateFrom(own []float64, h *Head, m *meanOfClasses, negatives []Example, slope float64) {
	var rows [][]float64
	for _, e := range negatives {
		rows = append(rows, features(e.Unit, h.Sqrt))
	}
	scores := largestLogits(h, rows)
	for i, row := range rows {
		scores[i] += float64(slope * dot(m.mean, row))
	}
	r.Negatives = len(scores)
	r.Threshold = max(r.Threshold, min(newRejection(scores, r.TargetFAR).Threshold, own[len(own)/2]))
	first, _ := slices.BinarySearch(scores, r.Threshold)
	r.FalseAccepts = len(scores) - first
}

// A meanOfClasses is the mean of the class means of sorted examples.
type meanOfClasses struct {
	examples []Example
	rows     [][]float64 // features of the examples
	class    []int       // of each example
	sums     [][]float64 // of the features of each class
	counts   []int
	mean     []float64
}

func newMeanOfClasses(examples []Example, sqrt bool) *meanOfClasses {
	m := &meanOfClasses{examples: examples, counts: classCounts(examples), mean: make([]float64, len(examples[0].Unit))}
	for c, n := range m.counts {
		sum := make([]float64, len(m.mean))
		for range n {
			row := features(examples[len(m.rows)].Unit, sqrt)
			m.rows, m.class = append(m.rows, row), append(m.class, c)
			axpy(1, row, sum)
		}
		m.sums = append(m.sums, sum)
		axpy(1/float64(n*len(m.counts)), sum, m.mean)
	}
	return m
}

// withoutBurst returns the inner product of example i with the mean of the class means that do not
// contain the example's burst.
func (m *meanOfClasses) withoutBurst(i int) float64 {
	c, x, n := m.class[i], m.rows[i], 0
	first := i
	for first > 0 && m.class[first-1] == c {
		first--
	}
	var less float64
	for k := first; k < first+m.counts[c]; k++ {
		if k == i || m.examples[i].Burst != "" && m.examples[k].Burst == m.examples[i].Burst {
			less += dot(x, m.rows[k])
			n++
		}
	}
	own, all := dot(x, m.sums[c]), float64(m.counts[c])
	without := (own - less) / max(all-float64(n), 1)
	return dot(x, m.mean) + (without-own/all)/float64(len(m.counts))
}
