package classifier

import "math"

// From roundFrom examples on, features are rounded to multiples of featureStep. Their products then add
// up without rounding, in any order, and in integers, which is several times as fast as in double
// precision. The rounding is far below the resolution of an 8-bit embedding. Fewer examples take
// little time anyway.
const (
	roundFrom   = 64
	featureStep = 1.0 / (1 << 15)
)

// With more examples than coarseFrom and than dimensions, examples are left out in integers.
const coarseFrom = 1024

// roundFeature returns x, which is between −1 and 1, as the nearest multiple of featureStep that fits
// in 16 bits.
func roundFeature(x float64) int16 {
	return int16(min(int32(roundToEven(x*(1/featureStep))), math.MaxInt16))
}

// roundFeatures sets x to the rounded features for a unit vector. root is scratch memory.
func roundFeatures(x []int16, unit []float64, sqrt bool, root []float64) {
	if sqrt {
		squareRootsTo(root, unit)
		unit = root
	}
	setFeatures(x, unit)
}

// setFeatures sets x to the rounded values of v.
func setFeatures(x []int16, v []float64) {
	n := roundBlocks(x, v)
	for i, v := range v[n:] {
		x[n+i] = roundFeature(v)
	}
}

// addFeatures adds x, multiplied by sign, to sum, without rounding.
func addFeatures(sign float64, x []int16, sum []float64) {
	f := sign * featureStep
	n := addFeaturesBlocks(f, x, sum)
	for i, v := range x[n:] {
		sum[n+i] += float64(v) * f
	}
}

// innerOfFeatures returns the inner product of two rows of length 1. By the Cauchy–Schwarz inequality,
// it fits in 32 bits.
func innerOfFeatures(x, y []int16) float64 {
	sum, n := dotIntegersBlocks(x, y)
	for k, v := range x[n:] {
		sum += int32(v) * int32(y[n+k])
	}
	return float64(sum) * (featureStep * featureStep)
}

// subtractFeatures sets dst to a − b, limited to 16 bits.
func subtractFeatures(dst, a, b []int16) {
	n := subtractIntegersBlocks(dst, a, b)
	for k, v := range b[n:] {
		dst[n+k] = int16(max(math.MinInt16, min(int32(a[n+k])-int32(v), math.MaxInt16)))
	}
}

// addSquaresOfFeatures adds the squares of x to sums, and returns a number that is larger than
// math.MaxInt32 if one of the sums is.
func addSquaresOfFeatures(x []int16, sums []int64) int64 {
	all, n := sumSquaresBlocks(x, sums)
	sums = sums[n:]
	for k, v := range x[n:] {
		sums[k] += int64(v) * int64(v)
		all |= sums[k]
	}
	return all
}

// gramOfFeatures returns the inner products of all pairs of rows of length 1.
func gramOfFeatures(x [][]int16, dim int) lower {
	p := newPanelsToSet[int32](len(x), (dim+1)/2)
	defer p.release()
	setPairs(p, x)
	g := newLower(len(x))
	g.addIntegers(p, 1)
	return g
}

// setPairs sets the vectors of p to rows, with two values in each element.
func setPairs(p *panels[int32], rows [][]int16) {
	for first := 0; first < len(rows); first += p.width {
		setPairsOfGroup(p.groups[first/p.width], rows[first:min(first+p.width, len(rows))])
	}
}

// setPairsOfGroup sets the vectors of a group of panels, like setPairs.
func setPairsOfGroup(group []int32, rows [][]int16) {
	const width = panelBytes / 4
	const some = 16 // values whose elements are in few lines of the cache
	n := len(rows[0])
	for k := 0; k < n; k += some {
		out := group[k/2*width:]
		if k+some > n {
			for j, row := range rows {
				setPairsOf(out[j:], row[k:])
			}
			break
		}
		for j, row := range rows {
			x, out := (*[some]int16)(row[k:]), (*[(some/2-1)*width + 1]int32)(out[j:])
			out[0] = int32(x[1])<<16 | int32(uint16(x[0]))
			out[width] = int32(x[3])<<16 | int32(uint16(x[2]))
			out[2*width] = int32(x[5])<<16 | int32(uint16(x[4]))
			out[3*width] = int32(x[7])<<16 | int32(uint16(x[6]))
			out[4*width] = int32(x[9])<<16 | int32(uint16(x[8]))
			out[5*width] = int32(x[11])<<16 | int32(uint16(x[10]))
			out[6*width] = int32(x[13])<<16 | int32(uint16(x[12]))
			out[7*width] = int32(x[15])<<16 | int32(uint16(x[14]))
		}
	}
}

