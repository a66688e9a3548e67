package tpu

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu/executable"
)

func TestPort(t *testing.T) {
	for _, s := range []string{"1-1", "2-1.4.3", "255-255.1.2.3.4.5.6"} {
		p, err := ParsePort(s)
		if err != nil || p.String() != s {
			t.Errorf("ParsePort(%q) = %v, %v", s, p, err)
		}
	}
	for _, s := range []string{"", "1", "1-", "-1", "0-1", "1-0", "1-1.", "1-1..2", "a-1", "1-b", "256-1", "1-256", "1--1", "1-1.2.3.4.5.6.7.8", "1-1:1.0"} {
		if p, err := ParsePort(s); err == nil {
			t.Errorf("ParsePort(%q) = %v, want an error", s, p)
		}
	}
	if p, err := ParsePort("01-02.003"); err != nil || p != (Port{1, "2.3"}) {
		t.Errorf("leading zeros: got %+v, %v", p, err)
	}
}

func FuzzParsePort(f *testing.F) {
	f.Add("1-2.3")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePort(s)
		if err != nil {
			return
		}
		if again, err := ParsePort(p.String()); err != nil || again != p {
			t.Errorf("%q is %+v, whose text parses as %+v, %v", s, p, again, err)
		}
	})
}

func TestClock(t *testing.T) {
	// The other bits of the power register, which is 0x50c5025c after a reset, keep their values.
	for name, want := range map[string]uint64{"low": 0xf085025c, "medium": 0x6085025c, "high": 0x5085025c, "max": 0x0085025c} {
		c, err := ParseClock(name)
		if err != nil || c.String() != name {
			t.Fatalf("ParseClock(%q) = %v, %v", name, c, err)
		}
		if got := 0x50c5025c&^(powerForce|clockBits) | 2<<22 | c.bits(); got != want {
			t.Errorf("%s: power register %#x, want %#x", name, got, want)
		}
	}
	if _, err := ParseClock("fast"); err == nil {
		t.Error(`ParseClock("fast"): want an error`)
	}
	if _, err := Open(t.Context(), new(sink), Port{}, Options{Clock: 9}); err == nil {
		t.Error("clock 9: want an error")
	}
}

func TestFirmwareIsFound(t *testing.T) {
	genuine, ok := testFirmware()
	if !ok {
		t.Skip("no firmware (install libedgetpu1-std, or set IMPRINT_FIRMWARE to its file)")
	}
	dir := t.TempDir()
	write := func(name string, parts ...[]byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Join(parts, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	noise := bytes.Repeat(firmwareStart, 3) // three false starts
	changed := bytes.Clone(genuine)
	changed[5000] ^= 1
	file := write("file", genuine)
	library := write("library", noise, changed, genuine, noise)
	missing, damaged, cut := filepath.Join(dir, "missing"), write("damaged", changed), write("cut", genuine[:FirmwareSize-1])
	for _, test := range []struct {
		paths []string
		want  string
	}{
		{[]string{file}, file},
		{[]string{library}, library},
		{[]string{missing, damaged, library, file}, library},
		{[]string{damaged}, ""},
		{[]string{cut}, ""},
		{[]string{missing}, ""},
		{nil, ""},
	} {
		got, path, err := FindFirmware(test.paths...)
		if path != test.want || (err == nil) != (test.want != "") || err == nil && !bytes.Equal(got, genuine) {
			t.Errorf("%v: got %d bytes of %q, %v", test.paths, len(got), path, err)
		}
		if err != nil && !errors.Is(err, ErrFirmware) {
			t.Errorf("%v: got %v, want ErrFirmware", test.paths, err)
		}
	}
}

func TestUpgradeInterface(t *testing.T) {
	const config, iface, function = "09021b000101008070", "0904000000fe010200", "0921070a0000010101"
	for _, test := range []struct {
		name, config string
		iface        uint16
		block        int
	}{
		{"as seen", config + iface + function, 0, 256},
		{"second interface", config + "0904000000ff000000" + "0904030000fe010200" + function, 3, 256},
		{"unknown descriptor between", config + iface + "03ff00" + function, 0, 256},
	} {
		p, _ := hex.DecodeString(test.config)
		i, block, err := parseUpgradeInterface(p)
		if err != nil || i != test.iface || block != test.block {
			t.Errorf("%s: got %d, %d, %v; want %d, %d", test.name, i, block, err, test.iface, test.block)
		}
	}
	for name, config := range map[string]string{
		"empty": "", "no interface": config, "no function": config + iface, "function of another interface": config + "0904000000ff000000" + function,
		"cut": config + iface + function[:8], "length 0": config + "00" + iface + function, "blocks of 0": config + iface + "0921070a0000000101",
		"no upload": config + iface + "0921050a0000010101", "with endpoints": config + "0904000001fe010200" + function,
	} {
		p, _ := hex.DecodeString(config)
		if _, _, err := parseUpgradeInterface(p); !errors.Is(err, ErrDevice) {
			t.Errorf("%s: got %v, want ErrDevice", name, err)
		}
	}
}

func FuzzUpgradeInterface(f *testing.F) {
	p, _ := hex.DecodeString("09021b0001010080700904000000fe01020009210fe80300010101")
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		if _, block, err := parseUpgradeInterface(p); err == nil && (block <= 0 || block > 0xffff) {
			t.Errorf("block size %d", block)
		}
	})
}

