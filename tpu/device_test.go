package tpu_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

const small = "pairs/dense_256"

// start opens a device, loads the model and records the expected output.
func (r *rig) start(t testing.TB, opts tpu.Options) (*tpu.Device, *tpu.Model) {
	t.Helper()
	d, err := tpu.Open(t.Context(), r.bus, tpu.Port{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if r.counted {
		r.quiet()
	}
	m, err := d.Load(t.Context(), r.pkg)
	if err != nil {
		t.Fatal(err)
	}
	if r.want, err = r.run(m); err != nil {
		t.Fatal(err)
	}
	return d, m
}

// eventually waits until condition returns true. It fails the test after a minute.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for start := time.Now(); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestReplug(t *testing.T) {
	cycles := 500
	if testing.Short() {
		cycles = 50
	}
	r := readModel(t, small).emulate(t, emulator.Config{})
	d, m := r.start(t, options())
	for i := range cycles {
		// Unplug the device during an inference, at a different transfer each time.
		fault := emulator.Fault{At: i % 6, Kind: emulator.Disconnect}
		if fault.At == 0 { // not a read for events before the inference, whose first transfer is a write
			fault.Endpoint = 0x01
		}
		if throughUSBFS != nil { // the reads are pending already: count only writes
			fault.Endpoint, fault.At = 0x01, i%4
		}
		r.device.Script(fault)
		if _, err := r.run(m); !errors.Is(err, tpu.ErrDisconnected) {
			t.Fatalf("cycle %d: got %v, want ErrDisconnected", i, err)
		}
		r.device.Script()
		r.device.Plug()
		if err := r.check(m); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
	}
	s := d.Status()
	if want := uint64(cycles); s.State != tpu.Ready || s.Failures != want || s.Recoveries != want || s.Inferences != want+1 {
		t.Errorf("after %d cycles: %+v", cycles, s)
	}
}

// TestReplugIdle checks that no inference fails if an idle device is unplugged and plugged in again.
func TestReplugIdle(t *testing.T) {
	r := readModel(t, small).emulate(t, emulator.Config{})
	d, m := r.start(t, options())
	r.device.Unplug()
	eventually(t, "the driver notices the loss", func() bool { return d.Status().State == tpu.Recovering })
	r.device.Plug()
	if err := r.check(m); err != nil {
		t.Fatal(err)
	}
	if s := d.Status(); s.Failures != 0 || s.Recoveries != 1 || !errors.Is(s.Err, tpu.ErrDisconnected) {
		t.Errorf("got %+v", s)
	}
}

func TestDown(t *testing.T) {
	r := readModel(t, small).emulate(t, emulator.Config{})
	opts := options()
	opts.Patience = 50 * time.Millisecond
	d, m := r.start(t, opts)
	r.device.Unplug()
	eventually(t, "the device is down", func() bool { return d.Status().State == tpu.Down })
	if _, err := r.run(m); !errors.Is(err, tpu.ErrNoDevice) {
		t.Errorf("inference without a device: got %v, want ErrNoDevice", err)
	}
	r.device.Plug()
	eventually(t, "the driver finds the device again", func() bool { return d.Status().State == tpu.Ready })
	if err := r.check(m); err != nil {
		t.Error(err)
	}
}

// TestGiveUp checks that Run stops waiting when its context ends, and fails once the device is closed.
func TestGiveUp(t *testing.T) {
	r := readModel(t, small).emulate(t, emulator.Config{})
	opts := options()
	opts.Patience = time.Hour
	d, m := r.start(t, opts)
	r.device.Unplug()
	eventually(t, "the driver notices the loss", func() bool { return d.Status().State == tpu.Recovering })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := m.Run(ctx, r.input, r.want); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("unplugged: got %v, want DeadlineExceeded", err)
	}
	late := make(chan error)
	go func() { _, err := r.run(m); late <- err }()
	d.Close()
	d.Close()
	if err := <-late; !errors.Is(err, tpu.ErrClosed) {
		t.Errorf("closed while unplugged: got %v, want ErrClosed", err)
	}
	if _, err := r.run(m); !errors.Is(err, tpu.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
	if s := d.Status().State; s != tpu.Closed {
		t.Errorf("got state %v", s)
	}
}

func TestOpenErrors(t *testing.T) {
	closed, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name  string
		setup func(*emulator.Device, *tpu.Options)
		port  tpu.Port
		ctx   context.Context
		want  error
	}{
		{name: "absent", setup: func(d *emulator.Device, _ *tpu.Options) { d.Unplug() }, want: tpu.ErrNoDevice},
		{name: "other port", port: tpu.Port{Bus: 1, Path: "9"}, want: tpu.ErrNoDevice},
		{name: "permission", setup: func(d *emulator.Device, _ *tpu.Options) { d.Refuse(tpu.ErrPermission) }, want: tpu.ErrPermission},
		{name: "busy", setup: func(d *emulator.Device, _ *tpu.Options) { d.Refuse(tpu.ErrBusy) }, want: tpu.ErrBusy},
		{name: "no firmware", setup: func(_ *emulator.Device, o *tpu.Options) {
			o.Firmware = func() ([]byte, error) { return nil, tpu.ErrFirmware }
		}, want: tpu.ErrFirmware},
		{name: "cancelled", ctx: closed, want: context.Canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			device, opts := emulator.New(emulator.Config{}), options()
			if test.setup != nil {
				test.setup(device, &opts)
			}
			if test.ctx == nil {
				test.ctx = t.Context()
			}
			d, err := tpu.Open(test.ctx, emulator.NewBus(device), test.port, opts)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err == nil {
				d.Close()
			}
		})
	}
}

