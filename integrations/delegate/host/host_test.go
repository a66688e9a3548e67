package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/integrations/delegate/host"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	small  = "mobilenet_v1_0.25_128_quant"
	larger = "mobilenet_v1_0.5_160_quant"
)

// testModel is a compiled operator, an input, and the output of the Edge TPU's arithmetic.
type testModel struct {
	options     []byte
	emulator    []string
	input, want []byte
}

// readModel returns a model whose outputs are a fixed pattern if real is not set.
func readModel(t testing.TB, name string, real bool) testModel {
	t.Helper()
	parsed, err := tflite.Parse(reference.Read(t, "models", name+"_edgetpu.tflite"))
	if err != nil {
		t.Fatal(err)
	}
	m := testModel{options: parsed.Subgraphs[0].Operators[0].CustomOptions, emulator: []string{host.Pattern}}
	pkg, err := executable.Parse(m.options)
	if err != nil {
		t.Fatal(err)
	}
	m.input, m.want = make([]byte, pkg.Main.Inputs[0].TensorSize()), make([]byte, pkg.Main.Outputs[0].TensorSize())
	for i := range m.want {
		m.want[i] = byte(7 * i)
	}
	if real {
		m.emulator = []string{reference.Path(t, "models", name+".tflite")}
	}
	return m
}

// run runs the operator and compares its output.
func (m testModel) run(o *host.Operator) error {
	got := make([]byte, len(m.want))
	if err := o.Run(context.Background(), [][]byte{m.input}, [][]byte{got}); err != nil {
		return err
	}
	if !bytes.Equal(got, m.want) {
		return errWrong
	}
	return nil
}

var errWrong = errors.New("the output is wrong")

// fast leaves out waits.
var fast = host.Config{TPU: tpu.Options{Timeout: 10 * time.Second, Appear: time.Second}}

// start opens a device and loads the model.
func (m testModel) start(t testing.TB, h *host.Host, index int) (*host.Device, *host.Operator) {
	t.Helper()
	d, err := h.Open(context.Background(), host.Options{Index: index, Emulator: m.emulator})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	o, err := d.Load(context.Background(), m.options, m.emulator)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return d, o
}

