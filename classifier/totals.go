package classifier

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Totals holds the sums over examples that training many examples takes. The sums are integers, so they
// are exact and do not depend on the order of calls of Add and Merge. Parts of the examples can be
// summed on different machines. It also keeps a sample of the examples. Create it with [NewTotals]. The
// memory is about 8·d·(d + 5·classes + 500) bytes for embeddings of d values, however many examples
// there are.
type Totals struct {
	dim     int
	classes map[string]*classTotals
	units   []int64 // sum of the unit vectors, in units of grid
	squares int64   // sum of their squared lengths, in units of grid
	plain   *productTotals
	roots   *productTotals // nil if square roots can't be features
	row     []int16
	root    []float64
}

// classTotals holds the number of examples of a class and the sums of their rounded features.
type classTotals struct {
	N            int
	Plain, Roots []int64
	Sample       []hashedExample // those with the smallest hashes, sorted
}

// productTotals holds Σ x·xᵀ of rounded features.
type productTotals struct {
	sums  []int64 // lower triangle by rows, in units of featureStep²
	part  lower   // what has been added since the last call of drain
	batch *scatterBatch
	added int
}

// maxPart is the number of examples whose products a productTotals adds up as float64 without rounding.
const maxPart = 1 << 20

func newProductTotals(dim int) *productTotals {
	return &productTotals{sums: make([]int64, dim*(dim+1)/2), part: newLower(dim), batch: newScatterBatch(dim)}
}

func (p *productTotals) add(x []int16) {
	if p.added == maxPart {
		p.drain()
	}
	p.batch.add(x, p.part)
	p.added++
}

// drain moves everything to p.sums.
func (p *productTotals) drain() {
	p.batch.flush(p.part)
	k := 0
	for _, row := range p.part {
		for j, v := range row {
			p.sums[k] += int64(v * (1 / (featureStep * featureStep)))
			row[j] = 0
			k++
		}
	}
	p.added = 0
}

// lower returns the sums as a matrix.
func (p *productTotals) lower(dim int) lower {
	p.drain()
	l, k := newLower(dim), 0
	for _, row := range l {
		for j := range row {
			row[j] = float64(p.sums[k]) * (featureStep * featureStep)
			k++
		}
	}
	return l
}

// NewTotals returns sums for embeddings of dim values. Set sqrt as for [Fit].
func NewTotals(dim int, sqrt bool) *Totals {
	t := &Totals{dim: dim, classes: make(map[string]*classTotals), units: make([]int64, dim), plain: newProductTotals(dim), row: make([]int16, dim), root: make([]float64, dim)}
	if sqrt {
		t.roots = newProductTotals(dim)
	}
	return t
}

// Add adds x, an embedding scaled by [Normalize], to the class label. It does not retain x. An error
// wraps [ErrShape].
func (t *Totals) Add(label string, x []float64) error {
	if len(x) != t.dim || t.dim == 0 {
		return fmt.Errorf("add an embedding of %d values to totals of %d values: %w", len(x), t.dim, ErrShape)
	}
	c := t.class(label)
	c.N++
	c.sample(hashedExample{hashUnit(x), x}, samplePerClass(len(t.classes)))
	for i, v := range x {
		t.units[i] += int64(v * (1 / grid))
	}
	t.squares += int64(squaredLength(x) * (1 / grid))
	roundFeatures(t.row, x, false, nil)
	t.plain.add(t.row)
	addRow(c.Plain, t.row)
	if t.roots != nil {
		roundFeatures(t.row, x, true, t.root)
		t.roots.add(t.row)
		addRow(c.Roots, t.row)
	}
	return nil
}

func (t *Totals) class(label string) *classTotals {
	c := t.classes[label]
	if c == nil {
		c = &classTotals{Plain: make([]int64, t.dim)}
		if t.roots != nil {
			c.Roots = make([]int64, t.dim)
		}
		t.classes[label] = c
	}
	return c
}

func addRow(sum []int64, x []int16) {
	for i, v := range x {
		sum[i] += int64(v)
	}
}

// Merge adds the examples of o to t. An error wraps [ErrShape].
func (t *Totals) Merge(o *Totals) error {
	if o.dim != t.dim || (o.roots == nil) != (t.roots == nil) {
		return fmt.Errorf("merge totals of %d values with totals of %d values: %w", o.dim, t.dim, ErrShape)
	}
	for label, from := range o.classes {
		c := t.class(label)
		c.N += from.N
		addTo(c.Plain, from.Plain)
		addTo(c.Roots, from.Roots)
		for _, s := range from.Sample {
			c.sample(s, samplePerClass(len(t.classes)))
		}
	}
	addTo(t.units, o.units)
	t.squares += o.squares
	o.plain.drain()
	addTo(t.plain.sums, o.plain.sums)
	if t.roots != nil {
		o.roots.drain()
		addTo(t.roots.sums, o.roots.sums)
	}
	return nil
}

