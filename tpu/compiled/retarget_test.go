package compiled

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

// program returns the program of a compiled model.
func program(t testing.TB, file []byte) *executable.Package {
	t.Helper()
	m, err := tflite.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range m.Subgraphs[0].Operators {
		if op.CustomOptions != nil {
			p, err := executable.Parse(op.CustomOptions)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	t.Fatal("not compiled")
	return nil
}

// TestRetarget retargets compiled models to other models of the same architecture, and compares
// the results with the compiler's output.
func TestRetarget(t *testing.T) {
	all := pairs(t)
	n := map[string]int{}
	for from, a := range all {
		p, err := Open(a[0], a[1])
		if err != nil {
			t.Fatal(err)
		}
		for to, b := range all {
			family := architecture(from)
			if family == "" || architecture(to) != family {
				continue
			}
			n[family]++
			got, err := p.Retarget(b[1])
			if err != nil {
				t.Errorf("%s made from %s: %v", to, from, err)
				continue
			}
			compareProgram(t, fmt.Sprintf("%s made from %s", to, from), program(t, got), program(t, b[0]))
			if from == to && !bytes.Equal(got, a[0]) {
				t.Errorf("%s made from itself differs", from)
			}
		}
	}
	if want := map[string]int{"pairs/color": 16, "retrained/tutorial": 4}; !testing.Short() && !maps.Equal(n, want) {
		t.Errorf("compared %v pairs, want %v", n, want)
	}
}

// architecture returns the name of the architecture that several models share, or "".
func architecture(name string) string {
	for _, a := range []string{"pairs/color", "retrained/tutorial"} {
		if strings.HasPrefix(name, a) {
			return a
		}
	}
	return ""
}

// compareProgram compares the parameters, instructions and output quantization of two programs.
func compareProgram(t *testing.T, name string, got, want *executable.Package) {
	t.Helper()
	for i := range want.Executables {
		g, w := &got.Executables[i], &want.Executables[i]
		if !bytes.Equal(g.Parameters, w.Parameters) {
			t.Errorf("%s: executable %d has other parameters", name, i)
		}
		for c := range w.Chunks {
			d := 0
			for j := range w.Chunks[c].Bytes {
				if g.Chunks[c].Bytes[j] != w.Chunks[c].Bytes[j] {
					d++
				}
			}
			if d > 0 {
				t.Errorf("%s: executable %d has other instructions: %d bytes differ", name, i, d)
			}
		}
		for o := range w.Outputs {
			if g.Outputs[o].Scale != w.Outputs[o].Scale || g.Outputs[o].ZeroPoint != w.Outputs[o].ZeroPoint {
				t.Errorf("%s: output %d is %v, want %v", name, o, g.Outputs[o], w.Outputs[o])
			}
		}
	}
}

// TestRetargetSelf checks that retargeting a model to its own weights changes nothing.
func TestRetargetSelf(t *testing.T) {
	for name, pair := range pairs(t) {
		p, err := Open(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Retarget(pair[1])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(got, pair[0]) {
			t.Errorf("%s differs", name)
		}
	}
}

// TestRetargetErrors checks the errors of Retarget for models that differ in more than weights
// and quantization.
func TestRetargetErrors(t *testing.T) {
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
		}, "quantizes its inputs or outputs differently"},
		{"pairs/color_red_64x64", requantizeReshape, "Softmax\", SOFTMAX: unsuitable compiled model: the new model quantizes its inputs or outputs differently"},
		{"mobilenet_v1_0.25_128_quant", func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			g.Operators = g.Operators[:len(g.Operators)-1]
		}, "it has 31 layers, but the new model has 30"},
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
			t.Fatal("the model has no MUL by a constant")
		}, "differs in the new model"},
	} {
		p, m := openShared(t, test.model)
		test.change(m)
		changed, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Retarget(changed); !errors.Is(err, ErrCompiled) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v, want %v with %q", test.model, err, ErrCompiled, test.text)
		}
	}
}

