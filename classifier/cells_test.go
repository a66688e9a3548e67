package classifier

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCells checks that the pairs of cells connect the same near-duplicates as all pairs of examples, and
// that clusters far apart are not compared.
func TestCells(t *testing.T) {
	for _, test := range []struct {
		n, clusters int
		spread      float64
		most        int // pairs of cells that are compared, of 210
	}{{1600, 40, 0.3, 100}, {1600, 8, 1, 210}, {1600, 1, 1, 210}, {3, 1, 1, 1}, {1600, 1, 0, 210}} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			random := rand.New(rand.NewPCG(3, uint64(test.clusters)))
			var examples []Example
			for i := range test.n {
				own := rand.New(rand.NewPCG(uint64(i%test.clusters), 7))
				x := make([]float64, 40)
				for k := range x {
					x[k] = own.NormFloat64() + test.spread*random.NormFloat64()
				}
				if i%9 == 8 && i > test.clusters { // near another, perhaps of another cluster
					copy(x, examples[random.IntN(i)].Unit)
					x[0] += 0.2
				}
				length := math.Sqrt(dot(x, x))
				for k := range x {
					x[k] /= length
				}
				examples = append(examples, Example{Unit: x})
			}
			limit := NearDuplicateDistance(examples)
			want := Groups(NearDuplicatesBetween(examples, examples, limit))

			c := NewCells(at(examples, CellSample(len(examples))), len(examples))
			rows := make([][]int, len(c.Centers))
			for i, cell := range c.Nearest(examples) {
				rows[cell] = append(rows[cell], i)
			}
			borders := make([][]float64, len(c.Centers))
			for cell := range borders {
				borders[cell] = c.Borders(cell, at(examples, rows[cell]))
			}
			tasks := c.Pairs(borders, limit)
			if len(tasks) > test.most {
				t.Errorf("%d pairs of cells are compared, want at most %d", len(tasks), test.most)
			}
			var pairs [][2]int
			for _, task := range tasks {
				x, y := rows[task[0]], rows[task[1]]
				some := at(examples, x)
				others := some
				if task[0] != task[1] {
					others = at(examples, y)
				}
				for _, p := range c.NearDuplicatesBetween(task[0], task[1], some, others, limit) {
					pairs = append(pairs, [2]int{x[p[0]], y[p[1]]})
				}
			}
			if got := Groups(pairs); !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("got %d groups, want %d", len(got), len(want))
			}
			if test.n > 3 && len(want) == 0 {
				t.Error("there are no near-duplicates")
			}
		})
	}
}