// TestOutput compares the outputs with those of the uncompiled model in the Edge TPU's arithmetic.
func TestOutput(t *testing.T) {
	for _, name := range []string{small, larger} {
		m := readModel(t, name, true)
		// The emulator computes with the uncompiled model that fits.
		m.emulator = []string{reference.Path(t, "models", small+".tflite"), reference.Path(t, "models", larger+".tflite")}
		m.input = reference.Read(t, "golden", name, "cat.bmp.in")
		h := host.New(fast)
		readModel(t, name, false).start(t, h, 0) // other delegates of the device may have asked for a pattern
		_, o := m.start(t, h, 0)
		want, err := pool.Run(context.Background(), reference.Path(t, "models", name+".tflite"),
			pool.RunOptions{Inputs: [][]byte{m.input}, Arithmetic: backbone.EdgeTPU})
		if err != nil {
			t.Fatal(err)
		}
		m.want = want.Outputs[0]
		if err := m.run(o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEveryTransferFails makes each transfer of a run fail in each way. The run must fail, and the
// next one must be right.
func TestEveryTransferFails(t *testing.T) {
	m, h := readModel(t, small, false), host.New(host.Config{TPU: tpu.Options{Timeout: time.Second}}) // a truncated transfer takes that long
	_, o := m.start(t, h, 0)
	device := h.Emulated(0)
	for _, kind := range []emulator.FaultKind{emulator.Fail, emulator.Stall, emulator.Truncate, emulator.Disconnect} {
		failed := 0
		for _, endpoint := range []uint8{0x01, 0x81, 0x82} {
			for i := 0; ; i++ {
				device.Script(emulator.Fault{At: i, Endpoint: endpoint, Kind: kind})
				err := m.run(o)
				device.Script()
				if err == nil { // a run has at most i transfers
					break
				}
				if !tpu.IsDeviceError(err) {
					t.Errorf("%v at transfer %d on endpoint %#x: got %v, want an error of the device", kind, i, endpoint, err)
				}
				failed++
				device.Plug()
				if err := m.run(o); err != nil {
					t.Errorf("the run after %v at transfer %d on endpoint %#x: %v", kind, i, endpoint, err)
				}
			}
		}
		if failed != 6 { // two each of instructions and input, one of output, one event
			t.Errorf("%v failed %d transfers, want 6", kind, failed)
		}
	}
}

// TestReplug plugs the device in again, mostly at once, and sometimes after the driver has given up
// waiting. The next run must be right.
func TestReplug(t *testing.T) {
	m, h := readModel(t, small, false), host.New(host.Config{TPU: tpu.Options{Timeout: time.Minute, Patience: 100 * time.Millisecond}})
	d, o := m.start(t, h, 0)
	times := 100
	if testing.Short() {
		times = 10
	}
	for i := range times {
		h.Emulated(0).Unplug()
		if err := m.run(o); !errors.Is(err, tpu.ErrDisconnected) && !errors.Is(err, tpu.ErrNoDevice) {
			t.Fatalf("run %d while unplugged: got %v, want %v or %v", i, err, tpu.ErrDisconnected, tpu.ErrNoDevice)
		}
		for i%20 == 5 && d.Status().State != tpu.Down {
			time.Sleep(time.Millisecond)
		}
		h.Emulated(0).Plug()
		if err := m.run(o); err != nil {
			t.Fatalf("run %d after plugging in: %v", i, err)
		}
	}
}

// TestShared runs two models on two devices from several goroutines, with an operator for each
// goroutine as an interpreter has it.
func TestShared(t *testing.T) {
	h := host.New(fast)
	models := []testModel{readModel(t, small, false), readModel(t, larger, false)}
	var wg sync.WaitGroup
	for device := range 2 {
		for _, m := range models {
			for range 2 {
				wg.Go(func() {
					d, err := h.Open(context.Background(), host.Options{Index: device, Emulator: m.emulator})
					if err != nil {
						t.Error(err)
						return
					}
					o, err := d.Load(context.Background(), m.options, m.emulator)
					d.Close() // the operator keeps the device open
					if err != nil {
						t.Error(err)
						return
					}
					defer o.Close()
					for range 5 {
						if err := m.run(o); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
	}
	wg.Wait()
}

// TestLoadAgain checks that a model that is already loaded does not load its parameters again, and
// that the program may overwrite its copy of the model.
func TestLoadAgain(t *testing.T) {
	m, h := readModel(t, small, false), host.New(fast)
	d, first := m.start(t, h, 0)
	h.Emulated(0).Script()
	if err := m.run(first); err != nil {
		t.Fatal(err)
	}
	transfers := h.Emulated(0).Transfers()
	again, err := d.Load(context.Background(), m.options, m.emulator)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	h.Emulated(0).Script()
	if err := m.run(again); err != nil || h.Emulated(0).Transfers() != transfers {
		t.Errorf("the second operator made %d transfers with error %v, want %d", h.Emulated(0).Transfers(), err, transfers)
	}
	clear(m.options)
	h.Emulated(0).Script(emulator.Fault{At: 0, Kind: emulator.Fail})
	if err := m.run(first); !errors.Is(err, tpu.ErrTransfer) {
		t.Errorf("got %v, want %v", err, tpu.ErrTransfer)
	}
	if err := m.run(again); err != nil { // the recovery has loaded the parameters again
		t.Error(err)
	}
}

func TestLoadErrors(t *testing.T) {
	m := readModel(t, small, false)
	d, o := m.start(t, host.New(fast), 0)
	for _, test := range []struct {
		name     string
		options  []byte
		emulator []string
		want     error
	}{
		{"no flexbuffer", []byte("program"), m.emulator, executable.ErrCorrupt},
		{"empty", nil, m.emulator, executable.ErrCorrupt},
		{"another model", m.options[:len(m.options)-8], m.emulator, executable.ErrCorrupt},
	} {
		if _, err := d.Load(context.Background(), test.options, test.emulator); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	other := readModel(t, larger, false)
	if _, err := d.Load(context.Background(), other.options, []string{reference.Path(t, "models", small+".tflite")}); !errors.Is(err, emulator.ErrModel) {
		t.Errorf("an uncompiled model that does not fit: got %v, want %v", err, emulator.ErrModel)
	}
	inputs, outputs := o.Sizes()
	if err := o.Check(inputs, outputs); err != nil {
		t.Error(err)
	}
	if err := o.Check([]int{inputs[0] + 1}, outputs); !errors.Is(err, executable.ErrCorrupt) {
		t.Errorf("a larger input: got %v, want %v", err, executable.ErrCorrupt)
	}
}

// TestOpen chooses among two devices in different states.
func TestOpen(t *testing.T) {
	port := func(n int) tpu.Port { return tpu.Port{Bus: 1, Path: fmt.Sprint(n)} }
	for _, test := range []struct {
		name    string
		refused [2]error // why the devices can't be opened
		absent  bool     // no device is plugged in
		o       host.Options
		want    tpu.Port
		err     error
		text    string
	}{
		{name: "any", o: host.Options{Index: -1}, want: port(1)},
		{name: "any, first in use", refused: [2]error{tpu.ErrBusy}, o: host.Options{Index: -1}, want: port(2)},
		{name: "second", o: host.Options{Index: 1}, want: port(2)},
		{name: "port", o: host.Options{Index: -1, Port: port(2)}, want: port(2)},
		{name: "first, in use", refused: [2]error{tpu.ErrBusy}, err: tpu.ErrBusy,
			text: "the Edge TPU is in use by another program: stop that program: only one program at a time can use the device"},
		{name: "any, no permission", refused: [2]error{tpu.ErrPermission, tpu.ErrPermission}, o: host.Options{Index: -1}, err: tpu.ErrPermission,
			text: "you have no permission to open the Edge TPU: install the udev rules, then unplug the device and plug it in again"},
		{name: "third", o: host.Options{Index: 2}, err: tpu.ErrNoDevice, text: "no Edge TPU found with the index 2: the devices on the bus are [1-1 1-2]"},
		{name: "other port", o: host.Options{Index: -1, Port: port(3)}, err: tpu.ErrNoDevice, text: "USB port 1-3: no Edge TPU found"},
		{name: "none", absent: true, o: host.Options{Index: -1}, err: tpu.ErrNoDevice, text: "no Edge TPU is plugged in: plug it into a USB 3 port"},
	} {
		t.Run(test.name, func(t *testing.T) {
			devices := []*emulator.Device{
				emulator.New(emulator.Config{Port: port(1), Application: true}), emulator.New(emulator.Config{Port: port(2), Application: true})}
			for i, d := range devices {
				d.Refuse(test.refused[i])
				if test.absent {
					d.Unplug()
				}
			}
			bus := emulator.NewBus(devices...)
			h := host.New(host.Config{USB: func() (tpu.Bus, error) { return bus, nil }, TPU: tpu.Options{Settle: -1}})
			d, err := h.Open(context.Background(), test.o)
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) || err != nil && !strings.HasPrefix(err.Error(), test.text) {
				t.Fatalf("got error %v, want %v with %q", err, test.err, test.text)
			}
			if err != nil {
				return
			}
			defer d.Close()
			if got := d.Status().USB.Port; got != test.want {
				t.Errorf("opened %v, want %v", got, test.want)
			}
			again, err := h.Open(context.Background(), test.o)
			if err != nil || again != d {
				t.Errorf("opened again: got %v and error %v, want the same device", again, err)
			} else {
				again.Close()
			}
		})
	}
}

// TestUnpluggedStaysOpen opens a device that is unplugged while a delegate has it open.
func TestUnpluggedStaysOpen(t *testing.T) {
	m, h := readModel(t, small, false), host.New(fast)
	first, o := m.start(t, h, 0)
	h.Emulated(0).Unplug()
	second, err := h.Open(context.Background(), host.Options{Index: -1, Emulator: m.emulator})
	if err != nil || second != first {
		t.Fatalf("got %v and error %v, want the open device", second, err)
	}
	second.Close()
	if ports, err := h.List(context.Background(), true); err != nil || len(ports) != 0 {
		t.Errorf("listed %v with error %v, want none", ports, err)
	}
	h.Emulated(0).Plug()
	if err = m.run(o); tpu.IsDeviceError(err) { // the run may be the first to notice
		err = m.run(o)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestNoUSB(t *testing.T) {
	t.Setenv("IMPRINT_USB", "none")
	_, err := host.New(host.Config{}).Open(context.Background(), host.Options{Index: -1})
	if want := "IMPRINT_USB=none switches USB off: unset IMPRINT_USB"; !errors.Is(err, tpu.ErrNoUSB) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
