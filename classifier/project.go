package classifier

import "math"

// A projection holds what the outputs for left-out examples are computed from, in a training with one
// equation per dimension.
type projection struct {
	factor  *factor[float64] // L, of the equations' matrix A = L·Lᵀ
	weights [][]float64      // one row per output
	centers [][]float64      // points that examples are centered on
	center  func(i int) int  // index of the center of example i
	// solved is the index of the first of the rows of weights that hold A⁻¹·(center − origin). See
	// training.origin.
	solved int
}

// origin returns a point near the mean of all examples. Features minus the origin are integers. It is
// zero, which changes nothing, unless examples are left out in integers.
func (t *training) origin() []float64 {
	o := make([]float64, t.dim)
	if t.coarse {
		for j, m := range t.mean {
			o[j] = float64(roundFeature(m)) * featureStep
		}
	}
	return o
}

const (
	// batchSize is the number of examples that are multiplied at a time, or a few more so that bursts stay
	// together. They fit in the cache.
	batchSize = 256
	// maxPacked is the maximum number of examples that stay packed for several passes.
	maxPacked = 4096
)

// eachBatch calls f with the bursts that are left out, in batches, and their examples. If examples are left
// out in integers, x holds their features minus the origin. f must not keep the slices.
func (t *training) eachBatch(f func(bursts, examples []int, x *panels[int32])) {
	var bursts, examples []int
	var memory *panels[int32]
	batch := 0
	for b, burst := range t.bursts {
		if t.leavesOut(b) {
			bursts, examples = append(bursts, b), append(examples, burst...)
		}
		if len(examples) < batchSize && b < len(t.bursts)-1 || len(examples) == 0 {
			continue
		}
		switch {
		case !t.coarse:
			f(bursts, examples, nil)
		case batch < len(t.packed):
			f(bursts, examples, t.packed[batch])
		default:
			if t.totalLeftOut() <= maxPacked {
				memory = nil
			}
			memory = t.pairsFrom(examples, memory)
			x := memory.first(len(examples))
			if t.totalLeftOut() <= maxPacked {
				t.packed = append(t.packed, x)
			}
			f(bursts, examples, x)
		}
		bursts, examples = bursts[:0], examples[:0]
		batch++
	}
}

// multiplier returns a function that returns the inner products of examples in a batch with the rows of a
// matrix.
func (t *training) multiplier(rows [][]float64) func(examples []int, x *panels[int32]) [][]float64 {
	if !t.coarse {
		packed := packRows[float64](rows, t.dim)
		return func(examples []int, _ *panels[int32]) [][]float64 {
			x := newTable(len(examples), t.dim)
			for k, i := range examples {
				t.row(i, x[k])
			}
			return products(packRows[float64](x, t.dim), packed)
		}
	}
	origin, rounded, bias := t.origin(), roundRows(rows, t.dim), make([]float64, len(rows))
	for r, row := range rows {
		bias[r] = dot(origin, row)
	}
	return func(_ []int, x *panels[int32]) [][]float64 {
		table := rounded.times(x)
		for _, row := range table {
			axpy(1, bias, row)
		}
		return table
	}
}

// project calls f for each burst b that is left out, with matrices of its examples minus their
// centers. outputs holds their inner products with weights. spread is Rᵀ·A⁻¹·R, where R has
// the centered examples as columns.
func (t *training) project(p *projection, f func(b int, outputs [][]float64, spread lower)) {
	var integers *integerProjection
	if t.coarse {
		integers = newIntegerProjection(t, p)
	}
	t.eachBatch(func(bursts, examples []int, x *panels[int32]) {
		var outputs [][]float64
		var spread func(first, n int) lower
		if t.coarse {
			outputs, spread = integers.project(bursts, examples, x)
		} else {
			outputs, spread = p.project(t, examples)
		}
		first := 0
		for _, b := range bursts {
			n := len(t.bursts[b])
			f(b, outputs[first:first+n], spread(first, n))
			first += n
		}
	})
	if t.coarse {
		integers.inverse.pairs.release()
		integers.outputs.pairs.release()
	}
}

