package classifier

import (
	"math"
	"slices"
)

// Cells divide many examples into groups that are close to a centre, so that only the examples of some
// pairs of cells must be compared to find near-duplicates. If x is in a cell with centre a and y in one
// with centre b, then |x − y| ≥ (x − y)·(a − b) / |a − b|. Which cell an example is in does not matter
// for this, so the result is exact.
type Cells struct{ Centers [][]float64 }

const (
	maxCells   = 1024
	cellSample = 20 // examples of the sample for each cell
)

// CellSample returns the indexes of some of n examples, for [NewCells].
func CellSample(n int) []int { return sampled(n, cellSample*cellsFor(n)) }

// cellsFor returns the number of cells for n examples. Comparing all of them with the centres then costs
// as much as comparing those of each cell with each other.
func cellsFor(n int) int { return min(max(int(math.Sqrt(float64(n))/2), 1), maxCells) }

// sampled returns some of n indexes, evenly spread.
func sampled(n, some int) []int {
	some = min(n, some)
	all := make([]int, some)
	for i := range all {
		all[i] = i * n / some
	}
	return all
}

// NewCells returns cells for n examples, given those of [CellSample].
func NewCells(sample []Example, n int) *Cells {
	c := new(Cells)
	for _, i := range sampled(len(sample), cellsFor(n)) {
		c.Centers = append(c.Centers, slices.Clone(sample[i].Unit))
	}
	for range 4 { // Lloyd's algorithm
		count := make([]float64, len(c.Centers))
		sums := newTable(len(c.Centers), len(sample[0].Unit))
		for i, cell := range c.Nearest(sample) {
			count[cell]++
			axpy(1, sample[i].Unit, sums[cell])
		}
		for cell, sum := range sums {
			if count[cell] > 0 {
				clear(c.Centers[cell])
				axpy(1/count[cell], sum, c.Centers[cell])
			}
		}
	}
	return c
}

// eachDots calls f with the inner products of each example and all centres, in single precision.
func (c *Cells) eachDots(examples []Example, f func(i int, dots []float64)) {
	const some = 512 // examples in memory
	n := len(c.Centers[0])
	centers := packRows[float32](c.Centers, n)
	for first := 0; first < len(examples); first += some {
		var rows [][]float64
		for _, e := range examples[first:min(first+some, len(examples))] {
			rows = append(rows, e.Unit)
		}
		for i, row := range products(packRows[float32](rows, n), centers) {
			f(first+i, row)
		}
	}
}

// Nearest returns the cell of each example.
func (c *Cells) Nearest(examples []Example) []int {
	half := make([]float64, len(c.Centers))
	for k, center := range c.Centers {
		half[k] = dot(center, center) / 2
	}
	nearest := make([]int, len(examples))
	c.eachDots(examples, func(i int, row []float64) {
		for k, v := range row {
			row[k] = v - half[k]
		}
		nearest[i] = ArgMax(row)
	})
	return nearest
}

// Borders returns the smallest x·(a − b) over examples x of the cell with centre a, for each other centre
// b, for [Cells.Pairs].
func (c *Cells) Borders(cell int, examples []Example) []float64 {
	least := make([]float64, len(c.Centers))
	for k := range least {
		least[k] = math.Inf(1) // if there is no example
	}
	c.eachDots(examples, func(_ int, row []float64) {
		for k, v := range row {
			least[k] = min(least[k], row[cell]-v)
		}
	})
	return least
}

// Pairs returns the pairs of cells i ≥ j whose examples must be compared to find near-duplicates at most
// limit apart, as given by [NearDuplicateDistance]. borders holds [Cells.Borders] of each cell.
func (c *Cells) Pairs(borders [][]float64, limit float64) (pairs [][2]int) {
	rounding := float64(len(c.Centers[0])+4) * 0x1p-22 // of single precision, in both borders
	for i := range c.Centers {
		for j := range i {
			if borders[i][j]+borders[j][i]-rounding <= c.farthest(i, j, limit) {
				pairs = append(pairs, [2]int{i, j})
			}
		}
		pairs = append(pairs, [2]int{i, i})
	}
	return pairs
}

// farthest returns the largest (x − y)·(a − b) of near-duplicates x and y in the cells i and j with
// centres a and b, with a margin for rounding.
func (c *Cells) farthest(i, j int, limit float64) float64 {
	between := make([]float64, len(c.Centers[i]))
	subtract(between, c.Centers[i], c.Centers[j])
	return math.Sqrt(limit)*math.Sqrt(dot(between, between)) + 1e-9
}

// NearDuplicatesBetween is like the function [NearDuplicatesBetween], for examples x of cell i and y of cell j.
func (c *Cells) NearDuplicatesBetween(i, j int, x, y []Example, limit float64) [][2]int {
	if i == j || len(x) == 0 || len(y) == 0 {
		return NearDuplicatesBetween(x, y, limit)
	}
	between := make([]float64, len(c.Centers[i]))
	subtract(between, c.Centers[i], c.Centers[j])
	far := c.farthest(i, j, limit)
	alongX, alongY := make([]float64, len(x)), make([]float64, len(y))
	for k := range x {
		alongX[k] = dot(x[k].Unit, between)
	}
	for k := range y {
		alongY[k] = -dot(y[k].Unit, between)
	}
	nearX := indexesUpTo(alongX, far-slices.Min(alongY))
	nearY := indexesUpTo(alongY, far-slices.Min(alongX))
	pairs := NearDuplicatesBetween(at(x, nearX), at(y, nearY), limit)
	for k, p := range pairs {
		pairs[k] = [2]int{nearX[p[0]], nearY[p[1]]}
	}
	return pairs
}

// indexesUpTo returns the indexes of values that are at most limit.
func indexesUpTo(values []float64, limit float64) (indexes []int) {
	for i, v := range values {
		if v <= limit {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// at returns the examples at the given indexes.
func at(examples []Example, indexes []int) []Example {
	some := make([]Example, len(indexes))
	for k, i := range indexes {
		some[k] = examples[i]
	}
	return some
}
