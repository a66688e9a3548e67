package classifier

import (
	"fmt"
	"math"
)

// maxLeftOut is the approximate maximum number of bursts that are left out. The limit saves
// time, because leaving out one example takes about as long as training on one more example.
const maxLeftOut = 2000

// A training holds sorted examples, their features, and intermediate results that several
// methods share.
type training struct {
	examples  []Example
	sqrt      bool // whether features are square roots
	coarse    bool // whether examples are left out in integers, because there are many
	single    bool // whether equations for examples are solved in single precision, to compare recipes
	dim       int
	n         int // number of examples trained on
	labels    []string
	count     []int         // number of examples in each class
	class     []int         // class of each example
	fine      [][]float64   // features of each example, of length 1; nil if they are rounded
	x         [][]int16     // rounded features, as multiples of featureStep; nil if they are fine or known
	known     []*featureRow // rounded features from a Memory; nil without one
	root      []float64     // scratch memory for features
	norm      []float64     // length of each embedding before normalization
	classMean [][]float64   // mean of the features in each class
	mean      []float64     // mean of all features
	near      float64       // NearDuplicateDistance; 0 with a Memory
	bursts    [][]int       // examples that are left out together
	indexes   []int         // index of each example in the caller's slice; nil without subsampling

	// A training with sums instead of examples has only the examples of bursts that are left out.
	// excluded is the number of examples that can't be left out.
	fromSums bool
	excluded int

	// prepareDual sets these fields.
	gram     lower       // inner products of examples
	toMean   [][]float64 // inner products of each class mean with the examples
	meanGram lower       // inner products of class means

	products        lower // Σ x·xᵀ over all examples; nil if it is not known yet
	scatter         lower // set by withinScatter
	layers          map[Method]*calibratedLayer
	lastFactor      int              // number of the factor that calibrate found last
	candidates      []Candidate      // the recipes that Auto compared
	packed          []*panels[int32] // batches of eachBatch
	relativeOutputs []float64        // memory of relative
}

// newTraining prepares examples sorted by label. The features are the unit embeddings or, if
// sqrt is set, their square roots.
func newTraining(examples []Example, sqrt bool) (*training, error) {
	t, err := prepare(examples, sqrt, nil)
	if err != nil {
		return nil, err
	}
	t.group()
	return t, nil
}

// group sets t.bursts.
func (t *training) group() { t.bursts = groupWithin(t.examples, t.near, nil) }

// prepare returns a training without bursts. Unless setKnown is nil, it sets the rounded features.
func prepare(examples []Example, sqrt bool, setKnown func(*training)) (*training, error) {
	if len(examples) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrExamples)
	}
	t := &training{dim: len(examples[0].Unit), n: len(examples), examples: examples, sqrt: sqrt}
	t.coarse = len(examples) > max(coarseFrom, t.dim)
	for _, e := range examples {
		if len(e.Unit) != t.dim || t.dim == 0 {
			return nil, fmt.Errorf("example has %d values, but the first example has %d: %w", len(e.Unit), t.dim, ErrShape)
		}
		if n := len(t.labels); n == 0 || t.labels[n-1] != e.Label {
			t.labels, t.count = append(t.labels, e.Label), append(t.count, 0)
			t.classMean = append(t.classMean, make([]float64, t.dim))
		}
		c := len(t.labels) - 1
		t.class, t.norm = append(t.class, c), append(t.norm, e.Norm)
		t.count[c]++
	}
	switch {
	case len(examples) < roundFrom:
		t.near = NearDuplicateDistance(examples)
		for i, e := range examples {
			t.fine = append(t.fine, features(e.Unit, sqrt))
			axpy(1, t.fine[i], t.classMean[t.class[i]])
		}
	case setKnown != nil:
		t.known = make([]*featureRow, len(examples))
		setKnown(t)
	default:
		t.round()
	}
	t.setMeans()
	return t, nil
}