func addTo(sum, x []int64) {
	for i, v := range x {
		sum[i] += v
	}
}

// Labels returns the labels of the classes, sorted.
func (t *Totals) Labels() []string { return slices.Sorted(maps.Keys(t.classes)) }

// Counts returns the number of examples of each class, in the order of Labels.
func (t *Totals) Counts() (counts []int) {
	for _, l := range t.Labels() {
		counts = append(counts, t.classes[l].N)
	}
	return counts
}

// NearDuplicateDistance is like the function [NearDuplicateDistance] of all examples.
func (t *Totals) NearDuplicateDistance() float64 {
	n, total := 0, make([]float64, t.dim)
	for _, c := range t.classes {
		n += c.N
	}
	for i, v := range t.units {
		total[i] = float64(v) * grid
	}
	return nearDuplicateDistance(float64(n), float64(t.squares)*grid, total)
}

// training returns a training without examples. Only the features that sqrt names are ready.
func (t *Totals) training(sqrt bool) (*training, error) {
	products := t.plain
	if sqrt {
		products = t.roots
	}
	tr := &training{dim: t.dim, sqrt: sqrt, fromSums: true, coarse: true, labels: t.Labels(), count: t.Counts()}
	for _, l := range tr.labels {
		sums, mean := t.classes[l].Plain, make([]float64, t.dim)
		if sqrt {
			sums = t.classes[l].Roots
		}
		for i, v := range sums {
			mean[i] = float64(v) * featureStep
		}
		tr.classMean = append(tr.classMean, mean)
		tr.n += t.classes[l].N
	}
	if tr.n <= max(coarseFrom, t.dim) {
		return nil, fmt.Errorf("%w: %d are too few to train on sums, call Fit", ErrExamples, tr.n)
	}
	tr.products = products.lower(t.dim)
	tr.setMeans()
	return tr, nil
}

// encodedTotals is the content of the encoding of Totals.
type encodedTotals struct {
	Dim            int
	Labels         []string
	Classes        []*classTotals
	Units          []int64
	Squares        int64
	Products, Root []int64
}

// MarshalBinary encodes t.
func (t *Totals) MarshalBinary() ([]byte, error) {
	e := encodedTotals{Dim: t.dim, Labels: t.Labels(), Units: t.units, Squares: t.squares}
	for _, l := range e.Labels {
		e.Classes = append(e.Classes, t.classes[l])
	}
	t.plain.drain()
	e.Products = t.plain.sums
	if t.roots != nil {
		t.roots.drain()
		e.Root = t.roots.sums
	}
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(e)
	return b.Bytes(), err
}

// UnmarshalBinary sets t to the totals that MarshalBinary encoded. An error wraps [ErrShape].
func (t *Totals) UnmarshalBinary(b []byte) error {
	var e encodedTotals
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&e); err != nil {
		return fmt.Errorf("decode totals: %w: %w", ErrShape, err)
	}
	n := e.Dim * (e.Dim + 1) / 2
	if e.Dim < 1 || e.Dim > math.MaxInt16 || len(e.Labels) != len(e.Classes) || len(e.Units) != e.Dim || len(e.Products) != n || e.Root != nil && len(e.Root) != n {
		return fmt.Errorf("decode totals of %d values and %d classes: %w", e.Dim, len(e.Labels), ErrShape)
	}
	*t = *NewTotals(e.Dim, e.Root != nil)
	t.units, t.squares, t.plain.sums = e.Units, e.Squares, e.Products
	if e.Root != nil {
		t.roots.sums = e.Root
	}
	for i, c := range e.Classes {
		if c == nil || c.N < 1 || len(c.Plain) != e.Dim || (e.Root != nil) != (len(c.Roots) == e.Dim) {
			return fmt.Errorf("decode totals of class %q: %w", e.Labels[i], ErrShape)
		}
		if len(c.Sample) == 0 || slices.ContainsFunc(c.Sample, func(s hashedExample) bool { return len(s.Unit) != e.Dim }) {
			return fmt.Errorf("decode the sample of class %q: %w", e.Labels[i], ErrShape)
		}
		t.classes[e.Labels[i]] = c
	}
	return nil
}
