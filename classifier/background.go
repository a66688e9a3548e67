package classifier

import (
	"fmt"
	"math"
	"slices"
)

// These values were the best for six backbones, trained on clothing and asked about photos of
// raccoons, flowers and miscellaneous things and about rendered pictures (docs/accuracy.md).
const (
	// backgroundLambda is the λ of the ridge regression. Values from 0.3 to 3 keep up to 8 points
	// more of the photos of the classes, the more the larger λ.
	backgroundLambda = 3
	// backgroundOffset is the square of a constant feature that takes the place of a bias.
	backgroundOffset = 4
	// minSlope and slopePerDeviation bound the factor from the regression's outputs to logits. If
	// the factor is too small, the largest logit of the classes decides instead of the regression.
	minSlope, slopePerDeviation = 12, 8
	// sampledExamples is the approximate number of examples of classes and of negatives to train
	// on. More examples do not keep more photos, but take longer.
	sampledExamples = 64
	// negativeWeight is the weight of a negative. An embedding of the background has weight 1.
	negativeWeight = 4
	// The threshold rejects 5 % of the left-out examples or fewer if it can be raised, and is lowered if
	// it rejects more than 10 %. Then it accepts at most twice as much of the background.
	raisedTo, loweredTo, lowered = 0.05, 0.1, 2
	// oneClass is the proportion by which a single class without left-out examples accepts more of the
	// background. With 1, three backbones accepted 8 to 12 % of flowers after one photo of clothing.
	oneClass = 0.5
)

// A Background holds embeddings of things of many kinds that belong to no class, prepared for
// [Background.Reject]. It must not be modified, so it is safe for concurrent use.
type Background struct {
	sqrt     bool
	share    float64
	features [][]float64
	mean     []float64
	centered [][]float64      // features minus mean
	packed   *panels[float64] // centered
	factor   *factor[float64] // Cholesky factor L of K + λI, where K = centered·centeredᵀ + offset
	inverse  *panels[float64] // L⁻ᵀ
	targets  []float64        // L⁻¹·(−1, …, −1)
	diagonal []float64        // of (L·Lᵀ)⁻¹
}

// NewBackground prepares embeddings scaled by [Normalize]. sqrt must equal [Head.Sqrt] of the heads
// to which [Background.Reject] adds a row. The order of the embeddings does not matter.
//
// share is the proportion of the target false-accept rate at which embeddings of the background may
// be accepted, greater than 0 and at most 1. It is less than 1 for a background that represents
// other things, which are accepted more often because the row is not trained against them. An error
// wraps [ErrNoNegatives], [ErrRate] or [ErrShape].
func NewBackground(units [][]float64, sqrt bool, share float64) (*Background, error) {
	if !(share > 0) || share > 1 {
		return nil, fmt.Errorf("background with a share of %v: %w", share, ErrRate)
	}
	if len(units) < 2 {
		return nil, fmt.Errorf("background of %d embeddings: %w", len(units), ErrNoNegatives)
	}
	b := &Background{sqrt: sqrt, share: share, mean: make([]float64, len(units[0]))}
	units = slices.Clone(units)
	slices.SortFunc(units, slices.Compare)
	for _, u := range units {
		if len(u) != len(b.mean) || len(u) == 0 {
			return nil, fmt.Errorf("background of embeddings of %d and %d values: %w", len(b.mean), len(u), ErrShape)
		}
		b.features = append(b.features, features(u, sqrt))
		axpy(1/float64(len(units)), b.features[len(b.features)-1], b.mean)
	}
	b.centered = b.center(b.features)
	b.packed = packRows[float64](b.centered, len(b.mean))
	k := gram(b.packed)
	k.apply(func(v float64) float64 { return v + backgroundOffset })
	var err error
	if b.factor, err = k.cholesky(backgroundLambda); err != nil {
		return nil, err
	}
	b.inverse = b.factor.wholeInverse()
	b.diagonal = squares(b.inverse)
	targets := newPanels[float64](1, len(units))
	for i := range units {
		targets.groups[0][i*targets.width] = -1
	}
	b.factor.forward(targets)
	b.targets = targets.rows()[0]
	return b, nil
}

// rows returns the vectors of p.
func (p *panels[T]) rows() [][]float64 {
	rows := newTable(p.count, p.n)
	for i, row := range rows {
		for k := range row {
			row[k] = float64(p.at(i, k))
		}
	}
	return rows
}

