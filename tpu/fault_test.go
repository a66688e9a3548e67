package tpu_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an emulated device and a model that it knows.
type rig struct {
	device  *emulator.Device
	bus     tpu.Bus
	pkg     *executable.Package
	input   [][]byte
	want    [][]byte
	opts    tpu.Options
	counted bool // the test counts the transfers that follow Open
}

// testModel is a model in its compiled and uncompiled form.
type testModel struct {
	compiled, uncompiled []byte
	pkg                  *executable.Package
}

func readModel(t testing.TB, name string) testModel {
	t.Helper()
	m := testModel{compiled: reference.Read(t, "models", name+"_edgetpu.tflite"), uncompiled: reference.Read(t, "models", name+".tflite")}
	var err error
	if m.pkg, err = tracetest.Package(m.compiled); err != nil {
		t.Fatal(err)
	}
	return m
}

// emulate returns a rig whose device knows m.
func (m testModel) emulate(t testing.TB, config emulator.Config) *rig {
	t.Helper()
	r := &rig{device: emulator.New(config), pkg: m.pkg, opts: options()}
	r.bus = emulator.NewBus(r.device)
	if throughUSBFS != nil {
		r.bus = throughUSBFS(r.bus)
	}
	if err := r.device.Register(m.compiled, m.uncompiled); err != nil {
		t.Fatal(err)
	}
	for _, l := range m.pkg.Main.Inputs {
		in := make([]byte, l.TensorSize())
		for i := range in {
			in[i] = byte(31 * i)
		}
		r.input = append(r.input, in)
	}
	return r
}

// options returns options for an emulated device, which accepts any firmware and answers at once.
func options() tpu.Options {
	return tpu.Options{
		Timeout: 10 * time.Second, Settle: -1, Appear: time.Second, Patience: 5 * time.Second,
		Firmware: func() ([]byte, error) { return make([]byte, tpu.FirmwareSize), nil },
	}
}

func (r *rig) open() (*tpu.Device, error) {
	return tpu.Open(context.Background(), r.bus, tpu.Port{}, r.opts)
}

func (r *rig) run(m *tpu.Model) ([][]byte, error) {
	out := make([][]byte, len(r.pkg.Main.Outputs))
	for i, l := range r.pkg.Main.Outputs {
		out[i] = make([]byte, l.TensorSize())
	}
	return out, m.Run(context.Background(), r.input, out)
}

// check runs an inference and compares its outputs with the outputs of a device that never failed.
func (r *rig) check(m *tpu.Model) error {
	got, err := r.run(m)
	if err != nil {
		return fmt.Errorf("inference: %w", err)
	}
	for i := range got {
		if !bytes.Equal(got[i], r.want[i]) {
			return fmt.Errorf("output %d differs", i)
		}
	}
	return nil
}

// session opens the device, loads the model, runs an inference and closes the device. It injects faults into the given
// phase: open, load, infer or close. It returns the number of transfers in this phase and the error of this phase. err
// is an error of another phase or of the retry.
func (r *rig) session(phase string, faults ...emulator.Fault) (transfers int, phaseErr, err error) {
	step := func(name string, f func() error) error {
		if name == phase {
			r.device.Script(faults...)
		}
		err := f()
		if name == phase {
			if name == "open" && faults == nil {
				r.quiet()
			}
			transfers, phaseErr = r.device.Transfers(), err
			r.device.Script()
			r.device.Plug()
		}
		return err
	}
	again := func(name string, f func() error) error {
		err := step(name, f)
		late := phase == "open" && name == "load" // the last transfer of open may have hung unnoticed
		if err == nil || name != phase && !late {
			return err
		}
		if err := f(); err != nil {
			return fmt.Errorf("%s again: %w", name, err)
		}
		return nil
	}
	var d *tpu.Device
	var m *tpu.Model
	if err := again("open", func() (err error) { d, err = r.open(); return err }); err != nil {
		return transfers, phaseErr, err
	}
	defer d.Close()
	if phase == "load" || phase == "infer" {
		r.quiet()
	}
	if err := again("load", func() (err error) { m, err = d.Load(context.Background(), r.pkg); return err }); err != nil {
		return transfers, phaseErr, err
	}
	if r.want == nil {
		if r.want, err = r.run(m); err != nil {
			return transfers, phaseErr, err
		}
	}
	if err := again("infer", func() error { return r.check(m) }); err != nil {
		return transfers, phaseErr, err
	}
	if phase == "infer" { // the next inference must be correct too
		if err := r.check(m); err != nil {
			return transfers, phaseErr, err
		}
	}
	if err := step("close", d.Close); err != nil {
		return transfers, phaseErr, err
	}
	if phase == "close" {
		_, _, err := r.session("")
		return transfers, phaseErr, err
	}
	return transfers, phaseErr, nil
}

