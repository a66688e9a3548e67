package emulator

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a device as it is.
func open(tb testing.TB, d *Device) tpu.Conn {
	tb.Helper()
	c, err := NewBus(d).Open(tb.Context(), d.config.Port)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '|' || r == '\n' || r == '\t' {
			return -1
		}
		return r
	}, s))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestDescriptors(t *testing.T) {
	const iface = "09 04 00 00 06 ff ff ff 00"
	endpoints := func(size, companion string) string {
		var s string
		for _, address := range []string{"01", "02", "03", "81", "82"} {
			s += "07 05 " + address + " 02 " + size + " 00" + companion
		}
		return s
	}
	high := "09 %s 3c 00 01 01 00 c0 31" + iface + endpoints("00 02", "") + "07 05 83 03 40 00 01"
	super := "09 %s 60 00 01 01 00 c0 0c" + iface + endpoints("00 04", "06 30 0f 00 00 00") + "07 05 83 03 40 00 01 06 30 00 00 04 00"
	const bos = "05 0f 16 00 02 | 07 10 02 02 00 00 00 | 0a 10 03 00 0c 00 02 00 00 00"
	const boot = "09 02 1b 00 01 01 00 c0 31 | 09 04 00 00 00 fe 01 02 00 | 09 21 07 e8 03 00 01 10 01"
	tests := []struct {
		speed       tpu.Speed
		application bool
		value       uint16
		want        string // empty: a stall
	}{
		{tpu.HighSpeed, true, 0x0100, "12 01 10 02 00 00 00 40 d1 18 02 93 00 01 00 00 00 01"},
		{tpu.SuperSpeed, true, 0x0100, "12 01 10 03 00 00 00 09 d1 18 02 93 00 01 00 00 00 01"},
		{tpu.HighSpeed, true, 0x0200, fmt.Sprintf(high, "02")},
		{tpu.HighSpeed, true, 0x0700, fmt.Sprintf(high, "07")},
		{tpu.SuperSpeed, true, 0x0200, fmt.Sprintf(super, "02")},
		{tpu.SuperSpeed, true, 0x0205, fmt.Sprintf(super, "02")}, // the index is not looked at
		{tpu.SuperSpeed, true, 0x0700, fmt.Sprintf(super, "07")},
		{tpu.HighSpeed, true, 0x0600, "0a 06 10 02 00 00 00 40 01 00"},
		{tpu.SuperSpeed, true, 0x0600, "0a 06 10 03 00 00 00 09 01 00"},
		{tpu.SuperSpeed, true, 0x0f00, bos},
		{tpu.HighSpeed, true, 0x0f00, bos},
		{tpu.SuperSpeed, true, 0x0300, "04 03 09 04"},
		{tpu.SuperSpeed, true, 0x0301, ""},
		{tpu.SuperSpeed, true, 0x2100, ""},
		{tpu.SuperSpeed, false, 0x0100, "12 01 10 03 00 00 00 09 6e 1a 9a 08 00 01 00 00 00 01"},
		{tpu.HighSpeed, false, 0x0100, "12 01 00 02 00 00 00 40 6e 1a 9a 08 00 01 00 00 00 01"},
		{tpu.SuperSpeed, false, 0x0200, boot},
		{tpu.HighSpeed, false, 0x0f00, ""},
	}
	for _, test := range tests {
		c := open(t, New(Config{Speed: test.speed, Application: test.application}))
		p := make([]byte, 521)
		n, err := c.Control(t.Context(), 0x80, 6, test.value, 0, p)
		if test.want == "" {
			if !errors.Is(err, tpu.ErrStall) {
				t.Errorf("descriptor %#04x at %v: got %v, want a stall", test.value, test.speed, err)
			}
			continue
		}
		if want := unhex(t, test.want); err != nil || !bytes.Equal(p[:n], want) {
			t.Errorf("descriptor %#04x at %v: got % x, %v, want % x", test.value, test.speed, p[:n], err, want)
		}
		if n, err := c.Control(t.Context(), 0x80, 6, test.value, 0, p[:3]); n != 3 || err != nil {
			t.Errorf("3 bytes of it: got %d, %v", n, err)
		}
	}
}

