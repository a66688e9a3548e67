package tpu

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

// sharedPackage reads the package of a reference model. It skips the test if the reference files are missing.
func sharedPackage(t testing.TB, name string) *executable.Package {
	t.Helper()
	pkg, err := tracetest.Package(reference.Read(t, "models", name+"_edgetpu.tflite"))
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

// replay is a device that answers as recorded in a trace. Reading a register returns the recorded values, one after
// another, and then the last value written to it. Reads on bulk endpoints return as many bytes as recorded.
type replay struct {
	mu      sync.Mutex
	info    USBInfo
	answers map[register][][]byte // answers to reads of registers, in order
	regs    map[register]uint64
	output  []int // lengths of bulk-in transfers
	events  int
	written []byte // the firmware that the host sent
	loaded  bool
}

func newReplay(trace []tracetest.Transfer, boot bool, speed Speed) *replay {
	d := &replay{
		info:    USBInfo{Port: Port{1, "1"}, Vendor: Vendor, Product: Product, Speed: speed},
		answers: make(map[register][][]byte), regs: make(map[register]uint64),
	}
	if boot {
		d.info.Vendor, d.info.Product = BootVendor, BootProduct
	}
	for _, x := range trace {
		switch r := register(x.Index)<<16 | register(x.Value); {
		case x.Kind == "CTRL" && x.RequestType == 0xc0:
			d.answers[r] = append(d.answers[r], x.Start)
		case x.Kind == "BULK" && x.Endpoint == tracetest.Output:
			d.output = append(d.output, x.Moved)
		case x.Kind == "BULK" && x.Endpoint == tracetest.Event:
			d.events++
		}
	}
	return d
}

func (d *replay) List(context.Context) ([]USBInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return []USBInfo{d.info}, nil
}
func (d *replay) Open(context.Context, Port) (Conn, error) { return &replayConn{d, d.info}, nil }
func (d *replay) Close() error                             { return nil }

type replayConn struct {
	*replay
	info USBInfo
}

func (c *replayConn) Info() USBInfo                    { return c.info }
func (c *replayConn) Claim(context.Context, int) error { return nil }
func (c *replayConn) Post(uint8, int, int) error       { return nil }
func (c *replayConn) Close() error                     { return nil }

func (c *replayConn) Reset(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded {
		c.replay.info.Vendor, c.replay.info.Product = Vendor, Product
	}
	return nil
}

func (c *replayConn) Control(_ context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := register(index)<<16 | register(value)
	var word [8]byte
	switch {
	case requestType == 0x80:
		config, _ := hex.DecodeString("09021b0001010080700904000000fe01020009210fe80300010101")
		return copy(p, config), nil
	case requestType == dfuOut && request == dfuDownload:
		c.written = append(c.written, p...)
		c.loaded = len(p) == 0
	case requestType == dfuIn && request == dfuGetStatus:
		clear(p)
		p[4] = dfuStateDownloadIdle
		if c.loaded {
			p[4] = dfuStateIdle
		}
	case requestType == dfuIn && request == dfuUpload:
		return copy(p, c.written[min(int(value)*len(p), len(c.written)):]), nil
	case requestType == 0x40:
		copy(word[:], p)
		v := binary.LittleEndian.Uint64(word[:])
		if r == regPower {
			v &^= powerState
			if v&powerForce == powerForce {
				v |= powerAsleep
				for r := range c.regs {
					if r.wide() {
						delete(c.regs, r)
					}
				}
			}
		}
		c.regs[r] = v
	case requestType == 0xc0:
		binary.LittleEndian.PutUint64(word[:], c.regs[r])
		if known := c.answers[r]; len(known) > 0 {
			copy(word[:], known[0])
			c.answers[r] = known[1:]
		}
		copy(p, word[:])
	}
	return len(p), nil
}

func (c *replayConn) Write(_ context.Context, _ uint8, p []byte) (int, error) { return len(p), nil }

func (c *replayConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case endpoint == endpointOutput && len(c.output) > 0:
		n := c.output[0]
		c.output = c.output[1:]
		for i := range p[:n] {
			p[i] = byte(7 * i)
		}
		return n, nil
	case endpoint == endpointEvent && c.events > 0:
		c.events--
		clear(p)
		p[12] = 4
		return 16, nil
	}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	return 0, ctx.Err()
}

// testFirmware returns Google's firmware if it is installed, or else zeros. Only the genuine firmware has the hashes
// that are recorded in traces.
func testFirmware() (firmware []byte, genuine bool) {
	paths := FirmwarePaths()
	if path := os.Getenv("IMPRINT_FIRMWARE"); path != "" {
		paths = append(paths, path)
	}
	if firmware, _, err := FindFirmware(paths...); err == nil {
		return firmware, true
	}
	return make([]byte, FirmwareSize), false
}