// openTransfers counts the transfers that open a device in its boot ROM, including the first read of the interrupt
// endpoint.
var openTransfers = sync.OnceValues(func() (int, error) {
	device := emulator.New(emulator.Config{})
	d, err := tpu.Open(context.Background(), emulator.NewBus(device), tpu.Port{}, options())
	if err != nil {
		return 0, err
	}
	defer d.Close()
	for n := -1; n != device.Transfers(); time.Sleep(500 * time.Millisecond) {
		n = device.Transfers()
	}
	return device.Transfers(), nil
})

// quiet waits, after an Open without faults, until the first read of the interrupt endpoint has begun. A goroutine
// makes this read, and tests count it among the transfers of open.
func (r *rig) quiet() {
	n, err := openTransfers()
	for start := time.Now(); err == nil && r.device.Transfers() < n && time.Since(start) < time.Second; {
		time.Sleep(time.Millisecond)
	}
}

// TestFaults checks that the driver recovers after any transfer of open, load, infer or close fails in any way.
func TestFaults(t *testing.T) {
	model := readModel(t, "pairs/dense_256")
	clean := model.emulate(t, emulator.Config{})
	kinds := []emulator.FaultKind{
		emulator.Fail, emulator.Stall, emulator.Delay, emulator.Truncate, emulator.Disconnect, emulator.Hang,
	}
	for _, phase := range []string{"open", "load", "infer", "close"} {
		count, _, err := model.emulate(t, emulator.Config{}).session(phase)
		if err != nil {
			t.Fatalf("%s without faults: %v", phase, err)
		}
		if _, _, err := clean.session(""); err != nil {
			t.Fatal(err)
		}
		for _, kind := range kinds {
			for at := range count {
				if testing.Short() && (at+int(kind))%7 != 0 {
					continue
				}
				synctest.Test(t, func(t *testing.T) { // waiting takes no time
					r := model.emulate(t, emulator.Config{})
					r.want = clean.want
					if kind == emulator.Delay || kind == emulator.Hang || phase == "infer" {
						r.opts.Timeout = time.Second // limits the wait for missing bytes
					}
					fault := emulator.Fault{At: at, Kind: kind, Delay: 2 * time.Second}
					bus := &audited{Bus: r.bus, longest: max(r.opts.Timeout, r.opts.Appear)}
					r.bus = bus
					_, got, err := r.session(phase, fault)
					if err := bus.check(); err != nil {
						t.Errorf("%s, transfer %d of %d, %v: %v", phase, at, count, kind, err)
					}
					if err != nil {
						t.Errorf("%s, transfer %d of %d, %v: afterwards: %v", phase, at, count, kind, err)
					}
					// Close ignores errors. Some transfers of open are shorter than requested and survive truncation.
					// The last transfer, a read of the interrupt endpoint, fails only after Open.
					mayPass := phase == "close" || phase == "open" && (kind == emulator.Truncate || at >= count-1)
					if got == nil && !mayPass {
						t.Errorf("%s, transfer %d of %d, %v: no error", phase, at, count, kind)
					}
				})
			}
		}
		if !testing.Short() {
			t.Logf("%s: %d transfers, each in %d ways", phase, count, len(kinds))
		}
	}
}

// TestManyFaults checks that the device works again after many faults, even if transfers of the recovery fail too.
func TestManyFaults(t *testing.T) {
	model := readModel(t, "pairs/dense_256")
	clean := model.emulate(t, emulator.Config{})
	if _, _, err := clean.session(""); err != nil {
		t.Fatal(err)
	}
	seeds := uint64(64)
	if testing.Short() {
		seeds = 16
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { // waiting takes no time
			r := model.emulate(t, emulator.Config{})
			r.want = clean.want
			opts := options()
			opts.Timeout, opts.Patience = 500*time.Millisecond, time.Second
			bus := &audited{Bus: r.bus, longest: opts.Appear}
			defer func() {
				if err := bus.check(); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}()
			d, err := tpu.Open(context.Background(), bus, tpu.Port{}, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			m, err := d.Load(context.Background(), r.pkg)
			if err != nil {
				t.Fatal(err)
			}
			random := rand.New(rand.NewPCG(seed, 0))
			var faults []emulator.Fault
			for at := 0; len(faults) < 6; at += 1 + random.IntN(60) {
				faults = append(faults, emulator.Fault{At: at, Kind: emulator.FaultKind(random.IntN(6)), Delay: 2 * time.Second})
			}
			r.device.Script(faults...)
			for range 8 {
				r.device.Plug()
				out, err := r.run(m)
				if err == nil && !bytes.Equal(out[0], r.want[0]) {
					t.Errorf("seed %d: wrong output without an error", seed)
				}
			}
			r.device.Script()
			r.device.Plug()
			for start := time.Now(); ; time.Sleep(10 * time.Millisecond) { // a device that is down is soon found again
				if err = r.check(m); err == nil || time.Since(start) > time.Minute {
					break
				}
			}
			if err != nil {
				t.Errorf("seed %d, faults %+v: no recovery: %v; %+v", seed, faults, err, d.Status())
			}
		})
	}
}
