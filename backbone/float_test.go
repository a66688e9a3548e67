package backbone

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// runFloats runs a model on random inputs and on zeros, and returns the outputs.
func runFloats(t *testing.T, file []byte, threads int) []byte {
	t.Helper()
	m, err := tflite.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	in, err := NewInterpreter(m, InterpreterOptions{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	random := rand.New(rand.NewPCG(8, 9))
	var out []byte
	for i := range 3 {
		dst := in.Input(0)
		for j := 0; j < len(dst); j += 4 {
			v := float32(2*random.Float64() - float64(i)) // positive for i = 0, of both signs for i = 1
			if i == 2 {
				v = 0
			}
			binary.LittleEndian.PutUint32(dst[j:], math.Float32bits(v))
		}
		invoke(t, in)
		out = append(out, in.Output(0)...)
	}
	return out
}

// TestDynamicRange compares the results of operators with int8 weights and float32 inputs
// with recorded ones, which are the same on every processor. When they were recorded,
// they equaled those of TensorFlow Lite 2.9. TestPeerDynamicRange in tools/tflitepeer
// compares the same models with TensorFlow Lite.
func TestDynamicRange(t *testing.T) {
	want := map[string]string{
		"conv":                 "a89338e9d20a9318",
		"conv 1x1":             "e6622a283de23c4c",
		"conv batch":           "314bd29944dc61cf",
		"conv dilated":         "ff7928a660553987",
		"conv one channel":     "98ff2eff7b735f57",
		"conv stride":          "9c0062988b4e73ef",
		"dense":                "ed241496dee7155d",
		"dense asymmetric":     "34e77348a3331854",
		"dense odd":            "552c6f937e9e27b2",
		"dense odd asymmetric": "9fa296e3fd14fe9d",
		"depthwise":            "c345c38fa48d5f20",
		"depthwise batch":      "0b37c5146ca12d11",
		"depthwise dilated":    "fa4d630224d578e4",
		"depthwise multiple":   "cb2fa85e7f55428c",
		"depthwise stride":     "54d1ca8e7d3235b9",
	}
	files := backbonetest.DynamicRange()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		out := runFloats(t, files[name], 1)
		if !bytes.Equal(out, runFloats(t, files[name], 3)) {
			t.Errorf("%s: results with one and with three threads differ", name)
		}
		if name == "network" {
			continue // its SOFTMAX is not exact
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(out))[:16]; got != want[name] {
			t.Errorf("%s: SHA-256 starts with %s, want %s", name, got, want[name])
		}
	}
}

// TestFloat16Weights checks that a network gives nearly the same scores with float32
// weights and with float16 weights.
func TestFloat16Weights(t *testing.T) {
	wide := backbonetest.FloatClassifier(backbonetest.Float32Weights, 5, nil, nil)
	half := backbonetest.FloatClassifier(backbonetest.Float16Weights, 5, nil, nil)
	a, b := runFloats(t, wide, 1), runFloats(t, half, 2)
	for i := 0; i < len(a); i += 4 {
		x, y := math.Float32frombits(binary.LittleEndian.Uint32(a[i:])), math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))
		if math.Abs(float64(x-y)) > 0.01 {
			t.Errorf("score %d is %v with float16 weights, %v with float32 weights", i/4, y, x)
		}
	}
	m, err := tflite.Parse(half)
	if err != nil {
		t.Fatal(err)
	}
	at, last, err := FindEmbedding(m)
	if err != nil || last < 0 || m.Subgraphs[0].Tensors[at].NumElements() != backbonetest.Dim {
		t.Errorf("got embedding tensor %d, read by operator %d, error %v", at, last, err)
	}
}

// TestNormalization checks the normalized pixels for several kinds of metadata.
func TestNormalization(t *testing.T) {
	nan := float32(math.NaN())
	for _, test := range []struct {
		name      string
		mean, std []float32
		ignore    bool
		want      [3]float32 // normalized values of the pixel 10, 20, 30
		normal    bool
	}{
		{"none", nil, nil, false, [3]float32{-117.5 / 127.5, -107.5 / 127.5, -97.5 / 127.5}, false},
		{"0…1", []float32{0}, []float32{255}, false, [3]float32{10.0 / 255, 20.0 / 255, 30.0 / 255}, true},
		{"bytes", []float32{0}, []float32{1}, false, [3]float32{10, 20, 30}, true},
		{"channels", []float32{1, 2, 3}, []float32{2, 3, 4}, false, [3]float32{4.5, 6, 6.75}, true},
		{"older rule", []float32{0}, []float32{1}, true, [3]float32{-117.5 / 127.5, -107.5 / 127.5, -97.5 / 127.5}, false},
		{"same as the default", []float32{127.5}, []float32{127.5}, false, [3]float32{-117.5 / 127.5, -107.5 / 127.5, -97.5 / 127.5}, false},
		{"std 0", []float32{0}, []float32{0}, false, [3]float32{-117.5 / 127.5, -107.5 / 127.5, -97.5 / 127.5}, false},
		{"NaN", []float32{nan}, []float32{1}, false, [3]float32{-117.5 / 127.5, -107.5 / 127.5, -97.5 / 127.5}, false},
		{"two values", []float32{1, 2}, []float32{1, 2}, false, [3]float32{-117.5 / 127.5, -107.5 / 127.5, -97.5 / 127.5}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := backbonetest.FloatClassifier(backbonetest.Float32Weights, 2, test.mean, test.std)
			b, err := Parse(file, Options{Embedding: "#0", IgnoreNormalization: test.ignore})
			if err != nil {
				t.Fatal(err)
			}
			r := b.NewRunner(1)
			defer r.Close()
			for i := range r.RGB() {
				r.RGB()[i] = byte(10 + 10*(i%3))
			}
			raw, err := r.Embed(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for c, want := range test.want {
				if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[len(raw)-12+4*c:])); got != want {
					t.Errorf("channel %d is %v, want %v", c, got, want)
				}
			}
			if b.Normalized != test.normal {
				t.Errorf("Normalized is %t", b.Normalized)
			}
		})
	}
}
