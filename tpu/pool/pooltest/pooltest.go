// Package pooltest makes pools of emulated Edge TPUs for tests. Start with [Emulated].
package pooltest

import (
	"os"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/pool"
)

// Fast leaves out the waits that physical devices need.
var Fast = tpu.Options{Settle: -1, Timeout: time.Second, Appear: time.Second, Patience: 100 * time.Millisecond}

// Emulated makes n accelerators, in ports 1-1, 1-2 and so on, that know the compiled
// model in a file and the uncompiled model it was compiled from.
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

// None is a bus without devices.
func None() (tpu.Bus, error) { return emulator.NewBus(), nil }

// New makes a pool without waits, which the end of the test closes.
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
