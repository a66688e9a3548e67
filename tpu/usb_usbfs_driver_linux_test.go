package tpu_test

import (
	"testing"

	"github.com/imprintkit/imprint/tpu"
)

// throughUSBFS, if set, wraps the bus of emulated devices.
var throughUSBFS func(tpu.Bus) tpu.Bus

// TestDriverOverUSBFS repeats tests of the driver with usbfs between it and the device, on host controllers with and
// without scatter-gather. It leaves out tests that count transfers, because usbfs keeps reads pending.
func TestDriverOverUSBFS(t *testing.T) {
	t.Cleanup(func() { throughUSBFS = nil })
	for _, test := range []struct {
		name          string
		run           func(*testing.T)
		scatterGather bool
	}{
		{"replug", TestReplug, true}, {"replug idle", TestReplugIdle, true}, {"down", TestDown, true},
		{"give up", TestGiveUp, true}, {"second open", TestSecondOpen, true}, {"concurrent", TestConcurrent, true},
		{"interrupts", TestInterrupts, true}, {"recovery escalates", TestRecoveryEscalates, true},
		{"many faults", TestManyFaults, true}, {"many faults in pieces", TestManyFaults, false},
		{"goldens", TestGoldens, true}, {"goldens in pieces", TestGoldens, false},
	} {
		if testing.Short() && (test.name == "many faults" || test.name == "goldens") {
			continue
		}
		throughUSBFS = func(bus tpu.Bus) tpu.Bus { return tpu.FakeUSBFS(bus, test.scatterGather) }
		t.Run(test.name, test.run)
	}
}
