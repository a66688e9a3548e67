package compiled

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// What can't be a template with its twin is refused, and why.
func TestOpenRefuses(t *testing.T) {
	compiled, twin := sharedFile(t, "models", "mobilenet_v1_0.25_128_quant_edgetpu.tflite"), sharedFile(t, "models", "mobilenet_v1_0.25_128_quant.tflite")
	other := sharedFile(t, "models", "mobilenet_v1_0.5_160_quant.tflite")
	for _, test := range []struct {
		name           string
		compiled, twin []byte
		want           error
		text           string
	}{
		{"swapped", twin, compiled, ErrCompiled, "in each other's place"},
		{"uncompiled template", twin, other, ErrCompiled, "it is not compiled for the Edge TPU"},
		{"compiled twin", compiled, compiled, ErrUncompiled, "compiled for the Edge TPU itself"},
		{"another twin", compiled, other, ErrUncompiled, "none of its 28 layers with weights is in the template"},
		{"no model", []byte("hello"), twin, tflite.ErrCorrupt, "read the template"},
		{"no twin", compiled, []byte("hello"), tflite.ErrCorrupt, "read the uncompiled model"},
	} {
		if _, err := Open(test.compiled, test.twin); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want %v with %q", test.name, err, test.want, test.text)
		}
	}
}

// openShared opens a pair of the shared models, and reads its twin once more, to be
// changed.
func openShared(t *testing.T, model string) (*Pair, *tflite.Model) {
	t.Helper()
	if testing.Short() {
		t.Skip("nothing runs at the same time")
	}
	file := sharedFile(t, "models", model+".tflite")
	tmpl, err := Open(sharedFile(t, "models", model+"_edgetpu.tflite"), file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := tflite.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl, m
}

// headOf makes a head of that many classes and values, and an example.
func headOf(classes, dim int) (*classifier.Head, []classifier.Example) {
	h := &classifier.Head{Dim: dim, Weights: make([]float32, classes*dim), Bias: make([]float32, classes)}
	for c := range classes {
		h.Labels = append(h.Labels, string(rune('a'+c%26))+strings.Repeat("x", c/26))
	}
	x := make([]float64, dim)
	x[0] = 1
	return h, []classifier.Example{{Label: "a", Unit: x, Norm: 1}}
}

// A head is refused by what is no classifier and where it has no room.
func TestWriteHeadRefuses(t *testing.T) {
	for _, test := range []struct {
		model        string
		classes, dim int
		change       func(*classifier.Head)
		want         error
		text         string
	}{
		{"mobilenet_v1_1.0_224_quant_embedding_extractor", 3, 1024, nil, ErrCompiled, "no classifier's last layer"},
		{"deeplabv3_mnv2_dm05_pascal_quant", 3, 256, nil, ErrCompiled, "the compiler left it to the CPU"},
		{"movenet_single_pose_lightning_ptq", 3, 24, nil, ErrCompiled, "no classifier's last layer"},
		{"pairs/color_red_64x64", 2, 4096, nil, ErrCompiled, "CONCATENATION comes after it"},
		{"pairs/dense_256", 3, 256, nil, ErrCompiled, "no biases to keep the 253 rows without a class down"},
		{"mobilenet_v1_0.25_128_quant", 3, 1024, nil, ErrCompiled, "it takes 256 values, and the head 1024"},
		{"mobilenet_v1_0.25_128_quant", 1002, 256, nil, ErrCompiled, "it has room for 1001 classes, not for 1002"},
		{"mobilenet_v1_0.25_128_quant", 3, 256, func(h *classifier.Head) { h.Sqrt = true }, classifier.ErrShape, "square roots"},
	} {
		tmpl, frozen := openShared(t, test.model)
		h, examples := headOf(test.classes, test.dim)
		if test.change != nil {
			test.change(h)
		}
		if _, _, err := tmpl.WriteHead(h, examples, frozen); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s, %d classes: %v, want %v with %q", test.model, test.classes, err, test.want, test.text)
		}
	}
}

