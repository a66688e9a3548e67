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
	"github.com/imprintkit/imprint/tools/reference"
)

// pairs returns compiled models with their uncompiled models, by name.
func pairs(t testing.TB) map[string][2][]byte {
	t.Helper()
	models := reference.Path(t, "models")
	found := map[string][2][]byte{}
	for _, dir := range []string{"", "detect", "older", "pairs", "retrained"} {
		files, _ := filepath.Glob(filepath.Join(models, dir, "*_edgetpu.tflite"))
		for _, f := range files {
			compiled, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			uncompiled, err := os.ReadFile(strings.TrimSuffix(f, "_edgetpu.tflite") + ".tflite")
			if err != nil {
				continue
			}
			name := filepath.Join(dir, strings.TrimSuffix(filepath.Base(f), "_edgetpu.tflite"))
			if testing.Short() && dir != "pairs" && name != "mobilenet_v1_0.25_128_quant" {
				continue // slow under the race detector, and nothing is concurrent
			}
			found[name] = [2][]byte{compiled, uncompiled}
		}
	}
	if len(found) == 0 {
		t.Skip("no shared models next to the checkout")
	}
	return found
}

// TestFind checks that every layer on the Edge TPU is found, and that the layers account
// for all parameters except the tables of SOFTMAX.
func TestFind(t *testing.T) {
	tables := map[string]int{ // size in bytes; only the newer compiler writes these tables
		"movenet_single_pose_lightning_ptq": 2368, // streamed; their purpose is not known
		"mobilenet_v1_0.25_128_quant":       48256, "mobilenet_v1_0.5_160_quant": 48256,
		"retrained/tutorial_a": 192, "retrained/tutorial_b": 192,
		"pairs/color_blue_64x64": 1280, "pairs/color_green_64x64": 1280, "pairs/color_red_64x64": 1280, "pairs/color_yellow_64x64": 1280,
	}
	for name, pair := range pairs(t) {
		if strings.HasPrefix(name, "detect/") {
			continue // the layout of 8 of its 88 layers is not known
		}
		p, err := Open(pair[0], pair[1])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		n, size := 0, 0
		for _, l := range p.layers {
			if l.filter == nil || p.onCPU(l.operator) {
				continue
			}
			n++
			if l.found != 1 || len(l.stages) == 0 {
				t.Errorf("%s: layer %q, %v: weights found at %d places, stage at %d", name, l.name, l.kind, l.found, len(l.stages))
			}
			size += align64(l.filter.Size(l.place.Form))
		}
		all := len(p.program.Caching.Parameters) + len(p.program.Main.Parameters)
		if size != all-tables[name] || n == 0 {
			t.Errorf("%s: %d layers take %d of %d bytes, want all but %d", name, n, size, all, tables[name])
		}
	}
}

// randomLayer returns a layer that fits the last layer of p. It has at most 12 classes, or one for
// each row if p has no biases to keep the logits of spare rows low.
func randomLayer(p *Pair, r *rand.Rand) *LastLayer {
	f := p.layers[p.last()].filter
	classes := min(f.Outputs, 12)
	if f.Biases == nil {
		classes = f.Outputs
	}
	l := &LastLayer{Inputs: f.Inputs, Bias: make([]float32, classes)}
	for c := range classes {
		l.Labels = append(l.Labels, fmt.Sprint("class ", c))
		for range f.Inputs {
			l.Weights = append(l.Weights, float32(r.NormFloat64()))
		}
		if f.Biases != nil {
			l.Bias[c] = float32(r.NormFloat64())
		}
	}
	return l
}

// TestReadBack writes random layers into every classifier and reads them back.
func TestReadBack(t *testing.T) {
	written := 0
	for name, pair := range pairs(t) {
		p, err := Open(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if p.isClassifier(p.last()) != nil {
			continue
		}
		written++
		r := rand.New(rand.NewPCG(7, 7))
		l := randomLayer(p, r)
		embeddings := randomEmbeddings(40, l.Inputs, r.NormFloat64)
		frozen, err := tflite.Parse(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		file, w, err := p.WriteLastLayer(l, embeddings, frozen)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := p.ReadLastLayer(file, frozen)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(got.Labels, l.Labels) {
			t.Errorf("%s: labels %q", name, got.Labels)
		}
		span := slices.Max(w.Layer.Weights) - slices.Min(w.Layer.Weights)
		for i, v := range w.Layer.Weights {
			if d := math.Abs(float64(got.Weights[i] - v)); d > float64(span)/500 {
				t.Errorf("%s: weight %d: wrote %v, read %v", name, i, v, got.Weights[i])
				break
			}
		}
		step := float64(p.layers[p.last()].around[0].scale) * float64(span) / 254 // of a bias
		for c, v := range w.Layer.Bias {
			if d := math.Abs(float64(got.Bias[c] - v)); d > step/2+1e-4 {
				t.Errorf("%s: bias %d: wrote %v, read %v", name, c, v, got.Bias[c])
				break
			}
		}
		again, _, err := p.WriteLastLayer(l, embeddings, frozen)
		if err != nil || !bytes.Equal(again, file) {
			t.Errorf("%s: a second write differs (%v)", name, err)
		}
	}
	if want := 7; written != want && !testing.Short() {
		t.Errorf("%d classifiers, want %d", written, want)
	}
}

// TestCodes writes random codes into the last Edge TPU layer of every pair and reads them back.
func TestCodes(t *testing.T) {
	for name, pair := range pairs(t) {
		p, err := Open(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		at := len(p.layers) - 1
		for p.layers[at].found != 1 {
			at--
		}
		l := &p.layers[at]
		c := randomChange(l)
		file, _, err := p.write([]change{c})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		written := program(t, file)
		got := *l.filter
		got.Biases = nil
		if err := got.Decode(l.parameters(written)[l.place.Offset:], l.place.Form); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.filter.Multipliers == nil {
			got.Zeros = []byte{written.Main.Stage(l.stages[0]).WeightZero}
		}
		if !reflect.DeepEqual(&got, c.filter) {
			t.Errorf("%s: layer %q differs from the layer written", name, l.name)
		}
		for _, place := range l.stages {
			if s := written.Main.Stage(place); s != c.stage {
				t.Errorf("%s: layer %q: stage %v, want %v", name, l.name, s, c.stage)
			}
		}
		was := program(t, pair[0])
		for i := range written.Executables {
			if token := written.Executables[i].Token; token == was.Executables[i].Token || token != written.Executables[0].Token || token == 0 {
				t.Errorf("%s: executable %d has the token %#x", name, i, token)
			}
		}
	}
}

// randomChange returns a change that sets all constants of l to random values.
func randomChange(l *placed) change {
	r := rand.New(rand.NewPCG(1, 2))
	f := *l.filter
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
	stage := *l.stage
	if f.Multipliers == nil {
		stage.Multiplier, stage.WeightZero = r.Float32(), f.Zeros[0]
	}
	return change{placed: l, filter: &f, stage: stage}
}
