package tpu_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

// TestConcurrent checks that goroutines that share a device each get the output of their own model, while the
// parameters of two models evict each other.
func TestConcurrent(t *testing.T) {
	one, two := readModel(t, small), readModel(t, "pairs/color_red_64x64")
	r := one.emulate(t, emulator.Config{Speed: tpu.HighSpeed})
	if err := r.device.Register(two.compiled, two.uncompiled); err != nil {
		t.Fatal(err)
	}
	d, m := r.start(t, options())
	other := two.emulate(t, emulator.Config{})
	m2, err := d.Load(t.Context(), two.pkg)
	if err != nil {
		t.Fatal(err)
	}
	if other.want, err = other.run(m2); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 25 {
				var err error
				if (i+j/5)%4 == 0 {
					err = other.check(m2)
				} else {
					err = r.check(m)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if s := d.Status(); s.Inferences != 8*25+2 || s.Failures != 0 {
		t.Errorf("got %+v", s)
	}
}

// TestParametersStay checks that a model's parameters are sent only once, until another model's parameters evict them.
func TestParametersStay(t *testing.T) {
	one, two := readModel(t, small), readModel(t, "pairs/color_red_64x64")
	r := one.emulate(t, emulator.Config{})
	if err := r.device.Register(two.compiled, two.uncompiled); err != nil {
		t.Fatal(err)
	}
	r.counted = true
	d, m := r.start(t, options())
	count := func(what string, want int, f func() error) {
		t.Helper()
		r.device.Script()
		if err := f(); err != nil {
			t.Fatal(err)
		}
		if got := r.device.Transfers(); got != want {
			t.Errorf("%s: %d transfers, want %d", what, got, want)
		}
	}
	count("the same model again", 6, func() error { return r.check(m) })
	var m2 *tpu.Model
	count("loading a second model", 0, func() (err error) { m2, err = d.Load(t.Context(), two.pkg); return err })
	other := two.emulate(t, emulator.Config{})
	count("running the second", 11, func() (err error) { other.want, err = other.run(m2); return err })
	count("running the second again", 6, func() error { return other.check(m2) })
	count("running the first", 11, func() error { return r.check(m) })
}

// TestModelsCompiledTogether checks that models compiled together, which share a token, do not evict each other's
// parameters.
func TestModelsCompiledTogether(t *testing.T) {
	const size = 64
	device := emulator.New(emulator.Config{Application: true})
	var log lockedBuffer
	d, err := tpu.Open(t.Context(), tpu.Transcribe(emulator.NewBus(device), &log), tpu.Port{}, options())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var models []*tpu.Model
	for i, token := range []uint64{7, 7, 8} {
		pkg := tracetest.TinyPackage(size, byte(16*i), token)
		if err := device.RegisterPackage(pkg, nil); err != nil {
			t.Fatal(err)
		}
		m, err := d.Load(t.Context(), pkg)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
	}
	// An inference takes six transfers, and loading parameters takes five.
	for i, step := range []struct{ model, transfers int }{{1, 11}, {0, 6}, {1, 6}, {2, 11}, {1, 11}, {0, 11}, {1, 6}} {
		before := strings.Count(log.String(), "BULK")
		x := [][]byte{make([]byte, size)}
		if err := models[step.model].Run(t.Context(), x, x); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(log.String(), "BULK") - before; got != step.transfers {
			t.Errorf("step %d, model %d: %d transfers, want %d", i, step.model, got, step.transfers)
		}
	}
}

// TestGoldens compares the driver's outputs with recorded outputs of an Edge TPU.
func TestGoldens(t *testing.T) {
	const name = "mobilenet_v1_1.0_224_quant_embedding_extractor"
	model := readModel(t, name)
	files, err := filepath.Glob(filepath.Join(reference.Path(t, "golden", name), "*.tpu"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, config := range []emulator.Config{{}, {Speed: tpu.HighSpeed}} {
		r := model.emulate(t, config)
		_, m := r.start(t, options())
		for i, file := range files {
			if i > 0 && config.Speed == tpu.HighSpeed || i > 3 {
				break // the tests of package emulator run all of them
			}
			in, err := os.ReadFile(strings.TrimSuffix(file, "tpu") + "in")
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r.input = [][]byte{in}
			if got, err := r.run(m); err != nil || !bytes.Equal(got[0], want) {
				t.Errorf("%s at %v: not the recorded output, error %v", filepath.Base(file), r.device.Info().Speed, err)
			}
		}
	}
}

// TestEveryModel runs all compiled reference models at both speeds. The device sets byte i of each output to 7i, so
// that the test can check the position of each byte.
func TestEveryModel(t *testing.T) {
	found := 0
	err := filepath.WalkDir(reference.Path(t, "models"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_edgetpu.tflite") {
			return err
		}
		compiled, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pkg, err := tracetest.Package(compiled)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if !pkg.Main.Deterministic { // the driver rejects such programs
			return nil
		}
		found++
		name := strings.TrimSuffix(filepath.Base(path), "_edgetpu.tflite")
		runEverywhere(t, name, testModel{compiled: compiled, pkg: pkg})
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("%d models, %v", found, err)
	}
}

func runEverywhere(t *testing.T, name string, model testModel) {
	t.Helper()
	for _, speed := range []tpu.Speed{tpu.SuperSpeed, tpu.HighSpeed} {
		r := model.emulate(t, emulator.Config{Application: true, Speed: speed})
		d, m := r.start(t, options())
		for range 2 {
			got, err := r.run(m)
			if err != nil {
				t.Fatalf("%s at %v: %v", name, speed, err)
			}
			for i := range model.pkg.Main.Outputs {
				l := &model.pkg.Main.Outputs[i]
				wire, want := make([]byte, l.Size), make([]byte, l.TensorSize())
				for j := range wire {
					wire[j] = byte(7 * j)
				}
				if err := l.FromDevice(want, wire); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got[i], want) {
					t.Errorf("%s at %v: output %d differs", name, speed, i)
				}
			}
		}
		d.Close()
	}
}