// center returns rows of features minus the mean of the background.
func (b *Background) center(rows [][]float64) [][]float64 {
	centered := newTable(len(rows), len(b.mean))
	for i, x := range rows {
		subtract(centered[i], x, b.mean)
	}
	return centered
}

// Reject returns f's head with an additional row [UnknownLabel], and an evaluation of the
// rejection. Other rows do not change, so neither does the best class. The row has the largest
// logit if the accept score is below a threshold. f must be the result of [Fit] for examples.
// Reject changes neither f nor b. One example is enough. The labels of negatives are ignored.
//
// The threshold accepts a proportion of the background and the negatives: the background's share of
// rate, and half as much again for a single class without left-out examples. If left-out examples have
// larger scores, the threshold is higher, up to halfway between both medians. If it rejects more than a
// tenth of them and there are no negatives, it is lower, but accepts at most twice that proportion, or
// rate.
//
// The accept score is s·g + the largest logit of the classes. g is a ridge regression from the
// features to 1 for examples and −1 for the background and negatives. Both sides have the same
// weight. s is at least eight times the standard deviation of the largest logit over the
// background, so that g decides. The scores of the background and the negatives are computed with
// regressions that leave out the embedding in question.
//
// An error wraps [ErrLabelTaken], [ErrRate], [ErrShape] or [ErrExamples].
func (b *Background) Reject(f *Fitted, examples, negatives []Example, rate float64) (*Head, *Rejection, error) {
	return b.RejectSample(f, NewBackgroundSample(examples), negatives, rate)
}

// A BackgroundSample holds those of a head's examples that [Background.Reject] reads.
type BackgroundSample struct {
	examples []Example
	indexes  []int // of examples, among all examples, sorted
}

// NewBackgroundSample returns the sample of examples.
func NewBackgroundSample(examples []Example) *BackgroundSample {
	examples = sortedExamples(examples)
	indexes := sampleForBackground(classCounts(examples))
	return &BackgroundSample{pick(examples, indexes), indexes}
}

// RejectSample is like Reject, given the sample of the examples.
func (b *Background) RejectSample(f *Fitted, s *BackgroundSample, negatives []Example, rate float64) (*Head, *Rejection, error) {
	tops := make([]float64, len(s.indexes))
	for k, i := range s.indexes {
		tops[k] = math.NaN()
		if i < len(f.leftOutTops) {
			tops[k] = f.leftOutTops[i]
		}
	}
	return b.reject(f, s.examples, tops, b.sampleNegatives(negatives), rate)
}

// sampleNegatives returns the negatives to train on, sorted.
func (b *Background) sampleNegatives(negatives []Example) []Example {
	others := make([]Example, len(negatives))
	for i, e := range negatives {
		others[i] = Example{Unit: e.Unit}
	}
	others = sortedExamples(others)
	return pick(others, subsample(others, 3*sampledExamples))
}

// reject is like Reject, given the examples and negatives to train on. leftOutTops holds the largest
// logit of f's head for each example that was left out, and NaN for other examples.
func (b *Background) reject(f *Fitted, positives []Example, leftOutTops []float64, negatives []Example, rate float64) (*Head, *Rejection, error) {
	if err := b.canReject(f.Head, rate); err != nil {
		return nil, nil, err
	}
	r, err := b.regress(positives, negatives)
	if err != nil {
		return nil, nil, err
	}
	tops := largestLogits(f.Head, b.features)
	slope := max(minSlope, float64(slopePerDeviation*deviation(tops)))
	scores := tops
	for i, g := range r.background {
		scores[i] += float64(slope * g)
	}
	for i, top := range largestLogits(f.Head, r.negativeFeatures) {
		scores = append(scores, top+float64(slope*r.negatives[i]))
	}
	var own []float64 // scores of left-out examples
	for k, top := range leftOutTops {
		if !math.IsNaN(top) {
			own = append(own, top+float64(slope*r.positives[k]))
		}
	}
	rejection := b.threshold(len(f.Head.Labels), scores, own, len(negatives), rate)
	h := *f.Head
	h.Labels, h.Weights, h.Bias = append(slices.Clone(h.Labels), UnknownLabel), slices.Clone(h.Weights), slices.Clone(h.Bias)
	for _, w := range r.weights {
		h.Weights = append(h.Weights, float32(-slope*w))
	}
	h.Bias = append(h.Bias, float32(rejection.Threshold-float64(slope*r.bias)))
	return &h, rejection, h.Check()
}