func TestDFU(t *testing.T) {
	d := New(Config{})
	bus := NewBus(d)
	var c tpu.Conn
	reset := func() {
		t.Helper()
		if c != nil {
			if err := c.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Control(t.Context(), 0x80, 6, 0x0100, 0, make([]byte, 18)); !errors.Is(err, tpu.ErrDisconnected) {
				t.Errorf("after a reset: got %v, want ErrDisconnected", err)
			}
			c.Close()
		}
		var err error
		if c, err = bus.Open(t.Context(), d.config.Port); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { c.Close() }()
	status := func(code, state byte) {
		t.Helper()
		p := make([]byte, 6)
		want := []byte{code, 0, 0, 0, state, 0}
		if n, err := c.Control(t.Context(), 0xa1, dfuGetStatus, 0, 0, p); n != 6 || err != nil || !bytes.Equal(p, want) {
			t.Errorf("got status % x, %v, want % x", p, err, want)
		}
		if _, err := c.Control(t.Context(), 0xa1, dfuGetState, 0, 0, p[:1]); err != nil || p[0] != state {
			t.Errorf("got state %d, %v, want %d", p[0], err, state)
		}
	}
	download := func(block uint16, p []byte) error {
		_, err := c.Control(t.Context(), 0x21, dfuDownload, block, 0, p)
		return err
	}
	image := bytes.Repeat([]byte{1, 2, 3, 4, 5}, 113)

	reset()
	reset()
	status(0, dfuIdle)
	if err := download(0, image[:256]); err != nil {
		t.Error(err)
	}
	status(0, dfuDownloadIdle)
	reset() // half an image is none
	if i := d.Info(); !i.Boot() {
		t.Fatalf("after a reset in the middle: %+v", i)
	}
	if _, err := c.Control(t.Context(), 0x21, dfuAbort, 0, 0, nil); err != nil {
		t.Error(err)
	}
	if err := download(0, nil); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("an empty image: got %v, want a stall", err)
	}
	status(dfuErrNotDone, dfuError)
	if err := download(0, image[:256]); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("in the error state: got %v, want a stall", err)
	}
	if _, err := c.Control(t.Context(), 0x21, dfuClearStatus, 0, 0, nil); err != nil {
		t.Error(err)
	}
	for at := 0; at < len(image); at += 256 {
		if err := download(uint16(at/256), image[at:min(at+256, len(image))]); err != nil {
			t.Error(err)
		}
		status(0, dfuDownloadIdle)
	}
	if err := download(3, nil); err != nil {
		t.Error(err)
	}
	status(0, dfuIdle)
	var back []byte
	for block := uint16(0); ; block++ {
		p := make([]byte, 256)
		n, err := c.Control(t.Context(), 0xa1, dfuUpload, block, 0, p)
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, p[:n]...)
		if n < 256 {
			break
		}
	}
	if !bytes.Equal(back, image) {
		t.Error("what is read back is not what was written")
	}
	reset()
	if i := d.Info(); !i.Application() {
		t.Fatalf("after the image: %+v", i)
	}
	reset()
	if i := d.Info(); !i.Application() {
		t.Fatalf("after a reset: %+v", i)
	}
	if _, err := c.Control(t.Context(), 0x21, dfuDownload, 0, 0, image[:256]); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("download to the application: got %v, want a stall", err)
	}
	if _, err := c.Control(t.Context(), 0x21, dfuDetach, 100, 0, nil); err != nil {
		t.Error(err)
	}
	reset()
	if i := d.Info(); !i.Boot() {
		t.Fatalf("after it was told to detach: %+v", i)
	}
	status(0, dfuIdle)
	if n, err := c.Control(t.Context(), 0xa1, dfuUpload, 0, 0, make([]byte, 256)); n != 0 || err != nil {
		t.Errorf("got %d bytes, %v of an image that is gone", n, err)
	}
	for block := range uint16(codeMemory / 256) {
		if err := download(block, make([]byte, 256)); err != nil {
			t.Fatal(err)
		}
	}
	if err := download(codeMemory/256, make([]byte, 1)); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("more than fits: got %v, want a stall", err)
	}
	status(dfuErrAddress, dfuError)
}

