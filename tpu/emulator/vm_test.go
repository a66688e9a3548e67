//go:build linux

package emulator_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

var replugs = flag.Int("replugs", 1, "how often TestVM unplugs the device")

// TestVM runs the driver on libusb and a real kernel's USB stack. Only the device is emulated. It plugs devices into the
// machine that it runs on, so it needs a disposable one: see the make target test-vm.
func TestVM(t *testing.T) {
	if os.Getenv("IMPRINT_VM") == "" {
		t.Skip("needs a virtual machine: make test-vm")
	}
	for _, speed := range []tpu.Speed{tpu.SuperSpeed, tpu.HighSpeed} {
		t.Run(speed.String(), func(t *testing.T) { gate(t, speed) })
	}
}

func gate(t *testing.T, speed tpu.Speed) {
	var made transcript
	device := emulator.New(emulator.Config{Speed: speed, Log: t.Logf, Transcript: &made})
	tiny := tracetest.TinyPackage(tinySize, 0x80, 1)
	if err := device.RegisterPackage(tiny, nil); err != nil {
		t.Fatal(err)
	}
	p := plugIn(t, device)
	defer p.end()
	bus, err := tpu.USB()
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute+time.Duration(*replugs)*5*time.Second)
	defer cancel()
	var infos []tpu.USBInfo
	for (len(infos) == 0 || infos[0].Speed != speed) && ctx.Err() == nil { // the kernel may still be removing an earlier device
		time.Sleep(50 * time.Millisecond)
		if infos, err = bus.List(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(infos) != 1 || !infos[0].Boot() || infos[0].Speed != speed {
		t.Fatalf("found %+v, want one device in its boot ROM at %v", infos, speed)
	}

	session(ctx, t, bus, infos[0].Port, tiny, speed, &made)
	kernelDriver(ctx, t, bus, infos[0].Port)

	// Open the device again, load a model and run it.
	d := openDevice(ctx, t, bus, infos[0].Port, 6*time.Second)
	defer func() { d.Close() }()
	m, err := d.Load(ctx, tiny)
	if err != nil {
		t.Fatal(err)
	}
	input, out, want := make([]byte, tinySize), make([]byte, tinySize), make([]byte, tinySize)
	for i := range want {
		want[i] = byte(7 * i) // the device's output without an uncompiled model
	}
	run := func() error {
		clear(out)
		return m.Run(ctx, [][]byte{input}, [][]byte{out})
	}
	check := func(after string) {
		t.Helper()
		if err := run(); err != nil || !bytes.Equal(out, want) {
			t.Fatalf("after %s: error %v, correct output: %v", after, err, bytes.Equal(out, want))
		}
		t.Logf("correct after %s", after)
	}
	check("opening")

	// Each fault makes one inference fail.
	for _, fault := range []struct {
		kind emulator.FaultKind
		want error
	}{{emulator.Stall, tpu.ErrStall}, {emulator.Fail, tpu.ErrTransfer}, {emulator.Hang, tpu.ErrTimeout}} {
		device.Script(emulator.Fault{Endpoint: 0x01, At: 3, Kind: fault.kind})
		err := run()
		device.Script()
		if !errors.Is(err, fault.want) {
			t.Errorf("%v: got error %v, want %v", fault.kind, err, fault.want)
		}
		check(fault.kind.String())
	}

	// Unplug the device during an inference and plug it in again. The device then needs its firmware.
	for range *replugs {
		device.Script(emulator.Fault{Endpoint: 0x01, At: 3, Kind: emulator.Disconnect})
		if err := run(); !errors.Is(err, tpu.ErrDisconnected) {
			t.Errorf("unplug: got error %v, want %v", err, tpu.ErrDisconnected)
		}
		device.Script()
		p.again()
		check("replug")
	}

	if speed == tpu.SuperSpeed {
		away(t, d, infos[0].Port, run, check)
	}

	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if speed == tpu.SuperSpeed {
		d = held(ctx, t, bus, infos[0].Port)
		if m, err = d.Load(ctx, tiny); err != nil {
			t.Fatal(err)
		}
		check("killing the program that held it")
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	// Models with computed outputs take longer, especially on a busy machine.
	d = openDevice(ctx, t, bus, infos[0].Port, time.Minute)
	classify(ctx, t, device, d)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if speed == tpu.SuperSpeed || !testing.Short() {
		embed(ctx, t, device, bus, infos[0].Port)
	}
}

// embed runs models and compares their outputs with the outputs of an Edge TPU, recorded in the folder models.
func embed(ctx context.Context, t *testing.T, device *emulator.Device, bus tpu.Bus, port tpu.Port) {
	recorded, _ := filepath.Glob("models/*/*.tpu") // the pattern is valid
	if testing.Short() {
		recorded = recorded[:min(len(recorded), 1)]
	}
	for _, file := range recorded {
		model := filepath.Dir(file)
		var files [4][]byte
		for i, name := range []string{model + "_edgetpu.tflite", model + ".tflite", strings.TrimSuffix(file, "tpu") + "in", file} {
			var err error
			if files[i], err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
		if err := device.Register(files[0], files[1]); err != nil {
			t.Fatal(err)
		}
		pkg, err := tracetest.Package(files[0])
		if err != nil {
			t.Fatal(err)
		}
		d := openDevice(ctx, t, bus, port, time.Minute) // the model is large and the virtual machine slow
		out := make([]byte, len(files[3]))
		m, err := d.Load(ctx, pkg)
		if err == nil {
			err = m.Run(ctx, [][]byte{files[2]}, [][]byte{out})
		}
		if err != nil || !bytes.Equal(out, files[3]) {
			t.Errorf("%s: error %v, equal to the recording: %v", file, err, bytes.Equal(out, files[3]))
		} else {
			t.Logf("%s equals the recording", file)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// classify runs a model in compiled form on a device that also knows its uncompiled form. It compares the output with
// the in-process emulator's. The model is not part of this project, but the folder models may contain it.
func classify(ctx context.Context, t *testing.T, device *emulator.Device, d *tpu.Device) {
	const model = "mobilenet_v1_0.25_128_quant"
	if _, err := os.Stat("models"); err != nil {
		t.Log("no models folder: nothing to compute")
		return
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("models", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	compiled, uncompiled, input := read(model+"_edgetpu.tflite"), read(model+".tflite"), read("cat.bmp.in")
	inProcess := emulator.New(emulator.Config{})
	for _, e := range []*emulator.Device{device, inProcess} {
		if err := e.Register(compiled, uncompiled); err != nil {
			t.Fatal(err)
		}
	}
	pkg, err := tracetest.Package(compiled)
	if err != nil {
		t.Fatal(err)
	}
	run := func(d *tpu.Device) []byte {
		m, err := d.Load(ctx, pkg)
		out := make([]byte, 1001)
		if err == nil {
			err = m.Run(ctx, [][]byte{input}, [][]byte{out})
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	bus := emulator.NewBus(inProcess)
	defer bus.Close()
	other := openDevice(ctx, t, bus, inProcess.Info().Port, time.Minute)
	defer other.Close()
	if got, want := run(d), run(other); !bytes.Equal(got, want) || bytes.Count(got, []byte{0}) == len(got) {
		t.Errorf("%s: equal to the in-process output: %v", model, bytes.Equal(got, want))
	}
	t.Logf("%s is correct", model)
	if !testing.Short() {
		writtenHeads(ctx, t, device, d)
	}
}

func openDevice(ctx context.Context, t *testing.T, bus tpu.Bus, port tpu.Port, timeout time.Duration) *tpu.Device {
	t.Helper()
	firmware := bytes.Repeat([]byte("not Google's"), 900)
	d, err := tpu.Open(ctx, bus, port, tpu.Options{
		Firmware: func() ([]byte, error) { return firmware, nil },
		Patience: time.Minute,
		Timeout:  timeout, // the virtual machine is slow
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tinySize is the size of an input and output in bytes: large enough for several transfers at either speed.
const tinySize = 5000

// plug is an emulated device that is plugged into a port of this machine.
type plug struct {
	t      *testing.T
	device *emulator.Device
	port   int
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

func plugIn(t *testing.T, d *emulator.Device) *plug {
	port, err := emulator.FreeVHCIPort(d)
	if err != nil {
		t.Fatal(err)
	}
	p := &plug{t: t, device: d, port: port}
	p.attach()
	return p
}

func (p *plug) attach() {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.wait.Add(1)
	go func() {
		defer p.wait.Done()
		if err := emulator.AttachVHCI(ctx, p.device, p.port); err != nil {
			p.t.Error(err)
		}
	}()
}

// again plugs the device in after it was unplugged.
func (p *plug) again() {
	p.wait.Wait()
	p.device.Plug()
	p.attach()
}

func (p *plug) end() {
	p.cancel()
	p.wait.Wait()
}