// stuckBus has a chip with one register that never takes the expected value.
type stuckBus struct {
	sink
	register register
}

type stuckConn struct {
	Conn
	register register
}

func (b *stuckBus) Open(ctx context.Context, port Port) (Conn, error) {
	c, err := b.sink.Open(ctx, port)
	return &stuckConn{c, b.register}, err
}

func (c *stuckConn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	n, err := c.Conn.Control(ctx, requestType, request, value, index, p)
	if requestType == 0xc0 && register(index)<<16|register(value) == c.register {
		p[1] = 1
	}
	return n, err
}

// TestPollTimesOut checks that waiting for a register times out, with an error that names the
// register.
func TestPollTimesOut(t *testing.T) {
	for _, r := range []register{regPower, regScalarControl, regTile} {
		_, err := Open(t.Context(), &stuckBus{register: r}, Port{}, Options{Settle: -1, Timeout: 20 * time.Millisecond})
		if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), r.String()+" stays") {
			t.Errorf("%v: got %v, want ErrTimeout", r, err)
		}
	}
}

func TestDeviceError(t *testing.T) {
	e := &DeviceError{Err: fmt.Errorf("step 1: %w", ErrTimeout), HIB: 1<<1 | 1<<40, FirstHIB: 1 << 1, ScalarStatus: 4, ScalarError: 0x10, PC: 77}
	want := "step 1: the Edge TPU did not answer in time; chip status: extended page fault, unknown error 40 (0x10000000002), " +
		"first extended page fault (0x2); scalar core halted at instruction 77 with error 0x10"
	if got := e.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !errors.Is(e, ErrTimeout) {
		t.Error("the error does not wrap its cause")
	}
	quiet := &DeviceError{Err: ErrDevice, ScalarStatus: 1}
	if got := quiet.Error(); !strings.HasSuffix(got, "no host interface error; scalar core running at instruction 0") {
		t.Errorf("got %s", got)
	}
}

func TestErrorKind(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range kinds {
		if wrapped := fmt.Errorf("open: %w", k.err); ErrorKind(wrapped) != k.name || !IsDeviceError(wrapped) || seen[k.name] {
			t.Errorf("%v: kind %q, want %q, device error %v", k.err, ErrorKind(wrapped), k.name, IsDeviceError(wrapped))
		}
		seen[k.name] = true
	}
	for err, want := range map[error]string{
		nil: "", context.Canceled: "", executable.ErrCorrupt: "", errors.Join(context.Canceled, ErrStall): "stall",
		&DeviceError{Err: errFatal}: "device", fmt.Errorf("%w; %w", ErrTimeout, errUnreadable): "timeout",
	} {
		if got := ErrorKind(err); got != want || IsDeviceError(err) != (want != "") {
			t.Errorf("%v: kind %q, want %q, device error %v", err, got, want, IsDeviceError(err))
		}
	}
}

func TestDeadline(t *testing.T) {
	d := newDeadline()
	ctx := d.arm(time.Hour)
	if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
		t.Fatal("armed: want a deadline and no error")
	}
	d.arm(time.Millisecond)
	<-ctx.Done()
	if ctx.Err() != context.DeadlineExceeded {
		t.Errorf("got %v, want DeadlineExceeded", ctx.Err())
	}
	// A context that has ended stays ended.
	ended := ctx
	if ctx = d.arm(time.Hour); ctx.Err() != nil || ended.Err() != context.DeadlineExceeded {
		t.Errorf("armed again: got %v, and %v from the context that has ended", ctx.Err(), ended.Err())
	}
	why := errors.New("why")
	d.abort(why)
	<-ctx.Done()
	if ctx = d.arm(time.Hour); ctx.Err() != context.Canceled || d.aborted() != why {
		t.Errorf("aborted and armed: got %v because of %v", ctx.Err(), d.aborted())
	}
	if got := d.clear(); got != why {
		t.Errorf("got %v, want %v", got, why)
	}
	if ctx = d.arm(time.Hour); ctx.Err() != nil {
		t.Errorf("cleared and armed: got %v", ctx.Err())
	}
	d.disarm()
	if _, ok := ctx.Deadline(); ok {
		t.Error("disarmed: want no deadline")
	}
}