func TestWindows(t *testing.T) {
	tests := []struct {
		address    uint32
		wide, thin bool
	}{
		{0x40000, true, false}, {0x44018, true, false}, {0x7ffff8, true, false}, {0x800000, false, false},
		{0x30000, true, false}, {0x2fff8, false, false}, {0x19000, true, true}, {0x193f8, true, true}, {0x193fc, false, false},
		{0x18000, true, true}, {0x1a000, true, true}, {0x1a7f8, true, true}, {0x1a7fc, false, false}, {0, false, false},
	}
	d := New(Config{Application: true})
	h := openHost(t, d)
	for _, test := range tests {
		for _, wide := range []bool{true, false} {
			want, request, size := test.wide, uint8(0), 8
			if !wide {
				want, request, size = test.thin, 1, 4
			}
			for _, way := range []uint8{0xc0, 0x40} {
				_, err := h.conn.Control(h.ctx, way, request, uint16(test.address), uint16(test.address>>16), make([]byte, size))
				if ok := err == nil; ok != want || !ok && !errors.Is(err, tpu.ErrStall) {
					t.Errorf("%#x, request %#x, %d bytes: got %v, want it served: %v", test.address, way, size, err, want)
				}
				if _, err := h.conn.Control(h.ctx, way, request, uint16(test.address), uint16(test.address>>16), make([]byte, size-1)); !errors.Is(err, tpu.ErrStall) {
					t.Errorf("%#x with %d bytes: got %v, want a stall", test.address, size-1, err)
				}
			}
		}
	}
	// What the firmware does not answer at all the host waits for in vain.
	for _, request := range [][2]uint8{{0xc0, 2}, {0x80, 12}} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := h.conn.Control(ctx, request[0], request[1], 0, 0, make([]byte, 4)); !errors.Is(err, tpu.ErrTimeout) {
			t.Errorf("request %v: got %v, want a timeout", request, err)
		}
		cancel()
	}
}

func TestRegisters(t *testing.T) {
	d := New(Config{Application: true})
	c := open(t, d)
	h := &host{t, c, t.Context()}
	if got := h.read32(scuCtrl3); got != scuCtrl3AfterSession {
		t.Errorf("power state after a session: got %#x", got)
	}
	if _, err := c.Control(t.Context(), 0xc0, 0, 0x4018, 4, make([]byte, 8)); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("a register of the core while it sleeps: got %v, want a stall", err)
	}
	h.write32(scuCtrl3, 0x5085025c)
	if got := h.read32(scuCtrl3); got != 0x5085005c {
		t.Errorf("awake: got %#x", got)
	}
	h.write64(scalarCoreRun, 1)
	h.write64(0x48788, 0x7f)
	if got := h.read64(0x48788); got != 0x7f {
		t.Errorf("tileconfig0: got %#x", got)
	}
	h.write64(scalarCoreRun, 2)
	if got := h.read64(scalarCoreStatus); got != 4 {
		t.Errorf("run status when halted: got %d, want 4", got)
	}
	h.write32(scuCtrl3, 0x50c5005c)
	if got := h.read32(scuCtrl3); got != 0x50c5025c {
		t.Errorf("asleep: got %#x", got)
	}
	h.write32(scuCtrl3, 0x5085025c)
	if got := h.read64(scalarCoreRun); got != 0 {
		t.Errorf("run control after sleep: got %d, want 0", got)
	}
	h.write64(0x4c058, 0x20)
	if got := h.read64(0x4c058); got != 0x20 {
		t.Errorf("chunk length: got %#x", got)
	}
	h.write32(efuse, 0xffffffff)
	if got := h.read32(efuse) >> 24; got == 0xff {
		t.Error("the fuses were written")
	}

	// Interrupts, and the bits that are cleared by writing them.
	h.wake()
	tests := []struct {
		trouble        Trouble
		bit            uint32
		address        uint32
		latched, write uint32
	}{
		{ThermalShutdown, 2, thermalStatus, 1 << 30, 1 << 28},
		{BusError, 4, slaveWriteError, 1, 0},
		{MemoryFault, 8, memoryTest, 0x0071007f, 0x0071007f},
		{ThermalWarning, 16, thermalStatus, 1 << 31, 1 << 29},
	}
	for i, test := range tests {
		d.Raise(test.trouble)
		p := make([]byte, 4)
		if n, err := c.Read(t.Context(), 0x83, p); n != 4 || err != nil || p[0] != byte(test.bit) {
			t.Errorf("interrupt %d: got % x, %v, want bit %#x", i, p[:n], err, test.bit)
		}
		if got := h.read32(test.address); got != test.latched {
			t.Errorf("interrupt %d: got register %#x, want %#x", i, got, test.latched)
		}
		if test.trouble == BusError {
			h.write32(slaveEnable, 0)
			h.write32(slaveEnable, 1)
		} else {
			h.write32(test.address, test.write)
		}
		if got := h.read32(test.address); got&^test.latched != 0 || got == test.latched {
			t.Errorf("interrupt %d: got register %#x after it was cleared", i, got)
		}
		status := topStatus + 16*uint32(test.trouble)
		if got := h.read64(status); got != 1 {
			t.Errorf("interrupt %d: got status %d, want 1", i, got)
		}
		h.write64(status, 0)
		if got := h.read64(status); got != 0 {
			t.Errorf("interrupt %d: got status %d after it was cleared", i, got)
		}
	}
	d.RaiseHIB(1 << 3)
	p := make([]byte, 4)
	if n, err := c.Read(t.Context(), 0x83, p); n != 4 || err != nil || p[0] != 1 {
		t.Errorf("fatal interrupt: got % x, %v", p[:n], err)
	}
	if got, first := h.read64(hibError), h.read64(hibFirstError); got != 8 || first != 8 {
		t.Errorf("got HIB errors %#x, first %#x, want 8", got, first)
	}
}

