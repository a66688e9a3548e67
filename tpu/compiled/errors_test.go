package compiled

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tools/reference"
)

// TestOpenErrors checks the errors of Open for models that do not belong together.
func TestOpenErrors(t *testing.T) {
	compiled, uncompiled := reference.Read(t, "models", "mobilenet_v1_0.25_128_quant_edgetpu.tflite"), reference.Read(t, "models", "mobilenet_v1_0.25_128_quant.tflite")
	other := reference.Read(t, "models", "mobilenet_v1_0.5_160_quant.tflite")
	multiplied, err := tflite.Parse(other)
	if err != nil {
		t.Fatal(err)
	}
	g := &multiplied.Subgraphs[0]
	in := &g.Tensors[g.Operators[1].Inputs[0]]
	in.Shape = append(slices.Clone(in.Shape[:3]), in.Shape[3]/2)
	channelMultiplier, err := multiplied.Encode()
	if err != nil {
		t.Fatal(err)
	}
	retrained := withOtherWeights(t, uncompiled, 13)
	missing, err := tflite.Parse(compiled)
	if err != nil {
		t.Fatal(err)
	}
	missing.Subgraphs[0].Operators[0].Inputs = []int32{-1}
	missingInput, err := missing.Encode()
	if err != nil {
		t.Fatal(err)
	}
	many, err := tflite.Parse(uncompiled)
	if err != nil {
		t.Fatal(err)
	}
	many.Subgraphs[0].Operators = slices.Repeat(many.Subgraphs[0].Operators, 600)
	manyLayers, err := many.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name                 string
		compiled, uncompiled []byte
		want                 error
		text                 string
	}{
		{"swapped", uncompiled, compiled, ErrCompiled, "the two are swapped"},
		{"two uncompiled models", uncompiled, other, ErrCompiled, "it is not compiled for the Edge TPU"},
		{"two compiled models", compiled, compiled, ErrUncompiled, "read the uncompiled model: unsuitable uncompiled model: it is compiled for the Edge TPU"},
		{"another model", compiled, other, ErrUncompiled, "contains none of its 28 layers with weights"},
		{"a model with the same first layers", compiled, retrained, ErrUncompiled, "contains only 13 of its 28 layers with weights"},
		{"a channel multiplier", compiled, channelMultiplier, ErrCompiled, "a DEPTHWISE_CONV_2D with a channel multiplier, is not known, so"},
		{"too many layers", compiled, manyLayers, ErrCompiled, "18600 layers are too many to find"},
		{"a missing input", missingInput, uncompiled, ErrCompiled, "an input of its operator for the Edge TPU is missing"},
		{"no compiled model", []byte("hello"), uncompiled, tflite.ErrCorrupt, "read the compiled model"},
		{"no uncompiled model", compiled, []byte("hello"), tflite.ErrCorrupt, "read the uncompiled model"},
	} {
		if _, err := Open(test.compiled, test.uncompiled); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v, want %v with %q", test.name, err, test.want, test.text)
		}
	}
}