// TestTraces compares this driver's transfers with the transfers of Google's driver in every trace. It compares every
// class, vendor and bulk transfer, in order, with its payload. Instructions contain addresses chosen by the host, so
// only their start and length are compared.
func TestTraces(t *testing.T) { tracetest.All(t, compareTrace) }

func compareTrace(t *testing.T, trace *tracetest.Trace) {
	firmware, genuine := testFirmware()
	speed := SuperSpeed
	if trace.HighSpeed {
		speed = HighSpeed
	}
	var script bytes.Buffer
	ctx := t.Context()
	bus := Transcribe(newReplay(trace.Transfers, trace.Boot, speed), &script)
	d, err := Open(ctx, bus, Port{}, Options{
		Settle: -1, Clock: tracedClock(trace), Firmware: func() ([]byte, error) { return firmware, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m, err := d.Load(ctx, trace.Package)
	if err != nil {
		t.Fatal(err)
	}
	inputs, outputs := tensors(trace.Package.Main.Inputs), tensors(trace.Package.Main.Outputs)
	for n := range trace.Inferences() {
		for _, in := range inputs {
			for i := range in {
				in[i] = byte(31*i + n)
			}
		}
		if err := m.Run(ctx, inputs, outputs); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()

	ours, err := tracetest.Parse(script.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got, want := settle(ours), settle(trace.Transfers)
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%d transfers, want %d; the first missing one is %v", len(got), len(want), want[i])
		case i >= len(want):
			t.Fatalf("%d transfers, want %d; the first extra one is %v", len(got), len(want), got[i])
		}
		if !same(got[i], want[i], genuine) {
			t.Fatalf("transfer %d:\n got %v\nwant %v", i, got[i], want[i])
		}
	}
	t.Logf("%d equal transfers, %d inferences, firmware compared: %v", len(got), trace.Inferences(), genuine && trace.Boot)
}

// same compares the parts of two transfers that depend on the driver.
func same(got, want tracetest.Transfer, firmware bool) bool {
	// Addresses change the hash of instructions in every run. The first bytes contain no addresses.
	if got.Tag == 0 && want.Tag == 0 || got.Firmware() && !firmware {
		got.Sum = want.Sum
	}
	return got.Kind == want.Kind && got.In == want.In && got.Endpoint == want.Endpoint &&
		got.RequestType == want.RequestType && got.Request == want.Request && got.Value == want.Value && got.Index == want.Index &&
		got.Length == want.Length && got.Asked == want.Asked && got.Moved == want.Moved && got.Tag == want.Tag &&
		// The content of bulk-in transfers is not recorded in full, so replay makes it up.
		(got.In && got.Endpoint != 0 || bytes.Equal(got.Start, want.Start) && got.Sum == want.Sum)
}

// tracedClock returns the clock that the host set in a trace.
func tracedClock(trace *tracetest.Trace) Clock {
	for _, x := range trace.Transfers {
		if x.RequestType == 0x40 && register(x.Index)<<16|register(x.Value) == regPower {
			v := uint64(binary.LittleEndian.Uint32(x.Start))
			for c := range clockNames {
				if v&powerForce == 2<<22 && v&clockBits == Clock(c).bits() {
					return Clock(c)
				}
			}
		}
	}
	return ClockHigh
}

// settle drops standard requests and cancelled transfers, and moves events after the outputs around them: the order in
// which transfers on different IN endpoints end depends on timing.
func settle(all []tracetest.Transfer) []tracetest.Transfer {
	var list []tracetest.Transfer
	for _, x := range all {
		if x.Kind != "CANCEL" && !x.Standard() {
			list = append(list, x)
		}
	}
	in := func(x tracetest.Transfer) bool {
		return x.Endpoint == tracetest.Output || x.Endpoint == tracetest.Event
	}
	for i := 0; i < len(list); i++ {
		end := i
		for end < len(list) && in(list[end]) {
			end++
		}
		slices.SortStableFunc(list[i:end], func(a, b tracetest.Transfer) int { return int(a.Endpoint) - int(b.Endpoint) })
		i = end
	}
	return list
}

// tensors returns a buffer for each layer.
func tensors(layers []executable.Layer) [][]byte {
	list := make([][]byte, len(layers))
	for i := range layers {
		list[i] = make([]byte, layers[i].TensorSize())
	}
	return list
}
