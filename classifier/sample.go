package classifier

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// Auto compares recipes on the examples of each class with the smallest hashes. Therefore, a change of
// one example of many rarely changes the sample, and a Memory need not compare the recipes again.

// hashUnit returns a hash of some values of a unit vector.
func hashUnit(x []float64) uint64 {
	const most = 64 // enough for different photos to differ
	step := max(len(x)/most, 1)
	h := uint64(len(x))
	for i := 0; i < len(x); i += step {
		high, low := bits.Mul64(h^math.Float64bits(x[i]), 0x9e3779b97f4a7c15)
		h = high ^ low ^ bits.RotateLeft64(h, 23)
	}
	return h * 0xff51afd7ed558ccd
}

func hashesOf(examples []Example) []uint64 {
	hashes := make([]uint64, len(examples))
	for i, e := range examples {
		hashes[i] = hashUnit(e.Unit)
	}
	return hashes
}

// samplePerClass returns how many examples of each of some classes Auto compares recipes on, unless
// there are few examples.
func samplePerClass(classes int) int { return max(maxCompared/classes, 3) }

// sampleByHash returns the indexes of the examples to compare recipes on, ascending. examples must be
// sorted, and hashes are theirs or nil.
func sampleByHash(examples []Example, hashes []uint64) []int {
	all := make([]int, len(examples))
	for i := range all {
		all[i] = i
	}
	if len(examples) <= maxCompared {
		return all
	}
	if hashes == nil {
		hashes = hashesOf(examples)
	}
	counts := classCounts(examples)
	some := all[:0]
	for _, n := range counts {
		some = append(some, smallest(all[:n], hashes, samplePerClass(len(counts)))...)
		all = all[n:]
	}
	return some
}

// smallest returns the n indexes with the smallest hashes, ascending. It may reorder indexes.
func smallest(indexes []int, hashes []uint64, n int) []int {
	if len(indexes) <= n {
		return indexes
	}
	// About 2n hashes are below this. Sorting fewer is faster.
	if limit := float64(n) / float64(len(indexes)) * (1 << 65); limit < math.MaxUint64 {
		few := make([]int, 0, 3*n)
		for _, i := range indexes {
			if hashes[i] < uint64(limit) {
				few = append(few, i)
			}
		}
		if len(few) >= n {
			indexes = few
		}
	}
	slices.SortFunc(indexes, func(a, b int) int { return cmp.Or(cmp.Compare(hashes[a], hashes[b]), a-b) })
	indexes = indexes[:n]
	slices.Sort(indexes)
	return indexes
}

// A hashedExample is an example of the sample of Totals.
type hashedExample struct {
	Hash uint64
	Unit []float64
}

func compareHashed(a, b hashedExample) int {
	return cmp.Or(cmp.Compare(a.Hash, b.Hash), slices.Compare(a.Unit, b.Unit))
}

// sample adds s to the sample of a class unless it is too large.
func (c *classTotals) sample(s hashedExample, limit int) {
	at, _ := slices.BinarySearchFunc(c.Sample, s, compareHashed)
	if at < limit {
		s.Unit = slices.Clone(s.Unit)
		c.Sample = slices.Insert(c.Sample, at, s)
	}
	c.Sample = c.Sample[:min(len(c.Sample), limit)]
}

// sample returns the examples to compare recipes on, sorted.
func (t *Totals) sample() (examples []Example) {
	for label, c := range t.classes {
		for _, s := range c.Sample[:min(len(c.Sample), samplePerClass(len(t.classes)))] {
			examples = append(examples, Example{Label: label, Unit: s.Unit})
		}
	}
	return sortedExamples(examples)
}