// register makes a device that answers with a pattern, and its package.
func register(t *testing.T, config Config, model string) (*Device, *executable.Package) {
	t.Helper()
	config.Application = true
	d := New(config)
	compiled := reference.Read(t, "models", model+"_edgetpu.tflite")
	if err := d.Register(compiled, nil); err != nil {
		t.Fatal(err)
	}
	return d, parsePackage(t, compiled)
}

const small = "pairs/dense_256"

func TestChunks(t *testing.T) {
	for _, test := range []struct {
		speed    tpu.Speed
		register uint64
		buffer   int
		want     []int // sizes of the first transfers of a large output
	}{
		{tpu.SuperSpeed, 0x80, 1024, []int{1024, 1024}},
		{tpu.SuperSpeed, 0x80, 2048, []int{2048, 2048}},
		{tpu.SuperSpeed, 0x20, 1024, []int{256, 256}},
		{tpu.HighSpeed, 0x20, 256, []int{256, 256}},
		{tpu.HighSpeed, 0x80, 1024, []int{1024, 1024}},
	} {
		d, pkg := register(t, Config{Speed: test.speed}, "movenet_single_pose_lightning_ptq")
		h := openHost(t, d)
		h.write64(outfeedChunk, test.register)
		h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
		h.send(tagInput, make([]byte, pkg.Main.Inputs[0].Size))
		h.send(tagParameters, pkg.Main.Parameters[:64])
		at := 0
		for i, want := range test.want {
			p := make([]byte, test.buffer)
			n, err := h.conn.Read(h.ctx, 0x81, p)
			if n != want || err != nil {
				t.Errorf("%v, chunks of %d, transfer %d of %d: got %d bytes, %v, want %d", test.speed, test.register*8, i, test.buffer, n, err, want)
			}
			for j := range n {
				if p[j] != byte(7*(at+j)) {
					t.Fatalf("byte %d: got %d", at+j, p[j])
				}
			}
			at += n
		}
		// A packet larger than the buffer is lost.
		if _, err := h.conn.Read(h.ctx, 0x81, make([]byte, 100)); !errors.Is(err, tpu.ErrTransfer) {
			t.Errorf("a short buffer: got %v, want ErrTransfer", err)
		}
	}
}

// TestBackPressure sends on while an output waits to be fetched, which locks a real device up.
func TestBackPressure(t *testing.T) {
	d, pkg := register(t, Config{}, small)
	h := openHost(t, d)
	h.run(pkg.Caching, nil)
	h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
	h.send(tagInput, make([]byte, 256))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if n, err := h.conn.Write(ctx, 1, make([]byte, 8)); n != 0 || !errors.Is(err, tpu.ErrTimeout) {
		t.Errorf("got %d bytes sent, %v, want a timeout", n, err)
	}
	if n, err := h.conn.Read(h.ctx, 0x81, make([]byte, 1024)); n != 256 || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
	if n, err := h.conn.Read(h.ctx, 0x82, make([]byte, 16)); n != 16 || err != nil {
		t.Errorf("got an event of %d bytes, %v", n, err)
	}
	h.run(pkg.Main, make([]byte, 256))
}

