package classifier

import (
	"fmt"
	"math"
	"slices"
)

// MeanScale is the factor from cosines to logits in the head of [Sums.Mean]. On two datasets
// (clothing and Oxford 17 flowers, 10 and 20 photos per class, embeddings of Coral's MobileNet
// v1 1.0 224), the log loss of held-out photos is lowest at factors from 40 to 60. With a factor
// of 40 and three classes, a cosine lead of 0.13 results in a score of about 0.99.
const MeanScale = 40

// Mean returns the imprinted head: the weights of a class are the normalized sum of its unit
// embeddings times [MeanScale], and all biases are 0. Classes are sorted by label. An error
// wraps [ErrExamples]. (Qi, Brown, Lowe: Low-Shot Learning with Imprinted Weights, CVPR 2018.)
func (s *Sums) Mean() (*Head, error) {
	if len(s.classes) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrExamples)
	}
	h := &Head{Labels: s.Labels(), Dim: s.dim}
	for _, label := range h.Labels {
		c := s.classes[label]
		norm := math.Sqrt(dot(c.sum, c.sum))
		if norm == 0 {
			return nil, fmt.Errorf("%w: all embeddings of class %q are zero", ErrExamples, label)
		}
		for _, v := range c.sum {
			h.Weights = append(h.Weights, float32(v/norm*MeanScale))
		}
		h.Bias = append(h.Bias, 0)
	}
	if err := h.Check(); err != nil {
		return nil, err
	}
	return h, nil
}

// LeaveOneOut classifies each example with a head imprinted without the example's burst, and
// counts the correct predictions. All examples must have been added to s, and the examples of a
// class must be adjacent.
func (s *Sums) LeaveOneOut(examples []Example) Estimate {
	var e Estimate
	p := s.prototypes()
	for _, burst := range groupBursts(examples) {
		if s.Count(examples[burst[0]].Label) == len(burst) {
			e.Excluded += len(burst)
			continue
		}
		e.Bursts++
		e.Total += len(burst)
		e.Correct += p.correctWithout(pick(examples, burst))
	}
	return e
}

// prototypes holds the classes of a Sums, sorted by label, and the cosines from the last call
// of compare.
type prototypes struct {
	labels []string
	sums   [][]float64
	norms  []float64
	cos    []float64 // cosine of each class with the example passed to compare
}

func (s *Sums) prototypes() *prototypes {
	p := &prototypes{labels: s.Labels()}
	p.cos = make([]float64, len(p.labels))
	for _, label := range p.labels {
		p.sums = append(p.sums, s.classes[label].sum)
		p.norms = append(p.norms, s.Norm(label))
	}
	return p
}

// correctWithout leaves examples out of their class and returns the number that are then
// classified correctly. All examples must be of the same class.
func (p *prototypes) correctWithout(examples []Example) (correct int) {
	own, _ := slices.BinarySearch(p.labels, examples[0].Label)
	rest := slices.Clone(p.sums[own])
	for _, e := range examples {
		axpy(-1, e.Unit, rest)
	}
	for _, e := range examples {
		p.compare(e, own, rest)
		if ArgMax(p.cos) == own {
			correct++
		}
	}
	return correct
}

// compare sets p.cos to the cosines of e with each class. It uses rest as the sum of class own.
func (p *prototypes) compare(e Example, own int, rest []float64) {
	for c := range p.labels {
		sum, norm := p.sums[c], p.norms[c]
		if c == own {
			sum, norm = rest, math.Sqrt(dot(rest, rest))
		}
		p.cos[c] = 0
		if norm > 0 {
			p.cos[c] = dot(sum, e.Unit) / norm
		}
	}
}

// imprint trains the layer of the mean head: normalized class means.
func (t *training) imprint() (l layer, leftOut [][]float64, err error) {
	leftOut = make([][]float64, len(t.x))
	for c, m := range t.classMean {
		w := slices.Clone(m)
		norm := math.Sqrt(dot(w, w))
		if norm == 0 {
			return l, nil, fmt.Errorf("%w: all embeddings of class %q are zero", ErrExamples, t.labels[c])
		}
		for i := range w {
			w[i] /= norm
		}
		l.weights = append(l.weights, w)
	}
	l.bias = make([]float64, len(t.labels))
	rest := make([]float64, t.dim)
	for b, burst := range t.bursts {
		if !t.leavesOut(b) {
			continue
		}
		c := t.class[burst[0]]
		for j, v := range t.classMean[c] {
			rest[j] = float64(float64(t.count[c]) * v)
		}
		for _, i := range burst {
			axpy(-1, t.x[i], rest)
		}
		norm := math.Sqrt(dot(rest, rest))
		for _, i := range burst {
			leftOut[i] = make([]float64, len(t.labels))
			for k, w := range l.weights {
				leftOut[i][k] = dot(t.x[i], w)
			}
			leftOut[i][c] = -1
			if norm > 0 {
				leftOut[i][c] = dot(t.x[i], rest) / norm
			}
		}
	}
	return l, leftOut, nil
}
