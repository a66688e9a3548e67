package classifier

import (
	"math"
	"slices"
)

// Extend returns the head of [Sums.Extend] with an additional row [UnknownLabel], and an evaluation of the
// rejection. b must not have square roots as features. The order of the examples does not matter, and
// the labels of negatives are ignored.
//
// The row for unknown things is a constant: the median over the background of the largest logit of a class
// of base. So it takes the half of the background that base knows least, and the others keep their class.
// The largest logit separates things that a classifier knows from others better than the largest score
// (Hendrycks et al.: Scaling Out-of-Distribution Detection for Real-World Settings, ICML 2022).
//
// To the logits of all new classes, Extend adds s·g minus a threshold, where s and g are as for
// [Background.Reject]. The threshold follows from rate and the left-out examples as there: it is chosen
// for the difference to the row for unknown things. Whether the best class is one of base's or a new one
// may change; the best one of base's classes and the best new one do not.
//
// An error wraps [ErrLabelTaken], [ErrRate], [ErrShape] or [ErrExamples].
func (b *Background) Extend(s *Sums, base *Head, examples, negatives []Example, rate float64) (*Head, *Rejection, error) {
	examples = sortedExamples(examples)
	h, err := s.Extend(base, examples)
	if err != nil {
		return nil, nil, err
	}
	if err := b.canReject(h, rate); err != nil {
		return nil, nil, err
	}
	negatives = b.sampleNegatives(negatives)
	sample := sampleForBackground(classCounts(examples))
	r, err := b.regress(pick(examples, sample), negatives)
	if err != nil {
		return nil, nil, err
	}
	kept, added := h.split(len(base.Labels))
	level := median(largestLogits(kept, b.features))
	scores := largestLogits(added, b.features)
	slope := max(minSlope, float64(slopePerDeviation*deviation(scores)))
	for i, g := range r.background {
		scores[i] += float64(slope*g) - level
	}
	for i, top := range largestLogits(added, r.negativeFeatures) {
		scores = append(scores, top+float64(slope*r.negatives[i])-level)
	}
	var own []float64
	for k, change := range s.changesWithout(examples, sample) {
		if !math.IsNaN(change) {
			e := examples[sample[k]]
			own = append(own, added.largestWithout(e, change)-max(slices.Max(kept.logits(e)), level)+float64(slope*r.positives[k]))
		}
	}
	rejection := b.threshold(len(added.Labels), scores, own, len(negatives), rate)
	for c := range added.Labels {
		row := added.Row(c)
		for i, w := range r.weights {
			row[i] += float32(slope * w)
		}
		added.Bias[c] += float32(float64(slope*r.bias) - rejection.Threshold)
	}
	h.Labels = append(h.Labels, UnknownLabel)
	h.Weights, h.Bias = append(h.Weights, make([]float32, h.Dim)...), append(h.Bias, float32(level))
	return h, rejection, h.Check()
}

// split returns the first n classes of h and the others. They share their weights and biases with h.
func (h *Head) split(n int) (first, rest *Head) {
	first = &Head{Labels: h.Labels[:n], Dim: h.Dim, Weights: h.Weights[:n*h.Dim], Bias: h.Bias[:n]}
	return first, &Head{Labels: h.Labels[n:], Dim: h.Dim, Weights: h.Weights[n*h.Dim:], Bias: h.Bias[n:]}
}

func (h *Head) logits(e Example) []float64 {
	logits := make([]float64, len(h.Labels))
	h.Logits(logits, e.Unit)
	return logits
}

// largestWithout returns the largest logit of h for e, after adding change to that of e's class.
func (h *Head) largestWithout(e Example, change float64) float64 {
	logits := h.logits(e)
	c, _ := slices.BinarySearch(h.Labels, e.Label)
	logits[c] += change
	return slices.Max(logits)
}

// changesWithout returns, for some of the sorted examples, how much the logit of the example's class
// changes if the head of [Sums.Mean] is imprinted without the example's burst. It is NaN if the class has
// no other burst. The examples must be those that were added to s.
func (s *Sums) changesWithout(examples []Example, some []int) []float64 {
	changes := make([]float64, len(some))
	for k := range changes {
		changes[k] = math.NaN()
	}
	for _, burst := range groupBursts(examples) {
		class := s.classes[examples[burst[0]].Label]
		if class.n == len(burst) {
			continue
		}
		rest := slices.Clone(class.sum)
		for _, i := range burst {
			axpy(-1, examples[i].Unit, rest)
		}
		for _, i := range burst {
			if k, ok := slices.BinarySearch(some, i); ok {
				x := examples[i].Unit
				changes[k] = MeanScale * (cosine(rest, x) - cosine(class.sum, x))
			}
		}
	}
	return changes
}

// cosine returns the cosine of v with the unit vector x, or 0 if v is zero.
func cosine(v, x []float64) float64 {
	if norm := math.Sqrt(dot(v, v)); norm > 0 {
		return dot(v, x) / norm
	}
	return 0
}

// median returns the middle of the values, or the larger one of two. It sorts them.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