// TestRetargetUnwritten checks that Retarget refuses differences that it can't write.
func TestRetargetUnwritten(t *testing.T) {
	double := func(m *tflite.Model, tensor int32) {
		g := &m.Subgraphs[0]
		q := *g.Tensors[tensor].Quantization
		q.Scale = []float32{2 * q.Scale[0]}
		g.Tensors[tensor].Quantization = &q
	}
	operator := func(m *tflite.Model, kind tflite.BuiltinOperator) *tflite.Operator {
		ops := m.Subgraphs[0].Operators
		return &ops[slices.IndexFunc(ops, func(op tflite.Operator) bool { return m.OperatorCodes[op.Opcode].Builtin == kind })]
	}
	for _, test := range []struct {
		name, model string
		change      func(*Pair, *tflite.Model)
		text        string
	}{
		{"QUANTIZE that no longer keeps the scale", "retrained/tutorial_a", func(_ *Pair, m *tflite.Model) {
			double(m, operator(m, tflite.OpQuantize).Inputs[0])
		}, "QUANTIZE: unsuitable compiled model: the new model quantizes its inputs or outputs differently"},
		{"pool with another output scale", "mobilenet_v1_0.25_128_quant", func(_ *Pair, m *tflite.Model) {
			double(m, operator(m, tflite.OpAveragePool2D).Outputs[0])
		}, "AVERAGE_POOL_2D: unsuitable compiled model: the new model quantizes its inputs or outputs differently"},
		{"scale of a constant", "movenet_single_pose_lightning_ptq", func(_ *Pair, m *tflite.Model) {
			op := operator(m, tflite.OpSub)
			for _, in := range op.Inputs {
				if m.TensorBytes(0, in) != nil {
					double(m, in)
				}
			}
		}, "SUB: unsuitable compiled model: the constant \"Reshape\" differs"},
		{"activation on the CPU", "deeplabv3_mnv2_dm05_pascal_quant", func(p *Pair, m *tflite.Model) {
			op := &m.Subgraphs[0].Operators[p.last()]
			o := op.Options.Conv2D()
			o.Activation = tflite.ActRelu6
			op.Options = o.Options()
		}, "it has other options in the new model"},
		{"output of another operator", "mobilenet_v1_0.25_128_quant", func(_ *Pair, m *tflite.Model) {
			m.Subgraphs[0].Outputs = operator(m, tflite.OpSoftmax).Inputs[:1]
		}, "outputs the results of other operators"},
	} {
		p, m := openShared(t, test.model)
		test.change(p, m)
		changed, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Retarget(changed); !errors.Is(err, ErrCompiled) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v, want %v with %q", test.name, err, ErrCompiled, test.text)
		}
	}
}

// TestRequantizingConcatenation checks that a CONCATENATION has no stage if one of its inputs has
// another scale than the first, because the compiler makes constants for each.
func TestRequantizingConcatenation(t *testing.T) {
	for _, test := range []struct {
		scale float32 // of the second input
		want  bool
	}{{0.5, true}, {0.25, false}} {
		tensor := func(scale float32) tflite.Tensor {
			return tflite.Tensor{Type: tflite.TypeUint8, Shape: []int32{1, 4}, Quantization: &tflite.Quantization{Scale: []float32{scale}, ZeroPoint: []int64{0}}}
		}
		m := &tflite.Model{Buffers: []tflite.Buffer{{}}, OperatorCodes: []tflite.OperatorCode{{Builtin: tflite.OpConcatenation}}, Subgraphs: []tflite.Subgraph{{
			Tensors:   []tflite.Tensor{tensor(0.5), tensor(test.scale), tensor(0.5)},
			Operators: []tflite.Operator{{Inputs: []int32{0, 1}, Outputs: []int32{2}}},
		}}}
		l, err := readLayer(m, 0, sharedWeights{})
		if err != nil {
			t.Fatal(err)
		}
		if got := l.stage != nil; got != test.want {
			t.Errorf("scale %v: got a stage: %v, want %v", test.scale, got, test.want)
		}
	}
}

// TestRetargetLabels checks that a file has no labels if the new model has none, even if only the
// compiled model has labels.
func TestRetargetLabels(t *testing.T) {
	const name = "mobilenet_v1_0.25_128_quant"
	p, m := openShared(t, name)
	if _, err := p.compiled.Labels(); err != nil {
		t.Fatal(err)
	}
	m.Metadata, m.Tail = nil, nil
	bare, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Open(p.file, bare); err != nil {
		t.Fatal(err)
	}
	written, err := p.Retarget(bare)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tflite.Parse(written)
	if err != nil {
		t.Fatal(err)
	}
	if labels, err := got.Labels(); !errors.Is(err, tflite.ErrNoLabels) {
		t.Errorf("got %d labels and %v, want %v", len(labels), err, tflite.ErrNoLabels)
	}
}

// TestRetargetOtherHead checks that the uncompiled model's last layer must be in the compiled model,
// even if the new model has the same.
func TestRetargetOtherHead(t *testing.T) {
	p, m := openShared(t, "mobilenet_v1_0.25_128_quant")
	weights := m.Subgraphs[0].Operators[p.last()].Inputs[1]
	codes := slices.Clone(m.TensorBytes(0, weights))
	slices.Reverse(codes)
	m.Subgraphs[0].Tensors[weights].Buffer = m.AddBuffer(codes)
	other, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Open(p.file, other); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Retarget(other); !errors.Is(err, ErrUncompiled) {
		t.Errorf("got %v, want %v", err, ErrUncompiled)
	}
}

