package classifier

import (
	"cmp"
	"math"
	"slices"
)

// An Example is the embedding of one labeled photo.
type Example struct {
	Label string
	Unit  []float64 // the embedding, scaled by [Normalize]
	Norm  float64   // length of the dequantized embedding before scaling
	// Burst is a name shared by photos that were taken together, for example within the
	// same second. Leave-one-out estimates leave out a whole burst, because its photos
	// are not independent of each other. An empty Burst means that the photo belongs to no
	// burst.
	Burst string
}

// sortedExamples returns the examples ordered by label and values, so that results do
// not depend on the order of the caller's slice.
func sortedExamples(examples []Example) []Example {
	s := slices.Clone(examples)
	if !slices.IsSortedFunc(s, compareExamples) {
		slices.SortFunc(s, compareExamples)
	}
	return s
}

func compareExamples(a, b Example) int {
	return cmp.Or(cmp.Compare(a.Label, b.Label), slices.Compare(a.Unit, b.Unit))
}

// subsample returns the indexes of about limit examples; examples must be sorted. It takes the
// same number from each class, or all examples of a class that has fewer.
func subsample(examples []Example, limit int) []int {
	return subsampleOf(classCounts(examples), limit)
}

// classCounts returns the number of examples of each class; examples must be sorted.
func classCounts(examples []Example) (counts []int) {
	for i := range examples {
		if i == 0 || examples[i].Label != examples[i-1].Label {
			counts = append(counts, 0)
		}
		counts[len(counts)-1]++
	}
	return counts
}

// subsampleOf is like subsample, given the number of examples of each class.
func subsampleOf(counts []int, limit int) (indexes []int) {
	if len(counts) == 0 {
		return nil
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	each := max(limit/len(counts), 3)
	if total <= limit {
		each = limit
	}
	first := 0
	for _, count := range counts {
		n := min(each, count)
		for k := range n {
			indexes = append(indexes, first+k*count/n)
		}
		first += count
	}
	return indexes
}

// features returns the input of a layer for the unit embedding x: √x if sqrt is set,
// otherwise x.
func features(x []float64, sqrt bool) []float64 {
	if sqrt {
		return squareRoots(x)
	}
	return x
}

// squareRoots returns √x scaled to length 1. Negative values count as 0; the output of a ReLU
// has none.
func squareRoots(x []float64) []float64 {
	y := make([]float64, len(x))
	squareRootsTo(y, x)
	return y
}

// squareRootsTo is like squareRoots, and stores the result in y.
func squareRootsTo(y, x []float64) {
	n := rootsBlocks(y, x)
	for i, v := range x[n:] {
		if v < 0 {
			v = 0
		}
		y[n+i] = math.Sqrt(v)
	}
	Normalize(y)
}

// pick returns the elements of v at the given indexes.
func pick[T any](v []T, indexes []int) []T {
	p := make([]T, len(indexes))
	for k, i := range indexes {
		p[k] = v[i]
	}
	return p
}
