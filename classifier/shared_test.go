package classifier

import (
	"math"
	"testing"
)

// TestRidgeAndLDA compares the layers that share a Cholesky factor with layers that do not.
func TestRidgeAndLDA(t *testing.T) {
	examples := sortedExamples(clusters(9, 23, 500, 30, 400, 3, 300))
	for i := range examples {
		if i%50 < 2 {
			examples[i].Burst = string(rune('a' + i/50))
		}
	}
	for _, sqrt := range []bool{false, true} {
		tr := train(t, examples, sqrt)
		ridge, lda, err := tr.ridgeAndLDA()
		if err != nil {
			t.Fatal(err)
		}
		wantRidge, err := tr.ridge(sharedLambda)
		if err != nil {
			t.Fatal(err)
		}
		wantLDA, err := tr.lda(sharedLambda / tr.withinTrace() * float64(tr.dim))
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string][2]*solution{"ridge": {ridge, wantRidge}, "lda": {lda, wantLDA}} {
			got, want := s[0].layer(), s[1].layer()
			for c, row := range append(want.weights, want.bias) {
				for j, w := range row {
					if g := append(got.weights, got.bias)[c][j]; math.Abs(g-w) > 1e-8*(1+math.Abs(w)) {
						t.Errorf("%s, class %d, weight %d: got %v, want %v", name, c, j, g, w)
					}
				}
			}
			for i, row := range s[1].leftOut {
				for c, w := range row {
					if g := s[0].leftOut[i][c]; math.Abs(g-w) > 1e-4*(1+math.Abs(w)) {
						t.Errorf("%s, example %d, class %d: got %v, want %v", name, i, c, g, w)
					}
				}
			}
		}
	}
}