// TestSecondOpen checks that opening a device that is in use fails and does not disturb it.
func TestSecondOpen(t *testing.T) {
	r := readModel(t, small).emulate(t, emulator.Config{})
	d, m := r.start(t, options())
	if second, err := r.open(); !errors.Is(err, tpu.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
		if err == nil {
			second.Close()
		}
	}
	if err := r.check(m); err != nil {
		t.Error(err)
	}
	if s := d.Status(); s.Failures != 0 || s.Recoveries != 0 {
		t.Errorf("the first device was disturbed: %+v", s)
	}
	d.Close()
	if d, err := r.open(); err != nil {
		t.Errorf("after closing the first: %v", err)
	} else {
		d.Close()
	}
}

func TestInterrupts(t *testing.T) {
	r := readModel(t, small).emulate(t, emulator.Config{})
	d, m := r.start(t, options())
	for i, trouble := range []emulator.Trouble{
		emulator.ThermalShutdown, emulator.BusError, emulator.MemoryFault, emulator.ThermalWarning,
	} {
		for range 2 { // the chip raises the second interrupt only after the driver has acknowledged the first
			warnings := d.Status().Warnings
			r.device.Raise(trouble)
			eventually(t, "the driver counts the interrupt", func() bool { return d.Status().Warnings == warnings+1 })
		}
		if err := r.check(m); err != nil {
			t.Errorf("after interrupt %d: %v", i, err)
		}
	}
	r.device.RaiseHIB(1<<0 | 1<<13)
	eventually(t, "the driver recovers from the fatal error", func() bool {
		s := d.Status()
		return s.State == tpu.Ready && s.Recoveries == 1
	})
	var explained *tpu.DeviceError
	if err := d.Status().Err; !errors.As(err, &explained) || !errors.Is(err, tpu.ErrDevice) {
		t.Fatalf("got %v, want a DeviceError", err)
	}
	if want := uint64(1<<0 | 1<<13); explained.HIB != want || explained.FirstHIB != want {
		t.Errorf("got errors %#x and %#x, want %#x", explained.HIB, explained.FirstHIB, want)
	}
	for _, words := range []string{"inbound page fault", "transfer of length 0"} {
		if !strings.Contains(explained.Error(), words) {
			t.Errorf("%q does not contain %q", explained, words)
		}
	}
	if err := r.check(m); err != nil {
		t.Error(err)
	}
}

// TestRecoveryEscalates checks that, while inferences keep failing, the driver resets the core, then the port, then the
// device.
func TestRecoveryEscalates(t *testing.T) {
	r := readModel(t, small).emulate(t, emulator.Config{})
	var log lockedBuffer
	r.bus = tpu.Transcribe(r.bus, &log)
	d, m := r.start(t, options())
	resets := func() int { return strings.Count(log.String(), "RESET") }
	detached := func() bool { return strings.Contains(log.String(), "bmRequestType=21 bRequest=00 wValue=0064") }
	boots := func() int { return strings.Count(log.String(), "bmRequestType=21 bRequest=01 wValue=0000") }
	if resets() != 2 || boots() != 1 || detached() {
		t.Fatalf("open: %d resets, %d boots", resets(), boots())
	}
	fail := func() {
		r.device.Script(emulator.Fault{At: 0, Kind: emulator.Fail})
		r.run(m)
		eventually(t, "the device is ready", func() bool { return d.Status().State == tpu.Ready })
	}
	fail()
	if resets() != 2 {
		t.Errorf("first failure: %d port resets, want none", resets()-2)
	}
	// Repeat: sometimes the read of the interrupt endpoint fails instead, and the inference succeeds.
	for range 20 {
		if fail(); detached() {
			break
		}
	}
	if !detached() || boots() != 2 || resets() < 2+1+2 {
		t.Errorf("after many failures: device sent back to its boot ROM: %v, %d boots, %d resets", detached(), boots(), resets())
	}
	r.device.Script()
	if err := r.check(m); err != nil {
		t.Error(err)
	}
}

// lockedBuffer is a buffer that is safe for concurrent use by multiple goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestTranscripts checks that the host and the device write the same transcript of a session.
func TestTranscripts(t *testing.T) {
	var host, device lockedBuffer
	r := readModel(t, small).emulate(t, emulator.Config{Transcript: &device})
	r.bus = tpu.Transcribe(r.bus, &host)
	d, m := r.start(t, options())
	if err := r.check(m); err != nil {
		t.Fatal(err)
	}
	d.Close()
	read := func(b *lockedBuffer) (list []tracetest.Transfer) {
		all, err := tracetest.Parse([]byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range all {
			if x.Kind != "CANCEL" { // a cancelled read of the interrupt endpoint: its position varies
				x.Line = 0
				list = append(list, x)
			}
		}
		return list
	}
	got, want := read(&device), read(&host)
	if len(want) < 100 || !reflect.DeepEqual(got, want) {
		t.Errorf("the device wrote %d transfers\n%s\nthe host wrote %d\n%s", len(got), &device, len(want), &host)
	}
}
