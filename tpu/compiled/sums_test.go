package compiled

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tools/reference"
)

// TestSums checks that every ADD on the Edge TPU is found, that an ADD written with another scale
// is found again, and that the original can be restored.
func TestSums(t *testing.T) {
	if race.Enabled {
		t.Skip("nothing is concurrent")
	}
	for name, want := range map[string]int{"older/mobilenet_v2_1.0_224_quant": 10, "deeplabv3_mnv2_dm05_pascal_quant": 10, "movenet_single_pose_lightning_ptq": 13} {
		file, compiled := reference.Read(t, "models", name+".tflite"), reference.Read(t, "models", name+"_edgetpu.tflite")
		p, m := openShared(t, name)
		g := &m.Subgraphs[0]
		n := 0
		for i := range p.layers {
			if l := &p.layers[i]; l.kind == tflite.OpAdd && l.sumAt != nil {
				n++
				out := &g.Tensors[g.Operators[i].Outputs[0]]
				q := *out.Quantization
				q.Scale = []float32{q.Scale[0] * (1 + float32(n)/16)}
				out.Quantization = &q
			}
		}
		if n != want {
			t.Errorf("%s: found %d ADDs, want %d", name, n, want)
		}
		if name == "movenet_single_pose_lightning_ptq" {
			continue // operators that read its sums can't be requantized
		}
		changed, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		written, err := p.Retarget(changed)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := Open(written, changed)
		if err != nil {
			t.Fatal(err)
		}
		for i := range again.layers {
			if l := &again.layers[i]; l.kind == tflite.OpAdd && !again.onCPU(i) && l.sumAt == nil {
				t.Errorf("%s: ADD %q was not found again", name, l.name)
			}
		}
		back, err := again.Retarget(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, was := program(t, back), program(t, compiled)
		for i := range got.Executables {
			for c := range got.Executables[i].Chunks {
				if !bytes.Equal(got.Executables[i].Chunks[c].Bytes, was.Executables[i].Chunks[c].Bytes) {
					t.Errorf("%s: after restoring, executable %d has other instructions", name, i)
				}
			}
			if !slices.Equal(got.Executables[i].Parameters, was.Executables[i].Parameters) {
				t.Errorf("%s: after restoring, executable %d has other parameters", name, i)
			}
		}
	}
}

// TestSumsOnDevice writes a model with other constants for ADD into a compiled model. The
// emulated device must compute the same bytes as the CPU.
func TestSumsOnDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const name = "older/mobilenet_v2_1.0_224_quant"
	file, compiled := reference.Read(t, "models", name+".tflite"), reference.Read(t, "models", name+"_edgetpu.tflite")
	p, m := openShared(t, name)
	g := &m.Subgraphs[0]
	for i := range p.layers {
		if p.layers[i].kind == tflite.OpAdd {
			out := &g.Tensors[g.Operators[i].Outputs[0]]
			q := *out.Quantization
			q.Scale, q.ZeroPoint = []float32{q.Scale[0] * (1 + float32(i)/200)}, []int64{q.ZeroPoint[0] - 3}
			out.Quantization = &q
		}
	}
	changed, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	written, err := p.Retarget(changed)
	if err != nil {
		t.Fatal(err)
	}
	photo := make([]byte, 224*224*3)
	for i := range photo {
		photo[i] = byte(i/3/224) ^ byte(3*i)
	}
	run := func(m *tflite.Model) []byte {
		cpu, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Arithmetic: backbone.EdgeTPU})
		if err != nil {
			t.Fatal(err)
		}
		copy(cpu.Input(0), photo)
		if err := cpu.Invoke(context.Background()); err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(cpu.Output(0))
	}
	want, before := run(m), run(p.uncompiled)
	if bytes.Equal(want, before) {
		t.Fatal("the new sums do not change the output")
	}
	got := make([]byte, len(want))
	if err := device(t, compiled, file, written).Run(context.Background(), [][]byte{photo}, [][]byte{got}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("device and CPU differ; the device's output equals the uncompiled model's: %v", bytes.Equal(got, before))
	}
}
