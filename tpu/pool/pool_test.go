package pool_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/pool"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

const extractorModel = "mobilenet_v1_1.0_224_quant_embedding_extractor"

// A compiled model on the emulated device, its twin on the CPU, and the uncompiled
// model in the Edge TPU's arithmetic give the same bytes: the golden ones.
func TestRunOnDevices(t *testing.T) {
	compiled, twin, _, usb := emulated(t, 1, extractorModel)
	golden := reference.Path(t, "golden", extractorModel, "cat.bmp.tpu")
	input := bytesOf(t, strings.TrimSuffix(golden, ".tpu")+".in")
	none := pooltest.None
	var warned []error
	warn := func(err error) { warned = append(warned, err) }
	for _, c := range []struct {
		what, model string
		o           pool.Options
		arithmetic  backbone.Arithmetic
		device      string
		err         error
		warnings    int
	}{
		{"compiled", compiled, pool.Options{USB: usb}, 0, "usb:1-1", nil, 0},
		{"compiled, named", compiled, pool.Options{Device: "usb:1-1", USB: usb}, 0, "usb:1-1", nil, 0},
		{"compiled, twin not needed", compiled, pool.Options{Uncompiled: twin, USB: usb, Warn: warn}, 0, "usb:1-1", nil, 0},
		{"compiled, no device, twin", compiled, pool.Options{Uncompiled: twin, USB: none, Warn: warn}, 0, pool.FallbackDevice, nil, 1},
		{"compiled, cpu, twin", compiled, pool.Options{Device: "cpu", Uncompiled: twin, USB: usb, Warn: warn}, 0, pool.FallbackDevice, nil, 0},
		{"uncompiled", twin, pool.Options{USB: none}, backbone.EdgeTPU, "cpu", nil, 0},
		{"compiled, no device", compiled, pool.Options{USB: none}, 0, "", tpu.ErrNoDevice, 0},
		{"compiled, other port", compiled, pool.Options{Device: "usb:1-1,usb:1-2", USB: usb}, 0, "", tpu.ErrNoDevice, 0},
		{"compiled, cpu", compiled, pool.Options{Device: "cpu", USB: usb}, 0, "", backbone.ErrCompiled, 0},
		{"uncompiled, tpu", twin, pool.Options{Device: "tpu", USB: usb}, 0, "", pool.ErrNotCompiled, 0},
	} {
		warned = nil
		devices := pooltest.New(t, c.o)
		r, err := pool.Run(context.Background(), c.model, pool.RunOptions{Inputs: [][]byte{input}, Pool: devices, Arithmetic: c.arithmetic})
		if err := devices.Close(); err != nil {
			t.Error(err)
		}
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.err)
			continue
		}
		if len(warned) != c.warnings {
			t.Errorf("%s: warnings %v", c.what, warned)
		}
		if err != nil {
			continue
		}
		if r.Device != c.device {
			t.Errorf("%s: on %q, want %q", c.what, r.Device, c.device)
		}
		if !bytes.Equal(r.Outputs[0], bytesOf(t, golden)) {
			t.Errorf("%s: another output than the golden", c.what)
		}
	}
	if _, err := pool.Run(context.Background(), compiled, pool.RunOptions{Inputs: [][]byte{input}}); !errors.Is(err, backbone.ErrCompiled) {
		t.Errorf("without devices: got %v, want ErrCompiled", err)
	}
}

const smallModel = "mobilenet_v1_0.25_128_quant"

