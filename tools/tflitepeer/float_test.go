package tflitepeer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// both runs a model on random inputs, once with this project and once with the library.
func both(t *testing.T, file []byte, spread float64) (ours, theirs [][]byte) {
	t.Helper()
	m, err := tflite.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	random := rand.New(rand.NewPCG(5, 6))
	var inputs [][]byte
	for i := range 6 {
		var raw []byte
		for range len(in.Input(0)) / 4 {
			v := spread * random.NormFloat64()
			if i%3 == 1 {
				v = math.Abs(v) // no negative values
			}
			if i == 5 {
				v = 0
			}
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
		}
		inputs = append(inputs, raw)
		copy(in.Input(0), raw)
		if err := in.Invoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		ours = append(ours, bytes.Clone(in.Output(0)))
	}
	path := filepath.Join(t.TempDir(), "model.tflite")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	if theirs, err = peer(t).Run(t.Context(), path, inputs); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

func floatsIn(b []byte) []float64 {
	v := make([]float64, len(b)/4)
	for i := range v {
		v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return v
}

// TestPeerDynamicRange compares operators with int8 weights and float32 inputs, bit for
// bit.
func TestPeerDynamicRange(t *testing.T) {
	values := 0
	for name, file := range backbonetest.DynamicRange() {
		t.Run(name, func(t *testing.T) {
			ours, theirs := both(t, file, 2)
			for i := range ours {
				got, want := floatsIn(ours[i]), floatsIn(theirs[i])
				differ, largest := 0, 0.0
				for j := range want {
					if got[j] != want[j] {
						differ++
						largest = max(largest, math.Abs(got[j]-want[j]))
					}
				}
				values += len(want)
				if name == "network" { // AVERAGE_POOL_2D and SOFTMAX are not bit-identical in float32
					if largest > 1e-6 {
						t.Errorf("input %d: scores differ by %v", i, largest)
					}
				} else if differ > 0 {
					t.Errorf("input %d: %d of %d values differ, by at most %.3g", i, differ, len(want), largest)
				}
			}
		})
	}
	t.Logf("%d values compared", values)
}

// TestPeerFloatWeights compares networks with float32 and float16 weights.
func TestPeerFloatWeights(t *testing.T) {
	for i, kind := range []backbonetest.Weights{backbonetest.Float32Weights, backbonetest.Float16Weights} {
		t.Run(fmt.Sprint([]string{"float32", "float16"}[i]), func(t *testing.T) {
			ours, theirs := both(t, backbonetest.FloatClassifier(kind, 6, nil, nil), 1)
			largest := 0.0
			for i := range ours {
				got, want := floatsIn(ours[i]), floatsIn(theirs[i])
				for j := range want {
					largest = max(largest, math.Abs(got[j]-want[j]))
				}
			}
			t.Logf("scores differ by at most %.2g", largest)
			if largest > 1e-5 {
				t.Errorf("scores differ by %v", largest)
			}
		})
	}
}
