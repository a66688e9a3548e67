package classifier

import (
	"fmt"
	"math"
	"slices"
)

// grid is the spacing of the values of a unit vector. Multiples of 2⁻³² no larger
// than 1 add up without rounding in a float64 (53 bits) until there are 2²¹ of
// them, so sums do not depend on the order of additions and subtractions.
const grid = 1.0 / (1 << 32)

// MaxExamples is the largest number of examples in a class whose sum is exact.
const MaxExamples = 1 << 21

// Unit scales v to length 1 in place and rounds its values to the grid on which
// sums are exact, and returns the length it had. A vector of zeros stays so.
func Unit(v []float64) float64 {
	norm := math.Sqrt(dot(v, v))
	if norm == 0 {
		return 0
	}
	for i := range v {
		v[i] = math.RoundToEven(v[i]/norm/grid) * grid
	}
	return norm
}

// Sums holds, for every class, the number of its examples and the sum of their
// unit embeddings. The sums are exact: removing what was added, or adding in
// another order, gives the same bits. The zero value is ready for use.
type Sums struct {
	dim     int
	classes map[string]*classSum
}

type classSum struct {
	n   int
	sum []float64
}

// Add counts the unit embedding x as an example of label.
func (s *Sums) Add(label string, x []float64) error {
	if len(s.classes) == 0 {
		s.dim = len(x)
		s.classes = make(map[string]*classSum)
	}
	if len(x) != s.dim || s.dim == 0 {
		return fmt.Errorf("add an embedding of %d values to sums of %d: %w", len(x), s.dim, ErrShape)
	}
	c := s.classes[label]
	if c == nil {
		c = &classSum{sum: make([]float64, s.dim)}
		s.classes[label] = c
	}
	if c.n == MaxExamples {
		return fmt.Errorf("class %q has %d examples, the most whose sum is exact", label, c.n)
	}
	c.n++
	for i, v := range x {
		c.sum[i] += v
	}
	return nil
}

// Labels returns the names of the classes in byte order.
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

// Norm returns the length of the sum of label's unit embeddings, the number that
// lets Coral's ImprintingEngine continue a class; 0 for an unknown label.
func (s *Sums) Norm(label string) float64 {
	if c := s.classes[label]; c != nil {
		return math.Sqrt(dot(c.sum, c.sum))
	}
	return 0
}