// project returns the outputs for examples, and a function that returns the spread of n examples from
// first on.
func (p *projection) project(t *training, examples []int) ([][]float64, func(first, n int) lower) {
	table := newTable(len(examples), t.dim)
	for k, i := range examples {
		subtract(table[k], t.row(i, table[k]), p.centers[p.center(i)])
	}
	x, weights := packRows[float64](table, t.dim), packRows[float64](p.weights, t.dim)
	outputs := products(x, weights)
	weights.release()
	p.factor.forward(x)
	lengths := squares(x)
	return outputs, func(first, n int) lower {
		indexes := make([]int, n)
		for k := range indexes {
			indexes[k] = first + k
		}
		return gramOf(x, lengths, indexes)
	}
}

// roundedRows is a matrix whose rows are integers times a step.
type roundedRows struct {
	pairs *panels[int32]
	steps []float64 // of each row, times featureStep
}

// roundRows rounds rows of n columns, of which the last ones may be missing. The inner products of the
// integers with those of an example minus the origin then fit in 32 bits, by the Cauchy–Schwarz inequality.
func roundRows(rows [][]float64, n int) *roundedRows {
	return roundGroups(len(rows), n, func(first, last int) [][]float64 { return rows[first:last] })
}

// roundGroups is like roundRows for count rows, given a function that returns the rows of a group of
// panels, which are no longer than the last of them.
func roundGroups(count, n int, group func(first, last int) [][]float64) *roundedRows {
	const length = 32000 // of a row, in steps
	r := &roundedRows{newPanels[int32](count, (n+1)/2), make([]float64, count)}
	w := r.pairs.width
	integers, all, scaled := make([][]int16, w), make([]int16, w*n), make([]float64, n)
	for g := range r.pairs.groups {
		first, last := g*w, min((g+1)*w, count)
		clear(all)
		rows := group(first, last)
		for i, row := range rows {
			integers[i] = all[i*n:][:len(rows[len(rows)-1])]
			norm := math.Sqrt(dot(row, row))
			if norm == 0 {
				continue
			}
			clear(scaled[:len(row)])
			axpy(length*featureStep/norm, row, scaled)
			setFeatures(integers[i][:len(row)], scaled[:len(row)])
			r.steps[first+i] = norm / length * featureStep
		}
		setPairsOfGroup(r.pairs.groups[g], integers[:len(rows)])
	}
	return r
}

// times returns the inner products of vectors of features with all rows.
func (r *roundedRows) times(x *panels[int32]) [][]float64 {
	table := newTable(x.count, r.pairs.count)
	eachTile(x, r.pairs, false, func(i, j int, tile []int32) {
		steps := r.steps[j:min(j+x.width, len(r.steps))]
		for k, row := range table[i:min(i+tileRows, len(table))] {
			row = row[j:][:len(steps)]
			for c, v := range tile[k*x.width:][:len(steps)] {
				row[c] = float64(float64(v) * steps[c])
			}
		}
	})
	return table
}

// An integerProjection computes outputs and spreads from rounded numbers. For an example x, all relative
// to the origin, and its center m, it computes |L⁻¹·(x−m)|² as |L⁻¹·x|² − 2·x·A⁻¹m + m·A⁻¹m.
type integerProjection struct {
	*projection
	t        *training
	inverse  *roundedRows // of L
	outputs  *roundedRows // weights
	ofCenter [][]float64  // products of each center minus the origin with the weights
}

func newIntegerProjection(t *training, p *projection) *integerProjection {
	q, origin := &integerProjection{projection: p, t: t}, t.origin()
	q.outputs = roundRows(p.weights, t.dim)
	centers := newTable(len(p.centers), t.dim)
	for k, c := range p.centers {
		subtract(centers[k], c, origin)
	}
	q.ofCenter = productsOfRows(centers, p.weights, t.dim)
	single := p.factor.single()
	inverse := single.inverse()
	single.rows.release()
	q.inverse = inverse.roundColumns()
	inverse.release()
	return q
}

