package compiled

import (
	"bytes"
	"context"
	"fmt"
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
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

// A photo is a test photo with its label and embedding, and the model input made from it.
type photo struct {
	path    string
	support bool // the photo is used for training
	query   int  // index among the query photos of the class
	rgb     []byte
	classifier.Example
}

// photos lists the photos of a set. The set is "images", with Coral's own three classes, or the
// clothing set, with ten classes. In the clothing set, each class has 5 support photos and at most
// queries query photos.
func photos(t *testing.T, set string, queries int) []photo {
	t.Helper()
	var all []photo
	if set == "images" {
		for _, name := range []string{"cat_train_0", "dog_train_0", "hotdog_train_0", "hotdog_train_1", "cat_test_0", "dog_test_0", "hotdog_test_0"} {
			label, _, _ := strings.Cut(name, "_")
			all = append(all, photo{path: reference.Path(t, "images", name+".bmp"), support: strings.Contains(name, "train"), Example: classifier.Example{Label: label}})
		}
		return all
	}
	found, _, err := dataset.Walk([]string{reference.Path(t, "datasets", set)}, "")
	if err != nil {
		t.Skipf("not next to the checkout: %v", err)
	}
	seen := map[string]int{}
	for _, f := range found {
		if n := seen[f.Label]; n < 5+queries {
			all = append(all, photo{path: f.Path, support: n < 5, query: n - 5, Example: classifier.Example{Label: f.Label}})
		}
		seen[f.Label]++
	}
	return all
}

// A setup is a backbone and the compiled model that its last layers are written into.
type setup struct {
	name, model string
	*backbone.Backbone
	queries int // query photos per class
}

// embed returns, for each setup, the photos with the backbone's inputs and embeddings. It decodes
// each photo once.
func embed(t *testing.T, setups []setup, photos []photo) [][]photo {
	t.Helper()
	all := make([][]photo, len(setups))
	for i := range all {
		all[i] = slices.Clone(photos)
	}
	var group errgroup.Group
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		group.Go(func() error {
			var runners []*backbone.Runner
			for _, s := range setups {
				r := s.NewRunner(1)
				defer r.Close()
				runners = append(runners, r)
			}
			for i := w; i < len(photos); i += workers {
				file, err := dataset.ReadFile(photos[i].path, dataset.DefaultLimits())
				if err != nil {
					return err
				}
				for k, s := range setups {
					if photos[i].query >= s.queries {
						continue
					}
					r, p := runners[k], &all[k][i]
					if err := dataset.Crop.Resize(r.RGB(), file.Image, s.Width, s.Height); err != nil {
						return err
					}
					p.rgb = bytes.Clone(r.RGB())
					raw, err := r.Embed(context.Background())
					if err != nil {
						return err
					}
					p.Unit = make([]float64, s.Dim())
					s.Dequantize(p.Unit, raw)
					p.Norm = classifier.Normalize(p.Unit)
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

// withoutSoftmax returns a copy of uncompiled with RESHAPE in place of SOFTMAX. An emulated device
// that knows this model outputs logits, as unsigned codes.
func withoutSoftmax(t *testing.T, uncompiled []byte) []byte {
	t.Helper()
	m, err := tflite.Parse(uncompiled)
	if err != nil {
		t.Fatal(err)
	}
	g := &m.Subgraphs[0]
	last := len(g.Operators) - 1
	requantized := m.OperatorCodes[g.Operators[last].Opcode].Builtin == tflite.OpQuantize
	if requantized {
		last--
	}
	op := &g.Operators[last]
	if m.OperatorCodes[op.Opcode].Builtin != tflite.OpSoftmax {
		t.Fatal("the model does not end in SOFTMAX")
	}
	op.Opcode = m.OperatorCode(tflite.OpReshape, "", 1)
	out := &g.Tensors[op.Outputs[0]]
	op.Options = tflite.ReshapeOptions{NewShape: out.Shape}.Options()
	out.Quantization = g.Tensors[op.Inputs[0]].Quantization
	if requantized { // from int8 to uint8
		q := *out.Quantization
		q.ZeroPoint = []int64{q.ZeroPoint[0] + 128}
		g.Tensors[g.Outputs[0]].Quantization = &q
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// device loads file on an emulated Edge TPU that knows the pair of models, but not the layers
// written into the file.
func device(t *testing.T, compiled, uncompiled, file []byte) *tpu.Model {
	t.Helper()
	d := emulator.New(emulator.Config{Application: true, Log: t.Logf})
	if err := d.Register(compiled, uncompiled); err != nil {
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

// TestTrained trains heads and writes them into compiled models. The emulated device must compute
// the same bytes as the CPU and be as accurate as the float head.
func TestTrained(t *testing.T) {
	const small, large = "mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.5_160_quant"
	setups := []setup{
		{name: "Coral's", model: small, queries: 95},
		{name: "older compiler", model: "older/" + small, queries: 1},
		{name: "Coral's", model: large, queries: 30},
		{name: "built-in backbone", model: small, queries: 95},
	}
	sets := []string{"images", "clothing"}
	if testing.Short() {
		setups, sets = setups[:1], sets[:1]
	}
	for i := range setups {
		s := &setups[i]
		file := builtin.Model()
		if s.name != "built-in backbone" {
			file = reference.Read(t, "models", s.model+".tflite")
		}
		var err error
		if s.Backbone, err = backbone.Parse(file, backbone.Options{Arithmetic: backbone.EdgeTPU}); err != nil {
			t.Fatal(err)
		}
	}
	for _, set := range sets {
		embedded := embed(t, setups, photos(t, set, setups[0].queries))
		for k, s := range setups {
			var support, query []photo
			for _, p := range embedded[k] {
				if p.support {
					support = append(support, p)
				} else if p.query < s.queries {
					query = append(query, p)
				}
			}
			for _, method := range []classifier.Method{classifier.Mean, classifier.Ridge} {
				t.Run(fmt.Sprint(set, " ", s.name, " ", s.model, " ", method), func(t *testing.T) {
					testTrained(t, s, method, support, query)
				})
			}
		}
	}
}

// testTrained trains a head on the support photos, writes it into a compiled model and tests it
// with the query photos. It also runs a few of them on the emulated device.
func testTrained(t *testing.T, s setup, method classifier.Method, support, query []photo) {
	h := train(t, support, method)
	pair := openPair(t, s.model)
	layer, embeddings := lastLayerOf(h), embeddingsOf(support)
	file, w, err := pair.WriteLastLayer(layer, embeddings, s.Model())
	if err != nil {
		t.Fatal(err)
	}
	if 50*w.Disagreements > w.Embeddings { // predictions of ambiguous photos may change, but few support photos are ambiguous
		t.Errorf("predictions change for %d of %d support photos", w.Disagreements, w.Embeddings)
	}
	c, in := writtenLast(t, pair, file, s.Model())
	devices := 3
	if testing.Short() {
		devices = 1
	}
	compare := newComparison(t, s, pair, file, len(h.Labels))
	codes, logits := make([]float64, len(h.Labels)), make([]float64, len(h.Labels))
	correct, floatCorrect, changed := 0, 0, 0
	for i, p := range query {
		for o := range codes {
			codes[o] = c.code(o, Embedding{p.Unit, p.Norm}, in)
		}
		if i < devices {
			compare.photo(t, i, p, codes)
		}
		h.Logits(logits, p.Unit)
		if h.Labels[best(logits)] == p.Label {
			floatCorrect++
		}
		if h.Labels[best(codes)] == p.Label {
			correct++
		}
		if best(codes) != best(logits) {
			changed++
		}
	}
	n := float64(len(query))
	t.Logf("%d photos: accuracy %.2f %%, float head %.2f %%; %.2f %% of predictions change; logit scale %.3g",
		len(query), 100*float64(correct)/n, 100*float64(floatCorrect)/n, 100*float64(changed)/n, w.LogitScale)
	if float64(floatCorrect-correct) > max(0.005*n, 1) {
		t.Errorf("%d of %d photos are classified correctly, %d by the float head", correct, len(query), floatCorrect)
	}
}

// A comparison runs photos on the CPU and on two emulated devices. One of the devices outputs
// logits.
type comparison struct {
	cpu            *backbone.Interpreter
	logits, scores *tpu.Model
	classes        int
}

func newComparison(t *testing.T, s setup, pair *Pair, file []byte, classes int) *comparison {
	t.Helper()
	compiled, uncompiled := reference.Read(t, "models", s.model+"_edgetpu.tflite"), reference.Read(t, "models", s.model+".tflite")
	m, _, err := pair.Uncompiled(file, s.Model())
	if err != nil {
		t.Fatal(err)
	}
	stages, p := pair.layers[pair.last()].stages, program(t, file)
	for _, at := range stages {
		if p.Main.Stage(at) != p.Main.Stage(stages[0]) {
			t.Fatal("the tiles of the last layer have different constants")
		}
	}
	g := &m.Subgraphs[0]
	logits := g.Operators[len(g.Operators)-1].Inputs[0]
	cpu, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Outputs: []int32{logits, g.Outputs[0]}, Arithmetic: backbone.EdgeTPU})
	if err != nil {
		t.Fatal(err)
	}
	return &comparison{cpu: cpu, logits: device(t, compiled, withoutSoftmax(t, uncompiled), file), scores: device(t, compiled, uncompiled, file), classes: classes}
}

// photo runs photo i and compares the logits and predictions of the CPU and the devices. It also
// compares them with codes, which were computed from the photo's embedding.
func (c *comparison) photo(t *testing.T, i int, p photo, codes []float64) {
	t.Helper()
	copy(c.cpu.Input(0), p.rgb)
	if err := c.cpu.Invoke(context.Background()); err != nil {
		t.Fatal(err)
	}
	logits, scores := make([]byte, len(c.cpu.Output(0))), make([]byte, len(c.cpu.Output(1)))
	if err := c.logits.Run(context.Background(), [][]byte{p.rgb}, [][]byte{logits}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(logits, c.cpu.Output(0)) {
		t.Fatalf("photo %d: the logits differ between device and CPU", i)
	}
	for o, code := range codes {
		if float64(logits[o]) != code {
			t.Fatalf("photo %d: class %d has code %d on the device, %v computed from the embedding", i, o, logits[o], code)
		}
	}
	if top := slices.Max(logits[:c.classes]); top <= slices.Max(logits[c.classes:]) {
		t.Errorf("photo %d: the best class has code %d, not above the code of a spare row", i, top)
	}
	if err := c.scores.Run(context.Background(), [][]byte{p.rgb}, [][]byte{scores}); err != nil {
		t.Fatal(err)
	}
	if got := bestCode(scores); got != bestCode(c.cpu.Output(1)) || got != best(codes) {
		t.Errorf("photo %d: the device predicts class %d, the CPU %d, the embedding %d", i, got, bestCode(c.cpu.Output(1)), best(codes))
	}
}

// train returns a head trained on the support photos.
func train(t *testing.T, support []photo, method classifier.Method) *classifier.Head {
	t.Helper()
	var examples []classifier.Example
	for _, p := range support {
		examples = append(examples, p.Example)
	}
	fitted, err := classifier.Fit(examples, method, false)
	if err != nil {
		t.Fatal(err)
	}
	return fitted.Head
}

func lastLayerOf(h *classifier.Head) *LastLayer {
	return &LastLayer{Labels: h.Labels, Inputs: h.Dim, Weights: h.Weights, Bias: h.Bias}
}

func embeddingsOf(photos []photo) []Embedding {
	var all []Embedding
	for _, p := range photos {
		all = append(all, Embedding{p.Unit, p.Norm})
	}
	return all
}

// writtenLast returns the last layer of a written file as codes, and the quantization of the
// layer's input.
func writtenLast(t *testing.T, p *Pair, file []byte, frozen *tflite.Model) (*change, quantization) {
	t.Helper()
	at := p.last()
	in, err := p.embedding(frozen, at)
	if err != nil {
		t.Fatal(err)
	}
	_, f, stage, err := p.readLast(file)
	if err != nil {
		t.Fatal(err)
	}
	if f.Multipliers == nil {
		f.Zeros = []byte{stage.WeightZero}
	}
	return &change{placed: &p.layers[at], filter: f, stage: stage}, in
}

// bestCode returns the index of the first of the largest codes.
func bestCode(codes []byte) int { return slices.Index(codes, slices.Max(codes)) }
