package compiled

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/tools/race"
)

// golden holds the result of writeRandom for each compiled model. The embeddings come
// from the uncompiled model or from the built-in backbone.
var golden = map[string]string{
	"mobilenet_v1_0.25_128_quant":                 "757708d05469c81d",
	"mobilenet_v1_0.25_128_quant, built-in":       "617bbe9f964954f6",
	"mobilenet_v1_0.5_160_quant":                  "c8a3c419c8682379",
	"older/mobilenet_v1_0.25_128_quant":           "4ca39c6519acf780",
	"older/mobilenet_v1_0.25_128_quant, built-in": "93dd5c06d0dbdd64",
	"older/mobilenet_v2_1.0_224_quant":            "7746a7fe8f4e9c1d",
	"pairs/dense_256":                             "e5c75b0b79b54f4d",
}

// TestGolden compares written files, and the layers read back from them, with recorded
// hashes.
func TestGolden(t *testing.T) {
	if testing.Short() {
		t.Skip("slow under the race detector, and nothing is concurrent")
	}
	tried := 0
	all := pairs(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		pair := all[name]
		p, err := Open(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if p.isClassifier(p.last()) != nil {
			continue
		}
		files := map[string][]byte{name: pair[1]}
		if strings.HasSuffix(name, "mobilenet_v1_0.25_128_quant") {
			files[name+", built-in"] = builtin.Model()
		}
		for name, file := range files {
			if golden[name] == "" {
				continue // a model added later
			}
			tried++
			frozen, err := tflite.Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := writeRandom(t, p, frozen); got != golden[name] {
				t.Errorf("%s: got %q, want %q", name, got, golden[name])
			}
		}
	}
	if want := len(golden); tried != want {
		t.Errorf("tried %d models, want %d", tried, want)
	}
}

// writeRandom writes random layers of several sizes into p. It hashes the files, their
// uncompiled models, and the results of WriteLastLayer and ReadLastLayer.
func writeRandom(t *testing.T, p *Pair, frozen *tflite.Model) string {
	t.Helper()
	f := p.layers[p.last()].filter
	h := sha256.New()
	r := rand.New(rand.NewPCG(3, 1))
	random := func() float64 { return float64(r.IntN(2001)-1000) / 250 } // the same on every processor
	for _, classes := range []int{1, 3, 40, f.Outputs} {
		if classes > f.Outputs || f.Biases == nil && classes < f.Outputs {
			continue
		}
		l := &LastLayer{Inputs: f.Inputs, Bias: make([]float32, classes)}
		for c := range classes {
			l.Labels = append(l.Labels, fmt.Sprint("class ", c))
			for range f.Inputs {
				l.Weights = append(l.Weights, float32(random()))
			}
			if f.Biases != nil && classes > 3 {
				l.Bias[c] = float32(random())
			}
		}
		embeddings := randomEmbeddings(30, f.Inputs, random)
		file, w, err := p.WriteLastLayer(l, embeddings, frozen)
		if err != nil {
			t.Fatal(err)
		}
		read, err := p.ReadLastLayer(file, frozen)
		if err != nil {
			t.Fatal(err)
		}
		m, embedding, err := p.Uncompiled(file, frozen)
		if err != nil {
			t.Fatal(err)
		}
		model, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		h.Write(file)
		h.Write(model)
		fmt.Fprintln(h, embedding, w.LogitScale, w.Disagreements, w.Embeddings, w.Layer.Labels, w.Layer.Weights, w.Layer.Bias, read.Labels, read.Weights, read.Bias)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// randomEmbeddings returns n embeddings of nonnegative random numbers.
func randomEmbeddings(n, dim int, random func() float64) []Embedding {
	var all []Embedding
	for range n {
		x := make([]float64, dim)
		for i := range x {
			x[i] = math.Abs(random())
		}
		norm := classifier.Normalize(x)
		all = append(all, Embedding{Unit: x, Norm: norm})
	}
	return all
}

// TestLayers compares the results of Layers for some pairs with a recorded hash.
func TestLayers(t *testing.T) {
	if race.Enabled {
		t.Skip("the hash covers models that pairs leaves out under the race detector")
	}
	h := sha256.New()
	all := pairs(t)
	for _, name := range []string{"deeplabv3_mnv2_dm05_pascal_quant", "mobilenet_v1_0.25_128_quant", "movenet_single_pose_lightning_ptq", "older/mobilenet_v2_1.0_224_quant", "pairs/color_red_64x64", "pairs/dense_256"} {
		if all[name][0] == nil {
			t.Skipf("no model %s next to the checkout", name)
		}
		p, err := Open(all[name][0], all[name][1])
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range p.Layers() {
			fmt.Fprintln(h, l.Operator, l.Name, l.Kind, l.OnCPU, l.Shape, l.Bytes, l.Offset, l.Streamed, l.NoBias, l.NotFound, l.Stages, l.Multipliers)
			if l.Stage != nil {
				fmt.Fprintln(h, *l.Stage)
			}
		}
	}
	if got, want := fmt.Sprintf("%x", h.Sum(nil)[:8]), "2c281393bae759b8"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
