package compiled

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/executable"
)

// randomize replaces the weights of m by random codes, and the scales of its computed tensors by
// random scales. Scales stay the same around PAD, whose constants are not known, and are equal on
// both sides of operators that don't requantize.
func randomize(m *tflite.Model, r *rand.Rand) {
	g := &m.Subgraphs[0]
	fixed := map[int32]bool{}
	for _, op := range g.Operators {
		if m.OperatorCodes[op.Opcode].Builtin == tflite.OpPad {
			fixed[op.Inputs[0]] = true
		}
	}
	scale := func(t int32, scale float32) {
		q := *g.Tensors[t].Quantization
		q.Scale = []float32{scale}
		g.Tensors[t].Quantization = &q
	}
	for _, op := range g.Operators {
		in, out := op.Inputs[0], op.Outputs[0]
		switch m.OperatorCodes[op.Opcode].Builtin {
		case tflite.OpSoftmax, tflite.OpPad:
		case tflite.OpReshape, tflite.OpSqueeze, tflite.OpAveragePool2D:
			scale(out, g.Tensors[in].Quantization.Scale[0])
		case tflite.OpQuantize:
			if in == g.Inputs[0] {
				scale(in, 0.01)
				scale(out, 0.01)
			}
		default:
			if !fixed[out] {
				scale(out, g.Tensors[out].Quantization.Scale[0]*(0.75+float32(r.IntN(512))/1024))
			}
			for j, t := range op.Inputs {
				if b := m.TensorBytes(0, t); b != nil && j == 1 && g.Tensors[t].Type != tflite.TypeInt32 {
					b = slices.Clone(b)
					for i := range b {
						b[i] = byte(r.Uint32())
					}
					g.Tensors[t].Buffer = m.AddBuffer(b)
				}
			}
		}
	}
}

// TestRandomScales writes models with random weights and scales into compiled models. Every layer
// must be found again at the same places, and writing the first model again must restore the file.
func TestRandomScales(t *testing.T) {
	for _, name := range []string{"mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.5_160_quant", "mobilenet_v1_1.0_224_quant_embedding_extractor", "retrained/tutorial_a"} {
		if testing.Short() {
			break // slow under the race detector, and nothing is concurrent
		}
		p, m := openShared(t, name)
		randomize(m, rand.New(rand.NewPCG(1, 2)))
		model, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		file, err := p.Retarget(model)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		q, err := Open(file, model)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range p.layers {
			a, b := &p.layers[i], &q.layers[i]
			if a.place != b.place || a.found != b.found || !slices.Equal(a.allStages(), b.allStages()) {
				t.Errorf("%s: layer %d, %q: found at %v and %v, want %v and %v", name, i, a.name, b.place, b.allStages(), a.place, a.allStages())
			}
		}
		back, err := q.Retarget(reference.Read(t, "models", name+".tflite"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		compareProgram(t, name, program(t, back), program(t, p.file))
	}
}

// TestSoftmaxOfOtherModel writes the SOFTMAX of one of Coral's MobileNets v1 into the other. Both
// models have 1001 classes and, except for addresses, the same instructions after the last
// convolution. So every instruction that changes must then be equal in both models.
func TestSoftmaxOfOtherModel(t *testing.T) {
	a, _ := openShared(t, "mobilenet_v1_0.25_128_quant")
	b, _ := openShared(t, "mobilenet_v1_0.5_160_quant")
	last := len(a.layers) - 1
	from, to := a.layers[last], b.layers[len(b.layers)-1]
	pkg, err := executable.Parse(slices.Clone(a.file[a.options:][:a.size]))
	if err != nil {
		t.Fatal(err)
	}
	pkg.Main.PutSoftmax(*from.softmaxAt, *to.softmax, pkg.Caching.Parameters)
	got, was, want := pkg.Main.Chunks[0].Bytes, a.program.Main.Chunks[0].Bytes, b.program.Main.Chunks[0].Bytes
	shift := 16 * (to.softmaxAt.Stages[0][0].Instruction - from.softmaxAt.Stages[0][0].Instruction)
	changed := 0
	for i := 0; i < len(got); i += 16 {
		if bytes.Equal(got[i:i+16], was[i:i+16]) {
			continue
		}
		changed++
		if !bytes.Equal(got[i:i+16], want[i+shift:i+shift+16]) {
			t.Errorf("instruction %d: got %x, want %x", i/16, got[i:i+16], want[i+shift:i+shift+16])
		}
	}
	if changed != 54 {
		t.Errorf("%d instructions changed, want 54", changed)
	}
	const tables = 48256 // bytes
	if p, q := pkg.Caching.Parameters, b.program.Caching.Parameters; !bytes.Equal(p[len(p)-tables:], q[len(q)-tables:]) {
		t.Error("the tables differ")
	}
}
