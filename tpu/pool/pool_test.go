package pool_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRunOnDevices runs a compiled model on the emulated device and on the CPU as fallback,
// and the uncompiled model in the Edge TPU's arithmetic. It compares each output with the
// golden output.
func TestRunOnDevices(t *testing.T) {
	compiled, uncompiled, _, usb := pooltest.Reference(t, 1, pooltest.Extractor)
	input := reference.Read(t, "golden", pooltest.Extractor, "cat.bmp.in")
	golden := reference.Read(t, "golden", pooltest.Extractor, "cat.bmp.tpu")
	none := pooltest.None
	var warned []error
	warn := func(err error) { warned = append(warned, err) }
	for _, test := range []struct {
		name, model string
		o           pool.Options
		arithmetic  backbone.Arithmetic
		device      string
		err         error
		warnings    int
	}{
		{"compiled", compiled, pool.Options{USB: usb}, 0, "usb:1-1", nil, 0},
		{"compiled, port given", compiled, pool.Options{Device: "usb:1-1", USB: usb}, 0, "usb:1-1", nil, 0},
		{"compiled, fallback not needed", compiled, pool.Options{Uncompiled: uncompiled, USB: usb, Warn: warn}, 0, "usb:1-1", nil, 0},
		{"compiled, no device, fallback", compiled, pool.Options{Uncompiled: uncompiled, USB: none, Warn: warn}, 0, pool.FallbackDevice, nil, 1},
		{"compiled, cpu, fallback", compiled, pool.Options{Device: "cpu", Uncompiled: uncompiled, USB: usb, Warn: warn}, 0, pool.FallbackDevice, nil, 0},
		{"uncompiled", uncompiled, pool.Options{USB: none}, backbone.EdgeTPU, "cpu", nil, 0},
		{"compiled, no device", compiled, pool.Options{USB: none}, 0, "", tpu.ErrNoDevice, 0},
		{"compiled, one of two ports empty", compiled, pool.Options{Device: "usb:1-1,usb:1-2", USB: usb}, 0, "", tpu.ErrNoDevice, 0},
		{"compiled, cpu", compiled, pool.Options{Device: "cpu", USB: usb}, 0, "", backbone.ErrCompiled, 0},
		{"uncompiled, tpu", uncompiled, pool.Options{Device: "tpu", USB: usb}, 0, "", pool.ErrNotCompiled, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			warned = nil
			p := pooltest.New(t, test.o)
			r, err := pool.Run(context.Background(), test.model, pool.RunOptions{Inputs: [][]byte{input}, Pool: p, Arithmetic: test.arithmetic})
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Fatalf("got error %v, want %v", err, test.err)
			}
			if len(warned) != test.warnings {
				t.Errorf("got warnings %v, want %d", warned, test.warnings)
			}
			if err != nil {
				return
			}
			if r.Device != test.device {
				t.Errorf("ran on %q, want %q", r.Device, test.device)
			}
			if !bytes.Equal(r.Outputs[0], golden) {
				t.Error("the output differs from the golden output")
			}
		})
	}
	t.Run("compiled, no pool", func(t *testing.T) {
		_, err := pool.Run(context.Background(), compiled, pool.RunOptions{Inputs: [][]byte{input}})
		if !errors.Is(err, backbone.ErrCompiled) {
			t.Errorf("got error %v, want %v", err, backbone.ErrCompiled)
		}
	})
}

