package tpu

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// shared finds the folder of traces and models beside the checkout, or skips.
func shared(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("IMPRINT_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "traces")); err != nil {
		t.Skipf("no shared folder at %s (set IMPRINT_SHARED): traces are not compared", dir)
	}
	return dir
}

// transfer is a line of a transcript.
type transfer struct {
	line                   int
	kind, direction, setup string
	asked, length          int
	data, sum              string
}

var transferLine = regexp.MustCompile(
	`^(\d+) (\w+) +(\S+) +(.+?) asked=(\d+) len=(\d+) status=(-?\d+) data=(\S+) sha256=(\S+)$`)

// parseTranscript reads the class, vendor and bulk transfers and the resets of a transcript; those that were cancelled
// moved nothing.
func parseTranscript(t testing.TB, data []byte) []transfer {
	t.Helper()
	var list []transfer
	for s := range strings.Lines(string(data)) {
		m := transferLine.FindStringSubmatch(strings.TrimSuffix(s, "\n"))
		if m == nil {
			t.Fatalf("transcript line %q", s)
		}
		standard := regexp.MustCompile(`bmRequestType=[08][0-2] `).MatchString(m[4])
		if m[2] == "CANCEL" || m[2] == "CTRL" && standard {
			continue
		}
		n := func(s string) int { v, _ := strconv.Atoi(s); return v }
		list = append(list, transfer{
			line: n(m[1]), kind: m[2], direction: m[3], setup: m[4], asked: n(m[5]), length: n(m[6]), data: m[8], sum: m[9],
		})
	}
	return list
}

func (x transfer) String() string {
	return fmt.Sprintf("line %d: %s %s %s asked=%d len=%d data=%s sha256=%.16s",
		x.line, x.kind, x.direction, x.setup, x.asked, x.length, x.data, x.sum)
}

// replay is a device that answers as the one of a trace did: registers start at 0 and read back what was written,
// reads on bulk endpoints get what the trace has on them.
type replay struct {
	mu      sync.Mutex
	info    USBInfo
	regs    map[register]uint64
	output  []int // lengths of transfers
	events  int
	written []byte // firmware
	loaded  bool
}

func newReplay(trace []transfer, boot bool, speed Speed) *replay {
	d := &replay{info: USBInfo{Port: Port{1, "1"}, Vendor: Vendor, Product: Product, Speed: speed}, regs: make(map[register]uint64)}
	if boot {
		d.info.Vendor, d.info.Product = BootVendor, BootProduct
	}
	for _, x := range trace {
		switch x.setup {
		case "ep=81":
			d.output = append(d.output, x.length)
		case "ep=82":
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

// sharedPackage reads the compiled package of a model of the shared folder.
func sharedPackage(t testing.TB, name string) *executable.Package {
	t.Helper()
	return readPackage(t, filepath.Join(shared(t), "models", name+"_edgetpu.tflite"))
}

func readPackage(t testing.TB, path string) *executable.Package {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := tflite.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range m.Subgraphs[0].Operators {
		if m.OperatorCodes[op.Opcode].CustomCode == executable.CustomOperator {
			p, err := executable.Parse(op.CustomOptions)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	t.Fatalf("%s: no operator %s", path, executable.CustomOperator)
	return nil
}

// tracedPackage is that of the model of a trace. There may be several of one name, by different compilers: the trace's
// is the one whose first program is as long.
func tracedPackage(t testing.TB, name string, trace []transfer) *executable.Package {
	t.Helper()
	first := 0
	for i, x := range trace {
		if x.setup == "ep=01" {
			first = trace[i+1].length
			break
		}
	}
	for _, pattern := range []string{name + "_edgetpu.tflite", "*/" + name + "_edgetpu.tflite", name + "_quant_edgetpu.tflite"} {
		paths, _ := filepath.Glob(filepath.Join(shared(t), "models", pattern))
		for _, path := range paths {
			p := readPackage(t, path)
			exe := p.Main
			if p.Caching != nil {
				exe = p.Caching
			}
			if len(exe.Chunks[0].Bytes) == first {
				return p
			}
		}
	}
	t.Fatalf("no model %s whose first program has %d bytes", name, first)
	return nil
}

// testFirmware is Google's where it is at hand, for the hashes of the trace to be compared, or one of the same length.
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

// TestTraces compares what this driver sends with what Google's did: every class, vendor and bulk transfer, in order,
// with its payload. Of instructions, which hold addresses of the host, the beginning and the length are compared.
func TestTraces(t *testing.T) {
	paths, _ := filepath.Glob(filepath.Join(shared(t), "traces", "*.txt"))
	if len(paths) == 0 {
		t.Fatal("no traces")
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { compareTrace(t, path) })
	}
}

func compareTrace(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := settle(parseTranscript(t, data))
	_, name, _ := strings.Cut(filepath.Base(path), "-")
	name, speedName, _ := strings.Cut(strings.TrimSuffix(name, ".txt"), "-")
	speed := SuperSpeed
	if speedName == "highspeed" {
		speed = HighSpeed
	}
	boot := strings.Contains(string(data), "data=*")
	firmware, genuine := testFirmware()
	pkg := tracedPackage(t, name, want)
	var script bytes.Buffer
	ctx := t.Context()
	device := newReplay(want, boot, speed)
	events := device.events
	bus := Transcribe(device, &script)
	d, err := Open(ctx, bus, Port{}, Options{
		Settle: -1, Clock: ClockMax, Firmware: func() ([]byte, error) { return firmware, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m, err := d.Load(ctx, pkg)
	if err != nil {
		t.Fatal(err)
	}
	if pkg.Caching != nil {
		events--
	}
	inputs, outputs := tensors(pkg.Main.Inputs), tensors(pkg.Main.Outputs)
	for n := range events {
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

	got := settle(parseTranscript(t, script.Bytes()))
	instructions := make(map[int]bool) // lengths of chunks
	for _, exe := range pkg.Executables {
		for _, c := range exe.Chunks {
			instructions[len(c.Bytes)] = true
		}
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%d transfers, want %d; the first that is missing is %v", len(got), len(want), want[i])
		case i >= len(want):
			t.Fatalf("%d transfers, want %d; the first that is too much is %v", len(got), len(want), got[i])
		}
		g, w := got[i], want[i]
		g.line, w.line = 0, 0
		masked := g.setup == "ep=01" && instructions[g.length] || g.data == "*" && !genuine
		if masked && w.sum != "-" {
			g.sum = w.sum
		}
		if g != w {
			t.Fatalf("transfer %d:\n got %v\nwant %v", i, got[i], want[i])
		}
	}
	t.Logf("%d transfers are the same, %d inferences, firmware compared: %v", len(got), events, genuine && boot)
}

// settle puts events behind the outputs that they came among. The order of transfers that end on different IN endpoints
// is the device's; a host that waits for both sees neither first.
func settle(list []transfer) []transfer {
	in := func(x transfer) bool { return x.setup == "ep=81" || x.setup == "ep=82" }
	for i := 0; i < len(list); i++ {
		end := i
		for end < len(list) && in(list[end]) {
			end++
		}
		slices.SortStableFunc(list[i:end], func(a, b transfer) int { return strings.Compare(a.setup, b.setup) })
		i = end
	}
	return list
}

// tensors makes one buffer for each layer.
func tensors(layers []executable.Layer) [][]byte {
	list := make([][]byte, len(layers))
	for i := range layers {
		list[i] = make([]byte, layers[i].TensorSize())
	}
	return list
}