func TestBadStreams(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(h *host, pkg *executable.Package)
		want uint64 // bits of the HIB error register
	}{
		{"length 0", func(h *host, _ *executable.Package) { h.conn.Write(h.ctx, 1, make([]byte, 8)) }, hibZeroLength},
		{"tag 3", func(h *host, _ *executable.Package) { h.conn.Write(h.ctx, 1, []byte{16, 0, 0, 0, 3, 0, 0, 0}) }, hibInstruction},
		{"unknown program", func(h *host, _ *executable.Package) { h.send(tagInstructions, make([]byte, 4096)) }, hibInstruction},
		{"input without a program", func(h *host, _ *executable.Package) { h.send(tagInput, make([]byte, 256)) }, hibInputConfig},
		{"short input", func(h *host, pkg *executable.Package) {
			h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
			h.send(tagInput, make([]byte, 248))
		}, hibInputConfig},
		{"parameters for input", func(h *host, pkg *executable.Package) {
			h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
			h.send(tagParameters, make([]byte, 256))
		}, hibParameterConfig},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, pkg := register(t, Config{}, small)
			h := openHost(t, d)
			test.send(h, pkg)
			p := make([]byte, 4)
			if n, err := h.conn.Read(h.ctx, 0x83, p); n != 4 || err != nil || p[0] != 1 {
				t.Errorf("got interrupt % x, %v, want the fatal one", p[:n], err)
			}
			if got := h.read64(hibError); got != test.want {
				t.Errorf("got HIB error %#x, want %#x", got, test.want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if _, err := h.conn.Write(ctx, 1, make([]byte, 8)); !errors.Is(err, tpu.ErrTimeout) {
				t.Errorf("a stopped core: got %v, want a timeout", err)
			}
			// Sleep is what starts it again.
			h.write32(scuCtrl3, 0x50c5025c)
			h.write32(credit0, 0xf)
			h.write32(credit0, 0)
			h.wake()
			if got := h.read64(hibError); got != 0 {
				t.Errorf("got HIB error %#x after sleep", got)
			}
			h.infer(pkg, make([]byte, 256))
		})
	}
}

// TestNotRunning starts the core after the program was sent.
func TestNotRunning(t *testing.T) {
	d, pkg := register(t, Config{}, small)
	h := openHost(t, d)
	h.write64(scalarCoreRun, 0)
	h.send(tagInstructions, pkg.Main.Chunks[0].Bytes)
	h.send(tagInput, make([]byte, 256))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := h.conn.Read(ctx, 0x81, make([]byte, 1024)); !errors.Is(err, tpu.ErrTimeout) {
		t.Errorf("halted: got %v, want a timeout", err)
	}
	h.write64(scalarCoreRun, 1)
	if n, err := h.conn.Read(h.ctx, 0x81, make([]byte, 1024)); n != 256 || err != nil {
		t.Errorf("running: got %d bytes, %v", n, err)
	}
}

// TestDescriptorEvents lets the device announce what it is about to move, with the addresses it was given.
func TestDescriptorEvents(t *testing.T) {
	d, pkg := register(t, Config{}, small)
	h := openHost(t, d)
	h.write64(descriptorMask, 0xff)
	chunk := bytes.Clone(pkg.Main.Chunks[0].Bytes)
	for _, f := range pkg.Main.Chunks[0].Fields {
		if f.Half == executable.Lower {
			f.Put(chunk, map[executable.Buffer]uint32{executable.Input: 0x40000000, executable.Output: 0x60000000}[f.Buffer])
		} else {
			f.Put(chunk, 7)
		}
	}
	h.send(tagInstructions, chunk)
	h.send(tagInput, make([]byte, 256))
	for _, want := range []string{
		"00 00 00 40 07 00 00 00 00 01 00 00 01 00 00 00",
		"00 00 00 60 07 00 00 00 00 01 00 00 03 00 00 00",
		"00 00 00 00 00 00 00 00 00 00 00 00 04 00 00 00",
	} {
		p := make([]byte, 16)
		if n, err := h.conn.Read(h.ctx, 0x82, p); err != nil || !bytes.Equal(p[:n], unhex(t, want)) {
			t.Errorf("got event % x, %v, want %s", p[:n], err, want)
		}
	}
}

