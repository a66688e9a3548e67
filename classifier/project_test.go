package classifier

import (
	"math"
	"testing"
)

// TestIntegerProjection compares outputs and spreads that are computed in integers with those that are
// computed in double precision.
func TestIntegerProjection(t *testing.T) {
	for _, dim := range []int{3, 37, 130} {
		examples := clusters(7, dim, 300, 5, 290)
		for i := range examples {
			if i%10 < 3 {
				examples[i].Burst = string(rune('a' + i/10))
			}
			for j := range examples[i].Unit {
				if j%2 == 0 {
					examples[i].Unit[j] = -examples[i].Unit[j]
				}
			}
		}
		tr := train(t, sortedExamples(examples), false)
		l, err := tr.withinScatter().cholesky(1)
		if err != nil {
			t.Fatal(err)
		}
		tr.coarse = true // train sets it for more examples
		rows := newTable(len(tr.labels), dim)
		for c, m := range tr.classMean {
			subtract(rows[c], m, tr.origin())
		}
		l.solve(rows)
		p := &projection{factor: l, weights: rows, centers: tr.classMean, center: func(i int) int { return tr.class[i] }}
		type result struct {
			outputs [][]float64
			spread  lower
		}
		results := map[bool][]result{}
		for _, coarse := range []bool{false, true} {
			tr.coarse = coarse
			tr.project(p, func(b int, outputs [][]float64, spread lower) {
				results[coarse] = append(results[coarse], result{outputs, spread})
			})
		}
		if len(results[true]) != len(results[false]) || len(results[true]) == 0 {
			t.Fatalf("%d dimensions: got %d bursts, want %d", dim, len(results[true]), len(results[false]))
		}
		for b, want := range results[false] {
			got := results[true][b]
			for k := range want.outputs {
				for c, w := range want.outputs[k] {
					if g := got.outputs[k][c]; !(math.Abs(g-w) < 1e-4) {
						t.Fatalf("%d dimensions, burst %d, example %d, class %d: got output %v, want %v", dim, b, k, c, g, w)
					}
				}
				for j, w := range want.spread[k] {
					if g := got.spread[k][j]; !(math.Abs(g-w) < 1e-4) {
						t.Fatalf("%d dimensions, burst %d, examples %d and %d: got spread %v, want %v", dim, b, k, j, g, w)
					}
				}
			}
		}
	}
}
