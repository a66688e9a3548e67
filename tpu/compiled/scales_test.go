package compiled

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// randomize replaces the weights of m by random codes, and scales of computed tensors by random
// scales. It keeps the weights and scales that p can't write, and those around operators on the CPU.
// Scales stay equal on both sides of operators that don't requantize. randomize returns the number of
// layers with new weights and of tensors with new scales.
func randomize(p *Pair, m *tflite.Model, r *rand.Rand) (weights, scales int) {
	g := &m.Subgraphs[0]
	fixed := p.fixedScales(g)
	scale := func(t int32, scale float32) {
		q := *g.Tensors[t].Quantization
		q.Scale = []float32{scale}
		g.Tensors[t].Quantization = &q
	}
	for i, op := range g.Operators {
		l, in, out := &p.layers[i], op.Inputs[0], op.Outputs[0]
		switch {
		case p.onCPU(i), fixed[out]:
		case l.onlySign() && in == g.Inputs[0]:
			scale(in, 0.01)
			scale(out, 0.01)
			scales += 2
		case l.passesScale():
			scale(out, g.Tensors[in].Quantization.Scale[0])
		default:
			scale(out, g.Tensors[out].Quantization.Scale[0]*(0.75+float32(r.IntN(512))/1024))
			scales++
		}
		if l.filter != nil && l.found == 1 && !p.onCPU(i) {
			b := slices.Clone(m.TensorBytes(0, op.Inputs[1]))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			g.Tensors[op.Inputs[1]].Buffer = m.AddBuffer(b)
			weights++
		}
	}
	return weights, scales
}

// passesScale reports whether the layer's output has the scale of its input.
func (l *layer) passesScale() bool {
	return l.onlySign() || slices.Contains([]tflite.BuiltinOperator{tflite.OpReshape, tflite.OpSqueeze, tflite.OpAveragePool2D}, l.kind)
}

// fixedScales returns the tensors whose scale p can't change, or whose scale is part of their operator.
// It includes those of CONCATENATION, whose inputs must keep equal scales.
func (p *Pair) fixedScales(g *tflite.Subgraph) map[int32]bool {
	owners := map[executable.StagePlace]int{}
	for i := range p.layers {
		for _, s := range p.layers[i].allStages() {
			owners[s]++
		}
	}
	fixed := map[int32]bool{}
	for i, op := range g.Operators {
		l := &p.layers[i]
		shared := slices.ContainsFunc(l.allStages(), func(s executable.StagePlace) bool { return owners[s] > 1 })
		located := len(l.stages) > 0 || l.sumAt != nil || l.softmaxAt != nil || l.onlySign() || p.readBySoftmax(i)
		if p.onCPU(i) || shared || !located || l.filter != nil && l.found != 1 || l.kind == tflite.OpConcatenation {
			for _, t := range op.Inputs {
				fixed[t] = true
			}
			fixed[op.Outputs[0]] = true
		}
		if l.kind == tflite.OpSoftmax || l.kind == tflite.OpLogistic {
			fixed[op.Outputs[0]] = true
		}
	}
	for range g.Operators { // through chains of operators that don't requantize
		for i, op := range g.Operators {
			if p.layers[i].passesScale() {
				both := fixed[op.Inputs[0]] || fixed[op.Outputs[0]]
				fixed[op.Inputs[0]], fixed[op.Outputs[0]] = both, both
			}
		}
	}
	return fixed
}

// TestRandomScales writes models with random weights and scales into all compiled models. Every layer
// must be found again at the same places, and writing the first model again must restore the file.
func TestRandomScales(t *testing.T) {
	if testing.Short() {
		t.Skip("slow under the race detector, and nothing is concurrent")
	}
	all := pairs(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p, m := openShared(t, name)
		weights, scales := randomize(p, m, rand.New(rand.NewPCG(1, 2)))
		t.Logf("%s: %d layers with new weights, %d tensors with new scales", name, weights, scales)
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
		// Two layers of movenet get equal constants, so the places of both are found for each.
		equal := name == "movenet_single_pose_lightning_ptq"
		for i := range p.layers {
			a, b := &p.layers[i], &q.layers[i]
			was, is := a.allStages(), b.allStages()
			lost := slices.ContainsFunc(was, func(s executable.StagePlace) bool { return !slices.Contains(is, s) })
			if a.place != b.place || a.found != b.found || lost || len(was) < len(is) && !equal {
				t.Errorf("%s: layer %d, %q: found at %v and %v, want %v and %v", name, i, a.name, b.place, is, a.place, was)
			}
		}
		back, err := q.Retarget(all[name][1])
		if equal && errors.Is(err, ErrCompiled) {
			continue
		}
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