// TestCachedParameters holds the chip to forgetting parameters when it sleeps, and when others are loaded.
func TestCachedParameters(t *testing.T) {
	read := func(name string) (compiled, twin []byte) {
		return reference.Read(t, "models", name+"_edgetpu.tflite"), reference.Read(t, "models", name+".tflite")
	}
	d := New(Config{Application: true})
	var packages []*executable.Package
	for _, name := range []string{"pairs/dense_256", "pairs/color_red_64x64"} {
		compiled, twin := read(name)
		if err := d.Register(compiled, twin); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, parsePackage(t, compiled))
	}
	h := openHost(t, d)
	input := bytes.Repeat([]byte{9, 200, 77, 130}, 64)
	want := h.infer(packages[0], input)[0]
	if got := h.again(packages[0], input)[0]; !bytes.Equal(got, want) {
		t.Error("the second inference differs")
	}
	h.run(packages[1].Caching, nil)
	if got := h.again(packages[0], input)[0]; bytes.Equal(got, want) {
		t.Error("right without its parameters, which another model's overwrote")
	}
	if got := h.infer(packages[0], input)[0]; !bytes.Equal(got, want) {
		t.Error("wrong after its parameters were loaded again")
	}
	h.write32(scuCtrl3, 0x50c5025c)
	h.wake()
	if got := h.again(packages[0], input)[0]; bytes.Equal(got, want) {
		t.Error("right without its parameters, which were lost in sleep")
	}
}

