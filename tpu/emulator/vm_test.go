package emulator_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/executable"
)

// TestVM is the gate: the driver, libusb and the kernel's USB stack, with only the device emulated. It plugs devices
// into the machine it runs on, and runs in a throw-away one only: see the target test-vm.
func TestVM(t *testing.T) {
	if os.Getenv("IMPRINT_VM") == "" {
		t.Skip("runs in a virtual machine only: make test-vm")
	}
	for _, speed := range []tpu.Speed{tpu.SuperSpeed, tpu.HighSpeed} {
		t.Run(speed.String(), func(t *testing.T) { gate(t, speed) })
	}
}

func gate(t *testing.T, speed tpu.Speed) {
	const model = "mobilenet_v1_0.25_128_quant"
	folder := os.Getenv("IMPRINT_SHARED")
	read := func(name ...string) []byte {
		b, err := os.ReadFile(filepath.Join(append([]string{folder}, name...)...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	compiled := read("models", model+"_edgetpu.tflite")
	device := emulator.New(emulator.Config{Speed: speed, Log: t.Logf})
	if err := device.Register(compiled, read("models", model+".tflite")); err != nil {
		t.Fatal(err)
	}
	p := plugIn(t, device)
	defer p.end()

	bus, err := tpu.USB()
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	var infos []tpu.USBInfo
	for len(infos) == 0 && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		if infos, err = bus.List(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(infos) != 1 || !infos[0].Boot() || infos[0].Speed != speed {
		t.Fatalf("found %+v, want one device in its boot ROM at %v", infos, speed)
	}

	// Boot, load, run.
	firmware := bytes.Repeat([]byte("not Google's"), 900)
	d, err := tpu.Open(ctx, bus, infos[0].Port, tpu.Options{
		Firmware: func() ([]byte, error) { return firmware, nil },
		Patience: time.Minute, Timeout: 6 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m, err := d.Load(ctx, packageOf(t, compiled))
	if err != nil {
		t.Fatal(err)
	}
	input := read("golden", model, "cat.bmp.in")
	run := func() ([]byte, error) {
		out := make([]byte, 1001)
		return out, m.Run(ctx, [][]byte{input}, [][]byte{out})
	}
	want, err := run()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(want, []byte{0}) == len(want) {
		t.Fatal("all scores are 0")
	}
	right := func(after string) {
		t.Helper()
		if got, err := run(); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("after %s: error %v, and the same answer: %v", after, err, bytes.Equal(got, want))
		}
		t.Logf("right after %s", after)
	}
	right("an inference")

	// Trouble costs one inference.
	for _, trouble := range []struct {
		fault emulator.Fault
		want  error
	}{
		{emulator.Fault{At: 2, Endpoint: 0x01, Kind: emulator.Stall}, tpu.ErrStall},
		{emulator.Fault{At: 3, Endpoint: 0x01, Kind: emulator.Fail}, tpu.ErrTransfer},
		{emulator.Fault{At: 1, Endpoint: 0x01, Kind: emulator.Hang}, tpu.ErrTimeout},
	} {
		device.Script(trouble.fault)
		_, err := run()
		device.Script()
		if !errors.Is(err, trouble.want) {
			t.Errorf("%v: got error %v, want %v", trouble.fault.Kind, err, trouble.want)
		}
		right(trouble.fault.Kind.String())
	}

	// Unplugged in the middle of an inference, and plugged in again: cold, so that it needs its firmware.
	device.Script(emulator.Fault{At: 3, Endpoint: 0x01, Kind: emulator.Disconnect})
	if _, err := run(); !errors.Is(err, tpu.ErrDisconnected) {
		t.Errorf("unplug: got error %v, want %v", err, tpu.ErrDisconnected)
	}
	device.Script()
	p.again()
	right("replug")
}

// plug is a device in a port of this machine.
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

// again plugs in a device that was unplugged.
func (p *plug) again() {
	p.wait.Wait()
	p.device.Plug()
	p.attach()
}

func (p *plug) end() {
	p.cancel()
	p.wait.Wait()
}

func packageOf(t *testing.T, compiled []byte) *executable.Package {
	file, err := tflite.Parse(compiled)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range file.Subgraphs[0].Operators {
		if file.OperatorCodes[op.Opcode].CustomCode == executable.CustomOperator {
			pkg, err := executable.Parse(op.CustomOptions)
			if err != nil {
				t.Fatal(err)
			}
			return pkg
		}
	}
	t.Fatal("not a compiled model")
	return nil
}
