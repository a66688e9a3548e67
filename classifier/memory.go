package classifier

import (
	"maps"
	"slices"
)

// A Memory keeps sums over the examples of the last call of [Memory.Fit], so that the next call with
// mostly the same examples takes less time. The sums are exact, so [Memory.Fit] returns the same head
// as [Fit]. A Memory retains the examples, and needs up to four bytes more for each value of an
// embedding. The zero value is ready to use. It serves one goroutine at a time.
type Memory struct {
	known  map[*float64]*remembered // by the address of the unit vector
	list   []*remembered            // sorted as by sortedExamples
	sorted []Example                // the examples of list
	total  []float64                // sum of the unit vectors
	plain  featureMemory
	roots  featureMemory
	used   *featureMemory // by the last call; nil if it took no sums
	// bursts holds the bursts of the examples of the current call, and margins is that of
	// knownGroups.
	bursts  [][]int
	margins map[string]margin
	choice  *choice // of the last call with Auto; nil if it compared the recipes on all examples
}

// A remembered is an example of the last call.
type remembered struct {
	Example
	square float64 // squared length of the unit vector
	hash   uint64  // of the unit vector, see hashUnit
	rank   int     // index in Memory.list
	index  int     // in the caller's slice
	burst  int     // index of its burst
	plain  *featureRow
	roots  *featureRow
	fill   func(i int) // sets the unit vector of example from of Restore; nil if it is set
	from   int
}

// ready sets the unit vector unless it is set.
func (k *remembered) ready() {
	if k.fill != nil {
		k.fill(k.from)
		k.fill = nil
	}
}

// Fit is like the function [Fit]. It takes an example for that of the last call if their labels and
// bursts are equal and their unit vectors share memory, which the caller must not modify.
func (m *Memory) Fit(examples []Example, method Method, sqrt bool) (*Fitted, error) {
	if !canRemember(examples, method) {
		m.forget()
		return Fit(examples, method, sqrt)
	}
	sorted := m.update(examples)
	if len(m.known) < len(m.list) { // some unit vectors share memory
		m.forget()
		return Fit(examples, method, sqrt)
	}
	if method != Auto {
		m.choice = nil
	}
	t, recipe, err := choose(sorted, method, sqrt, m)
	if err != nil {
		return nil, err
	}
	f, _, err := t.fit(recipe)
	return f, err
}

// canRemember reports whether training takes sums that a Memory keeps.
func canRemember(examples []Example, method Method) bool {
	if len(examples) <= coarseFrom || method == Softmax || method == CoralSGD {
		return false
	}
	dim := len(examples[0].Unit)
	for _, e := range examples {
		if len(e.Unit) != dim {
			return false
		}
	}
	return dim > 0 && len(examples) > dim
}

func (m *Memory) forget() {
	m.ready(0, len(m.list))
	*m = Memory{}
}

// ready sets the unit vectors of a range of the sorted examples.
func (m *Memory) ready(from, to int) {
	for _, k := range m.list[from:to] {
		k.ready()
	}
}

// restart prepares m for examples of dim values.
func (m *Memory) restart(dim int) {
	m.forget()
	*m = Memory{known: make(map[*float64]*remembered), total: make([]float64, dim), margins: make(map[string]margin)}
}

// update remembers examples instead of those of the last call, groups them into bursts, and returns
// them sorted.
func (m *Memory) update(examples []Example) []Example {
	if len(m.total) != len(examples[0].Unit) {
		m.restart(len(examples[0].Unit))
	}
	m.used = nil
	still := make([]bool, len(m.list))
	var fresh []*remembered
	for i, e := range examples {
		k := m.known[&e.Unit[0]]
		if k != nil && k.Label == e.Label && k.Burst == e.Burst && !still[k.rank] {
			still[k.rank], k.index = true, i
			continue
		}
		if k != nil {
			k.ready()
		}
		axpy(1, e.Unit, m.total)
		f := &remembered{Example: e, square: squaredLength(e.Unit), hash: hashUnit(e.Unit), index: i, burst: -1}
		if k != nil {
			f.plain, f.roots = k.plain, k.roots
		}
		fresh = append(fresh, f)
	}
	kept := make([]*remembered, 0, len(m.list))
	for _, k := range m.list {
		if still[k.rank] {
			kept = append(kept, k)
			continue
		}
		delete(m.margins, k.Label) // without k, its burst may fall apart
		k.ready()
		axpy(-1, k.Unit, m.total)
		delete(m.known, &k.Unit[0])
	}
	compare := func(a, b *remembered) int {
		if a.Label == b.Label {
			a.ready()
		}
		return compareExamples(a.Example, b.Example)
	}
	slices.SortFunc(fresh, compare)
	m.list = merge(kept, fresh, compare)
	for _, k := range fresh {
		m.known[&k.Unit[0]] = k
	}
	m.sorted = make([]Example, len(m.list))
	bursts, squares := make([]int, len(m.list)), 0.0
	for i, k := range m.list {
		k.rank, m.sorted[i] = i, k.Example
		squares += k.square
		bursts[i] = k.burst
	}
	limit := nearDuplicateDistance(float64(len(m.list)), squares, m.total)
	m.bursts = groupWithin(m.sorted, limit, &knownGroups{bursts, m.margins, m.ready})
	for b, burst := range m.bursts {
		for _, i := range burst {
			m.list[i].burst = b
		}
	}
	return m.sorted
}

