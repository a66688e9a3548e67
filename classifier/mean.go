package classifier

import (
	"fmt"
	"math"
	"slices"
)

// MeanScale is the factor between cosine and logit of the mean head. Measured on
// two sets (clothing and Oxford 17 flowers, 10 and 20 photos a class, Coral's
// MobileNet v1 1.0 224 embeddings), the likelihood of held-out photos is largest
// between 40 and 60; at 40 a margin of 0.13 in cosine scores above 0.99 among
// three classes.
const MeanScale = 40

// Mean returns the head of imprinted weights: the rows are the normalised sums
// of the classes' unit embeddings times MeanScale, the biases 0. Classes are in
// byte order of their labels. (Qi, Brown, Lowe: Low-Shot Learning with Imprinted
// Weights, CVPR 2018.)
func (s *Sums) Mean() (*Head, error) {
	h := &Head{Labels: s.Labels(), Dim: s.dim}
	for _, label := range h.Labels {
		c := s.classes[label]
		norm := math.Sqrt(dot(c.sum, c.sum))
		if norm == 0 {
			return nil, fmt.Errorf("class %q: all its embeddings are zero: %w", label, ErrShape)
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

// An Estimate counts right answers on photos that the head had not seen.
type Estimate struct {
	Correct int `json:"right"`
	Total   int `json:"total"`
	// Alone is the number of examples that are the only one of their class, or of its
	// only burst; they can't be estimated and are not in Total.
	Excluded int `json:"alone"`
	// Bursts is the number of groups that the examples in Total were left out in: so
	// many of them are independent of each other.
	Bursts int `json:"bursts"`
}

// Accuracy is Right/Total, 0 if nothing was counted.
func (e Estimate) Accuracy() float64 {
	if e.Total == 0 {
		return 0
	}
	return float64(e.Correct) / float64(e.Total)
}

// Interval is where the accuracy on all photos like these is, 95 % sure (Wilson 1927).
// What was seen counts as so many photos as there are bursts.
func (e Estimate) Interval() (low, high float64) {
	return Wilson(e.Accuracy(), e.Bursts)
}

// Wilson is where a share lies of which p was seen in n cases, 95 % sure (Wilson, JASA 22,
// 1927).
func Wilson(p float64, cases int) (low, high float64) {
	if cases == 0 {
		return 0, 1
	}
	const z = 1.959963984540054 // of the normal distribution 95 % are within ±z
	n := float64(cases)
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, middle-half), min(1, middle+half)
}

// LeaveOneOut classifies each example with the mean head of all the others, less those
// of its burst. All examples must have been added to s; those of a class come together.
func (s *Sums) LeaveOneOut(examples []Example) Estimate {
	var e Estimate
	p := s.prototypes()
	for _, burst := range bursts(examples) {
		if s.Count(examples[burst[0]].Label) == len(burst) {
			e.Excluded += len(burst)
			continue
		}
		e.Bursts++
		e.Total += len(burst)
		e.Correct += p.rightWithout(pick(examples, burst))
	}
	return e
}

// prototypes are the classes of a Sums in order, with what comparing needs.
type prototypes struct {
	labels []string
	sums   [][]float64
	norms  []float64
	cos    []float64 // of the example compared last with each class
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

// rightWithout counts the right answers to examples of a class as if none of them had
// ever been one.
func (p *prototypes) rightWithout(examples []Example) (right int) {
	own, _ := slices.BinarySearch(p.labels, examples[0].Label)
	rest := slices.Clone(p.sums[own])
	for _, e := range examples {
		axpy(-1, e.Unit, rest)
	}
	for _, e := range examples {
		p.compare(e, own, rest)
		if Best(p.cos) == own {
			right++
		}
	}
	return right
}

// compare gives the cosines of e with each class, class own having the sum rest.
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

// pick returns the elements of v at.
func pick[T any](v []T, at []int) []T {
	p := make([]T, len(at))
	for k, i := range at {
		p[k] = v[i]
	}
	return p
}
