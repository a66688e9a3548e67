package classifier

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"maps"
)

// sumsFormat is the version of encodedSums. It must change whenever other sums, bursts or an other
// order would result from the same examples.
const sumsFormat = 2

// encodedSums is the content of the encoding of a Memory.
type encodedSums struct {
	Format, Dim int
	Sqrt        bool
	Bursts      []int                // number of the burst of each example, in the order of sortedExamples
	Hashes      []uint64             // of the same examples
	Choice      *encodedChoice       // nil if Auto did not choose the recipe on a sample
	Margins     map[string]margin    // of each class, as in knownGroups
	Sums        map[string][]float64 // of the features of each class
	Products    []byte               // lower triangle by rows, as little-endian float64
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
	e := encodedSums{Format: sumsFormat, Dim: len(m.total), Sqrt: m.used == &m.roots, Margins: m.margins, Sums: m.used.sums}
	for _, k := range m.list {
		e.Bursts, e.Hashes = append(e.Bursts, k.burst), append(e.Hashes, k.hash)
	}
	if c := m.choice; c != nil {
		e.Choice = &encodedChoice{c.sqrt, c.recipe, c.candidates, c.lastFactor}
	}
	for _, row := range m.used.products {
		e.Products, _ = binary.Append(e.Products, binary.LittleEndian, row) // it never fails for numbers
	}
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(e)
	return b.Bytes(), err
}

// Restore makes m remember the call of Fit with examples after which MarshalBinary returned b. It is
// faster than Fit. If it fails, m remembers nothing.
func (m *Memory) Restore(examples []Example, b []byte) error {
	m.forget()
	var e encodedSums
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&e); err != nil {
		return fmt.Errorf("restore sums: %w: %w", ErrShape, err)
	}
	if e.Format != sumsFormat || len(e.Bursts) != len(examples) || len(e.Hashes) != len(examples) || len(e.Products) != 4*e.Dim*(e.Dim+1) || !canRemember(examples, Auto) || len(examples[0].Unit) != e.Dim {
		return fmt.Errorf("restore sums of format %d for %d examples of %d values: %w", e.Format, len(e.Bursts), e.Dim, ErrShape)
	}
	m.restart(e.Dim)
	f := &m.plain
	if e.Sqrt {
		f = &m.roots
	}
	f.rows, f.sums, f.products = make(map[*float64]*featureRow, len(examples)), e.Sums, newLower(e.Dim)
	for _, row := range f.products {
		n, _ := binary.Decode(e.Products, binary.LittleEndian, row)
		e.Products = e.Products[n:]
	}
	maps.Copy(m.margins, e.Margins)
	sorted := sortedExamples(examples)
	for i, x := range sorted {
		if f.sums[x.Label] == nil || len(f.sums[x.Label]) != e.Dim {
			m.forget()
			return fmt.Errorf("restore sums of class %q: %w", x.Label, ErrShape)
		}
		k := &remembered{Example: x, square: squaredLength(x.Unit), hash: e.Hashes[i], rank: i, burst: e.Bursts[i]}
		m.list, m.known[&x.Unit[0]] = append(m.list, k), k
		axpy(1, x.Unit, m.total)
		f.rows[&x.Unit[0]] = &featureRow{label: x.Label, unit: x.Unit}
	}
	if c := e.Choice; c != nil {
		m.choice = &choice{pick(sorted, sampleByHash(sorted, e.Hashes)), c.Sqrt, c.Recipe, c.Candidates, c.LastFactor}
	}
	m.used = f
	return nil
}
