package compiled

import (
	"math"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tools/reference"
)

// TestSoftmaxScores compares the codes with those of math.Exp.
func TestSoftmaxScores(t *testing.T) {
	for _, scale := range []float64{0.005, 0.1328125, 2} {
		s := newSoftmax(scale, quantization{1. / 256, 0})
		codes := []float64{255, 3, 250, 0, 254, 200}
		sum := 0.0
		for _, c := range codes {
			sum += math.Exp(scale * (c - 255))
		}
		got := make([]float64, 4)
		s.scores(got, codes)
		for i, g := range got {
			if want := 256 * math.Exp(scale*(codes[i]-255)) / sum; math.Abs(g-min(want, 255)) > 0.501 {
				t.Errorf("scale %v: score %d is %v, want %v", scale, i, g, want)
			}
		}
	}
}

// TestDisagreements writes a layer of which one embedding has a logit so large that no
// codes are left to tell the classes of the others apart.
func TestDisagreements(t *testing.T) {
	if race.Enabled {
		t.Skip("no concurrency")
	}
	const model = "retrained/tutorial_a" // of two classes
	p := openPair(t, model)
	frozen, err := tflite.Parse(reference.Read(t, "models", model+".tflite"))
	if err != nil {
		t.Fatal(err)
	}
	const inputs, others = 32, 10
	l := &LastLayer{Labels: []string{"a", "b"}, Inputs: inputs, Weights: make([]float32, 2*inputs), Bias: make([]float32, 2)}
	unit := func(i int) Embedding {
		e := Embedding{Unit: make([]float64, inputs), Norm: 5}
		e.Unit[i] = 1
		return e
	}
	var embeddings []Embedding
	for i := range others {
		l.row(i % 2)[i], l.row(1 - i%2)[i] = 0.1, -0.1
		embeddings = append(embeddings, unit(i))
	}
	written := func() *Written {
		_, w, err := p.WriteLastLayer(l, embeddings, frozen)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if w := written(); w.Disagreements != 0 {
		t.Errorf("without an outlier: got %d disagreements, want 0", w.Disagreements)
	}
	l.row(0)[others], l.row(1)[others] = 900, -900
	embeddings = append(embeddings, unit(others))
	if w := written(); w.Disagreements != others {
		t.Errorf("with an outlier: got %d disagreements, want %d", w.Disagreements, others)
	}
}
