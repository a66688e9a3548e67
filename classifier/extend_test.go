package classifier_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/reference"
)

// TestExtend adds three classes to a classifier and checks the labels and predictions.
func TestExtend(t *testing.T) {
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
	examples := embedKinds(t, b, 3, 4)
	head, err := sums(t, examples).Extend(base, examples)
	if err != nil {
		t.Fatal(err)
	}
	if want := append(slices.Clone(labels), "a", "b", "c"); !slices.Equal(head.Labels, want) {
		t.Errorf("labels %q, want %q", head.Labels, want)
	}
	logits, own := make([]float64, len(head.Labels)), make([]float64, len(labels))
	for _, e := range examples {
		head.Logits(logits, e.Unit)
		if got := head.Labels[classifier.ArgMax(logits)]; got != e.Label {
			t.Errorf("a training photo of %s is classified as %s", e.Label, got)
		}
		// Among the model's own classes, the prediction must not change.
		raw := make([]float64, len(e.Unit))
		for i, v := range e.Unit {
			raw[i] = v * e.Norm
		}
		base.Logits(own, raw)
		if a, b := classifier.ArgMax(own), classifier.ArgMax(logits[:len(labels)]); a != b && own[a]-own[b] > 0.1 {
			t.Errorf("prediction among the model's own classes is %d, want %d", b, a)
		}
	}
	if _, err := sums(t, examples).Extend(randomHead(2, 5, true), examples); !errors.Is(err, classifier.ErrShape) {
		t.Errorf("base of another dimension: got %v, want %v", err, classifier.ErrShape)
	}
	if _, err := classifier.LastLayer(b.Model(), 0, labels); err == nil {
		t.Error("LastLayer of a 3×3 convolution returned no error")
	}
}

// TestExtendImageNet adds cat, dog and hot dog to Coral's 1001 classes. Photos that the base
// model classifies confidently must keep their class.
func TestExtendImageNet(t *testing.T) {
	model := join(t, reference.Path(t, "models", "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"),
		reference.Path(t, "models", "mobilenet_quant_v1_224_head_layers.tflite"))
	b := parse(t, model)
	if b.LastLayer < 0 || b.Dim() != 1024 {
		t.Fatalf("got last layer %d and %d dimensions, want a last layer and 1024 dimensions", b.LastLayer, b.Dim())
	}
	r := b.NewRunner(1)
	defer r.Close()
	read := func(name, label string) classifier.Example {
		p, err := dataset.ReadFile(reference.Path(t, "images", name), dataset.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		return embed(t, b, r, p, dataset.Crop, label)
	}
	var examples []classifier.Example
	for _, p := range [][2]string{{"cat", "cat_train_0.bmp"}, {"hot dog", "hotdog_train_0.bmp"}, {"hot dog", "hotdog_train_1.bmp"}, {"dog", "dog_train_0.bmp"}} {
		examples = append(examples, read(p[1], p[0]))
	}
	text, err := os.ReadFile(reference.Path(t, "images", "imagenet_labels.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for line := range bytes.Lines(text) {
		labels = append(labels, string(bytes.TrimSpace(line)))
	}
	base, err := classifier.LastLayer(b.Model(), b.LastLayer, labels)
	if err != nil {
		t.Fatal(err)
	}
	head, err := sums(t, examples).Extend(base, examples)
	if err != nil {
		t.Fatal(err)
	}
	logits := make([]float64, len(head.Labels))
	for photo, want := range map[string]string{
		"cat_test_0.bmp": "cat", "hotdog_test_0.bmp": "hot dog", "hot_dog.jpg": "hot dog", "cat_720p.jpg": "cat",
		"bird.bmp": labels[20], "parrot.jpg": labels[89], "dragonfly.bmp": labels[320], "sunflower.bmp": labels[986],
	} {
		head.Logits(logits, read(photo, "").Unit)
		if got := head.Labels[classifier.ArgMax(logits)]; got != want {
			t.Errorf("%s: got %s, want %s", photo, got, want)
		}
	}
}

// join returns a model that runs head on the output of body.
func join(t testing.TB, body, head string) []byte {
	t.Helper()
	var m [2]*tflite.Model
	for i, path := range []string{body, head} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Skip("no reference models next to the checkout: ", err)
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
