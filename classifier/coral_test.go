package classifier_test

import (
	"math"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// TestCoralNeverClips checks that quantization clips no stored weight and no possible logit.
func TestCoralNeverClips(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	for _, negative := range []bool{false, true} {
		head := randomHead(6, b.Dim(), negative)
		m := write(t, model, b, head, classifier.Coral, nil)
		g := &m.Subgraphs[0]
		conv := g.Operators[len(g.Operators)-4]
		w := m.TensorBytes(0, conv.Inputs[1])
		if lo, hi := slices.Min(w), slices.Max(w); lo == 0 && negative || hi == 255 {
			t.Errorf("stored weights range from %d to %d, want no clipped weights", lo, hi)
		}
		// The logit of a class is largest for the unit vector along the class's row, and
		// smallest for the opposite vector.
		q := g.Tensors[conv.Outputs[0]].Quantization
		factor := 0.0
		for c := range head.Labels {
			var n float64
			for _, v := range head.Row(c) {
				n += float64(v) * float64(v)
			}
			factor = max(factor, math.Sqrt(n))
		}
		for c := range head.Labels {
			for _, sign := range []float64{1, -1} {
				x := make([]float64, head.Dim)
				for i, v := range head.Row(c) {
					x[i] = max(sign*float64(v), 0) // this backbone's embeddings have no negative values
				}
				if classifier.Normalize(x) == 0 {
					continue
				}
				logits := make([]float64, len(head.Labels))
				head.Logits(logits, x)
				code := logits[c]/factor/float64(q.Scale[0]) + float64(q.ZeroPoint[0])
				if code < -0.5 || code > 255.5 {
					t.Errorf("logit %v of class %d would be stored as %v", logits[c], c, code)
				}
			}
		}
	}
}

// TestCoralEngineContinues checks that a model meets libcoral's requirements for an
// ImprintingEngine to add classes to it (coral/learn/imprinting_engine.cc,
// ValidateImprintingModel, LoadExistingClasses and ParseTrainingMetadata).
func TestCoralEngineContinues(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	examples := embedKinds(t, b, 3, 4)
	s := sums(t, examples)
	head, err := s.Mean()
	if err != nil {
		t.Fatal(err)
	}
	norms := []float64{s.Norm("a"), 0, s.Norm("c")} // the engine must not change b
	m := write(t, model, b, head, classifier.Coral, norms)
	g := &m.Subgraphs[0]
	n := len(g.Operators)
	var kinds []tflite.BuiltinOperator
	for _, op := range g.Operators {
		kinds = append(kinds, m.OperatorCodes[op.Opcode].Builtin)
	}
	want := []tflite.BuiltinOperator{tflite.OpL2Normalization, tflite.OpConv2D, tflite.OpMul, tflite.OpReshape, tflite.OpSoftmax}
	if !slices.Equal(kinds[n-5:], want) || slices.Contains(kinds[:n-5], tflite.OpL2Normalization) {
		t.Fatalf("got operators %v, want them to end in %v and to have no other L2_NORMALIZATION", kinds, want)
	}
	conv := g.Operators[n-4]
	if got := g.Tensors[g.Operators[n-5].Outputs[0]].Shape; !slices.Equal(got, []int32{1, 1, 1, backbonetest.Dim}) {
		t.Errorf("unit vector has shape %v, want [1 1 1 %d]", got, backbonetest.Dim)
	}
	if z := g.Tensors[conv.Inputs[2]].Quantization.ZeroPoint[0]; z != 0 {
		t.Errorf("bias has zero point %d, want 0", z)
	}
	out := g.Operators[n-1].Outputs[0]
	if got := g.Tensors[out].Shape; !slices.Equal(got, []int32{1, 3}) || !slices.Equal(g.Outputs, []int32{out}) {
		t.Errorf("outputs are %v with shape %v, want [%d] with shape [1 3]", g.Outputs, got, out)
	}
	// The engine multiplies the dequantized row by the norm in the description to restore
	// the sum of the class's unit embeddings.
	if got := classifier.ParseNorms(m.Description, 3); math.Abs(got[0]-norms[0]) > 1e-5 || got[1] != 0 || math.Abs(got[2]-norms[2]) > 1e-5 {
		t.Errorf("norms in description %q are %v, want %v", m.Description, got, norms)
	}
	w, q := m.TensorBytes(0, conv.Inputs[1]), g.Tensors[conv.Inputs[1]].Quantization
	for c, label := range map[int]string{0: "a", 2: "c"} {
		sum := make([]float64, b.Dim())
		for _, e := range examples {
			if e.Label == label {
				for i, v := range e.Unit {
					sum[i] += v
				}
			}
		}
		for i, v := range sum {
			got := float64(q.Scale[0]) * (float64(w[c*b.Dim()+i]) - float64(q.ZeroPoint[0])) * norms[c]
			if math.Abs(got-v) > float64(q.Scale[0])*norms[c]*0.51 {
				t.Errorf("class %s, value %d: the engine would restore the sum %v, want %v", label, i, got, v)
			}
		}
	}
}

func TestParseNorms(t *testing.T) {
	for _, tt := range []struct {
		description string
		want        []float64
	}{
		{"", []float64{0, 0, 0}},
		{"0 1.500000\n2 2.250000\n", []float64{1.5, 0, 2.25}},
		{"7 1.0\n-1 2.0\n1 3\n", []float64{0, 3, 0}},
		{"0 1.5\nMLIR Converted.", []float64{0, 0, 0}},
	} {
		if got := classifier.ParseNorms(tt.description, 3); !slices.Equal(got, tt.want) {
			t.Errorf("ParseNorms(%q) = %v, want %v", tt.description, got, tt.want)
		}
	}
}
