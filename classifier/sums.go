package classifier

import (
	"fmt"
	"math"
	"slices"
)

// grid is the spacing of the values of a unit vector, 2⁻³². A float64 has a 53-bit mantissa, so
// up to 2²¹ of these values, each at most 1, can be added without rounding. Therefore, the sum
// does not depend on the order of additions and subtractions.
const grid = 1.0 / (1 << 32)

// MaxExamples is the largest number of examples per class that [Sums] can add exactly.
const MaxExamples = 1 << 21

// Normalize scales v to length 1 in place and returns its previous length. It rounds the values
// to multiples of 2⁻³², which [Sums] adds exactly. It does not change a vector of zeros.
func Normalize(v []float64) float64 {
	norm := math.Sqrt(dot(v, v))
	if norm == 0 {
		return 0
	}
	rest := v[divideBlocks(v, norm):]
	for i, x := range rest {
		rest[i] = roundToEven(x/norm*(1/grid)) * grid
	}
	return norm
}

// roundToEven returns math.RoundToEven(x) for |x| < 2⁵¹, but 0 for −0, and is faster.
func roundToEven(x float64) float64 {
	const large = 3 << 51 // its last bit is 1
	return float64(x+large) - large
}

// Sums holds the number of examples and the sum of their unit embeddings for each class. The
// sums are exact: adding the same examples in any order results in the same bits. The zero value
// is ready to use.
type Sums struct {
	dim     int
	classes map[string]*classSum
}

type classSum struct {
	n   int
	sum []float64
}

// Add adds x, an embedding scaled by [Normalize], to the class label. It does not retain x. If
// the length of x differs from the length of earlier embeddings, the error wraps [ErrShape]. Add
// also returns an error if the class already has [MaxExamples] examples.
func (s *Sums) Add(label string, x []float64) error {
	if len(s.classes) == 0 {
		s.dim = len(x)
		s.classes = make(map[string]*classSum)
	}
	if len(x) != s.dim || s.dim == 0 {
		return fmt.Errorf("add an embedding of %d values to sums of %d values: %w", len(x), s.dim, ErrShape)
	}
	c := s.classes[label]
	if c == nil {
		c = &classSum{sum: make([]float64, s.dim)}
		s.classes[label] = c
	}
	if c.n == MaxExamples {
		return fmt.Errorf("add to class %q: it has the maximum of %d examples", label, c.n)
	}
	c.n++
	for i, v := range x {
		c.sum[i] += v
	}
	return nil
}

// Labels returns the names of the classes, sorted.
func (s *Sums) Labels() []string {
	labels := make([]string, 0, len(s.classes))
	for l := range s.classes {
		labels = append(labels, l)
	}
	slices.Sort(labels)
	return labels
}

// Count returns the number of examples of label.
func (s *Sums) Count(label string) int {
	if c := s.classes[label]; c != nil {
		return c.n
	}
	return 0
}

// Norm returns the length of the sum of label's unit embeddings, or 0 if there is no
// such class. [Head.Append] stores it in the [Coral] layout, where Coral's
// ImprintingEngine needs it to add examples to a class.
func (s *Sums) Norm(label string) float64 {
	if c := s.classes[label]; c != nil {
		return math.Sqrt(dot(c.sum, c.sum))
	}
	return 0
}