func TestBus(t *testing.T) {
	a := New(Config{Port: tpu.Port{Bus: 2, Path: "1"}})
	b := New(Config{Port: tpu.Port{Bus: 1, Path: "3.2"}, Application: true, Speed: tpu.HighSpeed})
	bus := NewBus(a, b)
	defer bus.Close()
	infos, err := bus.List(t.Context())
	if err != nil || len(infos) != 2 || infos[0] != b.Info() || infos[1] != a.Info() || !infos[0].Application() || !infos[1].Boot() {
		t.Errorf("got %+v, %v", infos, err)
	}
	a.Unplug()
	a.Unplug()
	if infos, _ := bus.List(t.Context()); len(infos) != 1 {
		t.Errorf("got %+v after one was unplugged", infos)
	}
	if _, err := bus.Open(t.Context(), a.config.Port); !errors.Is(err, tpu.ErrNoDevice) {
		t.Errorf("unplugged: got %v, want ErrNoDevice", err)
	}
	b.Refuse(tpu.ErrPermission)
	if _, err := bus.Open(t.Context(), b.config.Port); !errors.Is(err, tpu.ErrPermission) {
		t.Errorf("refused: got %v, want ErrPermission", err)
	}
	b.Refuse(nil)
	first, second := open(t, b), open(t, b)
	if err := first.Claim(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if err := second.Claim(t.Context(), 0); !errors.Is(err, tpu.ErrBusy) {
		t.Errorf("claimed twice: got %v, want ErrBusy", err)
	}
	first.Close()
	if err := second.Claim(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if _, err := first.Read(t.Context(), 0x81, make([]byte, 1024)); !errors.Is(err, tpu.ErrClosed) {
		t.Errorf("closed: got %v, want ErrClosed", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := second.Read(t.Context(), 0x81, make([]byte, 1024))
		waiting <- err
	}()
	for b.Transfers() == 0 {
		time.Sleep(time.Millisecond)
	}
	b.Unplug()
	if err := <-waiting; !errors.Is(err, tpu.ErrDisconnected) {
		t.Errorf("unplugged while it was read: got %v, want ErrDisconnected", err)
	}
	b.Plug()
	if _, err := second.Read(t.Context(), 0x81, make([]byte, 1024)); !errors.Is(err, tpu.ErrDisconnected) {
		t.Errorf("plugged in again: got %v of what was opened before, want ErrDisconnected", err)
	}
}

func TestFaults(t *testing.T) {
	write := func(c tpu.Conn) (int, error) { return c.Write(t.Context(), 1, make([]byte, 8)) }
	d, _ := register(t, Config{}, small)
	c := openHost(t, d).conn
	at := d.Transfers()
	d.Script(Fault{At: 1, Kind: Fail}, Fault{At: 2, Kind: Truncate}, Fault{Endpoint: 0x01, At: 3, Kind: Stall}, Fault{At: 7, Kind: Delay, Delay: time.Millisecond})
	if at == 0 || d.Transfers() != 0 {
		t.Errorf("got %d transfers, and %d after Script", at, d.Transfers())
	}
	header := []byte{8, 0, 0, 0, 1, 0, 0, 0} // refused later, when the payload is here
	if _, err := c.Write(t.Context(), 1, header[:2]); err != nil {
		t.Error(err)
	}
	if n, err := write(c); n != 0 || !errors.Is(err, tpu.ErrTransfer) {
		t.Errorf("fail: got %d, %v", n, err)
	}
	if n, err := c.Write(t.Context(), 1, header[2:6]); n != 2 || !errors.Is(err, tpu.ErrTransfer) {
		t.Errorf("truncate: got %d, %v", n, err)
	}
	for i := range 2 {
		if _, err := write(c); !errors.Is(err, tpu.ErrStall) {
			t.Errorf("stall, transfer %d: got %v", i, err)
		}
	}
	if _, err := c.Control(t.Context(), 2, clearFeature, 0, 1, nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Write(t.Context(), 1, header[4:6]); err != nil {
		t.Errorf("cleared: got %v", err)
	}
	if _, err := c.Control(t.Context(), 0x80, getStatus, 0, 0, make([]byte, 2)); err != nil {
		t.Errorf("late: got %v", err)
	}
	d.Script(Fault{At: 0, Kind: Hang}, Fault{At: 3, Kind: Disconnect})
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if _, err := c.Control(ctx, 0x80, getStatus, 0, 0, make([]byte, 2)); !errors.Is(err, tpu.ErrTimeout) {
			t.Errorf("hang: got %v", err)
		}
		cancel()
	}
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = open(t, d)
	if _, err := c.Control(t.Context(), 0x80, getStatus, 0, 0, make([]byte, 2)); err != nil {
		t.Errorf("after a reset: got %v", err)
	}
	if _, err := c.Control(t.Context(), 0x80, getStatus, 0, 0, make([]byte, 2)); !errors.Is(err, tpu.ErrDisconnected) || d.Plugged() {
		t.Errorf("disconnect: got %v", err)
	}
}

// TestSteady wants inferences to cost the emulator no memory.
func TestSteady(t *testing.T) {
	d := New(Config{Application: true})
	compiled := reference.Read(t, "models", "pairs/color_red_64x64_edgetpu.tflite")
	if err := d.Register(compiled, reference.Read(t, "models", "pairs/color_red_64x64.tflite")); err != nil {
		t.Fatal(err)
	}
	pkg := parsePackage(t, compiled)
	h := openHost(t, d)
	h.run(pkg.Caching, nil)
	instructions, input := pkg.Main.Chunks[0].Bytes, make([]byte, pkg.Main.Inputs[0].Size)
	headers := [2][8]byte{{byte(len(instructions)), byte(len(instructions) >> 8), byte(len(instructions) >> 16)}, {byte(len(input)), byte(len(input) >> 8), 0, 0, 1}}
	out, event := make([]byte, 1024), make([]byte, 16)
	n := testing.AllocsPerRun(20, func() {
		h.conn.Write(h.ctx, 1, headers[0][:])
		h.conn.Write(h.ctx, 1, instructions)
		h.conn.Write(h.ctx, 1, headers[1][:])
		h.conn.Write(h.ctx, 1, input)
		h.conn.Read(h.ctx, 0x81, out)
		h.conn.Read(h.ctx, 0x82, event)
	})
	if n != 0 {
		t.Errorf("got %v allocations per inference, want none", n)
	}
}

func TestRegisterRefuses(t *testing.T) {
	d := New(Config{})
	dense, twin := reference.Read(t, "models", "pairs/dense_256_edgetpu.tflite"), reference.Read(t, "models", "pairs/dense_256.tflite")
	red := reference.Read(t, "models", "pairs/color_red_64x64.tflite")
	for name, files := range map[string][2][]byte{
		"not a model":        {[]byte("TFL3"), nil},
		"not compiled":       {twin, nil},
		"a damaged twin":     {dense, twin[:100]},
		"another's twin":     {dense, red},
		"unknown arithmetic": {reference.Read(t, "models", "movenet_single_pose_lightning_ptq_edgetpu.tflite"), reference.Read(t, "models", "movenet_single_pose_lightning_ptq.tflite")},
	} {
		if err := d.Register(files[0], files[1]); !errors.Is(err, ErrModel) {
			t.Errorf("%s: got %v, want ErrModel", name, err)
		}
	}
}
