package classifier

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// TestMean compares the weights with the paper's formula, computed in a different way.
func TestMean(t *testing.T) {
	examples := randomExamples(2, 30, 20, 4)
	h, err := sumsOf(t, examples).Mean()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(h.Labels, want) {
		t.Fatalf("labels %q, want %q", h.Labels, want)
	}
	for c, label := range h.Labels {
		mean := make([]float64, h.Dim)
		for _, e := range examples {
			if e.Label == label {
				for i, v := range e.Unit {
					mean[i] += v / 30
				}
			}
		}
		var norm float64
		for _, v := range mean {
			norm = math.Hypot(norm, v)
		}
		for i, w := range h.Row(c) {
			if want := MeanScale * mean[i] / norm; math.Abs(float64(w)-want) > 1e-5 {
				t.Errorf("class %s, weight %d: got %v, want %v", label, i, w, want)
			}
		}
	}
	if slices.Max(h.Bias) != 0 || slices.Min(h.Bias) != 0 {
		t.Errorf("biases are %v, want all 0", h.Bias)
	}
}

func TestMeanRefuses(t *testing.T) {
	if _, err := new(Sums).Mean(); !errors.Is(err, ErrExamples) {
		t.Errorf("no examples: got %v, want %v", err, ErrExamples)
	}
	if _, err := sumsOf(t, []Example{{Label: "a", Unit: []float64{0, 0}}}).Mean(); !errors.Is(err, ErrExamples) {
		t.Errorf("zero embedding: got %v, want %v", err, ErrExamples)
	}
}

// TestLeaveOneOut compares the estimate with the predictions of heads that are imprinted without
// one example each.
func TestLeaveOneOut(t *testing.T) {
	examples := randomExamples(3, 41, 12, 4)
	examples = append(examples, Example{Label: "alone", Unit: examples[0].Unit})
	got := sumsOf(t, examples).LeaveOneOut(examples)
	want := Estimate{Excluded: 1}
	for i, e := range examples {
		if e.Label == "alone" {
			continue
		}
		rest := slices.Delete(slices.Clone(examples), i, i+1)
		h, err := sumsOf(t, rest).Mean()
		if err != nil {
			t.Fatal(err)
		}
		logits := make([]float64, len(h.Labels))
		h.Logits(logits, e.Unit)
		want.Total++
		want.Bursts++
		if h.Labels[ArgMax(logits)] == e.Label {
			want.Correct++
		}
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.Correct == 0 || got.Correct == got.Total {
		t.Errorf("got %+v, want some correct and some wrong predictions", got)
	}
	if a := (Estimate{}).Accuracy(); a != 0 {
		t.Errorf("accuracy of an empty estimate is %v, want 0", a)
	}
}

func TestApplySoftmax(t *testing.T) {
	v := []float64{1000, 1001, 999}
	ApplySoftmax(v)
	sum := v[0] + v[1] + v[2]
	if ArgMax(v) != 1 || math.Abs(sum-1) > 1e-12 || math.Abs(v[1]/v[0]-math.E) > 1e-9 {
		t.Errorf("got scores %v with sum %v, want sum 1 and the largest score at index 1", v, sum)
	}
}

func BenchmarkMean(b *testing.B) {
	examples := randomExamples(4, 200, 1024, 10)
	b.ReportAllocs()
	for b.Loop() {
		s := sumsOf(b, examples)
		if _, err := s.Mean(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLeaveOneOut(b *testing.B) {
	examples := randomExamples(4, 200, 1024, 10)
	s := sumsOf(b, examples)
	b.ReportAllocs()
	for b.Loop() {
		s.LeaveOneOut(examples)
	}
}
