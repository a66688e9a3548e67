package embeddings

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/imprintkit/imprint/imprint/bulk"
)

// Units computes unit vectors of raw embeddings. It serves one goroutine at a time.
type Units struct {
	engine *bulk.Engine
	dim    int
}

// NewUnits returns the units of an engine's backbone.
func NewUnits(e *bulk.Engine) *Units { return &Units{e, e.Backbone().Dim()} }

func (u *Units) copyOf(raw []byte) []float64 {
	x := make([]float64, u.dim)
	u.engine.Unit(x, raw)
	return x
}

// compare orders rows by class, unit vector and position, as package classifier orders examples.
func compare(a, b *Row, unitA, unitB []float64) int {
	return cmp.Or(cmp.Compare(a.class, b.class), slices.Compare(unitA, unitB), cmp.Compare(a.Position, b.Position))
}

// oneLine replaces control characters, so that s fits into a column of a list.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
