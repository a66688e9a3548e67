package tpu_test

import (
	"context"
	"fmt"
	"log"
	"testing/fstest"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

// Open a device, load a model and run it. The example uses an emulated device; tpu.USB returns the buses of this machine.
func Example() {
	// executable.Parse reads a package from a compiled model. The emulator must know the package too.
	pkg := tracetest.TinyPackage(8, 0x80, 1)
	device := emulator.New(emulator.Config{Port: tpu.Port{Bus: 2, Path: "1"}, Application: true})
	if err := device.RegisterPackage(pkg, nil); err != nil {
		log.Fatal(err)
	}
	bus := emulator.NewBus(device)
	defer bus.Close()

	ctx := context.Background()
	d, err := tpu.Open(ctx, bus, tpu.Port{}, tpu.Options{Clock: tpu.ClockHigh, Settle: -1})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	m, err := d.Load(ctx, pkg)
	if err != nil {
		log.Fatal(err)
	}
	input, output := make([]byte, 8), make([]byte, 8)
	if err := m.Run(ctx, [][]byte{input}, [][]byte{output}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("port", d.Port(), "at", d.Status().USB.Speed)
	fmt.Println(output)
	// Output:
	// port 2-1 at 5 Gbit/s
	// [0 7 14 21 28 35 42 49]
}

// List the accelerators of a bus. One of them has not booted.
func ExampleList() {
	bus := emulator.NewBus(
		emulator.New(emulator.Config{Port: tpu.Port{Bus: 1, Path: "4.2"}, Application: true, Speed: tpu.HighSpeed}),
		emulator.New(emulator.Config{Port: tpu.Port{Bus: 2, Path: "1"}}),
	)
	list, err := tpu.List(context.Background(), bus)
	if err != nil {
		log.Fatal(err)
	}
	for _, info := range list {
		fmt.Println(info.Port, info.Speed, "runs its firmware:", info.Application())
	}
	// Output:
	// 1-4.2 480 Mbit/s runs its firmware: true
	// 2-1 5 Gbit/s runs its firmware: false
}

// Tell a user why a device cannot be used.
func ExampleDiagnose() {
	device := emulator.New(emulator.Config{})
	device.Refuse(tpu.ErrPermission)
	machine := tpu.Machine{Root: fstest.MapFS{}, User: 1000} // a real program calls tpu.ThisMachine()
	for _, f := range tpu.Diagnose(context.Background(), emulator.NewBus(device), nil, machine) {
		fmt.Printf("%v: USB port %v: %s\n  do: %s\n", f.Severity, f.Port, f.Text, f.Fix)
	}
	// Output:
	// problem: USB port 1-1: you have no permission to open the Edge TPU
	//   do: install the udev rules, then unplug the device and plug it in again
}

// Handle a missing device, and count failures by kind.
func ExampleErrorKind() {
	device := emulator.New(emulator.Config{})
	device.Unplug()
	_, err := tpu.Open(context.Background(), emulator.NewBus(device), tpu.Port{}, tpu.Options{})
	if tpu.IsDeviceError(err) {
		fmt.Printf("%s: %v\n", tpu.ErrorKind(err), err)
	}
	// Output: no_device: no Edge TPU found
}
