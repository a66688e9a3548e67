package engine_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/compiled"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/emulator/engine"
	"github.com/imprintkit/imprint/tpu/pool"
)

// TestRetrainedDetector writes other class predictors into a compiled SSD and compares its outputs with those of
// package backbone.
func TestRetrainedDetector(t *testing.T) {
	if race.Enabled {
		t.Skip("a large model runs for a minute, and package emulator has tests with the same goroutines")
	}
	const name = "detect/ssdlite_v2_1class"
	from := reference.Read(t, "models", name+".tflite")
	pair, err := compiled.Open(reference.Read(t, "models", name+"_edgetpu.tflite"), from)
	if err != nil {
		t.Fatal(err)
	}
	model := otherPredictors(t, from)
	file, err := pair.Retarget(model)
	if err != nil {
		t.Fatal(err)
	}
	d := emulator.New(emulator.Config{Application: true, Log: t.Logf, Operator: engine.Operator})
	if err := d.Register(file, model); err != nil {
		t.Fatal(err)
	}
	uncompiled := filepath.Join(t.TempDir(), "retrained.tflite")
	if err := os.WriteFile(uncompiled, model, 0o644); err != nil {
		t.Fatal(err)
	}
	onDevice := run(t, file, pool.Options{Device: "tpu", USB: func() (tpu.Bus, error) { return emulator.NewBus(d), nil }, TPU: tpu.Options{Settle: -1}})
	onCPU := run(t, file, pool.Options{Device: "cpu", Uncompiled: uncompiled})
	for i, want := range onCPU {
		if !bytes.Equal(onDevice[i], want) {
			t.Errorf("output %d differs", i)
		}
	}
	scores := slices.Clone(onCPU[1])
	slices.Sort(scores)
	if len(slices.Compact(scores)) < 3 {
		t.Errorf("all scores are among %v, which shows little", scores)
	}
}

// otherPredictors returns a detector with random class predictors.
func otherPredictors(t *testing.T, file []byte) []byte {
	t.Helper()
	m, err := tflite.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 5))
	g := &m.Subgraphs[0]
	for _, op := range g.Operators {
		if !strings.HasSuffix(g.Tensors[op.Outputs[0]].Name, "ClassPredictor/BiasAdd") {
			continue
		}
		weights := slices.Clone(m.TensorBytes(0, op.Inputs[1]))
		for i := range weights {
			weights[i] = byte(random.Uint32())
		}
		g.Tensors[op.Inputs[1]].Buffer = m.AddBuffer(weights)
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
