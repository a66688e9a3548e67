package emulator_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

// Test a program without a device: boot an emulated one, run a model, and unplug the device during an inference.
func Example() {
	pkg := tracetest.TinyPackage(8, 0x80, 1)
	device := emulator.New(emulator.Config{})
	if err := device.RegisterPackage(pkg, nil); err != nil { // Register takes model files
		log.Fatal(err)
	}
	ctx := context.Background()
	d, err := tpu.Open(ctx, emulator.NewBus(device), tpu.Port{}, tpu.Options{
		Settle:   -1,
		Firmware: func() ([]byte, error) { return []byte("any"), nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	m, err := d.Load(ctx, pkg)
	if err != nil {
		log.Fatal(err)
	}
	run := func() {
		output := make([]byte, 8)
		if err := m.Run(ctx, [][]byte{make([]byte, 8)}, [][]byte{output}); err != nil {
			fmt.Println("failed:", tpu.ErrorKind(err))
			return
		}
		fmt.Println(output)
	}
	run()
	device.Script(emulator.Fault{Endpoint: 0x01, Kind: emulator.Disconnect}) // at the next bulk-out transfer
	run()
	device.Script()
	device.Plug()
	run()
	fmt.Println(d.Status().Recoveries, "recovery")
	// Output:
	// [0 7 14 21 28 35 42 49]
	// failed: disconnected
	// [0 7 14 21 28 35 42 49]
	// 1 recovery
}

// Raise makes the chip interrupt the host, here because it is too hot.
func ExampleDevice_Raise() {
	device := emulator.New(emulator.Config{Application: true})
	ctx := context.Background()
	d, err := tpu.Open(ctx, emulator.NewBus(device), tpu.Port{}, tpu.Options{Settle: -1})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	device.Raise(emulator.ThermalWarning)
	for d.Status().Warnings == 0 { // until the driver has counted the interrupt
		time.Sleep(time.Millisecond)
	}
	fmt.Println(d.Status().State)
	// Output: ready
}