// setMeans sets t.mean, and turns the sums in t.classMean into means.
func (t *training) setMeans() {
	t.mean = make([]float64, t.dim)
	for c, m := range t.classMean {
		axpy(1, m, t.mean)
		for i := range m {
			m[i] /= float64(t.count[c])
		}
	}
	for i := range t.mean {
		t.mean[i] /= float64(t.n)
	}
}

// round sets t.x and t.near, and adds up the features of each class in t.classMean.
func (t *training) round() {
	t.x = make([][]int16, len(t.examples))
	all, root := make([]int16, len(t.examples)*t.dim), make([]float64, t.dim)
	total, squares := make([]float64, t.dim), 0.0
	for i, e := range t.examples {
		x := all[i*t.dim:][:t.dim:t.dim]
		roundFeatures(x, e.Unit, t.sqrt, root)
		addFeatures(1, x, t.classMean[t.class[i]])
		t.x[i] = x
		axpy(1, e.Unit, total)
		squares += squaredLength(e.Unit)
	}
	t.near = nearDuplicateDistance(float64(len(t.examples)), squares, total)
}

// features returns the rounded features of example i.
func (t *training) features(i int) []int16 {
	if t.known == nil {
		return t.x[i]
	}
	if t.root == nil {
		t.root = make([]float64, t.dim)
	}
	return t.known[i].features(t.sqrt, t.root)
}

// row sets dst to the features of example i and returns dst.
func (t *training) row(i int, dst []float64) []float64 {
	dst = dst[:t.dim]
	if t.fine != nil {
		copy(dst, t.fine[i])
		return dst
	}
	clear(dst)
	addFeatures(1, t.features(i), dst)
	return dst
}

// rows returns the features of all examples, which the caller must not modify.
func (t *training) rows() [][]float64 {
	if t.fine != nil {
		return t.fine
	}
	rows := newTable(len(t.class), t.dim)
	for i := range rows {
		t.row(i, rows[i])
	}
	return rows
}

// isWholeClass reports whether burst holds all examples of its class.
func (t *training) isWholeClass(burst []int) bool {
	return len(burst) == t.count[t.class[burst[0]]]
}

// leavesOut reports whether burst b is left out.
func (t *training) leavesOut(b int) bool {
	return t.fromSums || !t.isWholeClass(t.bursts[b]) && isSampled(b, len(t.bursts))
}

// isSampled reports whether burst b of n is left out, unless it is a whole class.
func isSampled(b, n int) bool { return b%((n+maxLeftOut-1)/maxLeftOut) == 0 }

// totalLeftOut returns the number of examples that are left out.
func (t *training) totalLeftOut() (total int) {
	for b, burst := range t.bursts {
		if t.leavesOut(b) {
			total += len(burst)
		}
	}
	return total
}

// leftOutRows returns a row of n values for each example that is left out, and nil for the others. With
// many classes, rows for all examples would take most of the memory.
func (t *training) leftOutRows(n int) [][]float64 {
	rows, some := make([][]float64, len(t.class)), newTable(t.totalLeftOut(), n)
	for b, burst := range t.bursts {
		if t.leavesOut(b) {
			for _, i := range burst {
				rows[i], some = some[0], some[1:]
			}
		}
	}
	return rows
}

// innerProducts returns the inner products of all pairs of examples.
func (t *training) innerProducts() lower {
	if t.fine != nil {
		return gramOfRows(t.fine, t.dim)
	}
	return gramOfFeatures(t.x, t.dim)
}

// inner returns the inner product of two examples.
func (t *training) inner(i, j int) float64 {
	switch {
	case t.gram != nil:
		return t.gram.at(i, j)
	case t.fine != nil:
		return dot(t.fine[i], t.fine[j])
	}
	return innerOfFeatures(t.features(i), t.features(j))
}

// dual reports whether solving one equation per example takes less work than solving one
// per dimension.
func (t *training) dual() bool { return t.n <= t.dim }

