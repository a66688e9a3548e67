//go:build linux

package emulator_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/compiled"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

// writtenHeads trains heads on photos, writes them into compiled models and runs these models on the device. It
// compares the outputs with the CPU's outputs in the Edge TPU's arithmetic. The device knows only the original
// models.
func writtenHeads(ctx context.Context, t *testing.T, device *emulator.Device, d *tpu.Device) {
	for _, model := range []string{"mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.5_160_quant"} {
		compiledFile, err := os.ReadFile(filepath.Join("models", model+"_edgetpu.tflite"))
		if err != nil {
			t.Logf("no %s", model)
			continue
		}
		uncompiledFile, err := os.ReadFile(filepath.Join("models", model+".tflite"))
		if err != nil {
			t.Fatal(err)
		}
		if err := device.Register(compiledFile, uncompiledFile); err != nil {
			t.Fatal(err)
		}
		sets := []string{"images", "clothing"}
		if device.Info().Speed == tpu.HighSpeed {
			sets = sets[:1] // the outputs do not depend on the speed
		}
		for _, set := range sets {
			writtenHead(ctx, t, d, model, compiledFile, uncompiledFile, set)
		}
	}
}

// writtenHead does the work of writtenHeads for one model and the photos in one subfolder of models. Photos with
// _test_0 in their names, and all photos of a class after the first five, are query photos.
func writtenHead(ctx context.Context, t *testing.T, d *tpu.Device, model string, compiledFile, uncompiledFile []byte, set string) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join("models", set, "*", "*"))
	must(err)
	b, err := backbone.Parse(uncompiledFile, backbone.Options{Arithmetic: backbone.EdgeTPU})
	must(err)
	r := b.NewRunner(1)
	defer r.Close()
	var examples []classifier.Example
	type photo struct {
		label string
		rgb   []byte
	}
	var queries []photo
	seen := map[string]int{}
	for _, f := range files {
		p, err := dataset.ReadFile(f, dataset.DefaultLimits())
		must(err)
		must(dataset.Crop.Resize(r.RGB(), p.Image, b.Width, b.Height))
		label := filepath.Base(filepath.Dir(f))
		if seen[label]++; seen[label] > 5 || strings.Contains(f, "_test_0") {
			queries = append(queries, photo{label, bytes.Clone(r.RGB())})
			continue
		}
		raw, err := r.Embed(ctx)
		must(err)
		x := make([]float64, b.Dim())
		b.Dequantize(x, raw)
		examples = append(examples, classifier.Example{Label: label, Norm: classifier.Normalize(x), Unit: x})
	}
	queries = queries[:min(len(queries), 5)] // the virtual machine is slow
	if len(examples) == 0 {
		t.Logf("no photos in %s", set)
		return
	}
	fitted, err := classifier.Fit(examples, classifier.Ridge, false)
	must(err)
	original, err := compiled.Open(compiledFile, uncompiledFile)
	must(err)
	var embeddings []compiled.Embedding
	for _, e := range examples {
		embeddings = append(embeddings, compiled.Embedding{Unit: e.Unit, Norm: e.Norm})
	}
	h := fitted.Head
	layer := &compiled.LastLayer{Labels: h.Labels, Inputs: h.Dim, Weights: h.Weights, Bias: h.Bias}
	file, _, err := original.WriteLastLayer(layer, embeddings, b.Model())
	must(err)
	uncompiled, _, err := original.Uncompiled(file, b.Model())
	must(err)
	cpu, err := backbone.NewInterpreter(uncompiled, backbone.InterpreterOptions{Arithmetic: backbone.EdgeTPU})
	must(err)
	pkg, err := tracetest.Package(file)
	must(err)
	m, err := d.Load(ctx, pkg)
	must(err)
	correct := 0
	for i, p := range queries {
		got := make([]byte, 1001)
		must(m.Run(ctx, [][]byte{p.rgb}, [][]byte{got}))
		copy(cpu.Input(0), p.rgb)
		must(cpu.Invoke(ctx))
		// The emulated device rounds SOFTMAX differently from the CPU, because it is not known how a real device
		// rounds. The tests of package compiled compare the logits.
		largest := 0
		for c, want := range cpu.Output(0) {
			largest = max(largest, int(got[c])-int(want), int(want)-int(got[c]))
		}
		winner := slices.Index(got, slices.Max(got))
		if largest > 1 || int(cpu.Output(0)[winner]) < int(slices.Max(cpu.Output(0)))-1 {
			t.Errorf("%s with a head for %s: photo %d: a score differs from the CPU's by %d codes", model, set, i, largest)
		}
		if winner >= len(fitted.Head.Labels) {
			t.Errorf("%s with a head for %s: photo %d: class %d of %d wins", model, set, i, winner, len(fitted.Head.Labels))
		} else if fitted.Head.Labels[winner] == p.label {
			correct++
		}
	}
	if set == "images" && correct != len(queries) {
		t.Errorf("%s with a head for %s: %d of %d photos correct", model, set, correct, len(queries))
	}
	t.Logf("%s trained on %d photos of %s: outputs equal the CPU's for %d photos, %d correct", model, len(examples), set, len(queries), correct)
}
