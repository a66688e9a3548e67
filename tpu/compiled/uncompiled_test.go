package compiled

import (
	"bytes"
	"errors"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tpu/executable"
)

// Nothing written, the uncompiled model is the twin: its last layer's codes and biases,
// and scales of which the compiler makes the same multipliers.
func TestUncompiled(t *testing.T) {
	n := 0
	for name, pair := range pairs(t) {
		tmpl, err := Open(pair[0], pair[1])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		at := tmpl.last()
		if at < 0 || tmpl.givesClasses(at) != nil {
			continue
		}
		n++
		t.Log(name)
		twin, err := tflite.Parse(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		got, embedding, err := tmpl.Uncompiled(pair[0], twin)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		op := twin.Subgraphs[0].Operators[at]
		if source, _ := source(twin, embedding); source >= at || twin.Subgraphs[0].Tensors[embedding].NumElements() != twin.Subgraphs[0].Tensors[op.Inputs[0]].NumElements() {
			t.Errorf("%s: tensor %d is not the embedding", name, embedding)
		}
		for _, input := range op.Inputs[1:] {
			if input >= 0 && !bytes.Equal(got.TensorBytes(0, input), twin.TensorBytes(0, input)) {
				t.Errorf("%s: tensor %d has other content", name, input)
			}
		}
		in, out := twin.Subgraphs[0].Tensors[op.Inputs[0]].Quantization.Scale[0], twin.Subgraphs[0].Tensors[op.Outputs[0]].Quantization.Scale[0]
		was, is := twin.Subgraphs[0].Tensors[op.Inputs[1]].Quantization, got.Subgraphs[0].Tensors[op.Inputs[1]].Quantization
		if len(is.Scale) != len(was.Scale) {
			t.Errorf("%s: %d scales, want %d", name, len(is.Scale), len(was.Scale))
			continue
		}
		for i := range was.Scale {
			if executable.Multiplier(in, is.Scale[i], out) != executable.Multiplier(in, was.Scale[i], out) || is.ZeroPoint[i] != was.ZeroPoint[i] {
				t.Errorf("%s: scale %d is %v, %d, want %v, %d", name, i, is.Scale[i], is.ZeroPoint[i], was.Scale[i], was.ZeroPoint[i])
				break
			}
		}
		if _, _, err := tmpl.Uncompiled(pair[1], twin); !errors.Is(err, ErrCompiled) {
			t.Errorf("%s: of an uncompiled file: got %v, want ErrTemplate", name, err)
		}
	}
	if least := map[bool]int{false: 4, true: 2}[race.Enabled]; n < least {
		t.Errorf("%d pairs were tried", n)
	}
}