// TestPrepareRefuses checks that prepare rejects programs that the driver cannot run.
func TestPrepareRefuses(t *testing.T) {
	end := executable.Hint{Kind: executable.Interrupt}
	layers := []executable.Layer{{Name: "in", Size: 16, Y: 1, X: 1, Z: 16}}
	transfer := func(b executable.Buffer, out bool, offset, size int) executable.Hint {
		return executable.Hint{Kind: executable.Transfer, Buffer: b, Out: out, Name: "in", Offset: offset, Size: size}
	}
	good := func(hints ...executable.Hint) executable.Executable {
		return executable.Executable{
			BatchSize: 1, Deterministic: true, Hints: append(hints, end), Inputs: layers, Outputs: layers,
			Parameters: make([]byte, 64), Chunks: []executable.InstructionChunk{{Bytes: make([]byte, 32)}},
		}
	}
	fine := good(transfer(executable.Input, false, 0, 16), executable.Hint{Kind: executable.Instructions},
		executable.Hint{Kind: executable.Fence}, transfer(executable.Parameter, false, 8, 56),
		transfer(executable.Scratch, true, 0, 8), transfer(executable.Scratch, false, 0, 8), transfer(executable.Output, true, 8, 8))
	if p, err := prepare(&fine, make([]byte, 8)); err != nil || len(p.steps) != 7 {
		t.Fatalf("got %v", err)
	}
	batch, vague, nothing, interrupt, address := good(), good(), good(), good(), good()
	batch.BatchSize = 2
	vague.Deterministic = false
	nothing.Hints = nil
	interrupt.Hints[0].Number = 1
	address.Chunks[0].Fields = []executable.Field{{Bit: 32*8 - 31}}
	endless := good()
	endless.Hints = []executable.Hint{{Kind: executable.Instructions}}
	for name, exe := range map[string]executable.Executable{
		"batches": batch, "not deterministic": vague, "no hints": nothing, "no end": endless, "interrupt 1": interrupt,
		"address beyond the chunk": address,
		"missing chunk":            good(executable.Hint{Kind: executable.Instructions, Chunk: 1}),
		"missing layer":            good(executable.Hint{Kind: executable.Transfer, Buffer: executable.Input, Name: "x", Size: 8}),
		"input too long":           good(transfer(executable.Input, false, 8, 16)),
		"output too long":          good(transfer(executable.Output, true, 0, 24)),
		"negative offset":          good(transfer(executable.Input, false, -8, 16)),
		"parameters too long":      good(transfer(executable.Parameter, false, 0, 72)),
		"no scratch":               good(transfer(executable.Scratch, false, 0, 16)),
		"empty":                    good(transfer(executable.Input, false, 0, 0)),
		"input out":                good(transfer(executable.Input, true, 0, 16)),
		"output in":                good(transfer(executable.Output, false, 0, 16)),
		"parameters out":           good(transfer(executable.Parameter, true, 0, 16)),
	} {
		if _, err := prepare(&exe, make([]byte, 8)); !errors.Is(err, executable.ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrUnsupported", name, err)
		}
	}
}

// TestPatch checks that patch changes only the address fields, and that addresses gives each layer
// its own pages.
func TestPatch(t *testing.T) {
	for _, name := range benchmarked {
		exe := sharedPackage(t, name).Main
		chunks, err := patch(exe)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range exe.Chunks {
			again := bytes.Clone(chunks[i])
			for _, f := range c.Fields {
				f.Put(again, 0)
			}
			if !bytes.Equal(again, c.Bytes) {
				t.Errorf("%s, chunk %d: bytes outside the fields changed", name, i)
			}
			if len(c.Fields) > 0 && bytes.Equal(chunks[i], c.Bytes) {
				t.Errorf("%s, chunk %d: no field filled in", name, i)
			}
		}
	}
	layers := []executable.Layer{{Name: "a", Size: 1}, {Name: "b", Size: pageSize + 1}, {Name: "c", Size: 8}}
	got := addresses(layers, inputAddress)
	want := map[string]uint64{"a": 0x4000_0000, "b": 0x4000_1000, "c": 0x4000_3000}
	for name, address := range want {
		if got[name] != address {
			t.Errorf("%s: address %#x, want %#x", name, got[name], address)
		}
	}
}
