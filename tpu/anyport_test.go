package tpu_test

import (
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

// twoPorts returns a rig with a device at ports[0], and an unplugged second device whose port is
// ports[1].
func twoPorts(t *testing.T) (r *rig, second *emulator.Device, ports [2]tpu.Port) {
	m := readModel(t, small)
	ports = [2]tpu.Port{{Bus: 1, Path: "2"}, {Bus: 2, Path: "1"}}
	r = m.emulate(t, emulator.Config{Port: ports[0]})
	second = emulator.New(emulator.Config{Port: ports[1]})
	if err := second.Register(m.compiled, m.uncompiled); err != nil {
		t.Fatal(err)
	}
	second.Unplug()
	r.bus = emulator.NewBus(r.device, second)
	return r, second, ports
}

// TestOtherBus checks that a Device opened without a port follows its accelerator to another bus,
// as when the link falls back from USB 3 to USB 2.
func TestOtherBus(t *testing.T) {
	for _, down := range []bool{false, true} {
		r, second, ports := twoPorts(t)
		opts := options()
		if down {
			opts.Patience = 50 * time.Millisecond
		}
		d, m := r.start(t, opts)
		r.device.Unplug()
		if down {
			eventually(t, "the device is down", func() bool { return d.Status().State == tpu.Down })
		}
		second.Plug()
		eventually(t, "the device is found at its new port", func() bool { return d.Port() == ports[1] && d.Status().State == tpu.Ready })
		if err := r.check(m); err != nil {
			t.Error(err)
		}
		// Move the device back.
		second.Unplug()
		r.device.Plug()
		eventually(t, "the device is found at its old port", func() bool { return d.Port() == ports[0] && d.Status().State == tpu.Ready })
		if err := r.check(m); err != nil {
			t.Error(err)
		}
	}
}

// TestOtherBusTaken checks that a Device opened without a port does not take the port of another
// Device, and that a Device opened with a port stays at that port.
func TestOtherBusTaken(t *testing.T) {
	r, second, ports := twoPorts(t)
	second.Plug()
	opts := options()
	opts.Patience = 50 * time.Millisecond
	d, m := r.start(t, opts)
	byPort, err := tpu.Open(t.Context(), r.bus, ports[1], opts)
	if err != nil {
		t.Fatal(err)
	}
	r.device.Unplug()
	eventually(t, "the device is down", func() bool { return d.Status().State == tpu.Down })
	time.Sleep(1200 * time.Millisecond) // the driver looks for the device every second
	if d.Port() != ports[0] || byPort.Status().State != tpu.Ready || byPort.Status().Recoveries > 0 {
		t.Errorf("the first device is at %v, the second has status %+v", d.Port(), byPort.Status())
	}
	r.device.Plug()
	eventually(t, "the device is back", func() bool { return d.Status().State == tpu.Ready })
	if err := r.check(m); err != nil {
		t.Error(err)
	}
	second.Unplug()
	eventually(t, "the second device is down", func() bool { return byPort.Status().State == tpu.Down })
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1200 * time.Millisecond)
	if s := byPort.Status(); s.State != tpu.Down || byPort.Port() != ports[1] {
		t.Errorf("the device opened with a port is at %v with status %+v", byPort.Port(), s)
	}
	if err := byPort.Close(); err != nil {
		t.Error(err)
	}
}