// setPairsOf sets elements of a vector, from out[0] on, to a few values.
func setPairsOf(out []int32, x []int16) {
	for i, v := range x {
		at := i / 2 * (panelBytes / 4)
		if i%2 == 0 {
			out[at] = int32(uint16(v))
		} else {
			out[at] |= int32(v) << 16
		}
	}
}

// addIntegers adds the inner products of all pairs of vectors, whose elements hold two features
// each, multiplied by sign, to g.
func (g lower) addIntegers(p *panels[int32], sign float64) {
	unit := sign * featureStep * featureStep
	eachTile(p, p, true, func(i, j int, tile []int32) {
		for r, row := range g[i:min(i+tileRows, p.count)] {
			row = row[min(j, len(row)):min(j+p.width, len(row))]
			addScaled(unit, tile[r*p.width:][:len(row)], row)
		}
	})
}

// addScaled adds f·x to y.
func addScaled(f float64, x []int32, y []float64) {
	y = y[:len(x)]
	n := addScaledBlocks(f, x, y)
	x, y = x[n:], y[n:]
	for i, v := range x {
		y[i] += float64(float64(v) * f)
	}
}

// addSquares adds the squares of f·x to y.
func addSquares(f float64, x []int32, y []float64) {
	y = y[:len(x)]
	n := addSquaresBlocks(f, x, y)
	x, y = x[n:], y[n:]
	for i, v := range x {
		product := float64(v) * f
		y[i] += float64(product * product)
	}
}

// scatterOfFeatures returns Σ x·xᵀ over all rows of x. The result is exact.
func scatterOfFeatures(x [][]int16, dim int) lower {
	s := newLower(dim)
	b := newScatterBatch(dim)
	for _, row := range x {
		b.add(row, s)
	}
	b.flush(s)
	b.pairs.release()
	return s
}

// A scatterBatch collects examples whose products fit in 32 bits.
type scatterBatch struct {
	pairs   *panels[int32] // one vector per dimension; each element holds two examples
	count   int            // number of examples
	last    []int16        // the last example, if it has no pair yet
	squares []int64        // sum of the squares of each dimension
	sign    float64        // by which products are multiplied
}

// maxScatterBatch is the maximum number of examples in a scatterBatch.
const maxScatterBatch = 512

func newScatterBatch(dim int) *scatterBatch {
	return &scatterBatch{pairs: newPanelsToSet[int32](dim, maxScatterBatch/2), last: make([]int16, dim), squares: make([]int64, dim), sign: 1}
}

// add adds an example. If it does not fit, add first flushes the batch to s.
func (b *scatterBatch) add(x []int16, s lower) {
	// By the Cauchy–Schwarz inequality, no sum of products is larger than the largest sum of
	// squares.
	if b.count == maxScatterBatch || addSquaresOfFeatures(x, b.squares) > math.MaxInt32 {
		b.flush(s)
		addSquaresOfFeatures(x, b.squares)
	}
	if b.count++; b.count%2 == 0 {
		b.setPair(x)
	} else {
		copy(b.last, x)
	}
}

// setPair adds the pair of b.last and x to b.pairs.
func (b *scatterBatch) setPair(x []int16) {
	w := b.pairs.width
	at := (b.count - 1) / 2 * w
	for g, group := range b.pairs.groups {
		odd := x[g*w : min((g+1)*w, len(x))]
		even, out := b.last[g*w:][:len(odd)], group[at:][:len(odd)]
		for j, v := range odd {
			out[j] = int32(v)<<16 | int32(uint16(even[j]))
		}
	}
}

// flush adds the products of the examples to s and empties the batch.
func (b *scatterBatch) flush(s lower) {
	if b.count == 0 {
		return
	}
	if b.count%2 != 0 {
		b.setPair(make([]int16, len(b.last)))
	}
	p := *b.pairs
	p.n = (b.count + 1) / 2 // these have been set
	s.addIntegers(&p, b.sign)
	b.count = 0
	clear(b.squares)
}
