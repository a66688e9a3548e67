package tpu_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an emulated device and a model that is fit for it.
type rig struct {
	device  *emulator.Device
	bus     tpu.Bus
	pkg     *executable.Package
	input   [][]byte
	want    [][]byte
	opts    tpu.Options
	counted bool // transfers are, from Open on
}

// testModel is small, has parameters, and answers by them.
type testModel struct {
	compiled, twin []byte
	pkg            *executable.Package
}

func readModel(t testing.TB, name string) testModel {
	t.Helper()
	m := testModel{compiled: reference.Read(t, "models", name+"_edgetpu.tflite"), twin: reference.Read(t, "models", name+".tflite")}
	var err error
	if m.pkg, err = tracetest.Package(m.compiled); err != nil {
		t.Fatal(err)
	}
	return m
}

// emulate plugs a device in that knows m; cold, unless it is to have its firmware.
func (m testModel) emulate(t testing.TB, config emulator.Config) *rig {
	t.Helper()
	r := &rig{device: emulator.New(config), pkg: m.pkg, opts: options()}
	r.bus = emulator.NewBus(r.device)
	if err := r.device.Register(m.compiled, m.twin); err != nil {
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

// options for a device whose firmware is anything and which answers at once.
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

// right runs an inference and compares its outputs with those of a device that never failed.
func (r *rig) right(m *tpu.Model) error {
	got, err := r.run(m)
	if err != nil {
		return fmt.Errorf("inference: %w", err)
	}
	for i := range got {
		if !bytes.Equal(got[i], r.want[i]) {
			return fmt.Errorf("output %d is wrong", i)
		}
	}
	return nil
}

// session opens, loads, runs one inference and closes, and makes the faults of a test in one of these phases. It
// returns how many transfers the phase took, and what the phase returned.
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
	if err := again("infer", func() error { return r.right(m) }); err != nil {
		return transfers, phaseErr, err
	}
	if phase == "infer" { // the inference after the one that was right again
		if err := r.right(m); err != nil {
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

// openTransfers is how many a cold device takes to be opened, with the read of its interrupt endpoint.
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

// quiet waits until the read of the interrupt endpoint, which a goroutine makes, is under way after an Open without
// faults: it is to have its number among the transfers of open.
func (r *rig) quiet() {
	n, err := openTransfers()
	for start := time.Now(); err == nil && r.device.Transfers() < n && time.Since(start) < time.Second; {
		time.Sleep(time.Millisecond)
	}
}

// TestFaults makes every transfer of open, load, infer and close go wrong in every way.
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
		var wait sync.WaitGroup
		slots := make(chan struct{}, 64)
		for _, kind := range kinds {
			for at := range count {
				if testing.Short() && (at+int(kind))%7 != 0 {
					continue
				}
				slots <- struct{}{}
				wait.Go(func() {
					defer func() { <-slots }()
					r := model.emulate(t, emulator.Config{})
					r.want = clean.want
					if kind == emulator.Delay || kind == emulator.Hang || phase == "infer" {
						r.opts.Timeout = time.Second // what is missing is waited for so long
					}
					fault := emulator.Fault{At: at, Kind: kind, Delay: 2 * time.Second}
					bus := &audited{Bus: r.bus, longest: max(r.opts.Timeout, r.opts.Appear)}
					r.bus = bus
					_, got, err := r.session(phase, fault)
					if err := bus.check(); err != nil {
						t.Errorf("%s, transfer %d of %d, %v: %v", phase, at, count, kind, err)
					}
					if err != nil {
						t.Errorf("%s, transfer %d of %d, %v: then %v", phase, at, count, kind, err)
					}
					// Close does what it can. Some transfers of open are shorter than was asked, and lose nothing by being
					// cut; the last is the interrupt endpoint's, which fails when the device is open already.
					mayPass := phase == "close" || phase == "open" && (kind == emulator.Truncate || at >= count-1)
					if got == nil && !mayPass {
						t.Errorf("%s, transfer %d of %d, %v: no error", phase, at, count, kind)
					}
				})
			}
		}
		wait.Wait()
		if !testing.Short() {
			t.Logf("%s: %d transfers, each in %d ways", phase, count, len(kinds))
		}
	}
}

// TestManyFaults has transfers of recovery go wrong, too: whatever happens, the device works again once nothing is wrong.
func TestManyFaults(t *testing.T) {
	model := readModel(t, "pairs/dense_256")
	clean := model.emulate(t, emulator.Config{})
	if _, _, err := clean.session(""); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, 32)
	seeds := uint64(64)
	if testing.Short() {
		seeds = 16
	}
	for seed := range seeds {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
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
			// On a machine with too much to do half a second may not be enough even without faults.
			patiently := func(f func() error) (err error) {
				for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
					if err = f(); err == nil || time.Since(start) > 20*time.Second {
						return err
					}
				}
			}
			var d *tpu.Device
			if err := patiently(func() (err error) { d, err = tpu.Open(context.Background(), bus, tpu.Port{}, opts); return err }); err != nil {
				t.Error(err)
				return
			}
			defer d.Close()
			var m *tpu.Model
			if err := patiently(func() (err error) { m, err = d.Load(context.Background(), r.pkg); return err }); err != nil {
				t.Error(err)
				return
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
					t.Errorf("seed %d: a wrong answer without an error", seed)
				}
			}
			r.device.Script()
			r.device.Plug()
			if err := patiently(func() error { return r.right(m) }); err != nil {
				t.Errorf("seed %d, faults %+v: still %v; %+v", seed, faults, err, d.Status())
			}
		})
	}
	wait.Wait()
}
