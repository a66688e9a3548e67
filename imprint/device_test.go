package imprint

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

func bytesOf(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// emulated makes accelerators in ports 1-1, 1-2, … that know the compiled model of
// that name.
func emulated(t testing.TB, n int, name string) (compiled, twin string, devices []*emulator.Device, usb func() (tpu.Bus, error)) {
	t.Helper()
	compiled, twin = reference.Path(t, "models", name+"_edgetpu.tflite"), reference.Path(t, "models", name+".tflite")
	for i := range n {
		d := emulator.New(emulator.Config{Port: tpu.Port{Bus: 1, Path: string(rune('1' + i))}, Application: true})
		if err := d.Register(bytesOf(t, compiled), bytesOf(t, twin)); err != nil {
			t.Fatal(err)
		}
		devices = append(devices, d)
	}
	bus := emulator.NewBus(devices...)
	return compiled, twin, devices, func() (tpu.Bus, error) { return bus, nil }
}

// fastTPU leaves out the waits that physical devices need.
var fastTPU = tpu.Options{Settle: -1, Timeout: time.Second, Appear: time.Second, Patience: 100 * time.Millisecond}

func newDevices(t testing.TB, o DeviceOptions) *Devices {
	t.Helper()
	o.TPU = fastTPU
	d, err := NewDevices(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

const extractorModel = "mobilenet_v1_1.0_224_quant_embedding_extractor"

// A compiled model on the emulated device, its twin on the CPU, and the uncompiled
// model in the Edge TPU's arithmetic give the same bytes: the golden ones.
func TestRunOnDevices(t *testing.T) {
	compiled, twin, _, usb := emulated(t, 1, extractorModel)
	golden := reference.Path(t, "golden", extractorModel, "cat.bmp.tpu")
	input := bytesOf(t, strings.TrimSuffix(golden, ".tpu")+".in")
	none := func() (tpu.Bus, error) { return emulator.NewBus(), nil }
	var warned []error
	warn := func(err error) { warned = append(warned, err) }
	for _, c := range []struct {
		what, model string
		o           DeviceOptions
		arithmetic  backbone.Arithmetic
		device      string
		err         error
		warnings    int
	}{
		{"compiled", compiled, DeviceOptions{USB: usb}, 0, "usb:1-1", nil, 0},
		{"compiled, named", compiled, DeviceOptions{Device: "usb:1-1", USB: usb}, 0, "usb:1-1", nil, 0},
		{"compiled, twin not needed", compiled, DeviceOptions{Uncompiled: twin, USB: usb, Warn: warn}, 0, "usb:1-1", nil, 0},
		{"compiled, no device, twin", compiled, DeviceOptions{Uncompiled: twin, USB: none, Warn: warn}, 0, FallbackDevice, nil, 1},
		{"compiled, cpu, twin", compiled, DeviceOptions{Device: "cpu", Uncompiled: twin, USB: usb, Warn: warn}, 0, FallbackDevice, nil, 0},
		{"uncompiled", twin, DeviceOptions{USB: none}, backbone.EdgeTPU, "cpu", nil, 0},
		{"compiled, no device", compiled, DeviceOptions{USB: none}, 0, "", tpu.ErrNoDevice, 0},
		{"compiled, other port", compiled, DeviceOptions{Device: "usb:1-1,usb:1-2", USB: usb}, 0, "", tpu.ErrNoDevice, 0},
		{"compiled, cpu", compiled, DeviceOptions{Device: "cpu", USB: usb}, 0, "", backbone.ErrCompiled, 0},
		{"uncompiled, tpu", twin, DeviceOptions{Device: "tpu", USB: usb}, 0, "", ErrNotCompiled, 0},
	} {
		warned = nil
		devices := newDevices(t, c.o)
		r, err := Run(context.Background(), c.model, RunOptions{Inputs: [][]byte{input}, Devices: devices, Arithmetic: c.arithmetic})
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
	if _, err := Run(context.Background(), compiled, RunOptions{Inputs: [][]byte{input}}); !errors.Is(err, backbone.ErrCompiled) {
		t.Errorf("without devices: got %v, want ErrCompiled", err)
	}
}

// A workspace taught on two devices, and one taught on the twin, become the same
// model; both answer what that model answers, and say what on.
func TestKitOnDevices(t *testing.T) {
	compiled, twin, _, usb := emulated(t, 2, extractorModel)
	photos := kinds(0, 1)
	teach := func(o DeviceOptions) (*Workspace, *Added) {
		t.Helper()
		k, err := Open(filepath.Join(t.TempDir(), "w"), Options{Backbone: compiled, Devices: newDevices(t, o), Resize: dataset.Squash, Threads: 4})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		learned, err := k.Add(context.Background(), photos, nil)
		if err != nil {
			t.Fatal(err)
		}
		return k, learned
	}
	onTPU, learned := teach(DeviceOptions{Device: "tpu", USB: usb})
	if n := learned.Devices["usb:1-1"] + learned.Devices["usb:1-2"]; n != len(photos) || len(learned.Devices) != 2 {
		t.Errorf("taught on %v, want %d photos on two devices", learned.Devices, len(photos))
	}
	onTwin, learned := teach(DeviceOptions{Device: "cpu", Uncompiled: twin})
	if want := map[string]int{FallbackDevice: len(photos)}; !reflect.DeepEqual(learned.Devices, want) {
		t.Errorf("taught on %v, want %v", learned.Devices, want)
	}
	model := bytesOf(t, onTPU.ModelPath())
	if !bytes.Equal(model, bytesOf(t, onTwin.ModelPath())) {
		t.Error("the models differ")
	}

	unseen := kinds(1, 1)
	var labels []string
	deliver := func(r Result) error {
		if r.Err != nil || !strings.HasPrefix(r.Device, "usb:1-") {
			t.Errorf("%s: on %q, %v", r.Path, r.Device, r.Err)
		}
		labels = append(labels, r.Label)
		return nil
	}
	if err := onTPU.Classify(context.Background(), unseen, 0, deliver); err != nil {
		t.Fatal(err)
	}
	// The published model is the compiled operator and the tail behind it.
	if err := ClassifyWith(context.Background(), onTPU.ModelPath(), ModelOptions{Devices: onTPU.options.Devices}, unseen, deliver); err != nil {
		t.Fatal(err)
	}
	if len(labels) != 2*len(unseen) || labels[0] != labels[len(unseen)] {
		t.Errorf("labels %q", labels)
	}
	set, _, err := EmbedSet(context.Background(), "two", onTPU.Backbone(), dataset.Squash, kinds(0, 2)[:4], 1, 1, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := set.Devices["usb:1-1"] + set.Devices["usb:1-2"]; n != 4 {
		t.Errorf("evaluated on %v", set.Devices)
	}
}

const smallModel = "mobilenet_v1_0.25_128_quant"

// Pulling one of two devices in the middle costs nothing but time, and pulling both
// is an error that says so, unless there is a twin.
func TestDevicesFail(t *testing.T) {
	compiled, twin, boards, usb := emulated(t, 2, smallModel)
	input := bytesOf(t, reference.Path(t, "golden", smallModel, "cat.bmp.in"))
	devices := newDevices(t, DeviceOptions{USB: usb})
	run := func(d *Devices, repeat int) (*RunResult, error) {
		return Run(context.Background(), compiled, RunOptions{Inputs: [][]byte{input}, Repeat: repeat, Devices: d})
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
	withTwin := newDevices(t, DeviceOptions{USB: usb, Uncompiled: twin, Warn: func(error) { warnings.Add(1) }})
	got, err := run(withTwin, 2)
	if err != nil || got.Device != FallbackDevice || warnings.Load() != 1 {
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
		d := newDevices(t, DeviceOptions{Device: name, USB: usb, Warn: func(err error) { warned = append(warned, err) }})
		r, err := Run(context.Background(), compiled, RunOptions{Inputs: [][]byte{input}, Devices: d})
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
		if _, err := NewDevices(DeviceOptions{Device: s}); !errors.Is(err, ErrDeviceChoice) {
			t.Errorf("%q: got %v, want ErrDeviceChoice", s, err)
		}
	}
	if _, err := NewDevices(DeviceOptions{Device: "tpu", Uncompiled: "x"}); !errors.Is(err, ErrDeviceChoice) {
		t.Errorf("a twin on the Edge TPU: got %v", err)
	}
	if _, err := NewDevices(DeviceOptions{Uncompiled: filepath.Join(t.TempDir(), "x")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a twin that is not there: got %v", err)
	}
	other := reference.Path(t, "models", "mobilenet_v1_0.5_160_quant.tflite")
	compiled := reference.Path(t, "models", smallModel+"_edgetpu.tflite")
	for _, twin := range []string{other, compiled} {
		_, err := Run(context.Background(), compiled, RunOptions{Devices: newDevices(t, DeviceOptions{Device: "cpu", Uncompiled: twin})})
		if !errors.Is(err, ErrDeviceChoice) {
			t.Errorf("twin %s: got %v, want ErrDeviceChoice", filepath.Base(twin), err)
		}
	}
}