// prepareDual computes the inner products that the dual solutions share.
func (t *training) prepareDual() {
	if t.gram != nil {
		return
	}
	t.gram = t.innerProducts()
	t.toMean, t.meanGram = newTable(len(t.classMean), len(t.class)), newLower(len(t.classMean))
	for i, c := range t.class {
		t.eachClass(i+1, func(k, from, to int) {
			sum := t.toMean[k][i]
			for _, v := range t.gram[i][from:to] {
				sum += v
			}
			t.toMean[k][i] = sum
		})
		axpy(1, t.gram[i][:i], t.toMean[c][:i])
	}
	for c, row := range t.toMean {
		for i, k := range t.class {
			row[i] /= float64(t.count[c])
			if c <= k {
				t.meanGram[k][c] += row[i] / float64(t.count[k])
			}
		}
	}
}

// eachClass calls f with the range of indexes of each class among the first n examples.
func (t *training) eachClass(n int, f func(c, from, to int)) {
	from := 0
	for c, count := range t.count {
		if from >= n {
			return
		}
		f(c, from, min(from+count, n))
		from += count
	}
}

// combine returns weighted sums of the examples. Each row of factors has one factor per
// example.
func (t *training) combine(factors [][]float64) [][]float64 {
	packed, sums := packRows[float64](factors, len(t.class)), newTable(len(factors), t.dim)
	// Only as many dimensions as are in one group of panels are converted at a time. They fit in the
	// cache.
	part := newPanels[float64](packed.width, len(t.class))
	defer packed.release()
	defer part.release()
	for from := 0; from < t.dim; from += part.width {
		to := min(from+part.width, t.dim)
		t.setColumns(part.groups[0], part.width, from, to)
		eachTile(packed, part, false, func(i, _ int, tile []float64) {
			for r, sum := range sums[i:min(i+tileRows, len(sums))] {
				copy(sum[from:to], tile[r*part.width:])
			}
		})
	}
	return sums
}

// setColumns sets vectors of a group of panels to the features of some dimensions.
func (t *training) setColumns(group []float64, width, from, to int) {
	for i := range t.class {
		out := group[i*width:][:to-from]
		if t.fine != nil {
			copy(out, t.fine[i][from:to])
			continue
		}
		for k, v := range t.x[i][from:to] {
			out[k] = float64(v) * featureStep
		}
	}
}

// withinScatter returns Σ r·rᵀ over all examples, where r is an example minus its class mean.
// The caller must not modify the result.
func (t *training) withinScatter() lower {
	if t.scatter != nil {
		return t.scatter
	}
	if t.fine != nil {
		r := newTable(len(t.fine), t.dim)
		for i := range r {
			subtract(r[i], t.fine[i], t.classMean[t.class[i]])
		}
		t.scatter = newLower(t.dim)
		t.scatter.addGramOfColumns(r, 1)
		return t.scatter
	}
	if t.products != nil {
		t.scatter = t.products.clone()
	} else {
		t.scatter = scatterOfFeatures(t.x, t.dim)
	}
	t.scatter.addGramOfColumns(t.weightedMeans(nil), -1)
	return t.scatter
}

// totalScatter returns Σ r·rᵀ over all examples, where r is an example minus the mean of all
// examples.
func (t *training) totalScatter() lower {
	s := t.withinScatter().clone()
	s.addGramOfColumns(t.weightedMeans(t.mean), 1)
	return s
}

// weightedMeans returns the class means, minus center unless it is nil, multiplied by the square
// root of the number of examples.
func (t *training) weightedMeans(center []float64) [][]float64 {
	r := newTable(len(t.classMean), t.dim)
	for c, m := range t.classMean {
		root := math.Sqrt(float64(t.count[c]))
		for j, v := range m {
			if center != nil {
				v -= center[j]
			}
			r[c][j] = root * v
		}
	}
	return r
}
