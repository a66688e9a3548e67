package backbone

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
)

func sharedModel(t testing.TB, name string) *tflite.Model {
	t.Helper()
	m, err := tflite.Parse(reference.Read(t, "models", name))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

type goldenModel struct {
	File  string
	Cases []struct{ Image, Input, Output string }
}

// goldenModels returns the models with recorded outputs. With -short, which the race
// checks set, it returns only the smallest model, because races do not depend on the
// model.
func goldenModels(t testing.TB) map[string]goldenModel {
	var manifest struct{ Models map[string]goldenModel }
	if err := json.Unmarshal(reference.Read(t, "golden", "manifest.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		maps.DeleteFunc(manifest.Models, func(name string, _ goldenModel) bool { return name != "mobilenet_v1_0.25_128_quant" })
	}
	return manifest.Models
}

// forEachImplementation runs a test with each implementation of the kernels that this
// processor supports. With -short it uses only the default one.
func forEachImplementation(t *testing.T, test func(t *testing.T)) {
	names := kernels.Implementations()
	if testing.Short() {
		names = names[:1]
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Setenv(kernels.Environment, name)
			test(t)
		})
	}
}

// TestGoldenOutputs compares the outputs of whole models with TensorFlow Lite's.
func TestGoldenOutputs(t *testing.T) { forEachImplementation(t, testGoldenOutputs) }

func testGoldenOutputs(t *testing.T) {
	for name, g := range goldenModels(t) {
		t.Run(name, func(t *testing.T) {
			in, err := NewInterpreter(sharedModel(t, g.File), InterpreterOptions{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			for _, c := range g.Cases {
				x := reference.Read(t, "golden", name, c.Input)
				if len(x) != len(in.Input(0)) {
					t.Fatalf("%s has %d bytes, want %d", c.Input, len(x), len(in.Input(0)))
				}
				copy(in.Input(0), x)
				if err := in.Invoke(context.Background()); err != nil {
					t.Fatal(err)
				}
				if want := reference.Read(t, "golden", name, c.Output); !bytes.Equal(in.Output(0), want) {
					n, most := difference(in.Output(0), want)
					t.Errorf("%s: %d of %d bytes differ, by up to %d", c.Output, n, len(want), most)
				}
			}
		})
	}
}

// TestGoldenOperators compares all outputs of models with further operators with
// TensorFlow Lite 2.9's. LiteRT 2.3 rounds the int8 operators of movenet differently.
func TestGoldenOperators(t *testing.T) {
	for _, name := range []string{"split_concat", "deeplabv3_mnv2_dm05_pascal_quant", "movenet_single_pose_lightning_ptq"} {
		t.Run(name, func(t *testing.T) {
			in, err := NewInterpreter(sharedModel(t, name+".tflite"), InterpreterOptions{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			for _, path := range reference.Glob(t, "golden_more/"+name+"/*.in") {
				recorded := filepath.Join("golden_more", name, strings.TrimSuffix(filepath.Base(path), ".in"))
				got, want := runConcatenated(t, in, reference.Read(t, recorded+".in")), reference.Read(t, recorded+".out")
				if n, most := difference(got, want); n > 0 || len(got) != len(want) {
					t.Errorf("%s: %d of %d bytes differ, by up to %d", recorded, n, len(want), most)
				}
			}
		})
	}
}

// difference returns the number of bytes that differ, and the largest difference.
func difference(got, want []byte) (n, most int) {
	for i := range min(len(got), len(want)) {
		if d := int(got[i]) - int(want[i]); d != 0 {
			n, most = n+1, max(most, d, -d)
		}
	}
	return n, most
}

// TestGoldenLayers compares the output of every operator with TensorFlow Lite's.
func TestGoldenLayers(t *testing.T) { forEachImplementation(t, testGoldenLayers) }

func testGoldenLayers(t *testing.T) {
	var runs map[string]struct {
		Layers []struct {
			Op, Tensor   int32
			Type, SHA256 string
		}
	}
	if err := json.Unmarshal(reference.Read(t, "golden", "layers.json"), &runs); err != nil {
		t.Fatal(err)
	}
	models := goldenModels(t)
	for name, run := range runs {
		t.Run(name, func(t *testing.T) {
			model, image := filepath.Split(name)
			model = filepath.Clean(model)
			if _, ok := models[model]; !ok {
				t.Skip("skipped in -short mode")
			}
			in, err := NewInterpreter(sharedModel(t, models[model].File), InterpreterOptions{KeepAll: true})
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			copy(in.Input(0), reference.Read(t, "golden", model, image+".in"))
			if err := in.Invoke(context.Background()); err != nil {
				t.Fatal(err)
			}
			if len(run.Layers) == 0 {
				t.Fatal("no layers recorded")
			}
			for _, l := range run.Layers {
				got, err := in.Tensor(l.Tensor)
				if err != nil {
					t.Fatal(err)
				}
				if sum := sha256.Sum256(got); hex.EncodeToString(sum[:]) != l.SHA256 {
					t.Fatalf("the output of operator %d (%s) is the first to differ", l.Op, l.Type)
				}
			}
		})
	}
}