// Pulling one of two devices in the middle costs nothing but time, and pulling both
// is an error that says so, unless there is a twin.
func TestDevicesFail(t *testing.T) {
	compiled, twin, boards, usb := emulated(t, 2, smallModel)
	input := bytesOf(t, reference.Path(t, "golden", smallModel, "cat.bmp.in"))
	devices := pooltest.New(t, pool.Options{USB: usb})
	run := func(d *pool.Pool, repeat int) (*pool.RunResult, error) {
		return pool.Run(context.Background(), compiled, pool.RunOptions{Inputs: [][]byte{input}, Repeat: repeat, Pool: d})
	}
	want, err := run(devices, 1)
	if err != nil {
		t.Fatal(err)
	}
	boards[0].Unplug()
	for range 3 {
		got, err := run(devices, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got.Device != "usb:1-2" || !bytes.Equal(got.Outputs[0], want.Outputs[0]) {
			t.Errorf("on %s, equal: %v", got.Device, bytes.Equal(got.Outputs[0], want.Outputs[0]))
		}
	}
	boards[1].Unplug()
	if _, err := run(devices, 1); !errors.Is(err, tpu.ErrDisconnected) && !errors.Is(err, tpu.ErrNoDevice) {
		t.Errorf("without any: got %v", err)
	}

	if err := devices.Close(); err != nil {
		t.Error(err)
	}
	var warnings atomic.Int32
	withTwin := pooltest.New(t, pool.Options{USB: usb, Uncompiled: twin, Warn: func(error) { warnings.Add(1) }})
	got, err := run(withTwin, 2)
	if err != nil || got.Device != pool.FallbackDevice || warnings.Load() != 1 {
		t.Errorf("with a twin: on %v, %v, %d warnings", got, err, warnings.Load())
	}
}

// Of two devices the one that can be opened does the work, and what keeps the other from it is told.
func TestOneOfTwoDevices(t *testing.T) {
	compiled, _, boards, usb := emulated(t, 2, smallModel)
	input := bytesOf(t, reference.Path(t, "golden", smallModel, "cat.bmp.in"))
	boards[0].Refuse(tpu.ErrBusy)
	for _, name := range []string{"auto", "tpu", "usb:1-1,usb:1-2"} {
		var warned []error
		d := pooltest.New(t, pool.Options{Device: name, USB: usb, Warn: func(err error) { warned = append(warned, err) }})
		r, err := pool.Run(context.Background(), compiled, pool.RunOptions{Inputs: [][]byte{input}, Pool: d})
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if name != "auto" && name != "tpu" {
			if !errors.Is(err, tpu.ErrBusy) {
				t.Errorf("%s: got %v, want ErrBusy", name, err)
			}
			continue
		}
		if err != nil || r.Device != "usb:1-2" || len(warned) != 1 || !errors.Is(warned[0], tpu.ErrBusy) {
			t.Errorf("%s: got %+v, %v, warnings %v", name, r, err, warned)
		}
	}
}

func TestNewDevices(t *testing.T) {
	for _, s := range []string{"gpu", "usb:", "usb:1", "usb:1-1,usb:1-1", "usb:1-1,cpu", "TPU"} {
		if _, err := pool.New(pool.Options{Device: s}); !errors.Is(err, pool.ErrDevice) {
			t.Errorf("%q: got %v, want ErrDeviceChoice", s, err)
		}
	}
	if _, err := pool.New(pool.Options{Device: "tpu", Uncompiled: "x"}); !errors.Is(err, pool.ErrDevice) {
		t.Errorf("a twin on the Edge TPU: got %v", err)
	}
	if _, err := pool.New(pool.Options{Uncompiled: filepath.Join(t.TempDir(), "x")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a twin that is not there: got %v", err)
	}
	other := reference.Path(t, "models", "mobilenet_v1_0.5_160_quant.tflite")
	compiled := reference.Path(t, "models", smallModel+"_edgetpu.tflite")
	for _, twin := range []string{other, compiled} {
		_, err := pool.Run(context.Background(), compiled, pool.RunOptions{Pool: pooltest.New(t, pool.Options{Device: "cpu", Uncompiled: twin})})
		if !errors.Is(err, pool.ErrDevice) {
			t.Errorf("twin %s: got %v, want ErrDeviceChoice", filepath.Base(twin), err)
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
		t.Fatalf("got %+v, %v", r, err)
	}
	again, err := pool.Run(context.Background(), model, pool.RunOptions{Inputs: [][]byte{input}})
	if err != nil || !bytes.Equal(again.Outputs[0], r.Outputs[0]) || len(again.Times) != 1 {
		t.Errorf("got %+v, %v, want outputs %v", again, err, r.Outputs)
	}
	for name, inputs := range map[string][][]byte{"none": nil, "two": {input, input}, "short": {input[1:]}, "long": {append(input, 0)}} {
		_, err := pool.Run(context.Background(), model, pool.RunOptions{Inputs: inputs})
		if !errors.Is(err, pool.ErrInput) {
			t.Errorf("%s inputs: got %v, want ErrInput", name, err)
		}
	}
	_, err = pool.Run(context.Background(), model, pool.RunOptions{Inputs: [][]byte{input}, Tensors: []int32{999}})
	if err == nil {
		t.Error("a tensor that does not exist: got no error")
	}
	_, err = pool.Run(context.Background(), model+"x", pool.RunOptions{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
}

// emulated is the paths of a compiled model and its uncompiled one, and a bus with n
// emulated accelerators that know them.
func emulated(t testing.TB, n int, name string) (compiled, uncompiled string, devices []*emulator.Device, usb func() (tpu.Bus, error)) {
	t.Helper()
	compiled, uncompiled = reference.Path(t, "models", name+"_edgetpu.tflite"), reference.Path(t, "models", name+".tflite")
	devices, usb = pooltest.Emulated(t, n, compiled, uncompiled)
	return compiled, uncompiled, devices, usb
}

func bytesOf(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