// A head of one class wins over all rows without one, and one of all rows has room.
func TestFewAndManyClasses(t *testing.T) {
	tmpl, frozen := openShared(t, "mobilenet_v1_0.25_128_quant")
	for _, classes := range []int{1, 2, 1001} {
		h, examples := headOf(classes, 256)
		for c := range classes {
			h.Weights[c*256+c%256] = 1
		}
		written, w, err := tmpl.WriteHead(h, examples, frozen)
		if err != nil {
			t.Errorf("%d classes: %v", classes, err)
			continue
		}
		if w.Disagreements > 0 {
			t.Errorf("%d classes: the example has another winner", classes)
		}
		layer, in := lastLayer(t, tmpl, written, frozen)
		codes := make([]float64, 1001)
		for o := range codes {
			codes[o] = layer.code(o, examples[0], in)
		}
		if best := classifier.ArgMax(codes); best != 0 || classes < 1001 && codes[0] <= slices.Max(codes[classes:]) {
			t.Errorf("%d classes: the winner is %d with code %v", classes, best, codes[best])
		}
	}
}

// A model that isn't the twin's but for weights and scales is refused, and its layer
// named.
func TestRetargetRefuses(t *testing.T) {
	for _, test := range []struct {
		model  string
		change func(*tflite.Model)
		text   string
	}{
		{"mobilenet_v1_0.25_128_quant", func(m *tflite.Model) {
			op := &m.Subgraphs[0].Operators[1]
			o := op.Options.DepthwiseConv2D()
			o.Padding = 1 - o.Padding
			op.Options = o.Options()
		}, "other options"},
		{"mobilenet_v1_0.25_128_quant", func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			in := &g.Tensors[g.Operators[len(g.Operators)-1].Inputs[0]]
			q := *in.Quantization
			q.Scale = []float32{0.25}
			in.Quantization = &q
		}, "other scales around it"},
		{"mobilenet_v1_0.25_128_quant", func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			g.Operators = g.Operators[:len(g.Operators)-1]
		}, "it has 31 layers, the new model 30"},
		{"movenet_single_pose_lightning_ptq", func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			for i := range g.Operators {
				op := &g.Operators[i]
				if m.OperatorCodes[op.Opcode].Builtin != tflite.OpMul {
					continue
				}
				for _, in := range op.Inputs {
					if b := m.TensorBytes(0, in); b != nil {
						b = slices.Clone(b)
						b[0]++
						g.Tensors[in].Buffer = m.AddBuffer(b)
						return
					}
				}
			}
			t.Fatal("no constant")
		}, "is another in the new model"},
	} {
		tmpl, m := openShared(t, test.model)
		test.change(m)
		changed, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tmpl.Retarget(changed); !errors.Is(err, ErrCompiled) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want %v with %q", test.model, err, ErrCompiled, test.text)
		}
	}
}

// What is on the CPU of a compiled model takes the new model's constants and scales
// too.
func TestRetargetTheCPUsPart(t *testing.T) {
	tmpl, m := openShared(t, "deeplabv3_mnv2_dm05_pascal_quant")
	at := tmpl.last()
	op := &m.Subgraphs[0].Operators[at]
	weights := slices.Clone(m.TensorBytes(0, op.Inputs[1]))
	slices.Reverse(weights)
	m.Subgraphs[0].Tensors[op.Inputs[1]].Buffer = m.AddBuffer(weights)
	q := *m.Subgraphs[0].Tensors[op.Outputs[0]].Quantization
	q.Scale = []float32{0.125}
	m.Subgraphs[0].Tensors[op.Outputs[0]].Quantization = &q
	changed, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	written, err := tmpl.Retarget(changed)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tflite.Parse(written)
	if err != nil {
		t.Fatal(err)
	}
	is := got.Subgraphs[0].Operators[tmpl.rest[at]]
	if !slices.Equal(got.TensorBytes(0, is.Inputs[1]), weights) {
		t.Error("the weights of the layer on the CPU are not the new model's")
	}
	if s := got.Subgraphs[0].Tensors[is.Outputs[0]].Quantization.Scale[0]; s != 0.125 {
		t.Errorf("the scale of the layer on the CPU is %v", s)
	}
	if !slices.Equal(got.Subgraphs[0].Operators[0].CustomOptions, tmpl.model.Subgraphs[0].Operators[0].CustomOptions) {
		t.Error("the program has changed, and nothing of the chip's has")
	}
}
