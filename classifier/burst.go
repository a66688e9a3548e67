package classifier

import "math"

const (
	// NearDuplicateCosine is the minimum cosine similarity at which two photos of the same class
	// count as near-duplicates. Of 3641 photos (clothing and Oxford 17 flowers, embedded by
	// Coral's MobileNet v1 1.0 224), 152 have a near-duplicate. Nearly all near-duplicates are
	// copies of the same picture.
	NearDuplicateCosine = 0.95
	// maxSpread is the maximum squared distance between near-duplicates, as a fraction of the
	// mean squared distance over all pairs of examples. This limit is needed because some
	// backbones produce similar embeddings for all photos. For the photos above, it is as strict
	// as NearDuplicateCosine.
	maxSpread = 0.1
)

// NearDuplicateDistance returns the largest squared distance |a − b|² at which two unit
// embeddings of a class count as near-duplicates. The distance follows from
// [NearDuplicateCosine], but is smaller if the examples of all classes are similar to each
// other.
func NearDuplicateDistance(examples []Example) float64 {
	if len(examples) == 0 {
		return 0
	}
	total := make([]float64, len(examples[0].Unit))
	var squares float64
	for _, e := range examples {
		axpy(1, e.Unit, total)
		squares += squaredLength(e.Unit)
	}
	return nearDuplicateDistance(float64(len(examples)), squares, total)
}

// squaredLength returns the squared length of a vector scaled by [Normalize], rounded so that many of
// them add up exactly.
func squaredLength(x []float64) float64 {
	return roundToEven(dot(x, x)*(1/grid)) * grid
}

// nearDuplicateDistance is like NearDuplicateDistance, given the number of examples, the sum of their
// squared lengths and the sum of their unit vectors.
func nearDuplicateDistance(n, squares float64, total []float64) float64 {
	if n < 2 {
		return 0
	}
	mean := 2 * (squares - dot(total, total)/n) / (n - 1) // of |a − b|² over all pairs
	return min(2-2*NearDuplicateCosine, maxSpread*mean)
}

// groupBursts groups the examples of a class that are not independent of each other: examples
// with the same Burst, and near-duplicates. If only one example of a group were left out, the
// others would reveal its label. The examples of a class must be adjacent. Each group lists the
// indexes of its examples in ascending order.
func groupBursts(examples []Example) [][]int {
	return groupWithin(examples, NearDuplicateDistance(examples), nil)
}

// groupWithin is like groupBursts, with the distance of near-duplicates. Unless known is nil, it uses
// known groups again and updates known.margins.
func groupWithin(examples []Example, limit float64, known *knownGroups) [][]int {
	sets := newDisjointSets(len(examples))
	for first := 0; first < len(examples); {
		last, named := first, make(map[string]int)
		for ; last < len(examples) && examples[last].Label == examples[first].Label; last++ {
			name := examples[last].Burst
			if name == "" {
				continue
			}
			if j, ok := named[name]; ok {
				sets.join(last, j)
			} else {
				named[name] = last
			}
		}
		if known != nil {
			known.join(sets, examples[:last], first, limit)
		} else {
			eachClosePair(examples[first:last], limit, func(i, j int) {
				i, j = first+i, first+j
				if sets.root(i) != sets.root(j) && within(examples[i].Unit, examples[j].Unit, limit) {
					sets.join(i, j)
				}
			})
		}
		first = last
	}
	return sets.groups()
}

// groups returns the elements of each set, ascending, in the order of their first elements.
func (d disjointSets) groups() [][]int {
	groups, index, single := make([][]int, 0, len(d)), make([]int, len(d)), make([]int, len(d))
	for i := range d {
		single[i] = i
		r := d.root(i)
		if r == i { // the smallest element comes first
			index[i], groups = len(groups), append(groups, single[i:i+1:i+1])
			continue
		}
		g := index[r]
		groups[g] = append(groups[g], i)
	}
	return groups
}

// eachClosePair calls f with all pairs i > j of examples for which |a − b|² ≤ limit, and with some
// others.
func eachClosePair(examples []Example, limit float64, f func(i, j int)) {
	const few = 16 // examples, for which rounding takes longer than it saves
	if len(examples) < few {
		for i := range examples {
			for j := range i {
				f(i, j)
			}
		}
		return
	}
	// Only some dimensions are compared, in 16 bits. Rounding changes a difference by at most
	// 2·featureStep in each.
	const most = 512
	dim := min(len(examples[0].Unit), most)
	p, squares := packForDistance(examples, dim)
	defer p.release()
	limit16 := roundedLimit(limit, dim)
	eachTile(p, p, true, func(i, j int, tile []int32) {
		for r := range min(tileRows, p.count-i) {
			own := squares[i+r] - limit16
			for c, v := range tile[r*p.width:][:max(0, min(p.width, i+r-j))] {
				if own+squares[j+c]-2*int64(v) <= 0 {
					f(i+r, j+c)
				}
			}
		}
	})
}

// packForDistance returns the first dim rounded values of each example, and their squared lengths.
func packForDistance(examples []Example, dim int) (*panels[int32], []int64) {
	p := newPanelsToSet[int32](len(examples), (dim+1)/2)
	squares, rows, all := make([]int64, len(examples)), make([][]int16, len(examples)), make([]int16, len(examples)*dim)
	for i, e := range examples {
		rows[i] = all[i*dim:][:dim]
		setFeatures(rows[i], e.Unit[:dim])
		for _, v := range rows[i] {
			squares[i] += int64(v) * int64(v)
		}
	}
	setPairs(p, rows)
	return p, squares
}

// roundedLimit returns the largest squared distance of rounded values, in units of featureStep², at
// which the squared distance of the values may be at most limit.
func roundedLimit(limit float64, dim int) int64 {
	far := math.Sqrt(limit)/featureStep + 2*math.Sqrt(float64(dim))
	return int64(far*far) + 1
}

// disjointSets is a union-find structure that holds the parent of each element.
type disjointSets []int

func newDisjointSets(n int) disjointSets {
	d := make(disjointSets, n)
	for i := range d {
		d[i] = i
	}
	return d
}

// root returns the smallest element of i's set.
func (d disjointSets) root(i int) int {
	for d[i] != i {
		d[i] = d[d[i]]
		i = d[i]
	}
	return i
}

// join merges the sets of i and j.
func (d disjointSets) join(i, j int) {
	a, b := d.root(i), d.root(j)
	d[max(a, b)] = min(a, b)
}

// within reports whether |a − b|² ≤ limit. It stops once the partial sum exceeds limit. For most
// pairs, a few values are enough.
func within(a, b []float64, limit float64) bool {
	const step = 64
	for len(a) > 0 && limit >= 0 {
		n := min(step, len(a))
		var sum float64
		for i, v := range a[:n] {
			d := v - b[i]
			sum += float64(d * d)
		}
		limit -= sum
		a, b = a[n:], b[n:]
	}
	return limit >= 0
}
