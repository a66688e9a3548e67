package evaluate

import (
	"context"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/classifier"
)

// TestPairsInCells checks that comparing only some cells finds the same groups as comparing all examples.
func TestPairsInCells(t *testing.T) {
	for _, spread := range []float64{0.2, 1.5} {
		s := cloud(5, 20, 150, 24, spread)
		for i := 7; i < len(s.Units); i += 7 {
			copy(s.Units[i], s.Units[i*13%len(s.Units)]) // mostly of another class
		}
		var examples []classifier.Example
		for _, x := range s.Units {
			examples = append(examples, classifier.Example{Unit: x})
		}
		limit := classifier.NearDuplicateDistance(examples)
		want := classifier.Groups(classifier.NearDuplicatesBetween(examples, examples, limit))
		found, err := pairsInCells(context.Background(), examples, limit)
		if err != nil {
			t.Fatal(err)
		}
		var pairs [][2]int
		for _, p := range found {
			pairs = append(pairs, [2]int{p.a, p.b})
		}
		if got := classifier.Groups(pairs); len(want) < 100 || !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("spread %g: got %d groups, want the %d of all pairs", spread, len(got), len(want))
		}
	}
}