// roundColumns rounds the matrix with the vectors of p, which are those of L⁻ᵀ, as columns.
func (p *panels[T]) roundColumns() *roundedRows {
	memory := newTable(panelBytes/4, p.n)
	return roundGroups(p.count, p.n, func(first, last int) [][]float64 {
		rows := memory[:last-first]
		for i := range rows {
			r := first + i
			row := memory[i][:r+1] // without the zeros behind the diagonal
			rows[i] = row
			for from := 0; from <= r; from += p.width {
				out := row[from:min(from+p.width, r+1)]
				for j, v := range p.groups[from/p.width][(r-from)*p.width:][:len(out)] {
					out[j] = float64(v)
				}
			}
		}
		return rows
	})
}

func (q *integerProjection) project(bursts, examples []int, x *panels[int32]) ([][]float64, func(first, n int) lower) {
	t := q.t
	outputs := q.outputs.times(x)
	together := make([][]float64, len(examples)) // L⁻¹·x of examples that are left out with others
	k := 0
	for _, b := range bursts {
		n := len(t.bursts[b])
		if n > 1 {
			copy(together[k:], newTable(n, t.dim))
		}
		k += n
	}
	lengths := q.inverse.squares(x, together)
	return outputs, func(first, n int) lower {
		own := q.center(examples[first])
		column := q.solved + own
		s := lower{{lengths[first]}}
		if n > 1 {
			s = gramOfRows(together[first:first+n], t.dim)
		}
		for i, row := range s {
			for j := range row {
				row[j] += q.ofCenter[own][column] - outputs[first+i][column] - outputs[first+j][column]
			}
		}
		for _, row := range outputs[first : first+n] {
			axpy(-1, q.ofCenter[own], row)
		}
		return s
	}
}

// pairsFrom returns panels whose first vectors are the features of examples minus the origin, limited to
// 16 bits. Only a feature farther than 1 from the origin is limited, which is rare with many dimensions.
// pairsFrom uses memory again if that is large enough.
func (t *training) pairsFrom(examples []int, memory *panels[int32]) *panels[int32] {
	origin := make([]int16, t.dim)
	setFeatures(origin, t.origin())
	if memory == nil || memory.count < len(examples) {
		memory = newPanelsToSet[int32](len(examples), (t.dim+1)/2)
	}
	w := memory.width
	rows, all := make([][]int16, w), make([]int16, w*t.dim)
	for first := 0; first < len(examples); first += w {
		some := examples[first:min(first+w, len(examples))]
		for k, i := range some {
			rows[k] = all[k*t.dim:][:t.dim:t.dim]
			subtractFeatures(rows[k], t.features(i), origin)
		}
		setPairsOfGroup(memory.groups[first/w], rows[:len(some)])
	}
	return memory
}

// squares returns |U·x|² for each vector x, where U is a lower triangular matrix. It sets together[k],
// unless that is nil, to U·x of vector k.
func (u *roundedRows) squares(x *panels[int32], together [][]float64) []float64 {
	const some = 4 // groups of vectors, which fit in the second-level cache
	w := x.width
	lengths, tile := make([]float64, len(x.groups)*w), make([]int32, tileRows*w)
	for first := 0; first < len(x.groups); first += some {
		for i := 0; i < u.pairs.count; i += tileRows {
			rows, n := u.pairs.groups[i/w][i%w:], min(i/2+tileRows/2, u.pairs.n)
			steps := u.steps[i:min(i+tileRows, u.pairs.count)]
			for g := first; g < min(first+some, len(x.groups)); g++ {
				x.fill(tile, rows, x.groups[g], n)
				for r, step := range steps {
					addSquares(step, tile[r*w:][:w], lengths[g*w:][:w])
				}
				for c, y := range together[g*w : min((g+1)*w, x.count)] {
					if y != nil {
						for r, step := range steps {
							y[i+r] = float64(float64(tile[r*w+c]) * step)
						}
					}
				}
			}
		}
	}
	return lengths[:x.count]
}