// threshold chooses the threshold for some classes from the scores of the background and of negatives, and
// from own, those of left-out examples. If there are none, few classes accept more of the background,
// because each class accepts other kinds of things.
func (b *Background) threshold(classes int, scores, own []float64, negatives int, rate float64) *Rejection {
	share, lowest := b.share, b.share
	if negatives == 0 {
		lowest = min(1, lowered*b.share)
		if len(own) == 0 {
			share = min(1, share+float64(oneClass*share/float64(classes)))
		}
	}
	r := newRejection(scores, float64(share*rate))
	r.TargetFAR = rate
	r.separate(own, scores, newRejection(scores, float64(lowest*rate)).Threshold)
	return r
}

// separate moves the threshold towards the gap between own and others, the scores of left-out examples
// and of other things, but not below lowest. It sorts own; others must be sorted.
//
// The background may contain things that look like a class. Then the threshold would reject much of the
// class, although other kinds of things have far lower scores. In the opposite case, a threshold
// just above the background would accept kinds of things that the background lacks.
func (r *Rejection) separate(own, others []float64, lowest float64) {
	slices.Sort(own)
	if r.Positives = len(own); r.Positives > 0 {
		middle := (own[len(own)/2] + others[len(others)/2]) / 2
		if up := min(middle, own[int(raisedTo*float64(len(own)))]) - r.Threshold; up > 0 {
			r.Threshold += float64(max(0, 1-2*r.TargetFAR) * up) // all the way for a rate of 0
		} else if low := own[int(loweredTo*float64(len(own)))]; low < r.Threshold {
			r.Threshold = max(low, lowest)
		}
	}
	r.Rejected, _ = slices.BinarySearch(own, r.Threshold)
	first, _ := slices.BinarySearch(others, r.Threshold)
	r.FalseAccepts = len(others) - first
}

// canReject returns an error if b can't add a row for unknown things to h.
func (b *Background) canReject(h *Head, rate float64) error {
	if h.Dim != len(b.mean) || h.Sqrt != b.sqrt {
		return fmt.Errorf("reject with a background of %d values (square roots: %v) for a head of %d values (%v): %w",
			len(b.mean), b.sqrt, h.Dim, h.Sqrt, ErrShape)
	}
	return canReject(h, rate)
}

// canReject returns an error if a row for unknown things can't be added to h.
func canReject(h *Head, rate float64) error {
	if !(rate > 0) || rate >= 1 {
		return fmt.Errorf("reject with a false-accept rate of %v: %w", rate, ErrRate)
	}
	if slices.Contains(h.Labels, UnknownLabel) {
		return fmt.Errorf("add a row %q: %w", UnknownLabel, ErrLabelTaken)
	}
	return nil
}

// largestLogits returns the largest logit of h for each row of features.
func largestLogits(h *Head, features [][]float64) []float64 {
	weights := newTable(len(h.Labels), h.Dim)
	for c := range weights {
		for i, w := range h.Row(c) {
			weights[c][i] = float64(w)
		}
	}
	tops := make([]float64, len(features))
	for i, logits := range products(packRows[float64](features, h.Dim), packRows[float64](weights, h.Dim)) {
		for c := range logits {
			logits[c] += float64(h.Bias[c])
		}
		tops[i] = slices.Max(logits)
	}
	return tops
}

// leftOutTops returns the largest logit of f's head for each left-out example, and NaN for other
// examples. The result may be shorter than the number of examples.
func (t *training) leftOutTops(l *layer, scale float64, leftOut [][]float64) []float64 {
	var bias float64
	for _, b := range l.bias {
		bias += b / float64(len(l.bias))
	}
	var tops []float64
	for i, row := range leftOut {
		if row == nil {
			continue
		}
		if t.indexes != nil {
			i = t.indexes[i]
		}
		for len(tops) <= i {
			tops = append(tops, math.NaN())
		}
		// The head's logits lack the mean row, but not the mean bias.
		var mean float64
		for _, v := range row {
			mean += v / float64(len(row))
		}
		tops[i] = scale * (slices.Max(row) - mean + bias)
	}
	return tops
}

// leftOutBursts returns the bursts of left-out examples.
func (t *training) leftOutBursts(leftOut [][]float64) (bursts [][]int) {
	for _, burst := range t.bursts {
		if leftOut == nil || leftOut[burst[0]] == nil {
			continue
		}
		if t.indexes != nil {
			burst = pick(t.indexes, burst)
		}
		bursts = append(bursts, burst)
	}
	return bursts
}

