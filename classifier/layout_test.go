package classifier_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/reference"
)

// taught embeds photos of kinds with b and returns the examples.
func taught(t testing.TB, b *backbone.Backbone, kinds, photos int) []classifier.Example {
	t.Helper()
	r := b.NewRunner(1)
	defer r.Close()
	var examples []classifier.Example
	for kind := range kinds {
		for n := range photos {
			p, err := dataset.Decode(backbonetest.Photo(uint64(kind), uint64(n)), dataset.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			examples = append(examples, example(t, b, r, p, dataset.Squash, string(rune('a'+kind))))
		}
	}
	return examples
}

// example embeds a photo as an example of label.
func example(t testing.TB, b *backbone.Backbone, r *backbone.Runner, p *dataset.Photo, fit dataset.Resize, label string) classifier.Example {
	t.Helper()
	if err := fit.Resize(r.RGB(), p.Image, b.Width, b.Height); err != nil {
		t.Fatal(err)
	}
	raw, err := r.Embed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, b.Dim())
	b.Dequantize(x, raw)
	norm := classifier.Unit(x)
	return classifier.Example{Label: label, Unit: x, Norm: norm}
}

func parse(t testing.TB, model []byte) *backbone.Backbone {
	t.Helper()
	b, err := backbone.Parse(model, backbone.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sums(t testing.TB, examples []classifier.Example) *classifier.Sums {
	t.Helper()
	s := new(classifier.Sums)
	for _, e := range examples {
		if err := s.Add(e.Label, e.Unit); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// appended writes head behind the model and returns the file, read back.
func appended(t testing.TB, model []byte, b *backbone.Backbone, head *classifier.Head, layout classifier.Layout, norms []float64) *tflite.Model {
	t.Helper()
	m, err := tflite.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	if err := head.Append(m, b.Embedding.Index, layout, norms); err != nil {
		t.Fatal(err)
	}
	if err := m.SetLabels(head.Labels); err != nil {
		t.Fatal(err)
	}
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if m, err = tflite.Parse(file); err != nil {
		t.Fatal(err)
	}
	return m
}

func run(t testing.TB, m *tflite.Model, photo []byte) []byte {
	t.Helper()
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p, err := dataset.Decode(photo, dataset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if err := dataset.Squash.Resize(in.Input(0), p.Image, backbonetest.Size, backbonetest.Size); err != nil {
		t.Fatal(err)
	}
	if err := in.Invoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(in.Output(0))
}

// What the written model says of photos is what the head says of their embeddings.
func TestWrittenModelAgreesWithHead(t *testing.T) {
	const kinds, shots = 5, 4
	for name, model := range map[string][]byte{"extractor": backbonetest.Extractor(), "classifier": backbonetest.Classifier(9)} {
		b := parse(t, model)
		all := taught(t, b, kinds, 12)
		var teach []classifier.Example
		for i, e := range all {
			if i%12 < shots {
				teach = append(teach, e)
			}
		}
		s := sums(t, teach)
		head, err := s.Mean()
		if err != nil {
			t.Fatal(err)
		}
		float := appended(t, model, b, head, classifier.Float, nil)
		coral := appended(t, model, b, head, classifier.Coral, nil)
		fitted, err := classifier.Fit(teach, classifier.LDA, true)
		if err != nil {
			t.Fatal(err)
		}
		fitted.Head.Root = true // the weights are as good as any
		root := appended(t, model, b, fitted.Head, classifier.Float, nil)
		want := make([]float64, kinds)
		clear := 0
		for i, e := range all {
			head.Logits(want, e.Unit)
			winner := classifier.Best(want)
			sorted := slices.Sorted(slices.Values(want))
			margin := sorted[kinds-1] - sorted[kinds-2]
			classifier.Scores(want)
			photo := backbonetest.Photo(uint64(i/12), uint64(i%12))
			got := run(t, float, photo)
			for c, w := range want {
				if g := float64(math.Float32frombits(binary.LittleEndian.Uint32(got[4*c:]))); math.Abs(g-w) > 1e-5 {
					t.Errorf("%s, photo %d, class %d: float layout scores %v, head %v", name, i, c, g, w)
				}
			}
			rooted := make([]float64, kinds)
			fitted.Head.Logits(rooted, e.Unit)
			classifier.Scores(rooted)
			got = run(t, root, photo)
			for c, w := range rooted {
				if g := float64(math.Float32frombits(binary.LittleEndian.Uint32(got[4*c:]))); math.Abs(g-w) > 1e-5 {
					t.Errorf("%s, photo %d, class %d: on square roots the float layout scores %v, head %v", name, i, c, g, w)
				}
			}
			// Rounding the unit vector to 1/128 moves a cosine by up to about 0.01.
			if margin < 0.02*classifier.MeanScale {
				continue
			}
			clear++
			if got := run(t, coral, photo); got[winner] != slices.Max(got) {
				t.Errorf("%s, photo %d: the coral layout scores %v, the head names %d with a margin of %v", name, i, got, winner, margin)
			}
		}
		if clear < 20 {
			t.Errorf("%s: only %d photos are clear", name, clear)
		}
		// The frozen part is what it was.
		in, _ := tflite.Parse(model)
		for _, layout := range []*tflite.Model{float, coral} {
			for i, op := range layout.Subgraphs[0].Operators[:4] {
				for j, tensor := range op.Inputs {
					if !bytes.Equal(layout.TensorBytes(0, tensor), in.TensorBytes(0, in.Subgraphs[0].Operators[i].Inputs[j])) {
						t.Errorf("%s: input %d of operator %d has changed", name, j, i)
					}
				}
			}
		}
	}
}

func randomHead(classes, dim int, negative bool) *classifier.Head {
	r := rand.New(rand.NewPCG(uint64(classes), uint64(dim)))
	h := &classifier.Head{Dim: dim}
	for c := range classes {
		h.Labels = append(h.Labels, string(rune('a'+c)))
		for range dim {
			w := float32(r.NormFloat64())
			if !negative && w < 0 {
				w = -w
			}
			h.Weights = append(h.Weights, w)
		}
		h.Bias = append(h.Bias, float32(r.NormFloat64()))
	}
	return h
}

// Reading gives the head that was written: float exactly, coral to half a step.
func TestReadBack(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	for _, negative := range []bool{false, true} {
		head := randomHead(6, b.Dim(), negative)
		head.Root = true
		if got, _, err := classifier.Read(appended(t, model, b, head, classifier.Float, nil)); err != nil || !got.Root || !slices.Equal(got.Weights, head.Weights) {
			t.Errorf("on square roots: got %+v, error %v", got, err)
		}
		head.Root = false
		got, layout, err := classifier.Read(appended(t, model, b, head, classifier.Float, nil))
		if err != nil || layout != classifier.Float {
			t.Fatalf("layout %q, error %v", layout, err)
		}
		if !slices.Equal(got.Weights, head.Weights) || !slices.Equal(got.Bias, head.Bias) || !slices.Equal(got.Labels, head.Labels) {
			t.Errorf("the float head has changed")
		}

		m := appended(t, model, b, head, classifier.Coral, nil)
		got, layout, err = classifier.Read(m)
		if err != nil || layout != classifier.Coral {
			t.Fatalf("layout %q, error %v", layout, err)
		}
		span := float64(slices.Max(head.Weights) - min(slices.Min(head.Weights), 0))
		for i, w := range head.Weights {
			if d := math.Abs(float64(got.Weights[i] - w)); d > 1.25*span/254/2*1.01 {
				t.Errorf("weight %d: %v became %v", i, w, got.Weights[i])
			}
		}
		for i, w := range head.Bias {
			if d := math.Abs(float64(got.Bias[i] - w)); d > 1e-3 {
				t.Errorf("bias %d: %v became %v", i, w, got.Bias[i])
			}
		}
	}
	m, err := tflite.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := classifier.Read(m); !errors.Is(err, classifier.ErrNoHead) {
		t.Errorf("a model without a head: got %v, want %v", err, classifier.ErrNoHead)
	}
}

// No stored weight and no possible logit is beyond the range of its quantisation.
func TestCoralNeverClips(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	for _, negative := range []bool{false, true} {
		head := randomHead(6, b.Dim(), negative)
		m := appended(t, model, b, head, classifier.Coral, nil)
		g := &m.Subgraphs[0]
		conv := g.Operators[len(g.Operators)-4]
		w := m.TensorBytes(0, conv.Inputs[1])
		if lo, hi := slices.Min(w), slices.Max(w); lo == 0 && negative || hi == 255 {
			t.Errorf("weights are stored as %d…%d", lo, hi)
		}
		// The largest and smallest logits belong to unit vectors along the rows.
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
					x[i] = max(sign*float64(v), 0) // this backbone's embedding is not negative
				}
				if classifier.Unit(x) == 0 {
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

// The rules by which libcoral's ImprintingEngine takes a model and continues it
// (coral/learn/imprinting_engine.cc, ValidateImprintingModel, LoadExistingClasses
// and ParseTrainingMetadata).
func TestCoralEngineContinues(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	examples := taught(t, b, 3, 4)
	s := sums(t, examples)
	head, err := s.Mean()
	if err != nil {
		t.Fatal(err)
	}
	norms := []float64{s.Norm("a"), 0, s.Norm("c")} // b as a class not to be changed
	m := appended(t, model, b, head, classifier.Coral, norms)
	g := &m.Subgraphs[0]
	n := len(g.Operators)
	var kinds []tflite.BuiltinOperator
	for _, op := range g.Operators {
		kinds = append(kinds, m.OperatorCodes[op.Opcode].Builtin)
	}
	want := []tflite.BuiltinOperator{tflite.OpL2Normalization, tflite.OpConv2D, tflite.OpMul, tflite.OpReshape, tflite.OpSoftmax}
	if !slices.Equal(kinds[n-5:], want) || slices.Contains(kinds[:n-5], tflite.OpL2Normalization) {
		t.Fatalf("operators %v do not end in the only %v", kinds, want)
	}
	conv := g.Operators[n-4]
	if got := g.Tensors[g.Operators[n-5].Outputs[0]].Shape; !slices.Equal(got, []int32{1, 1, 1, backbonetest.Dim}) {
		t.Errorf("the embedding has shape %v", got)
	}
	if z := g.Tensors[conv.Inputs[2]].Quantization.ZeroPoint[0]; z != 0 {
		t.Errorf("the bias has zero point %d", z)
	}
	out := g.Operators[n-1].Outputs[0]
	if got := g.Tensors[out].Shape; !slices.Equal(got, []int32{1, 3}) || !slices.Equal(g.Outputs, []int32{out}) {
		t.Errorf("output %v has shape %v", g.Outputs, got)
	}
	// The engine multiplies the dequantised row by the number in the description and
	// has the sum of the class's unit embeddings again.
	if got := classifier.Norms(m.Description, 3); math.Abs(got[0]-norms[0]) > 1e-5 || got[1] != 0 || math.Abs(got[2]-norms[2]) > 1e-5 {
		t.Errorf("description %q gives %v, want %v", m.Description, got, norms)
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
				t.Errorf("class %s, value %d: the engine takes %v, the sum is %v", label, i, got, v)
			}
		}
	}
}

func TestNorms(t *testing.T) {
	for _, tt := range []struct {
		description string
		want        []float64
	}{
		{"", []float64{0, 0, 0}},
		{"0 1.500000\n2 2.250000\n", []float64{1.5, 0, 2.25}},
		{"7 1.0\n-1 2.0\n1 3\n", []float64{0, 3, 0}},
		{"0 1.5\nMLIR Converted.", []float64{0, 0, 0}},
	} {
		if got := classifier.Norms(tt.description, 3); !slices.Equal(got, tt.want) {
			t.Errorf("Norms(%q) = %v, want %v", tt.description, got, tt.want)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	model := backbonetest.Extractor()
	b := parse(t, model)
	good := randomHead(2, b.Dim(), true)
	for _, tt := range []struct {
		name      string
		head      *classifier.Head
		embedding int32
		layout    classifier.Layout
	}{
		{"another dimension", randomHead(2, b.Dim()+1, true), b.Embedding.Index, classifier.Float},
		{"no classes", &classifier.Head{Dim: b.Dim()}, b.Embedding.Index, classifier.Float},
		{"no such tensor", good, 1000, classifier.Float},
		{"no such layout", good, b.Embedding.Index, "tpu9"},
		{"all weights zero", &classifier.Head{Labels: []string{"a"}, Dim: b.Dim(), Weights: make([]float32, b.Dim()), Bias: []float32{0}}, b.Embedding.Index, classifier.Coral},
		{"not a number", &classifier.Head{Labels: []string{"a"}, Dim: 1, Weights: []float32{float32(math.NaN())}, Bias: []float32{0}}, b.Embedding.Index, classifier.Float},
	} {
		m, err := tflite.Parse(model)
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.head.Append(m, tt.embedding, tt.layout, nil); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

// Three kinds are taught beside the model's own classes.
func TestKeep(t *testing.T) {
	model := backbonetest.Classifier(9)
	b := parse(t, model)
	labels, err := b.Model().Labels()
	if err != nil {
		t.Fatal(err)
	}
	base, err := classifier.LastLayer(b.Model(), b.LastLayer, labels)
	if err != nil {
		t.Fatal(err)
	}
	examples := taught(t, b, 3, 4)
	head, err := sums(t, examples).Keep(base, examples)
	if err != nil {
		t.Fatal(err)
	}
	if want := append(slices.Clone(labels), "a", "b", "c"); !slices.Equal(head.Labels, want) {
		t.Errorf("labels %q, want %q", head.Labels, want)
	}
	logits, own := make([]float64, len(head.Labels)), make([]float64, len(labels))
	for _, e := range examples {
		head.Logits(logits, e.Unit)
		if got := head.Labels[classifier.Best(logits)]; got != e.Label {
			t.Errorf("a taught photo of %s is named %s", e.Label, got)
		}
		// Among the model's own classes the order is the model's own.
		raw := make([]float64, len(e.Unit))
		for i, v := range e.Unit {
			raw[i] = v * e.Norm
		}
		base.Logits(own, raw)
		if a, b := classifier.Best(own), classifier.Best(logits[:len(labels)]); a != b && own[a]-own[b] > 0.1 {
			t.Errorf("of its own classes the model names %d, the new head %d", a, b)
		}
	}
	if _, err := sums(t, examples).Keep(randomHead(2, 5, true), examples); !errors.Is(err, classifier.ErrShape) {
		t.Errorf("base of another dimension: got %v, want %v", err, classifier.ErrShape)
	}
	if _, err := classifier.LastLayer(b.Model(), 0, labels); err == nil {
		t.Error("a 3×3 convolution was taken for the last layer")
	}
}

// Coral's 1001 classes kept beside cat, dog and hot dog: what the base model is sure
// of stays with it.
func TestKeepImageNet(t *testing.T) {
	model := join(t, reference.Path(t, "models", "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"),
		reference.Path(t, "models", "mobilenet_quant_v1_224_head_layers.tflite"))
	b := parse(t, model)
	if b.LastLayer < 0 || b.Dim() != 1024 {
		t.Fatalf("last layer %d, %d values", b.LastLayer, b.Dim())
	}
	r := b.NewRunner(1)
	defer r.Close()
	see := func(name, label string) classifier.Example {
		p, err := dataset.ReadFile(reference.Path(t, "images", name), dataset.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		return example(t, b, r, p, dataset.Crop, label)
	}
	var examples []classifier.Example
	for _, p := range [][2]string{{"cat", "cat_train_0.bmp"}, {"hot dog", "hotdog_train_0.bmp"}, {"hot dog", "hotdog_train_1.bmp"}, {"dog", "dog_train_0.bmp"}} {
		examples = append(examples, see(p[1], p[0]))
	}
	text := reference.Read(t, "images", "imagenet_labels.txt")
	var labels []string
	for line := range bytes.Lines(text) {
		labels = append(labels, string(bytes.TrimSpace(line)))
	}
	base, err := classifier.LastLayer(b.Model(), b.LastLayer, labels)
	if err != nil {
		t.Fatal(err)
	}
	head, err := sums(t, examples).Keep(base, examples)
	if err != nil {
		t.Fatal(err)
	}
	logits := make([]float64, len(head.Labels))
	for photo, want := range map[string]string{
		"cat_test_0.bmp": "cat", "hotdog_test_0.bmp": "hot dog", "hot_dog.jpg": "hot dog", "cat_720p.jpg": "cat",
		"bird.bmp": labels[20], "parrot.jpg": labels[89], "dragonfly.bmp": labels[320], "sunflower.bmp": labels[986],
	} {
		head.Logits(logits, see(photo, "").Unit)
		if got := head.Labels[classifier.Best(logits)]; got != want {
			t.Errorf("%s: got %s, want %s", photo, got, want)
		}
	}
}

// join returns the model that runs head on the output of body: their graphs one
// after the other.
func join(t testing.TB, body, head string) []byte {
	t.Helper()
	var m [2]*tflite.Model
	for i, path := range []string{body, head} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Skip("the shared models are not beside the checkout: ", err)
		}
		if m[i], err = tflite.Parse(b); err != nil {
			t.Fatal(err)
		}
	}
	g, h := &m[0].Subgraphs[0], m[1].Subgraphs[0]
	index := make([]int32, len(h.Tensors))
	for i, tensor := range h.Tensors {
		if int32(i) == h.Inputs[0] {
			index[i] = g.Outputs[0]
			continue
		}
		tensor.Buffer = m[0].AddBuffer(m[1].Buffers[tensor.Buffer])
		index[i] = m[0].AddTensor(0, tensor)
	}
	renumbered := func(list []int32) []int32 {
		out := make([]int32, len(list))
		for i, v := range list {
			out[i] = index[v]
		}
		return out
	}
	for _, op := range h.Operators {
		code := m[1].OperatorCodes[op.Opcode]
		op.Opcode = m[0].OperatorCode(code.Builtin, code.CustomCode, code.Version)
		op.Inputs, op.Outputs = renumbered(op.Inputs), renumbered(op.Outputs)
		g.Operators = append(g.Operators, op)
	}
	g.Outputs = renumbered(h.Outputs)
	joined, err := m[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	return joined
}