// requantizeReshape gives both sides of the RESHAPE in a model of pairs/color another
// scale.
func requantizeReshape(m *tflite.Model) {
	g := &m.Subgraphs[0]
	op := &g.Operators[2]
	for _, i := range []int32{op.Inputs[0], op.Outputs[0]} {
		q := *g.Tensors[i].Quantization
		q.Scale = []float32{0.5}
		g.Tensors[i].Quantization = &q
	}
}

// TestRequantizedReshape checks that a RESHAPE is refused itself if no layer after it is.
func TestRequantizedReshape(t *testing.T) {
	p, m := openShared(t, "pairs/color_red_64x64")
	requantizeReshape(m)
	if _, err := p.changes(m, 3); !errors.Is(err, ErrCompiled) || !strings.Contains(err.Error(), "RESHAPE") {
		t.Errorf("got %v, want %v about RESHAPE", err, ErrCompiled)
	}
}

// TestRetargetCPUOps checks that operators on the CPU also get the new model's constants and
// quantization.
func TestRetargetCPUOps(t *testing.T) {
	p, m := openShared(t, "deeplabv3_mnv2_dm05_pascal_quant")
	at := p.last()
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
	written, err := p.Retarget(changed)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tflite.Parse(written)
	if err != nil {
		t.Fatal(err)
	}
	is := got.Subgraphs[0].Operators[p.cpuOps[at]]
	if !slices.Equal(got.TensorBytes(0, is.Inputs[1]), weights) {
		t.Error("the weights on the CPU are not the new model's")
	}
	if s := got.Subgraphs[0].Tensors[is.Outputs[0]].Quantization.Scale[0]; s != 0.125 {
		t.Errorf("the scale on the CPU is %v, want 0.125", s)
	}
	if !slices.Equal(got.Subgraphs[0].Operators[0].CustomOptions, p.compiled.Subgraphs[0].Operators[0].CustomOptions) {
		t.Error("the program changed, although the new model differs only in operators on the CPU")
	}
}

// TestRetargetOnDevice writes a retrained model into the compiled form of another and runs it on an
// emulated device. The logits must equal the CPU's in the Edge TPU's arithmetic. A device that
// knows only the other model must compute the same scores as a device that knows the new one.
func TestRetargetOnDevice(t *testing.T) {
	p, _ := openShared(t, "retrained/tutorial_a")
	read := func(name string) []byte { return reference.Read(t, "models", "retrained", name+".tflite") }
	b := read("tutorial_b")
	file, err := p.Retarget(b)
	if err != nil {
		t.Fatal(err)
	}
	m, err := tflite.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	g := &m.Subgraphs[0]
	softmax := g.Operators[len(g.Operators)-2]
	cpu, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Outputs: []int32{softmax.Inputs[0]}, Arithmetic: backbone.EdgeTPU})
	if err != nil {
		t.Fatal(err)
	}
	logits := device(t, read("tutorial_b_edgetpu"), withoutSoftmax(t, b), file)
	scores := device(t, read("tutorial_b_edgetpu"), b, file)
	other := device(t, p.file, read("tutorial_a"), file)
	different := map[string]bool{}
	for _, photo := range []string{"cat.bmp", "parrot.jpg", "noise_lcg12345"} {
		in := reference.Read(t, "golden", "mobilenet_v2_1.0_224_quant", photo+".in")
		copy(cpu.Input(0), in)
		if err := cpu.Invoke(context.Background()); err != nil {
			t.Fatal(err)
		}
		run := func(d *tpu.Model) []byte {
			out := make([]byte, 2)
			if err := d.Run(context.Background(), [][]byte{in}, [][]byte{out}); err != nil {
				t.Fatal(err)
			}
			return out
		}
		want := slices.Clone(cpu.Output(0))
		for i := range want {
			want[i] ^= 0x80 // from int8 to uint8
		}
		if got := run(logits); !bytes.Equal(got, want) {
			t.Errorf("%s: got logits %v, want %v", photo, got, want)
		}
		if got, want := run(other), run(scores); !bytes.Equal(got, want) {
			t.Errorf("%s: got scores %v, want %v", photo, got, want)
		}
		different[string(want)] = true
	}
	if len(different) < 2 {
		t.Error("all photos have the same logits")
	}
}