// A backgroundRegression is the result of [Background.regress]: the outputs weights·x + bias, and
// the outputs of regressions that leave out the embedding in question.
type backgroundRegression struct {
	weights    []float64
	bias       float64
	background []float64
	positives  []float64
	negatives  []float64

	negativeFeatures [][]float64
}

// sampleForBackground returns the indexes of the examples to train on, given the number of sorted
// examples of each class.
func sampleForBackground(counts []int) []int {
	sample := subsampleOf(counts, sampledExamples)
	const limit = 3 * sampledExamples // with many classes, subsample takes three examples of each
	if len(sample) <= limit {
		return sample
	}
	thinned := make([]int, limit)
	for i := range thinned {
		thinned[i] = sample[i*len(sample)/limit]
	}
	return thinned
}

// regress trains on the background and on sorted samples of the examples and negatives. It extends
// the Cholesky factor of the background by the rows of the samples.
func (b *Background) regress(positive, negatives []Example) (*backgroundRegression, error) {
	r := new(backgroundRegression)
	total := float64(len(b.features)) // weight of each side
	each := 0.0
	if n := float64(len(negatives)); n > 0 {
		each = min(negativeWeight, total/n)
		total += float64(each * n)
	}
	all := slices.Concat(positive, negatives)
	rows, roots, targets := make([][]float64, len(all)), make([]float64, len(all)), make([]float64, len(all))
	for i, e := range all {
		rows[i] = features(e.Unit, b.sqrt)
		targets[i], roots[i] = 1, math.Sqrt(total/float64(len(positive)))
		if i >= len(positive) {
			targets[i], roots[i] = -1, math.Sqrt(each)
		}
	}
	r.negativeFeatures = rows[len(positive):]
	rows = b.center(rows)
	packed := packRows[float64](rows, len(b.mean))
	below, corner := products(packed, b.packed), gram(packed)
	for i, root := range roots {
		for j := range below[i] {
			below[i][j] = root * (below[i][j] + backgroundOffset)
		}
		for j := range corner[i] {
			corner[i][j] = float64(root*roots[j]) * (corner[i][j] + backgroundOffset)
		}
		corner[i][i] += backgroundLambda
	}
	extension := packRows[float64](below, len(b.centered)) // of the factor
	b.factor.forward(extension)
	corner.addGram(extension, -1)
	end, err := corner.cholesky(0)
	if err != nil {
		return nil, err
	}
	below = extension.rows()
	dual := make([]float64, len(all)) // the solution for the sample, then for the background
	for i, row := range below {
		dual[i] = float64(roots[i]*targets[i]) - dot(row, b.targets)
	}
	end.solve([][]float64{dual})
	rest := slices.Clone(b.targets)
	for i, row := range below {
		axpy(-dual[i], row, rest)
	}
	r.weights = make([]float64, len(b.mean))
	for i, v := range dual {
		v = float64(v * roots[i])
		axpy(v, rows[i], r.weights)
		r.bias += v
	}
	spread := packRows[float64](products(b.inverse, extension), len(all))
	end.forward(spread)
	lengths := squares(spread)
	for i, v := range products(packRows[float64]([][]float64{rest}, len(rest)), b.inverse)[0] {
		axpy(v, b.centered[i], r.weights)
		r.bias += v
		r.background = append(r.background, -1-v/(b.diagonal[i]+lengths[i]))
	}
	r.bias = float64(backgroundOffset*r.bias) - dot(r.weights, b.mean)
	bursts := groupBursts(positive)
	for i := range negatives {
		bursts = append(bursts, []int{len(positive) + i})
	}
	outputs := leaveBurstsOut(end, bursts, dual, roots, targets)
	r.positives, r.negatives = outputs[:len(positive)], outputs[len(positive):]
	return r, nil
}

// leaveBurstsOut returns the outputs for the sample of [Background.regress], each of a regression
// without the embedding's burst. end is the part of the Cholesky factor for the sample.
func leaveBurstsOut(end *factor[float64], bursts [][]int, dual, roots, targets []float64) []float64 {
	u, outputs, table := end.inverse(), make([]float64, len(dual)), newTable(len(dual), 1)
	lengths := squares(u)
	for i, v := range dual {
		table[i][0] = v
	}
	for _, burst := range bursts {
		gramOf(u, lengths, burst).solveRows(burst, table)
		for _, i := range burst {
			outputs[i] = targets[i] - table[i][0]/roots[i]
		}
	}
	return outputs
}