// Sorted returns the examples of the last call of Fit, or nil if m does not remember them.
// [Background.Reject] takes less time with sorted examples. The caller must not modify them.
func (m *Memory) Sorted() []Example {
	m.ready(0, len(m.list))
	return m.sorted
}

// BackgroundSample is like [NewBackgroundSample] for the examples of the last call of Fit. It returns nil
// if m does not remember them. After Restore, it takes less time than Sorted.
func (m *Memory) BackgroundSample() *BackgroundSample {
	if m.sorted == nil {
		return nil
	}
	indexes := sampleForBackground(classCounts(m.sorted))
	for _, i := range indexes {
		m.list[i].ready()
	}
	return &BackgroundSample{pick(m.sorted, indexes), indexes}
}

// hashes returns the hashes of the sorted examples of the current call, or nil if m is nil.
func (m *Memory) hashes() []uint64 {
	if m == nil {
		return nil
	}
	hashes := make([]uint64, len(m.list))
	for i, k := range m.list {
		hashes[i] = k.hash
	}
	return hashes
}

// choiceFor returns the choice of the last call if it was for the same sample, else nil. m may be nil.
func (m *Memory) choiceFor(sample []Example, sqrt bool) *choice {
	same := func(a, b Example) bool { return a.Label == b.Label && a.Burst == b.Burst && &a.Unit[0] == &b.Unit[0] }
	if m == nil || m.choice == nil || m.choice.sqrt != sqrt || !slices.EqualFunc(m.choice.sample, sample, same) {
		return nil
	}
	return m.choice
}

// merge merges two sorted slices.
func merge[T any](a, b []T, compare func(a, b T) int) []T {
	merged := make([]T, 0, len(a)+len(b))
	for _, v := range b {
		n, _ := slices.BinarySearchFunc(a, v, compare)
		merged, a = append(append(merged, a[:n]...), v), a[n:]
	}
	return append(merged, a...)
}

// A featureMemory keeps the rounded features of the examples of the last call and their sums.
type featureMemory struct {
	rows     []*featureRow
	sums     map[string][]float64 // of the features of each class
	products lower                // Σ x·xᵀ
	calls    int
}

type featureRow struct {
	label string
	of    *remembered
	x     []int16 // nil until needed, if the sums were restored
	call  int     // the last call with this example
}

// features returns the rounded features.
func (r *featureRow) features(sqrt bool, root []float64) []int16 {
	if r.x == nil {
		r.of.ready()
		r.x = make([]int16, len(r.of.Unit))
		roundFeatures(r.x, r.of.Unit, sqrt, root)
	}
	return r.x
}

// set sets the features of t, their sums in each class and t.products. The rows and the products
// belong to f. rowOf returns where list[i] keeps its row.
func (f *featureMemory) set(t *training, list []*remembered, rowOf func(k *remembered) **featureRow) {
	if f.products == nil {
		f.sums, f.products = make(map[string][]float64), newLower(t.dim)
	}
	f.calls++
	added, removed := newScatterBatch(t.dim), newScatterBatch(t.dim)
	removed.sign = -1
	root := make([]float64, t.dim)
	for i, e := range t.examples {
		row := *rowOf(list[i])
		switch {
		case row == nil:
			row = &featureRow{of: list[i]}
			*rowOf(list[i]) = row
			added.add(row.features(t.sqrt, root), f.products)
			f.add(e.Label, row.x, 1)
		case row.label != e.Label:
			f.add(row.label, row.features(t.sqrt, root), -1)
			f.add(e.Label, row.x, 1)
		}
		row.label, row.call = e.Label, f.calls
		t.known[i] = row
	}
	added.flush(f.products)
	for _, row := range f.rows {
		if row.call != f.calls {
			f.add(row.label, row.features(t.sqrt, root), -1)
			removed.add(row.x, f.products)
		}
	}
	f.rows = t.known
	removed.flush(f.products)
	added.pairs.release()
	removed.pairs.release()
	maps.DeleteFunc(f.sums, func(label string, _ []float64) bool {
		_, ok := slices.BinarySearch(t.labels, label)
		return !ok
	})
	for c, label := range t.labels {
		copy(t.classMean[c], f.sums[label])
	}
	t.products = f.products
}

// add adds x, multiplied by sign, to the sum of a class.
func (f *featureMemory) add(label string, x []int16, sign float64) {
	sum := f.sums[label]
	if sum == nil {
		sum = make([]float64, len(x))
		f.sums[label] = sum
	}
	addFeatures(sign, x, sum)
}

// training prepares the examples of the current call, sorted.
func (m *Memory) training(examples []Example, sqrt bool) (*training, error) {
	f, rowOf := &m.plain, func(k *remembered) **featureRow { return &k.plain }
	if sqrt {
		f, rowOf = &m.roots, func(k *remembered) **featureRow { return &k.roots }
	}
	t, err := prepare(examples, sqrt, func(t *training) { f.set(t, m.list, rowOf) })
	if err != nil {
		return nil, err
	}
	t.bursts, m.used = m.bursts, f
	return t, nil
}
