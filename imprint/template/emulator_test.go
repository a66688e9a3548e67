package template

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

func sharedFile(t testing.TB, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{sharedFolder()}, parts...)...))
	if err != nil {
		t.Skipf("not beside the checkout: %v", err)
	}
	return b
}

// A shot is a photo with its label, as a model takes it and embedded.
type shot struct {
	rgb []byte
	classifier.Example
}

// embed reads a photo and runs it through b.
func embed(t *testing.T, b *backbone.Backbone, r *backbone.Runner, label, path string) shot {
	t.Helper()
	p, err := dataset.ReadFile(path, dataset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if err := dataset.Crop.Resize(r.RGB(), p.Image, b.Width, b.Height); err != nil {
		t.Fatal(err)
	}
	s := shot{rgb: bytes.Clone(r.RGB())}
	raw, err := r.Embed(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, b.Dim())
	b.Dequantize(x, raw)
	norm := classifier.Unit(x)
	s.Example = classifier.Example{Label: label, Unit: x, Norm: norm}
	return s
}

// photos gives the photos to teach and those to test with: Coral's own three classes,
// or clothing with 5 photos taught of each of 10 classes and most others a class tested.
func photos(t *testing.T, b *backbone.Backbone, set string, most int) (taught, tested []shot) {
	t.Helper()
	r := b.NewRunner(1)
	defer r.Close()
	if set == "images" {
		for _, p := range []struct {
			label, file string
			test        bool
		}{
			{"cat", "cat_train_0.bmp", false}, {"dog", "dog_train_0.bmp", false}, {"hotdog", "hotdog_train_0.bmp", false}, {"hotdog", "hotdog_train_1.bmp", false},
			{"cat", "cat_test_0.bmp", true}, {"dog", "dog_test_0.bmp", true}, {"hotdog", "hotdog_test_0.bmp", true},
		} {
			s := embed(t, b, r, p.label, filepath.Join(sharedFolder(), "images", p.file))
			if p.test {
				tested = append(tested, s)
			} else {
				taught = append(taught, s)
			}
		}
		return taught, tested
	}
	folder := filepath.Join(sharedFolder(), "datasets", set)
	items, _, err := dataset.Walk([]string{folder}, "")
	if err != nil {
		t.Skipf("not beside the checkout: %v", err)
	}
	seen := map[string]int{}
	for _, it := range items {
		seen[it.Label]++
		if n := seen[it.Label]; n <= 5 {
			taught = append(taught, embed(t, b, r, it.Label, it.Path))
		} else if n <= 5+most {
			tested = append(tested, embed(t, b, r, it.Label, it.Path))
		}
	}
	return taught, tested
}

func examples(shots []shot) []classifier.Example {
	var all []classifier.Example
	for _, s := range shots {
		all = append(all, s.Example)
	}
	return all
}

// bare is a twin that ends in the tensor before SOFTMAX, moved into the output's place:
// what the emulator computes of the twin it is registered with shows that tensor.
func bare(t *testing.T, twin []byte) []byte {
	t.Helper()
	m, err := tflite.Parse(twin)
	if err != nil {
		t.Fatal(err)
	}
	g := &m.Subgraphs[0]
	op := &g.Operators[len(g.Operators)-1]
	if m.OperatorCodes[op.Opcode].Builtin != tflite.OpSoftmax {
		t.Fatal("it does not end in SOFTMAX")
	}
	op.Opcode = m.OperatorCode(tflite.OpReshape, "", 1)
	out := &g.Tensors[op.Outputs[0]]
	op.Options = tflite.ReshapeOptions{NewShape: out.Shape}.Options()
	out.Quantization = g.Tensors[op.Inputs[0]].Quantization
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// uncompiled is the model that a written file would have been compiled from.
func uncompiled(t *testing.T, tmpl *Template, file []byte, frozen *tflite.Model) *tflite.Model {
	t.Helper()
	l := &tmpl.layers[tmpl.last()]
	p := program(t, file)
	stage := p.Main.Stage(l.stages[0])
	for _, at := range l.stages {
		if p.Main.Stage(at) != stage {
			t.Fatal("the tiles of the last layer have different constants")
		}
	}
	m, _, err := tmpl.Uncompiled(file, frozen)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// chip is an emulated device that knows the template, not what was written into it.
func chip(t *testing.T, compiled, twin, file []byte) *tpu.Model {
	t.Helper()
	d := emulator.New(emulator.Config{Application: true, Log: t.Logf})
	if err := d.Register(compiled, twin); err != nil {
		t.Fatal(err)
	}
	opened, err := tpu.Open(context.Background(), emulator.NewBus(d), tpu.Port{}, tpu.Options{Settle: -1, Timeout: 1 << 36})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	m, err := opened.Load(context.Background(), program(t, file))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What was taught and written into a compiled model is what the device then answers.
func TestTaughtOnTheChip(t *testing.T) {
	tests := []struct {
		name, template string
		builtin        bool
		set            string
		most           int // photos a class
	}{
		{"Coral's photos", "mobilenet_v1_0.25_128_quant", false, "images", 0},
		{"Coral's photos", "mobilenet_v1_0.5_160_quant", false, "images", 0},
		{"clothing", "mobilenet_v1_0.25_128_quant", false, "clothing", 20},
		{"clothing, older compiler", "older/mobilenet_v1_0.25_128_quant", false, "clothing", 3},
		{"clothing", "mobilenet_v1_0.5_160_quant", false, "clothing", 10},
		{"clothing, own backbone", "mobilenet_v1_0.25_128_quant", true, "clothing", 20},
	}
	for _, test := range tests {
		for _, method := range []classifier.Method{classifier.Mean, classifier.Ridge} {
			t.Run(test.name+" "+test.template+" "+string(method), func(t *testing.T) {
				compiled := sharedFile(t, "models", test.template+"_edgetpu.tflite")
				twin := sharedFile(t, "models", test.template+".tflite")
				file := twin
				if test.builtin {
					file = builtin.Model()
				}
				b, err := backbone.Parse(file, backbone.Options{Arithmetic: backbone.EdgeTPU})
				if err != nil {
					t.Fatal(err)
				}
				most := test.most
				if testing.Short() {
					most = min(most, 1)
				}
				taught, tested := photos(t, b, test.set, most)
				fitted, err := classifier.Fit(examples(taught), method, false)
				if err != nil {
					t.Fatal(err)
				}
				h := fitted.Head
				tmpl, err := Open(compiled, twin)
				if err != nil {
					t.Fatal(err)
				}
				written, w, err := tmpl.WriteHead(h, examples(taught), b.Model())
				if err != nil {
					t.Fatal(err)
				}
				if w.Differ != 0 {
					t.Errorf("%d of %d taught photos have another winner", w.Differ, w.Examples)
				}
				m := uncompiled(t, tmpl, written, b.Model())
				before := m.Subgraphs[0].Operators[len(m.Subgraphs[0].Operators)-1].Inputs[0]
				cpu, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Outputs: []int32{before, m.Subgraphs[0].Outputs[0]}, Arithmetic: backbone.EdgeTPU})
				if err != nil {
					t.Fatal(err)
				}
				bareChip, wholeChip := chip(t, compiled, bare(t, twin), written), chip(t, compiled, twin, written)
				want := make([]float64, len(h.Labels))
				right, floatRight, differ := 0, 0, 0
				for i, s := range tested {
					copy(cpu.Input(0), s.rgb)
					if err := cpu.Invoke(context.Background()); err != nil {
						t.Fatal(err)
					}
					logits, scores := make([]byte, len(cpu.Output(0))), make([]byte, len(cpu.Output(1)))
					if err := bareChip.Run(context.Background(), [][]byte{s.rgb}, [][]byte{logits}); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(logits, cpu.Output(0)) {
						t.Fatalf("photo %d: the chip's logits are not the CPU's", i)
					}
					// The head's classes are above all rows without one.
					if top := slices.Max(logits[:len(h.Labels)]); top <= slices.Max(logits[len(h.Labels):]) {
						t.Errorf("photo %d: the best class has code %d, no more than a row without a class", i, top)
					}
					if err := wholeChip.Run(context.Background(), [][]byte{s.rgb}, [][]byte{scores}); err != nil {
						t.Fatal(err)
					}
					winner := best(scores)
					if winner != best(cpu.Output(1)) {
						t.Errorf("photo %d: the winner is %d on the chip, %d on the CPU", i, winner, best(cpu.Output(1)))
					}
					h.Logits(want, s.Unit)
					if h.Labels[classifier.Best(want)] == s.Label {
						floatRight++
					}
					if winner < len(h.Labels) && h.Labels[winner] == s.Label {
						right++
					}
					if winner != classifier.Best(want) {
						differ++
					}
				}
				n := float64(len(tested))
				t.Logf("%d photos: the chip is right on %.2f %%, the float head on %.2f %%, another winner on %.2f %%; logits times %.3g",
					len(tested), 100*float64(right)/n, 100*float64(floatRight)/n, 100*float64(differ)/n, w.Sharpened)
				if float64(floatRight-right) > max(0.005*n, 1) {
					t.Errorf("the chip is right on %d photos of %d, the float head on %d", right, len(tested), floatRight)
				}
			})
		}
	}
}

// best is the place of the first of the largest codes.
func best(codes []byte) int { return slices.Index(codes, slices.Max(codes)) }
