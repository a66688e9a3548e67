package compiled

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

func sharedFolder() string {
	if dir := os.Getenv("IMPRINT_SHARED"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", "shared")
}

func pairs(t testing.TB) map[string][2][]byte {
	t.Helper()
	shared := sharedFolder()
	found := map[string][2][]byte{}
	for _, dir := range []string{"", "older", "pairs"} {
		files, _ := filepath.Glob(filepath.Join(shared, "models", dir, "*_edgetpu.tflite"))
		for _, f := range files {
			compiled, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			twin, err := os.ReadFile(strings.TrimSuffix(f, "_edgetpu.tflite") + ".tflite")
			if err != nil {
				continue
			}
			name := filepath.Join(dir, strings.TrimSuffix(filepath.Base(f), "_edgetpu.tflite"))
			if testing.Short() && dir != "pairs" && name != "mobilenet_v1_0.25_128_quant" {
				continue // the race detector is slow, and nothing runs at the same time
			}
			found[name] = [2][]byte{compiled, twin}
		}
	}
	if len(found) == 0 {
		t.Skip("no shared models beside the checkout")
	}
	return found
}

// Every layer that is on the chip is found by making its bytes anew, and together they
// are all parameters there are but the tables of SOFTMAX.
func TestFind(t *testing.T) {
	// Bytes of parameters that are no layer's: the tables, in models of the newer compiler.
	tables := map[string]int{
		"movenet_single_pose_lightning_ptq": 2368, // streamed, not explained
		"mobilenet_v1_0.25_128_quant":       48256, "mobilenet_v1_0.5_160_quant": 48256,
		"pairs/color_blue_64x64": 1280, "pairs/color_green_64x64": 1280, "pairs/color_red_64x64": 1280, "pairs/color_yellow_64x64": 1280,
	}
	for name, pair := range pairs(t) {
		tmpl, err := Open(pair[0], pair[1])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		n, size := 0, 0
		for _, l := range tmpl.layers {
			if l.filter == nil || tmpl.onCPU(l.operator) {
				continue
			}
			n++
			if l.found != 1 || len(l.stages) == 0 {
				t.Errorf("%s: layer %q, %v: found at %d places, its stage at %d", name, l.name, l.kind, l.found, len(l.stages))
			}
			size += up64(l.filter.Size(l.place.Form))
		}
		all := len(tmpl.program.Caching.Parameters) + len(tmpl.program.Main.Parameters)
		if size != all-tables[name] || n == 0 {
			t.Errorf("%s: %d layers have %d of %d bytes, want all but %d", name, n, size, all, tables[name])
		}
	}
}

// Random weights are read back as they were written, in every pair that has one last layer.
func TestHeadIsReadBack(t *testing.T) {
	written := 0
	for name, pair := range pairs(t) {
		tmpl, err := Open(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if tmpl.givesClasses(tmpl.last()) != nil {
			continue
		}
		written++
		f := tmpl.layers[tmpl.last()].filter
		r := rand.New(rand.NewPCG(7, 7))
		h := &classifier.Head{Dim: f.Inputs}
		for c := range min(f.Outputs, 12) {
			h.Labels = append(h.Labels, fmt.Sprint("class ", c))
			for range f.Inputs {
				h.Weights = append(h.Weights, float32(r.NormFloat64()))
			}
			bias := float32(r.NormFloat64())
			if f.Biases == nil {
				bias = 0
			}
			h.Bias = append(h.Bias, bias)
		}
		if f.Biases == nil { // nothing can keep spare rows down
			for c := len(h.Labels); c < f.Outputs; c++ {
				h.Labels, h.Bias = append(h.Labels, fmt.Sprint("class ", c)), append(h.Bias, 0)
				for range f.Inputs {
					h.Weights = append(h.Weights, float32(r.NormFloat64()))
				}
			}
		}
		var examples []classifier.Example
		for range 40 {
			x := make([]float64, f.Inputs)
			for i := range x {
				x[i] = math.Abs(r.NormFloat64())
			}
			norm := classifier.Normalize(x)
			examples = append(examples, classifier.Example{Label: "class 0", Unit: x, Norm: norm})
		}
		frozen, err := tflite.Parse(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		file, w, err := tmpl.WriteHead(h, examples, frozen)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := tmpl.ReadHead(file, frozen)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(got.Labels, h.Labels) {
			t.Errorf("%s: labels %q", name, got.Labels)
		}
		largest := slices.Max(w.Layer.Weights) - slices.Min(w.Layer.Weights)
		for i, v := range w.Layer.Weights {
			if d := math.Abs(float64(got.Weights[i] - v)); d > float64(largest)/500 {
				t.Errorf("%s: weight %d: wrote %v, read %v", name, i, v, got.Weights[i])
				break
			}
		}
		for c, v := range w.Layer.Bias {
			if d := math.Abs(float64(got.Bias[c] - v)); d > 1e-4 {
				t.Errorf("%s: bias %d: wrote %v, read %v", name, c, v, got.Bias[c])
				break
			}
		}
		// What was read is written to the same codes.
		again, _, err := tmpl.WriteHead(h, examples, frozen)
		if err != nil || !bytes.Equal(again, file) {
			t.Errorf("%s: written twice, two files (%v)", name, err)
		}
	}
	if want := 5; written != want && !testing.Short() {
		t.Errorf("%d pairs are of classifiers, want %d", written, want)
	}
}

// Any codes are read back as they were written, for the last layer that is on the chip
// of every pair.
func TestCodesAreReadBack(t *testing.T) {
	for name, pair := range pairs(t) {
		tmpl, err := Open(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		at := len(tmpl.layers) - 1
		for tmpl.layers[at].found != 1 {
			at--
		}
		l := &tmpl.layers[at]
		r := rand.New(rand.NewPCG(1, 2))
		f := *l.layer.filter
		f.Weights, f.Zeros, f.Biases, f.Multipliers = slices.Clone(f.Weights), slices.Clone(f.Zeros), slices.Clone(f.Biases), slices.Clone(f.Multipliers)
		for i := range f.Weights {
			f.Weights[i] = byte(r.IntN(256))
		}
		for i := range f.Zeros {
			f.Zeros[i] = byte(r.IntN(256))
		}
		if l.place.Form.NoBias {
			f.Biases = nil
		}
		for i := range f.Biases {
			f.Biases[i] = int32(r.Uint32())
		}
		for i := range f.Multipliers {
			f.Multipliers[i] = r.Float32()
		}
		stage := *l.layer.stage
		if f.Multipliers == nil {
			stage.Multiplier, stage.WeightZero = r.Float32(), f.Zeros[0]
		}
		file, _, err := tmpl.write([]change{{placed: l, filter: &f, stage: stage}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p := program(t, file)
		got := *l.layer.filter
		got.Biases = nil
		if err := got.Decode(l.parameters(p)[l.place.Offset:], l.place.Form); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Multipliers == nil {
			got.Zeros = []byte{p.Main.Stage(l.stages[0]).WeightZero}
		}
		if !reflect.DeepEqual(got, f) {
			t.Errorf("%s: layer %q is not read back as it was written", name, l.name)
		}
		for _, place := range l.stages {
			if s := p.Main.Stage(place); s != stage {
				t.Errorf("%s: layer %q: the stage is %v, want %v", name, l.name, s, stage)
			}
		}
		was := program(t, pair[0])
		for i := range p.Executables {
			if p.Executables[i].Token == was.Executables[i].Token || p.Executables[i].Token != p.Executables[0].Token || p.Executables[i].Token == 0 {
				t.Errorf("%s: executable %d has the token %#x", name, i, p.Executables[i].Token)
			}
		}
	}
}
