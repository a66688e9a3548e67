package classifier

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"maps"
)

// sumsFormat is the version of encodedSums. It must change whenever other sums, bursts, another order or
// another recipe would result from the same examples.
const sumsFormat = 4

// encodedSums is the first part of the encoding of a Memory. The lower triangle of featureMemory.products
// follows by rows, as little-endian float64.
type encodedSums struct {
	Format, Dim int
	Sqrt        bool
	Order       []int                // index of each example, in the order of sortedExamples
	Bursts      []int                // number of the burst of each example in that order
	Hashes      []uint64             // see remembered
	Squares     []float64            // see remembered
	Total       []float64            // see Memory
	Choice      *encodedChoice       // nil if Auto did not choose the recipe on a sample
	Margins     map[string]margin    // of each class, as in knownGroups
	Sums        map[string][]float64 // of the features of each class
}

// encodedChoice is the content of a choice.
type encodedChoice struct {
	Sqrt       bool
	Recipe     Recipe
	Candidates []Candidate
	LastFactor int
}

// MarshalBinary encodes the sums of the last call of Fit, but not its examples. It returns nil if there
// are no sums.
func (m *Memory) MarshalBinary() ([]byte, error) {
	if m.used == nil {
		return nil, nil
	}
	e := encodedSums{Format: sumsFormat, Dim: len(m.total), Sqrt: m.used == &m.roots, Total: m.total, Margins: m.margins, Sums: m.used.sums}
	for _, k := range m.list {
		e.Order, e.Bursts = append(e.Order, k.index), append(e.Bursts, k.burst)
		e.Hashes, e.Squares = append(e.Hashes, k.hash), append(e.Squares, k.square)
	}
	if c := m.choice; c != nil {
		e.Choice = &encodedChoice{c.sqrt, c.recipe, c.candidates, c.lastFactor}
	}
	var first bytes.Buffer
	err := gob.NewEncoder(&first).Encode(e)
	b := append(make([]byte, 0, first.Len()+productBytes(e.Dim)), first.Bytes()...)
	for _, row := range m.used.products {
		b, _ = binary.Append(b, binary.LittleEndian, row) // it never fails for numbers
	}
	return b, err
}

// productBytes returns the number of bytes of the products in the encoding of a Memory.
func productBytes(dim int) int { return 4 * dim * (dim + 1) }

// Restore makes m remember the call of Fit with examples after which MarshalBinary returned b. It is
// faster than Fit. If it fails, m remembers nothing. Unless fill is nil, the unit vectors of the examples
// need not be set: the next calls of m's methods call fill for those that they need. Only [CoralSGD] needs
// norms, and they must be set for it.
func (m *Memory) Restore(examples []Example, b []byte, fill func(i int)) error {
	m.forget()
	var e encodedSums
	r := bytes.NewReader(b)
	if err := gob.NewDecoder(r).Decode(&e); err != nil {
		return fmt.Errorf("restore sums: %w: %w", ErrShape, err)
	}
	if err := e.check(examples, r.Len()); err != nil {
		return err
	}
	m.restart(e.Dim)
	m.total = e.Total
	f := &m.plain
	if e.Sqrt {
		f = &m.roots
	}
	f.sums, f.products = e.Sums, newLower(e.Dim)
	b = b[len(b)-r.Len():]
	for _, row := range f.products {
		n, _ := binary.Decode(b, binary.LittleEndian, row)
		b = b[n:]
	}
	maps.Copy(m.margins, e.Margins)
	sorted, all, rows := pick(examples, e.Order), make([]remembered, len(examples)), make([]featureRow, len(examples))
	for i, x := range sorted {
		k, row := &all[i], &rows[i]
		*row = featureRow{label: x.Label, of: k}
		*k = remembered{Example: x, fill: fill, from: e.Order[i], square: e.Squares[i], hash: e.Hashes[i], rank: i, index: e.Order[i], burst: e.Bursts[i]}
		if e.Sqrt {
			k.roots = row
		} else {
			k.plain = row
		}
		m.list, m.known[&x.Unit[0]], f.rows = append(m.list, k), k, append(f.rows, row)
	}
	if c := e.Choice; c != nil {
		m.choice = &choice{pick(sorted, sampleByHash(sorted, e.Hashes)), c.Sqrt, c.Recipe, c.Candidates, c.LastFactor}
	}
	m.used = f
	return nil
}

// check returns an error unless e can be the sums of examples, with products of that many bytes.
func (e *encodedSums) check(examples []Example, products int) error {
	n := len(examples)
	fits := e.Format == sumsFormat && canRemember(examples, Auto) && len(examples[0].Unit) == e.Dim &&
		len(e.Order) == n && len(e.Bursts) == n && len(e.Hashes) == n && len(e.Squares) == n && len(e.Total) == e.Dim && products == productBytes(e.Dim)
	once := make([]bool, n)
	for k := 0; fits && k < n; k++ {
		i := e.Order[k]
		if fits = i >= 0 && i < n && !once[i] && e.Bursts[k] >= 0 && e.Bursts[k] < n && len(e.Sums[examples[i].Label]) == e.Dim; fits {
			once[i] = true
		}
	}
	if !fits {
		return fmt.Errorf("restore sums of format %d for %d examples of %d values: %w", e.Format, len(e.Bursts), e.Dim, ErrShape)
	}
	return nil
}
