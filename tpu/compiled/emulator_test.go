package compiled

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

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

// An item is a photo to be embedded.
type item struct {
	label, path string
	taught      bool
	number      int // of those of its class that are tested, from 0
}

// photos lists Coral's own three classes, or 5 photos to teach of each of clothing's 10
// classes and at most most others a class to test with.
func photos(t *testing.T, set string, most int) []item {
	t.Helper()
	if set == "images" {
		var all []item
		for _, name := range []string{"cat_train_0", "dog_train_0", "hotdog_train_0", "hotdog_train_1", "cat_test_0", "dog_test_0", "hotdog_test_0"} {
			label, _, _ := strings.Cut(name, "_")
			all = append(all, item{label: label, path: filepath.Join(sharedFolder(), "images", name+".bmp"), taught: strings.Contains(name, "train")})
		}
		return all
	}
	found, _, err := dataset.Walk([]string{filepath.Join(sharedFolder(), "datasets", set)}, "")
	if err != nil {
		t.Skipf("not beside the checkout: %v", err)
	}
	var all []item
	seen := map[string]int{}
	for _, f := range found {
		if n := seen[f.Label]; n < 5+most {
			all = append(all, item{f.Label, f.Path, n < 5, n - 5})
		}
		seen[f.Label]++
	}
	return all
}

// A candidate is a backbone and the template that its heads are written into.
type candidate struct {
	name, template string
	*backbone.Backbone
	most int // photos a class to test with
}

