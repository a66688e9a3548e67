package compiled

import (
	"bytes"
	"errors"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tpu/executable"
)

// TestUncompiled calls Uncompiled on compiled models as the compiler wrote them. The result must be
// the uncompiled model, with scales that the compiler converts to the same multipliers.
func TestUncompiled(t *testing.T) {
	n := 0
	for name, pair := range pairs(t) {
		p, err := Open(pair[0], pair[1])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		at := p.last()
		if at < 0 || p.isClassifier(at) != nil {
			continue
		}
		n++
		want, err := tflite.Parse(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		got, embedding, err := p.Uncompiled(pair[0], want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		op := want.Subgraphs[0].Operators[at]
		if source := sourcesOf(want)[embedding].op; source >= at || want.Subgraphs[0].Tensors[embedding].NumElements() != want.Subgraphs[0].Tensors[op.Inputs[0]].NumElements() {
			t.Errorf("%s: tensor %d is not the embedding", name, embedding)
		}
		for _, input := range op.Inputs[1:] {
			if input >= 0 && !bytes.Equal(got.TensorBytes(0, input), want.TensorBytes(0, input)) {
				t.Errorf("%s: tensor %d differs", name, input)
			}
		}
		in, out := want.Subgraphs[0].Tensors[op.Inputs[0]].Quantization.Scale[0], want.Subgraphs[0].Tensors[op.Outputs[0]].Quantization.Scale[0]
		was, is := want.Subgraphs[0].Tensors[op.Inputs[1]].Quantization, got.Subgraphs[0].Tensors[op.Inputs[1]].Quantization
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
		if _, _, err := p.Uncompiled(pair[1], want); !errors.Is(err, ErrCompiled) {
			t.Errorf("%s: uncompiled file: got %v, want %v", name, err, ErrCompiled)
		}
	}
	if least := map[bool]int{false: 4, true: 2}[race.Enabled || testing.Short()]; n < least {
		t.Errorf("tried %d pairs, want %d or more", n, least)
	}
}
