package classifier

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomExamples returns n unit vectors of dim values ≥ 0, in classes "a", "b" and so on.
func randomExamples(seed uint64, n, dim, classes int) []Example {
	r := rand.New(rand.NewPCG(seed, 7))
	examples := make([]Example, n)
	for i := range examples {
		c := i % classes
		x := make([]float64, dim)
		for j := range x {
			x[j] = math.Abs(r.NormFloat64())
			if j%classes == c {
				x[j] += 0.6
			}
		}
		norm := Normalize(x)
		examples[i] = Example{Label: string(rune('a' + c)), Unit: x, Norm: norm}
	}
	return examples
}

func sumsOf(t testing.TB, examples []Example) *Sums {
	t.Helper()
	s := new(Sums)
	for _, e := range examples {
		if err := s.Add(e.Label, e.Unit); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestNormalize(t *testing.T) {
	for _, tt := range []struct {
		v, want []float64
		norm    float64
	}{
		{[]float64{3, 4}, []float64{0.6, 0.8}, 5},
		{[]float64{0, 0}, []float64{0, 0}, 0},
		{[]float64{-2, 0}, []float64{-1, 0}, 2},
	} {
		got := slices.Clone(tt.v)
		if norm := Normalize(got); norm != tt.norm {
			t.Errorf("Normalize(%v) returns %v, want %v", tt.v, norm, tt.norm)
		}
		for i := range got {
			if math.Abs(got[i]-tt.want[i]) > grid || math.Mod(got[i], grid) != 0 {
				t.Errorf("Normalize(%v) = %v, want %v on the grid", tt.v, got, tt.want)
			}
		}
	}
}

// TestSumsHaveNoOrder checks that the order of examples does not affect the head.
func TestSumsHaveNoOrder(t *testing.T) {
	examples := randomExamples(1, 60, 33, 3)
	want, err := sumsOf(t, examples).Mean()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	for range 20 {
		r.Shuffle(len(examples), func(i, j int) { examples[i], examples[j] = examples[j], examples[i] })
		got, err := sumsOf(t, examples).Mean()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Weights, want.Weights) || !slices.Equal(got.Labels, want.Labels) {
			t.Fatal("a different order results in different weights")
		}
	}
}

func TestAddRefuses(t *testing.T) {
	var s Sums
	if err := s.Add("a", nil); !errors.Is(err, ErrShape) {
		t.Errorf("empty embedding: got %v, want %v", err, ErrShape)
	}
	if err := s.Add("a", []float64{1, 0}); err != nil {
		t.Error(err)
	}
	if err := s.Add("a", []float64{1}); !errors.Is(err, ErrShape) {
		t.Errorf("different length: got %v, want %v", err, ErrShape)
	}
	if n := s.Count("a"); n != 1 {
		t.Errorf("got %d examples, want 1", n)
	}
}