// embed reads every photo once and runs it through every backbone, or not, as many as
// there are of a class.
func embed(t *testing.T, backbones []candidate, items []item) [][]shot {
	t.Helper()
	all := make([][]shot, len(backbones))
	for i := range all {
		all[i] = make([]shot, len(items))
	}
	var group errgroup.Group
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		group.Go(func() error {
			var runners []*backbone.Runner
			for _, b := range backbones {
				r := b.NewRunner(1)
				defer r.Close()
				runners = append(runners, r)
			}
			for i := w; i < len(items); i += workers {
				p, err := dataset.ReadFile(items[i].path, dataset.DefaultLimits())
				if err != nil {
					return err
				}
				for k, b := range backbones {
					if items[i].number >= b.most {
						continue
					}
					r := runners[k]
					if err := dataset.Crop.Resize(r.RGB(), p.Image, b.Width, b.Height); err != nil {
						return err
					}
					s := shot{rgb: bytes.Clone(r.RGB())}
					raw, err := r.Embed(context.Background())
					if err != nil {
						return err
					}
					x := make([]float64, b.Dim())
					b.Dequantize(x, raw)
					s.Example = classifier.Example{Label: items[i].label, Norm: classifier.Normalize(x), Unit: x}
					all[k][i] = s
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
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
func uncompiled(t *testing.T, tmpl *Pair, file []byte, frozen *tflite.Model) *tflite.Model {
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

// What was taught and written into a compiled model is what the device then answers,
// byte for byte as the CPU does, and it is right as often as the head that was written.
func TestTaughtOnTheChip(t *testing.T) {
	const small, large = "mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.5_160_quant"
	backbones := []candidate{
		{name: "Coral's", template: small, most: 95},
		{name: "older compiler", template: "older/" + small, most: 1},
		{name: "Coral's", template: large, most: 30},
		{name: "own backbone", template: small, most: 95},
	}
	sets := []string{"images", "clothing"}
	if testing.Short() {
		backbones, sets = backbones[:1], sets[:1]
	}
	for i := range backbones {
		c := &backbones[i]
		file := builtin.Model()
		if c.name != "own backbone" {
			file = sharedFile(t, "models", c.template+".tflite")
		}
		var err error
		if c.Backbone, err = backbone.Parse(file, backbone.Options{Arithmetic: backbone.EdgeTPU}); err != nil {
			t.Fatal(err)
		}
	}
	for _, set := range sets {
		items := photos(t, set, backbones[0].most)
		embedded := embed(t, backbones, items)
		for k, c := range backbones {
			var taught, tested []shot
			for i, s := range embedded[k] {
				if items[i].taught {
					taught = append(taught, s)
				} else if items[i].number < c.most {
					tested = append(tested, s)
				}
			}
			for _, method := range []classifier.Method{classifier.Mean, classifier.Ridge} {
				t.Run(fmt.Sprint(set, " ", c.name, " ", c.template, " ", method), func(t *testing.T) {
					testTaught(t, c, method, taught, tested)
				})
			}
		}
	}
}

// testTaught writes a head of the taught photos into a template and tests it with
// others, of which a few go through the emulated chip too.
func testTaught(t *testing.T, b candidate, method classifier.Method, taught, tested []shot) {
	compiled, twin := sharedFile(t, "models", b.template+"_edgetpu.tflite"), sharedFile(t, "models", b.template+".tflite")
	chips := 3
	if testing.Short() {
		chips = 1
	}
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
	// Photos between two classes may fall to either side; those taught are so seldom.
	if 50*w.Disagreements > w.Examples {
		t.Errorf("%d of %d taught photos have another winner", w.Disagreements, w.Examples)
	}
	m := uncompiled(t, tmpl, written, b.Model())
	before := m.Subgraphs[0].Operators[len(m.Subgraphs[0].Operators)-1].Inputs[0]
	cpu, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Outputs: []int32{before, m.Subgraphs[0].Outputs[0]}, Arithmetic: backbone.EdgeTPU})
	if err != nil {
		t.Fatal(err)
	}
	layer, in := lastLayer(t, tmpl, written, b.Model())
	bareChip, wholeChip := chip(t, compiled, bare(t, twin), written), chip(t, compiled, twin, written)
	codes := make([]float64, len(h.Labels))
	want := make([]float64, len(h.Labels))
	right, floatRight, differ := 0, 0, 0
	for i, s := range tested {
		for o := range codes {
			codes[o] = layer.code(o, s.Example, in)
		}
		winner := classifier.ArgMax(codes)
		if i < chips {
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
			for o, c := range codes {
				if float64(logits[o]) != c {
					t.Fatalf("photo %d: class %d has the code %d on the chip, and %v of its embedding", i, o, logits[o], c)
				}
			}
			// The head's classes are above all rows without one.
			if top := slices.Max(logits[:len(h.Labels)]); top <= slices.Max(logits[len(h.Labels):]) {
				t.Errorf("photo %d: the best class has code %d, no more than a row without a class", i, top)
			}
			if err := wholeChip.Run(context.Background(), [][]byte{s.rgb}, [][]byte{scores}); err != nil {
				t.Fatal(err)
			}
			if got := best(scores); got != best(cpu.Output(1)) || got != winner {
				t.Errorf("photo %d: the winner is %d on the chip, %d on the CPU, %d of its embedding", i, got, best(cpu.Output(1)), winner)
			}
		}
		h.Logits(want, s.Unit)
		if h.Labels[classifier.ArgMax(want)] == s.Label {
			floatRight++
		}
		if h.Labels[winner] == s.Label {
			right++
		}
		if winner != classifier.ArgMax(want) {
			differ++
		}
	}
	n := float64(len(tested))
	t.Logf("%d photos: the chip is right on %.2f %%, the float head on %.2f %%, another winner on %.2f %%; logits times %.3g",
		len(tested), 100*float64(right)/n, 100*float64(floatRight)/n, 100*float64(differ)/n, w.LogitScale)
	if float64(floatRight-right) > max(0.005*n, 1) {
		t.Errorf("the chip is right on %d photos of %d, the float head on %d", right, len(tested), floatRight)
	}
}

// lastLayer reads the last layer of a written file as the chip has it, and the numerics
// of what it reads.
func lastLayer(t *testing.T, tmpl *Pair, file []byte, frozen *tflite.Model) (*change, numerics) {
	t.Helper()
	at := tmpl.last()
	l := &tmpl.layers[at]
	in, err := tmpl.embedding(frozen, at)
	if err != nil {
		t.Fatal(err)
	}
	_, f, stage, err := tmpl.lastLayer(file)
	if err != nil {
		t.Fatal(err)
	}
	if f.Multipliers == nil {
		f.Zeros = []byte{stage.WeightZero}
	}
	return &change{placed: l, filter: f, stage: stage}, in
}

// best is the place of the first of the largest codes.
func best(codes []byte) int { return slices.Index(codes, slices.Max(codes)) }
