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
)

// golden has the first bytes of the SHA-256 of what is written into each compiled model:
// the file with a random last layer on the uncompiled model's embedding, the layer read
// back, and the uncompiled model of that file; and the same on the built-in backbone's.
var golden = map[string]string{
	"mobilenet_v1_0.25_128_quant":                 "757708d05469c81d",
	"mobilenet_v1_0.25_128_quant, built-in":       "021977612beb98b6",
	"mobilenet_v1_0.5_160_quant":                  "c7dc954b4ae02dac",
	"older/mobilenet_v1_0.25_128_quant":           "4ca39c6519acf780",
	"older/mobilenet_v1_0.25_128_quant, built-in": "115f2a2727651c49",
	"older/mobilenet_v2_1.0_224_quant":            "7746a7fe8f4e9c1d",
	"pairs/dense_256":                             "43b9590aa98a10d4",
}

// TestGolden fixes the bytes that are written, and what is read back from them.
func TestGolden(t *testing.T) {
	tried := 0
	all := pairs(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		pair := all[name]
		c, err := Open(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if c.givesClasses(c.last()) != nil {
			continue
		}
		files := map[string][]byte{name: pair[1]}
		if strings.HasSuffix(name, "mobilenet_v1_0.25_128_quant") {
			files[name+", built-in"] = builtin.Model()
		}
		for name, file := range files {
			if golden[name] == "" {
				continue // a model that has come to the folder since
			}
			tried++
			frozen, err := tflite.Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := written(t, c, frozen); got != golden[name] {
				t.Errorf("%q: %q,", name, got)
			}
		}
	}
	if want := len(golden); tried != want && !testing.Short() {
		t.Errorf("%d models were written into, want %d", tried, want)
	}
}

// written writes random layers of several sizes into c and hashes what comes of it.
func written(t *testing.T, c *Pair, frozen *tflite.Model) string {
	t.Helper()
	f := c.layers[c.last()].filter
	h := sha256.New()
	r := rand.New(rand.NewPCG(3, 1))
	random := func() float64 { return float64(r.IntN(2001)-1000) / 250 } // the same on every processor
	for _, classes := range []int{1, 3, 40, f.Outputs} {
		if classes > f.Outputs || f.Biases == nil && classes < f.Outputs {
			continue
		}
		head := &classifier.Head{Dim: f.Inputs, Bias: make([]float32, classes)}
		for c := range classes {
			head.Labels = append(head.Labels, fmt.Sprint("class ", c))
			for range f.Inputs {
				head.Weights = append(head.Weights, float32(random()))
			}
			if f.Biases != nil && classes > 3 {
				head.Bias[c] = float32(random())
			}
		}
		var examples []classifier.Example
		for range 30 {
			x := make([]float64, f.Inputs)
			for i := range x {
				x[i] = math.Abs(random())
			}
			norm := classifier.Unit(x)
			examples = append(examples, classifier.Example{Unit: x, Norm: norm})
		}
		file, w, err := c.WriteHead(head, examples, frozen)
		if err != nil {
			t.Fatal(err)
		}
		read, err := c.ReadHead(file, frozen)
		if err != nil {
			t.Fatal(err)
		}
		m, embedding, err := c.Uncompiled(file, frozen)
		if err != nil {
			t.Fatal(err)
		}
		model, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		h.Write(file)
		h.Write(model)
		fmt.Fprintln(h, embedding, w.LogitScale, w.Disagreements, w.Examples, w.Layer.Labels, w.Layer.Weights, w.Layer.Bias, read.Labels, read.Weights, read.Bias)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// TestLayers fixes what is found of the layers of some pairs.
func TestLayers(t *testing.T) {
	if testing.Short() {
		t.Skip("the hash is of all these pairs")
	}
	h := sha256.New()
	all := pairs(t)
	for _, name := range []string{"deeplabv3_mnv2_dm05_pascal_quant", "mobilenet_v1_0.25_128_quant", "movenet_single_pose_lightning_ptq", "older/mobilenet_v2_1.0_224_quant", "pairs/color_red_64x64", "pairs/dense_256"} {
		c, err := Open(all[name][0], all[name][1])
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range c.Layers() {
			fmt.Fprintln(h, l.Operator, l.Name, l.Kind, l.OnCPU, l.Shape, l.Bytes, l.Offset, l.Streamed, l.NoBias, l.Lost, l.Stages, l.Multipliers)
			if l.Stage != nil {
				fmt.Fprintln(h, *l.Stage)
			}
		}
	}
	if got, want := fmt.Sprintf("%x", h.Sum(nil)[:8]), "dbde4bc62bd84732"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
