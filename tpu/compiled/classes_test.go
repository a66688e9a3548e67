package compiled

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
)

const fewerClassesModel = "mobilenet_v1_0.25_128_quant"

// keepClasses removes all but the first n classes of a MobileNet v1. If n is larger than the number
// of classes, it adds classes with the weights of the last ones.
func keepClasses(t *testing.T, m *tflite.Model, n int) {
	t.Helper()
	g := &m.Subgraphs[0]
	last := len(g.Operators) - 3 // before RESHAPE and SOFTMAX
	op := &g.Operators[last]
	for _, i := range op.Inputs[1:] {
		b, t := m.TensorBytes(0, i), &g.Tensors[i]
		row := len(b) / int(t.Shape[0])
		if b = slices.Clone(b); n*row > len(b) {
			b = append(b, b[:n*row-len(b)]...)
		}
		t.Buffer = m.AddBuffer(b[:n*row])
		t.Shape = append([]int32{int32(n)}, t.Shape[1:]...)
	}
	for _, op := range g.Operators[last:] {
		shape := g.Tensors[op.Outputs[0]].Shape
		shape[len(shape)-1] = int32(n)
	}
	reshape := &g.Operators[last+1]
	if len(reshape.Inputs) > 1 {
		g.Tensors[reshape.Inputs[1]].Buffer = m.AddBuffer([]byte{1, 0, 0, 0, byte(n), byte(n >> 8), 0, 0})
	}
}

// TestFewerClasses writes a model with ten classes into a compiled model with 1001. The ten classes
// are those of the compiled model, so an emulated device must compute the same logits as before,
// and code 0 for the other classes.
func TestFewerClasses(t *testing.T) {
	const classes = 10
	p, m := openShared(t, fewerClassesModel)
	keepClasses(t, m, classes)
	labels := strings.Fields("a b c d e f g h i j")
	if err := m.SetLabels(labels); err != nil {
		t.Fatal(err)
	}
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	written, err := p.Retarget(file)
	if err != nil {
		t.Fatal(err)
	}
	out, err := tflite.Parse(written)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := out.Labels(); err != nil || !slices.Equal(got, labels) {
		t.Errorf("labels: got %q, %v, want %q", got, err, labels)
	}

	uncompiled := reference.Read(t, "models", fewerClassesModel+".tflite")
	photo := reference.Read(t, "golden", fewerClassesModel, "cat.bmp.in")
	var logits [2][]byte
	for i, file := range [][]byte{p.file, written} {
		logits[i] = make([]byte, 1001)
		d := device(t, p.file, withoutSoftmax(t, uncompiled), file)
		if err := d.Run(context.Background(), [][]byte{photo}, [][]byte{logits[i]}); err != nil {
			t.Fatal(err)
		}
	}
	want := append(slices.Clone(logits[0][:classes]), make([]byte, 1001-classes)...)
	if !bytes.Equal(logits[1], want) {
		t.Errorf("logits: got %v, want %v and then zeros", logits[1][:classes+2], want[:classes])
	}
	if slices.Max(logits[1]) == 0 {
		t.Error("all logits are 0")
	}
}

// TestMoreClasses checks that a model with more classes than the compiled model is refused.
func TestMoreClasses(t *testing.T) {
	p, m := openShared(t, fewerClassesModel)
	keepClasses(t, m, 1002)
	file, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const text = "room for 1001 classes, but the new model has 1002"
	if _, err := p.Retarget(file); !errors.Is(err, ErrCompiled) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %v with %q", err, ErrCompiled, text)
	}
}
