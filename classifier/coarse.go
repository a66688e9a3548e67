package classifier

import "math"

// With more examples than coarseFrom and than dimensions, features are rounded to multiples of
// coarseStep. Their products then add up without rounding, in any order, and in integers, which
// is several times as fast. The rounding is far below the resolution of an 8-bit embedding.
const (
	coarseFrom = 1024
	coarseStep = 1.0 / (1 << 15)
)

// coarse returns x, which is between −1 and 1, as the nearest multiple of coarseStep that fits in
// 16 bits.
func coarse(x float64) int32 { return int32(min(roundToEven(x/coarseStep), math.MaxInt16)) }

// roundCoarse returns the values of x rounded by coarse.
func roundCoarse(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(coarse(v)) * coarseStep
	}
	return y
}

// coarseScatter returns Σ x·xᵀ over all rows of x, which roundCoarse rounded. The result is
// exact.
func coarseScatter(x [][]float64, dim int) lower {
	s := newLower(dim)
	b := newScatterBatch(dim)
	for _, row := range x {
		b.add(row, s)
	}
	b.flush(s)
	return s
}

// A scatterBatch collects examples whose products fit in 32 bits.
type scatterBatch struct {
	dim     int
	pairs   *panels[int32] // one vector per dimension; each element holds two examples
	count   int            // number of examples
	squares []int64        // sum of the squares of each dimension
}

// maxScatterBatch is the maximum number of examples in a scatterBatch.
const maxScatterBatch = 512

func newScatterBatch(dim int) *scatterBatch {
	return &scatterBatch{dim: dim, pairs: newPanels[int32](dim, maxScatterBatch/2), squares: make([]int64, dim)}
}

// add adds an example. If it does not fit, add first flushes the batch to s.
func (b *scatterBatch) add(x []float64, s lower) {
	// By the Cauchy–Schwarz inequality, no sum of products is larger than the largest sum of
	// squares.
	full := b.count == maxScatterBatch
	for j, v := range x {
		i := int64(v / coarseStep)
		b.squares[j] += i * i
		full = full || b.squares[j] > math.MaxInt32
	}
	if full {
		b.flush(s)
		for j, v := range x {
			i := int64(v / coarseStep)
			b.squares[j] = i * i
		}
	}
	w := b.pairs.width
	at := b.count / 2 * w
	for g, group := range b.pairs.groups {
		for j, v := range x[g*w : min((g+1)*w, len(x))] {
			i := int32(v / coarseStep)
			if b.count%2 == 0 {
				group[at+j] = i & 0xffff
			} else {
				group[at+j] |= i << 16
			}
		}
	}
	b.count++
}

// flush adds the products of the examples to s and empties the batch.
func (b *scatterBatch) flush(s lower) {
	p := *b.pairs
	p.n = (b.count + 1) / 2
	eachTile(&p, &p, true, func(i, j int, tile []int32) {
		for r, row := range s[i:min(i+tileRows, p.count)] {
			row = row[min(j, len(row)):min(j+p.width, len(row))]
			for c, v := range tile[r*p.width:][:len(row)] {
				row[c] += float64(v) * (coarseStep * coarseStep)
			}
		}
	})
	b.count = 0
	clear(b.squares)
}
