package engine_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/emulator/engine"
	"github.com/imprintkit/imprint/tpu/pool"
)

// TestModels runs models with operators that only package backbone computes, and compares all outputs of the compiled
// operator with those of package backbone alone.
func TestModels(t *testing.T) {
	if race.Enabled {
		t.Skip("a large model runs for a minute, and package emulator has tests with the same goroutines")
	}
	for name, operators := range map[string][]string{
		"movenet_single_pose_lightning_ptq": {"LOGISTIC", "MUL", "RESIZE_BILINEAR", "SUB"},
		"detect/ssdlite_v2_1class":          {"LOGISTIC"},
	} {
		t.Run(name, func(t *testing.T) {
			compiled, uncompiled := reference.Read(t, "models", name+"_edgetpu.tflite"), reference.Read(t, "models", name+".tflite")
			if err := emulator.New(emulator.Config{}).Register(compiled, uncompiled); err == nil {
				t.Error("the emulator alone accepted the model")
			}
			var prepared []string
			d := emulator.New(emulator.Config{Application: true, Log: t.Logf, Operator: func(m *tflite.Model, operator int) (func([][]byte, []byte) error, error) {
				prepared = append(prepared, m.OperatorCodes[m.Subgraphs[0].Operators[operator].Opcode].Builtin.String())
				return engine.Operator(m, operator)
			}})
			if err := d.Register(compiled, uncompiled); err != nil {
				t.Fatal(err)
			}
			slices.Sort(prepared)
			if got := slices.Compact(prepared); !slices.Equal(got, operators) {
				t.Errorf("package engine computes %v, want %v", got, operators)
			}
			onDevice := run(t, compiled, pool.Options{Device: "tpu", USB: func() (tpu.Bus, error) { return emulator.NewBus(d), nil }, TPU: tpu.Options{Settle: -1}})
			onCPU := run(t, compiled, pool.Options{Device: "cpu", Uncompiled: reference.Path(t, "models", name+".tflite")})
			for i, want := range onCPU {
				if !bytes.Equal(onDevice[i], want) {
					t.Errorf("output %d differs", i)
				}
			}
		})
	}
}

// run returns the outputs of the compiled operators for a random input.
func run(t *testing.T, file []byte, o pool.Options) (outputs [][]byte) {
	t.Helper()
	p, err := pool.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	m, err := tflite.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []int32
	for _, op := range m.Subgraphs[0].Operators {
		if m.OperatorCodes[op.Opcode].CustomCode == "edgetpu-custom-op" {
			tensors = append(tensors, op.Outputs...)
		}
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Accelerator: p.Accelerator(), Outputs: tensors, Arithmetic: backbone.EdgeTPU})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range in.Input(0) {
		in.Input(0)[i] = byte(random.Uint32())
	}
	if err := in.Invoke(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i := range tensors {
		outputs = append(outputs, bytes.Clone(in.Output(i)))
	}
	return outputs
}
