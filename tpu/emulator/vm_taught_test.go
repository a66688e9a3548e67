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

// taught writes heads taught on photos into compiled models, runs what came of them on the device, and wants the CPU's
// answers in the arithmetic of the Edge TPU. The device knows the models, not what was written into them.
func taught(ctx context.Context, t *testing.T, device *emulator.Device, d *tpu.Device) {
	for _, model := range []string{"mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.5_160_quant"} {
		compiledFile, err := os.ReadFile(filepath.Join("models", model+"_edgetpu.tflite"))
		if err != nil {
			t.Logf("%s is not at hand", model)
			continue
		}
		twin, err := os.ReadFile(filepath.Join("models", model+".tflite"))
		if err != nil {
			t.Fatal(err)
		}
		if err := device.Register(compiledFile, twin); err != nil {
			t.Fatal(err)
		}
		sets := []string{"images", "clothing"}
		if device.Info().Speed == tpu.HighSpeed {
			sets = sets[:1] // the answers are the same at either speed
		}
		for _, set := range sets {
			teach(ctx, t, d, model, compiledFile, twin, set)
		}
	}
}

// teach does so for one model and the photos in a folder of models: those to test with have test in their names, or are
// the sixth and later ones of their label.
func teach(ctx context.Context, t *testing.T, d *tpu.Device, model string, compiledFile, twin []byte, set string) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join("models", set, "*", "*"))
	must(err)
	b, err := backbone.Parse(twin, backbone.Options{Arithmetic: backbone.EdgeTPU})
	must(err)
	r := b.NewRunner(1)
	defer r.Close()
	var examples []classifier.Example
	type photo struct {
		label string
		rgb   []byte
	}
	var tested []photo
	seen := map[string]int{}
	for _, f := range files {
		p, err := dataset.ReadFile(f, dataset.DefaultLimits())
		must(err)
		must(dataset.Crop.Resize(r.RGB(), p.Image, b.Width, b.Height))
		label := filepath.Base(filepath.Dir(f))
		if seen[label]++; seen[label] > 5 || strings.Contains(f, "_test_0") {
			tested = append(tested, photo{label, bytes.Clone(r.RGB())})
			continue
		}
		raw, err := r.Embed(ctx)
		must(err)
		x := make([]float64, b.Dim())
		b.Dequantize(x, raw)
		examples = append(examples, classifier.Example{Label: label, Norm: classifier.Normalize(x), Unit: x})
	}
	tested = tested[:min(len(tested), 5)] // the machine is slow
	if len(examples) == 0 {
		t.Logf("no photos of %s are at hand", set)
		return
	}
	fitted, err := classifier.Fit(examples, classifier.Ridge, false)
	must(err)
	original, err := compiled.Open(compiledFile, twin)
	must(err)
	file, _, err := original.WriteHead(fitted.Head, examples, b.Model())
	must(err)
	uncompiled, _, err := original.Uncompiled(file, b.Model())
	must(err)
	cpu, err := backbone.NewInterpreter(uncompiled, backbone.InterpreterOptions{Arithmetic: backbone.EdgeTPU})
	must(err)
	pkg, err := tracetest.Package(file)
	must(err)
	m, err := d.Load(ctx, pkg)
	must(err)
	right := 0
	for i, p := range tested {
		got := make([]byte, 1001)
		must(m.Run(ctx, [][]byte{p.rgb}, [][]byte{got}))
		copy(cpu.Input(0), p.rgb)
		must(cpu.Invoke(ctx))
		// How a device rounds SOFTMAX isn't known, and the emulated one does it otherwise than the CPU: what it is
		// computed of is compared in package compiled.
		most := 0
		for c, want := range cpu.Output(0) {
			most = max(most, int(got[c])-int(want), int(want)-int(got[c]))
		}
		winner := slices.Index(got, slices.Max(got))
		if most > 1 || int(cpu.Output(0)[winner]) < int(slices.Max(cpu.Output(0)))-1 {
			t.Errorf("%s taught on %s: photo %d: the device's answer is not the CPU's: a score differs by %d codes", model, set, i, most)
		}
		if winner >= len(fitted.Head.Labels) {
			t.Errorf("%s taught on %s: photo %d: class %d of %d wins", model, set, i, winner, len(fitted.Head.Labels))
		} else if fitted.Head.Labels[winner] == p.label {
			right++
		}
	}
	if set == "images" && right != len(tested) {
		t.Errorf("%s taught on %s is right on %d of %d photos", model, set, right, len(tested))
	}
	t.Logf("%s taught on %d photos of %s: the CPU's answers to %d, of which %d are right", model, len(examples), set, len(tested), right)
}
