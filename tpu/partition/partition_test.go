package partition

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/executable"
)

func read(t *testing.T, path string) *tflite.Model {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := tflite.Parse(b)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m
}

// TestCompiledModels compares plans with the output of Google's compiler for the same
// models: the place of each operator, and the size of the parameters.
func TestCompiledModels(t *testing.T) {
	models := reference.Path(t, "models")
	// tables holds the number of parameter bytes that are not weights or biases: the newer
	// compiler's tables for SOFTMAX.
	tables := map[string]int{
		"mobilenet_v1_0.25_128_quant": 48256, "mobilenet_v1_0.5_160_quant": 48256, "movenet_single_pose_lightning_ptq": 2368,
		"pairs/color_blue_64x64": 1280, "pairs/color_green_64x64": 1280, "pairs/color_red_64x64": 1280, "pairs/color_yellow_64x64": 1280,
	}
	n := 0
	for _, dir := range []string{"", "older", "pairs"} {
		files, _ := filepath.Glob(filepath.Join(models, dir, "*_edgetpu.tflite"))
		for _, f := range files {
			uncompiled := strings.TrimSuffix(f, "_edgetpu.tflite") + ".tflite"
			if _, err := os.Stat(uncompiled); err != nil {
				continue
			}
			n++
			name := filepath.Join(dir, strings.TrimSuffix(filepath.Base(f), "_edgetpu.tflite"))
			compiled, m := read(t, f), read(t, uncompiled)
			plan, err := New(m)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var want []string // operators on the CPU
			size := 0
			for _, op := range compiled.Subgraphs[0].Operators {
				if op.CustomOptions == nil || Name(compiled, &op) != executable.CustomOperator {
					want = append(want, Name(compiled, &op)+" "+compiled.Subgraphs[0].Tensors[op.Outputs[0]].Name)
					continue
				}
				p, err := executable.Parse(op.CustomOptions)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range p.Executables {
					size += len(e.Parameters)
				}
			}
			var got []string
			for i, o := range plan.Operators {
				if o.Place != TPU {
					got = append(got, o.Name+" "+m.Subgraphs[0].Tensors[m.Subgraphs[0].Operators[i].Outputs[0]].Name)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d operators on the CPU, want %d:\ngot  %q\nwant %q", name, len(got), len(want), got, want)
			}
			if plan.Parameters != size-tables[name] {
				t.Errorf("%s: %d bytes of parameters, want %d", name, plan.Parameters, size-tables[name])
			}
		}
	}
	if n == 0 {
		t.Skip("no shared models next to the checkout")
	}
}
