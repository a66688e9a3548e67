// Package pooltest makes pools of emulated Edge TPUs for tests. Start with [Emulated] or
// [Reference] for the devices, then [New] for a pool of them.
package pooltest

import (
	"os"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/pool"
)

// Models for [Reference].
const (
	Extractor = "mobilenet_v1_1.0_224_quant_embedding_extractor"
	Small     = "mobilenet_v1_0.25_128_quant" // a classifier
)

// Fast leaves out the waits that physical devices need.
var Fast = tpu.Options{Settle: -1, Timeout: time.Minute, Appear: time.Second, Patience: 100 * time.Millisecond}

// Emulated makes n accelerators, at ports 1-1, 1-2 and so on, and their bus. compiled is the file
// of the model that they run, and uncompiled is the file that it was compiled from.
func Emulated(t testing.TB, n int, compiled, uncompiled string) ([]*emulator.Device, func() (tpu.Bus, error)) {
	t.Helper()
	var devices []*emulator.Device
	for i := range n {
		d := emulator.New(emulator.Config{Port: tpu.Port{Bus: 1, Path: string(rune('1' + i))}, Application: true})
		if err := d.Register(read(t, compiled), read(t, uncompiled)); err != nil {
			t.Fatal(err)
		}
		devices = append(devices, d)
	}
	bus := emulator.NewBus(devices...)
	return devices, func() (tpu.Bus, error) { return bus, nil }
}

// Reference is like [Emulated] for a model among the reference files. It also returns the paths of
// the model's two files. It skips the test if they are missing.
func Reference(t testing.TB, n int, model string) (compiled, uncompiled string, devices []*emulator.Device, usb func() (tpu.Bus, error)) {
	t.Helper()
	compiled, uncompiled = reference.Path(t, "models", model+"_edgetpu.tflite"), reference.Path(t, "models", model+".tflite")
	devices, usb = Emulated(t, n, compiled, uncompiled)
	return compiled, uncompiled, devices, usb
}

// None returns a bus without devices.
func None() (tpu.Bus, error) { return emulator.NewBus(), nil }

// New makes a pool with the options of [Fast]. The pool is closed at the end of the test.
func New(t testing.TB, o pool.Options) *pool.Pool {
	t.Helper()
	o.TPU = Fast
	p, err := pool.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
