package partition

import (
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// Each requirement, broken in a model that meets them all, keeps the operator off the
// Edge TPU, and what reads it.
func TestRules(t *testing.T) {
	options := func(i int, o tflite.Options) func(*tflite.Model) {
		return func(m *tflite.Model) { m.Subgraphs[0].Operators[i].Options = o }
	}
	output := func(i int, f func(*tflite.Tensor)) func(*tflite.Model) {
		return func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			f(&g.Tensors[g.Operators[i].Outputs[0]])
		}
	}
	// CONV_2D, DEPTHWISE_CONV_2D, CONV_2D, AVERAGE_POOL_2D, CONV_2D, RESHAPE, SOFTMAX
	for _, test := range []struct {
		name   string
		break_ func(*tflite.Model)
		cut    int
		why    string
	}{
		{"nothing", func(*tflite.Model) {}, -1, ""},
		{"dilation", options(1, tflite.DepthwiseConv2DOptions{StrideW: 1, StrideH: 1, DilationH: 2, DilationW: 1, DepthMultiplier: 1}.Options()), 1, "its dilation is 2 in y and 1 in x"},
		{"activation", options(3, tflite.Pool2DOptions{StrideW: 1, StrideH: 1, FilterWidth: 16, FilterHeight: 16, Activation: tflite.ActRelu}.Options()), 3, "it has the activation RELU"},
		{"real numbers", output(2, func(t *tflite.Tensor) { t.Type = tflite.TypeFloat32 }), 2, "is float32, not of 8 bits"},
		{"no scale", output(2, func(t *tflite.Tensor) { t.Quantization = nil }), 2, "is not quantised"},
		{"any width", output(3, func(t *tflite.Tensor) { t.ShapeSignature = []int32{1, -1, 1, 48} }), 3, "has no constant shape"},
		{"any batch", output(3, func(t *tflite.Tensor) { t.ShapeSignature = []int32{-1, 1, 1, 48} }), -1, ""},
		{"batch of 2", output(4, func(t *tflite.Tensor) { t.Shape = []int32{2, 1, 1, 12} }), 4, "more than the three innermost dimensions"},
		{"weights that are computed", func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			g.Tensors[g.Operators[2].Inputs[1]].Buffer = 0
			g.Tensors[g.Operators[2].Inputs[1]].Shape = []int32{1, 1, 1, 48}
		}, 2, "input 1, a parameter, is not constant"},
		{"softmax of a map", func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			g.Tensors[g.Operators[6].Inputs[0]].Shape = []int32{1, 2, 6}
		}, 6, "only the last dimension may be larger than one"},
		{"an operator it has not", func(m *tflite.Model) {
			m.Subgraphs[0].Operators[5].Opcode = m.OperatorCode(tflite.OpHardSwish, "", 1)
		}, 5, "the Edge TPU has no such operator"},
	} {
		m, err := tflite.Parse(backbonetest.Classifier(12))
		if err != nil {
			t.Fatal(err)
		}
		test.break_(m)
		p, err := New(m)
		if err != nil {
			t.Fatal(err)
		}
		why := ""
		if p.Cut >= 0 {
			why = p.Operators[p.Cut].Why
		}
		if p.Cut != test.cut || !strings.Contains(why, test.why) || why != "" && test.why == "" {
			t.Errorf("%s: cut at %d, %q, want %d, %q", test.name, p.Cut, why, test.cut, test.why)
		}
		for i, o := range p.Operators {
			want := TPU
			if test.cut >= 0 && i >= test.cut {
				want = After
			}
			if o.Place != want {
				t.Errorf("%s: operator %d, %s, is on the %v, want %v", test.name, i, o.Name, o.Place, want)
			}
			if i > test.cut && test.cut >= 0 && o.Why == "" && o.Reads != i-1 {
				t.Errorf("%s: operator %d reads %d", test.name, i, o.Reads)
			}
		}
	}
}
