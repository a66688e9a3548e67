package classifier

import (
	"fmt"
	"math"
	"slices"
)

// defaultOtherCosine is the assumed cosine between a class and photos of other classes. It is
// used if there is only one class, because the cosine then cannot be measured. For Coral's
// imprinting photos and its MobileNet v1 1.0 224 extractor, the measured cosine is 0.36 to
// 0.53.
const defaultOtherCosine = 0.45

// Extend returns a head with the classes of base, followed by the classes of s in the order of
// [Sums.Mean]. examples must be the examples that were added to s. base must apply to raw
// embeddings, like a head that [LastLayer] returns. In the new head, base's weights are
// multiplied by the mean [Example.Norm], so that they apply to unit embeddings.
//
// Extend makes the logits of old and new classes comparable. To the logit of each new class, it
// adds the logits of the base classes that the new class's examples resemble, weighted by base's
// scores for these examples. It then adds an offset, chosen so that at the mean cosine of photos
// of other classes, the logit of a new class equals the log-sum-exp of base's logits, averaged
// over the examples. So a photo that base classifies confidently keeps its class unless it
// resembles a new class.
//
// When three classes with a total of four photos are added to Coral's 1001 classes, 135 of 141
// photos of other objects are still assigned a base class, and 5 of 6 photos of the new classes
// are classified correctly. Without the added logits of base classes, these numbers are 35 of
// 141 and 6 of 6.
func (s *Sums) Extend(base *Head, examples []Example) (*Head, error) {
	added, err := s.Mean()
	if err != nil {
		return nil, err
	}
	if base.Dim != added.Dim {
		return nil, fmt.Errorf("extend a head of %d dimensions with classes of %d dimensions: %w", base.Dim, added.Dim, ErrShape)
	}
	var norm float64
	for _, e := range examples {
		norm += e.Norm
	}
	norm /= float64(len(examples))

	kept := &Head{Labels: base.Labels, Dim: base.Dim, Bias: base.Bias}
	for _, w := range base.Weights {
		kept.Weights = append(kept.Weights, float32(float64(w)*norm))
	}
	shares, margin := s.resemblance(kept, examples)
	offset := roundToStep(margin - float64(MeanScale*s.otherCosine(examples)))
	for c, label := range added.Labels {
		row, bias := added.Row(c), float64(added.Bias[c])+offset
		for b, share := range shares[label] {
			if share == 0 {
				continue
			}
			bias += float64(share * float64(kept.Bias[b]))
			for j, w := range kept.Row(b) {
				row[j] += float32(share * float64(w))
			}
		}
		added.Bias[c] = float32(bias)
	}
	h := &Head{
		Labels:  slices.Concat(kept.Labels, added.Labels),
		Dim:     base.Dim,
		Weights: slices.Concat(kept.Weights, added.Weights),
		Bias:    slices.Concat(kept.Bias, added.Bias),
	}
	return h, h.Check()
}

// resemblance measures how closely the examples resemble the classes of base. shares holds
// base's mean scores for the examples of each class, one score per class of base. margin is the
// log-sum-exp of base's logits minus their mean weighted by shares, averaged over all examples.
func (s *Sums) resemblance(base *Head, examples []Example) (shares map[string][]float64, margin float64) {
	shares = make(map[string][]float64)
	logits, scores := make([]float64, len(base.Labels)), make([]float64, len(base.Labels))
	for _, e := range examples {
		base.Logits(scores, e.Unit)
		ApplySoftmax(scores)
		if shares[e.Label] == nil {
			shares[e.Label] = make([]float64, len(scores))
		}
		for b, p := range scores {
			shares[e.Label][b] += p
		}
	}
	for label, v := range shares {
		for b := range v {
			v[b] = roundToStep(v[b] / float64(s.Count(label)))
		}
	}
	for _, e := range examples {
		base.Logits(logits, e.Unit)
		margin += logSumExp(logits)
		for b, share := range shares[e.Label] {
			margin -= float64(share * logits[b])
		}
	}
	return shares, margin / float64(len(examples))
}

// roundToStep rounds v to a multiple of 1/1024, so that the last bits of v do not affect the
// written model.
func roundToStep(v float64) float64 { return math.Round(v*1024) / 1024 }

// otherCosine returns each example's largest cosine with another class, averaged over the
// examples. With a single class, it returns defaultOtherCosine.
func (s *Sums) otherCosine(examples []Example) float64 {
	p := s.prototypes()
	if len(p.labels) < 2 {
		return defaultOtherCosine
	}
	var sum float64
	for _, e := range examples {
		own, _ := slices.BinarySearch(p.labels, e.Label)
		p.compare(e, own, p.sums[own])
		p.cos[own] = math.Inf(-1)
		sum += p.cos[ArgMax(p.cos)]
	}
	return sum / float64(len(examples))
}

func logSumExp(v []float64) float64 {
	top := v[ArgMax(v)]
	var sum float64
	for _, x := range v {
		sum += exp(x - top)
	}
	return top + log(sum)
}