// withOtherWeights returns a model with the weights of all but the first n layers with weights
// reversed.
func withOtherWeights(t *testing.T, model []byte, n int) []byte {
	t.Helper()
	m, err := tflite.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	g := &m.Subgraphs[0]
	for _, op := range g.Operators {
		kind := m.OperatorCodes[op.Opcode].Builtin
		if kind != tflite.OpConv2D && kind != tflite.OpDepthwiseConv2D {
			continue
		}
		if n--; n < 0 {
			codes := slices.Clone(m.TensorBytes(0, op.Inputs[1]))
			slices.Reverse(codes)
			g.Tensors[op.Inputs[1]].Buffer = m.AddBuffer(codes)
		}
	}
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// openPair opens a pair of the shared models.
func openPair(t *testing.T, model string) *Pair {
	t.Helper()
	p, err := Open(reference.Read(t, "models", model+"_edgetpu.tflite"), reference.Read(t, "models", model+".tflite"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// openShared opens a pair of the shared models, and a second copy of its uncompiled model, which
// the test may change.
func openShared(t *testing.T, model string) (*Pair, *tflite.Model) {
	t.Helper()
	if race.Enabled {
		t.Skip("nothing is concurrent")
	}
	p := openPair(t, model)
	m, err := tflite.Parse(reference.Read(t, "models", model+".tflite"))
	if err != nil {
		t.Fatal(err)
	}
	return p, m
}

// zeroLayer returns a layer of zeros and an embedding for it.
func zeroLayer(classes, inputs int) (*LastLayer, []Embedding) {
	l := &LastLayer{Inputs: inputs, Weights: make([]float32, classes*inputs), Bias: make([]float32, classes)}
	for c := range classes {
		l.Labels = append(l.Labels, string(rune('a'+c%26))+strings.Repeat("x", c/26))
	}
	x := make([]float64, inputs)
	x[0] = 1
	return l, []Embedding{{Unit: x, Norm: 1}}
}

// TestClasses checks the grammar of a number of classes.
func TestClasses(t *testing.T) {
	if one, two := classes(1), classes(2); one != "1 class" || two != "2 classes" {
		t.Errorf("got %q and %q", one, two)
	}
}

// TestCheckRoom checks that a layer that can't be written is refused before its weights are known.
func TestCheckRoom(t *testing.T) {
	p := openPair(t, "pairs/dense_256") // without biases
	for _, test := range []struct {
		labels int
		text   string
	}{
		{255, "it has 256 rows for 255 classes, and no biases"},
		{256, ""},
		{257, "it has room for 256 classes, not for 257"},
	} {
		if err := p.CheckRoom(test.labels, 256); (err != nil) != (test.text != "") || err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("%d labels: got %v, want %q", test.labels, err, test.text)
		}
	}
}

// TestWriteLastLayerErrors checks the errors of WriteLastLayer for models that are not
// classifiers or have no room for the layer, and for invalid layers.
func TestWriteLastLayerErrors(t *testing.T) {
	const small = "mobilenet_v1_0.25_128_quant"
	for _, test := range []struct {
		model           string
		classes, inputs int
		change          func(*LastLayer, *[]Embedding)
		want            error
		text            string
	}{
		{"mobilenet_v1_1.0_224_quant_embedding_extractor", 3, 1024, nil, ErrCompiled, "not the last layer of a classifier"},
		{"deeplabv3_mnv2_dm05_pascal_quant", 3, 256, nil, ErrCompiled, "the compiler left it to the CPU"},
		{"movenet_single_pose_lightning_ptq", 3, 24, nil, ErrCompiled, "not the last layer of a classifier"},
		{"pairs/color_red_64x64", 2, 4096, nil, ErrCompiled, "CONCATENATION follows it"},
		{"pairs/dense_256", 3, 256, nil, ErrCompiled, "it has 256 rows for 3 classes, and no biases to keep spare rows below the others"},
		{small, 3, 1024, nil, ErrCompiled, "it takes 256 values, but the new layer takes 1024"},
		{small, 1002, 256, nil, ErrCompiled, "it has room for 1001 classes, not for 1002"},
		{small, 0, 256, nil, ErrLayer, "0 labels"},
		{small, 3, 256, func(l *LastLayer, _ *[]Embedding) { l.Bias = l.Bias[1:] }, ErrLayer, "3 labels, 256 inputs, 768 weights and 2 biases"},
		{small, 3, 256, func(l *LastLayer, _ *[]Embedding) { l.Weights[7] = float32(math.NaN()) }, ErrLayer, "a weight or bias is NaN"},
		{small, 3, 256, func(_ *LastLayer, e *[]Embedding) { *e = nil }, ErrLayer, "no embeddings"},
		{small, 3, 256, func(_ *LastLayer, e *[]Embedding) { (*e)[0].Unit = make([]float64, 255) }, ErrLayer, "an embedding has 255 values, but the layer takes 256"},
		{small, 3, 256, func(_ *LastLayer, e *[]Embedding) { (*e)[0].Norm = 0 }, ErrLayer, "embeddings are all zeros"},
	} {
		p, frozen := openShared(t, test.model)
		l, embeddings := zeroLayer(test.classes, test.inputs)
		if test.change != nil {
			test.change(l, &embeddings)
		}
		if _, _, err := p.WriteLastLayer(l, embeddings, frozen); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s, %d classes: got %v, want %v with %q", test.model, test.classes, err, test.want, test.text)
		}
	}
}

// TestSpareRows writes layers with and without spare rows. The code of the predicted class must
// be above the codes of spare rows.
func TestSpareRows(t *testing.T) {
	p, frozen := openShared(t, "mobilenet_v1_0.25_128_quant")
	for _, classes := range []int{1, 2, 1001} {
		l, embeddings := zeroLayer(classes, 256)
		for c := range classes {
			l.row(c)[c%256] = 1
		}
		file, w, err := p.WriteLastLayer(l, embeddings, frozen)
		if err != nil {
			t.Errorf("%d classes: %v", classes, err)
			continue
		}
		if w.Disagreements > 0 {
			t.Errorf("%d classes: the prediction changes", classes)
		}
		written, in := writtenLast(t, p, file, frozen)
		codes := make([]float64, 1001)
		for o := range codes {
			codes[o] = written.code(o, embeddings[0], in)
		}
		if got := best(codes); got != 0 || classes < 1001 && codes[0] <= slices.Max(codes[classes:]) {
			t.Errorf("%d classes: predicted %d with code %v", classes, got, codes[got])
		}
	}
}