// TestUnplugged checks that unplugging one of two devices changes no result, and that
// unplugging both is an error unless the CPU can take over.
func TestUnplugged(t *testing.T) {
	compiled, uncompiled, devices, usb := pooltest.Reference(t, 2, pooltest.Small)
	input := reference.Read(t, "golden", pooltest.Small, "cat.bmp.in")
	p := pooltest.New(t, pool.Options{USB: usb})
	run := func(p *pool.Pool, repeat int) (*pool.RunResult, error) {
		return pool.Run(context.Background(), compiled, pool.RunOptions{Inputs: [][]byte{input}, Repeat: repeat, Pool: p})
	}
	want, err := run(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	devices[0].Unplug()
	for range 3 {
		got, err := run(p, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got.Device != "usb:1-2" || !bytes.Equal(got.Outputs[0], want.Outputs[0]) {
			t.Errorf("ran on %s, same output: %v", got.Device, bytes.Equal(got.Outputs[0], want.Outputs[0]))
		}
	}
	devices[1].Unplug()
	if _, err := run(p, 1); !errors.Is(err, tpu.ErrDisconnected) && !errors.Is(err, tpu.ErrNoDevice) {
		t.Errorf("without devices: got error %v, want %v or %v", err, tpu.ErrDisconnected, tpu.ErrNoDevice)
	}

	if err := p.Close(); err != nil {
		t.Error(err)
	}
	var warnings atomic.Int32
	fallback := pooltest.New(t, pool.Options{USB: usb, Uncompiled: uncompiled, Warn: func(error) { warnings.Add(1) }})
	got, err := run(fallback, 2)
	if err != nil || got.Device != pool.FallbackDevice || warnings.Load() != 1 {
		t.Errorf("with an uncompiled model: got %+v, %v, %d warnings", got, err, warnings.Load())
	}
}

// TestOneOfTwoDevices checks that a pool uses the device that can be opened, and warns about
// the other.
func TestOneOfTwoDevices(t *testing.T) {
	compiled, _, devices, usb := pooltest.Reference(t, 2, pooltest.Small)
	input := reference.Read(t, "golden", pooltest.Small, "cat.bmp.in")
	devices[0].Refuse(tpu.ErrBusy)
	for _, name := range []string{"auto", "tpu", "usb:1-1,usb:1-2"} {
		t.Run(name, func(t *testing.T) {
			var warned []error
			p := pooltest.New(t, pool.Options{Device: name, USB: usb, Warn: func(err error) { warned = append(warned, err) }})
			r, err := pool.Run(context.Background(), compiled, pool.RunOptions{Inputs: [][]byte{input}, Pool: p})
			if name != "auto" && name != "tpu" {
				if !errors.Is(err, tpu.ErrBusy) {
					t.Errorf("got error %v, want %v", err, tpu.ErrBusy)
				}
				return
			}
			if err != nil || r.Device != "usb:1-2" || len(warned) != 1 || !errors.Is(warned[0], tpu.ErrBusy) {
				t.Errorf("got %+v, %v, warnings %v, want a run on usb:1-2 and a warning of %v", r, err, warned, tpu.ErrBusy)
			}
		})
	}
}

func TestNewErrors(t *testing.T) {
	for _, name := range []string{"gpu", "usb:", "usb:1", "usb:1-1,usb:1-1", "usb:1-1,cpu", "TPU"} {
		if _, err := pool.New(pool.Options{Device: name}); !errors.Is(err, pool.ErrDevice) {
			t.Errorf("device %q: got error %v, want %v", name, err, pool.ErrDevice)
		}
	}
	if _, err := pool.New(pool.Options{Device: "tpu", Uncompiled: "x"}); !errors.Is(err, pool.ErrDevice) {
		t.Errorf("uncompiled model for the Edge TPU: got error %v, want %v", err, pool.ErrDevice)
	}
	if _, err := pool.New(pool.Options{Uncompiled: filepath.Join(t.TempDir(), "x")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing uncompiled model: got error %v, want %v", err, os.ErrNotExist)
	}
}

// TestWrongUncompiled checks that a pool rejects another model's uncompiled file, and a
// compiled file given as the uncompiled model.
func TestWrongUncompiled(t *testing.T) {
	compiled := reference.Path(t, "models", pooltest.Small+"_edgetpu.tflite")
	for _, uncompiled := range []string{reference.Path(t, "models", "mobilenet_v1_0.5_160_quant.tflite"), compiled} {
		p := pooltest.New(t, pool.Options{Device: "cpu", Uncompiled: uncompiled})
		if _, err := pool.Run(context.Background(), compiled, pool.RunOptions{Pool: p}); !errors.Is(err, pool.ErrDevice) {
			t.Errorf("%s: got error %v, want %v", filepath.Base(uncompiled), err, pool.ErrDevice)
		}
	}
}

func TestRun(t *testing.T) {
	model := filepath.Join(t.TempDir(), "classifier.tflite")
	if err := os.WriteFile(model, backbonetest.Classifier(3), 0o644); err != nil {
		t.Fatal(err)
	}
	input := bytes.Repeat([]byte{200, 30, 60}, backbonetest.Size*backbonetest.Size)
	r, err := pool.Run(context.Background(), model, pool.RunOptions{Inputs: [][]byte{input}, Repeat: 3})
	if err != nil || len(r.Times) != 3 || len(r.Outputs) != 1 || len(r.Outputs[0]) != 3 {
		t.Fatalf("got %+v, %v, want 3 runs and an output of 3 bytes", r, err)
	}
	again, err := pool.Run(context.Background(), model, pool.RunOptions{Inputs: [][]byte{input}})
	if err != nil || !bytes.Equal(again.Outputs[0], r.Outputs[0]) || len(again.Times) != 1 {
		t.Errorf("got %+v, %v, want one run with the output %v", again, err, r.Outputs)
	}
	for name, inputs := range map[string][][]byte{"no": nil, "two": {input, input}, "short": {input[1:]}, "long": {append(input, 0)}} {
		_, err := pool.Run(context.Background(), model, pool.RunOptions{Inputs: inputs})
		if !errors.Is(err, pool.ErrInput) {
			t.Errorf("%s input: got error %v, want %v", name, err, pool.ErrInput)
		}
	}
	_, err = pool.Run(context.Background(), model, pool.RunOptions{Inputs: [][]byte{input}, Tensors: []int32{999}})
	if err == nil {
		t.Error("unknown tensor: got no error")
	}
	_, err = pool.Run(context.Background(), model+"x", pool.RunOptions{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing model: got error %v, want %v", err, os.ErrNotExist)
	}
}
