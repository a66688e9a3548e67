package partition

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// TestLargeTranspose has the shapes of YOLOv8n's TRANSPOSEs: the compiler maps the first.
func TestLargeTranspose(t *testing.T) {
	for side, want := range map[int32]string{20: "", 40: "it has 230400 elements", 80: "it has 921600 elements"} {
		in, out := &tflite.Tensor{Shape: []int32{1, side, side, 144}}, &tflite.Tensor{Shape: []int32{1, 144, side, side}}
		got := rules()["TRANSPOSE"](operands{in: []*tflite.Tensor{in}, out: []*tflite.Tensor{out}})
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("side %d: got %q, want %q", side, got, want)
		}
	}
}

// TestRules breaks one rule at a time in a model that satisfies all of them. The operator that
// breaks it, and all operators that depend on this operator, must stay on the CPU.
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
		name    string
		violate func(*tflite.Model)
		cut     int
		reason  string
	}{
		{"nothing", func(*tflite.Model) {}, -1, ""},
		{"dilation", options(1, tflite.DepthwiseConv2DOptions{StrideW: 1, StrideH: 1, DilationH: 2, DilationW: 1, DepthMultiplier: 1}.Options()), 1, "its dilation is 2×1"},
		{"activation", options(3, tflite.Pool2DOptions{StrideW: 1, StrideH: 1, FilterWidth: 16, FilterHeight: 16, Activation: tflite.ActRelu}.Options()), 3, "it has the activation RELU"},
		{"float", output(2, func(t *tflite.Tensor) { t.Type = tflite.TypeFloat32 }), 2, "is float32, not 8-bit"},
		{"no scale", output(2, func(t *tflite.Tensor) { t.Quantization = nil }), 2, "is not quantized"},
		{"unknown width", output(3, func(t *tflite.Tensor) { t.ShapeSignature = []int32{1, -1, 1, 48} }), 3, "does not have a constant shape"},
		{"unknown batch", output(3, func(t *tflite.Tensor) { t.ShapeSignature = []int32{-1, 1, 1, 48} }), -1, ""},
		{"batch of 2", output(4, func(t *tflite.Tensor) { t.Shape = []int32{2, 1, 1, 12} }), 4, "only the three innermost dimensions"},
		{"computed weights", func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			g.Tensors[g.Operators[2].Inputs[1]].Buffer = 0
			g.Tensors[g.Operators[2].Inputs[1]].Shape = []int32{1, 1, 1, 48}
		}, 2, "input 1 must be constant"},
		{"softmax of a feature map", func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			g.Tensors[g.Operators[6].Inputs[0]].Shape = []int32{1, 2, 6}
		}, 6, "only the last dimension may be larger than 1"},
		{"unsupported operator", func(m *tflite.Model) {
			m.Subgraphs[0].Operators[5].Opcode = m.OperatorCode(tflite.OpHardSwish, "", 1)
		}, 5, "the Edge TPU does not support this operator"},
	} {
		m, err := tflite.Parse(backbonetest.Classifier(12))
		if err != nil {
			t.Fatal(err)
		}
		test.violate(m)
		p, err := New(m)
		if err != nil {
			t.Fatal(err)
		}
		reason := ""
		if p.Cut >= 0 {
			reason = p.Operators[p.Cut].Reason
		}
		if p.Cut != test.cut || !strings.Contains(reason, test.reason) || reason != "" && test.reason == "" {
			t.Errorf("%s: cut at %d, %q, want %d, %q", test.name, p.Cut, reason, test.cut, test.reason)
		}
		for i, o := range p.Operators {
			want := TPU
			if test.cut >= 0 && i >= test.cut {
				want = After
			}
			if o.Place != want {
				t.Errorf("%s: operator %d, %s, is placed %v, want %v", test.name, i, o.Name, o.Place, want)
			}
			if i > test.cut && test.cut >= 0 && o.Reason == "" && o.DependsOn != i-1 {
				t.Errorf("%s: operator %d depends on %d, want %d", test.name, i, o.DependsOn, i-1)
			}
		}
	}
}

// TestMalformed checks that New does not panic on models with random operators, tensors and shapes.
func TestMalformed(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var kinds []tflite.BuiltinOperator
	for k := range tflite.BuiltinOperator(200) {
		if rules()[k.String()] != nil {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) != len(rules()) {
		t.Fatalf("%d kinds of operators, want %d", len(kinds), len(rules()))
	}
	rounds := 5000
	if testing.Short() {
		rounds = 200
	}
	for range rounds {
		m, err := tflite.Parse(backbonetest.Classifier(4))
		if err != nil {
			t.Fatal(err)
		}
		g := &m.Subgraphs[0]
		for range 1 + r.IntN(6) {
			op, tensor := &g.Operators[r.IntN(len(g.Operators))], &g.Tensors[r.IntN(len(g.Tensors))]
			switch r.IntN(6) {
			case 0, 1:
				op.Opcode = m.OperatorCode(kinds[r.IntN(len(kinds))], "", 1)
			case 2:
				tensor.Shape = make([]int32, r.IntN(6))
				for i := range tensor.Shape {
					tensor.Shape[i] = int32(r.IntN(4))
				}
			case 3:
				tensor.Quantization = nil
			case 4:
				op.Inputs = op.Inputs[:r.IntN(len(op.Inputs)+1)]
			case 5:
				if len(op.Inputs) > 0 {
					op.Inputs[r.IntN(len(op.Inputs))] = int32(r.IntN(len(g.Tensors)+1)) - 1
				}
			}
		}
		if p, err := New(m); err != nil || len(p.Operators) != len(g.Operators) {
			t.Fatalf("got %v, %v", p, err)
		}
	}
}

// TestMeanOfScalar reduces a scalar along an axis that it does not have.
func TestMeanOfScalar(t *testing.T) {
	m, err := tflite.Parse(backbonetest.Classifier(4))
	if err != nil {
		t.Fatal(err)
	}
	g := &m.Subgraphs[0]
	op := &g.Operators[3]
	op.Opcode = m.OperatorCode(tflite.OpMean, "", 1)
	g.Tensors[op.Inputs[0]].Shape = nil
	g.Tensors = append(g.Tensors, tflite.Tensor{Name: "axes", Type: tflite.TypeInt32, Buffer: m.AddBuffer([]byte{255, 255, 255, 255})})
	op.Inputs = append(op.Inputs[:1], int32(len(g.Tensors)-1))
	if _, err := New(m); err != nil {
		t.Error(err)
	}
}
