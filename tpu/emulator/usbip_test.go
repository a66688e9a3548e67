package emulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

// client is the kernel's side of USB/IP, one transfer after the other.
type client struct {
	tb     testing.TB
	c      net.Conn
	number uint32
}

// serveLocal offers devices on a port of this machine; done ends that, and gives what ServeUSBIP returned.
func serveLocal(t *testing.T, devices ...*Device) (address string, done func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ServeUSBIP(ctx, l, devices...) }()
	return l.Addr().String(), func() error { cancel(); return <-ended }
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return &client{tb: t, c: c}
}

func (c *client) read(n int) []byte {
	c.tb.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c.c, b); err != nil {
		c.tb.Fatal(err)
	}
	return b
}

func (c *client) write(b []byte) {
	c.tb.Helper()
	if _, err := c.c.Write(b); err != nil {
		c.tb.Fatal(err)
	}
}

// imports asks for a device; it reports whether it was given, and its description.
func (c *client) imports(bus string) (device []byte, ok bool) {
	c.tb.Helper()
	name := make([]byte, 32)
	copy(name, bus)
	c.write(append([]byte{1, 0x11, 0x80, 3, 0, 0, 0, 0}, name...))
	head := c.read(8)
	if !bytes.Equal(head[:4], []byte{1, 0x11, 0, 3}) {
		c.tb.Fatalf("got reply % x", head)
	}
	if binary.BigEndian.Uint32(head[4:]) != 0 {
		return nil, false
	}
	return c.read(312), true
}

// submit sends a transfer of n bytes; out is what goes out with it.
func (c *client) submit(endpoint uint8, setup [8]byte, n int, out []byte) uint32 {
	c.tb.Helper()
	c.number++
	b := make([]byte, headerSize)
	binary.BigEndian.PutUint32(b, commandSubmit)
	binary.BigEndian.PutUint32(b[4:], c.number)
	if out == nil && (endpoint&0x80 != 0 || setup[0]&0x80 != 0) {
		binary.BigEndian.PutUint32(b[12:], 1)
	}
	binary.BigEndian.PutUint32(b[16:], uint32(endpoint&0xf))
	binary.BigEndian.PutUint32(b[24:], uint32(n))
	copy(b[40:], setup[:])
	c.write(append(b, out...))
	return c.number
}

// reply reads one.
func (c *client) reply(in bool) (command, number uint32, status int32, data []byte) {
	c.tb.Helper()
	b := c.read(headerSize)
	command, number, status = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), int32(binary.BigEndian.Uint32(b[20:]))
	if n := int(binary.BigEndian.Uint32(b[24:])); command == returnSubmit && in {
		data = c.read(n)
	}
	return command, number, status, data
}

// control makes a control transfer to the device or, when out is nil, of n bytes from it.
func (c *client) control(requestType, request uint8, value, index uint16, n int, out []byte) (int32, []byte) {
	c.tb.Helper()
	setup := [8]byte{requestType, request}
	binary.LittleEndian.PutUint16(setup[2:], value)
	binary.LittleEndian.PutUint16(setup[4:], index)
	binary.LittleEndian.PutUint16(setup[6:], uint16(max(n, len(out))))
	number := c.submit(0, setup, max(n, len(out)), out)
	command, got, status, data := c.reply(requestType&0x80 != 0)
	if command != returnSubmit || got != number {
		c.tb.Fatalf("got reply %d to %d, want one to %d", command, got, number)
	}
	return status, data
}

func (c *client) bulk(p []byte) {
	c.tb.Helper()
	number := c.submit(1, [8]byte{}, len(p), p)
	if command, got, status, _ := c.reply(false); command != returnSubmit || got != number || status != 0 {
		c.tb.Fatalf("got reply %d to %d with status %d", command, got, status)
	}
}

// TestUSBIP boots a device over TCP, as the kernel and a driver do, runs a model, and pulls the device.
func TestUSBIP(t *testing.T) {
	compiled := reference.Read(t, "models", small+"_edgetpu.tflite")
	pkg := parsePackage(t, compiled)
	d := New(Config{Port: tpu.Port{Bus: 3, Path: "1.2"}})
	if err := d.Register(compiled, nil); err != nil {
		t.Fatal(err)
	}
	address, done := serveLocal(t, d)

	list := dial(t, address)
	list.write([]byte{1, 0x11, 0x80, 5, 0, 0, 0, 0})
	head := list.read(12 + 312 + 4)
	if n := binary.BigEndian.Uint32(head[8:]); n != 1 || !bytes.HasPrefix(head[12+256:], []byte("3-1.2\x00")) {
		t.Errorf("got %d devices, the first at %q", n, head[12+256:12+288])
	}
	if got, want := head[12+288+8:], unhex(t, "00 00 00 05 1a 6e 08 9a 01 00 00 00 00 01 01 01 fe 01 02 00"); !bytes.Equal(got, want) {
		t.Errorf("got description % x, want % x", got, want)
	}

	if _, ok := dial(t, address).imports("3-9"); ok {
		t.Error("a device that does not exist was imported")
	}
	c := dial(t, address)
	if _, ok := c.imports("3-1.2"); !ok {
		t.Fatal("not imported")
	}
	if _, ok := dial(t, address).imports("3-1.2"); ok {
		t.Error("imported twice")
	}

	// What the kernel does first; a read of 8 bytes is no reset yet.
	identity := func() [4]byte {
		t.Helper()
		status, b := c.control(0x80, getDescriptor, 0x0100, 0, 18, nil)
		if status != 0 || len(b) != 18 {
			t.Fatalf("got status %d and descriptor % x", status, b)
		}
		return [4]byte(b[8:12])
	}
	boot, app := [4]byte{0x6e, 0x1a, 0x9a, 0x08}, [4]byte{0xd1, 0x18, 0x02, 0x93}
	c.control(0x80, getDescriptor, 0x0100, 0, 8, nil)
	c.control(0x80, getDescriptor, 0x0100, 0, 8, nil)
	if got := identity(); got != boot {
		t.Fatalf("got % x at first", got)
	}
	c.control(0, setConfiguration, 1, 0, 0, nil)
	c.control(0x21, dfuDownload, 0, 0, 0, []byte("firmware"))
	c.control(0x21, dfuDownload, 1, 0, 0, nil)
	if got := identity(); got != boot {
		t.Fatalf("got % x before the reset", got)
	}
	c.control(0x80, getDescriptor, 0x0100, 0, 8, nil) // by which the kernel shows that it has reset the port
	if got := identity(); got != app {
		t.Fatalf("got % x after the reset", got)
	}
	c.control(0, setConfiguration, 1, 0, 0, nil)

	if status, _ := c.control(0xc0, 1, 0, 0, 4, nil); status != statusStalled {
		t.Errorf("a bad address: got status %d, want %d", status, statusStalled)
	}
	write64 := func(address uint32, v uint64) {
		c.control(0x40, 0, uint16(address), uint16(address>>16), 0, binary.LittleEndian.AppendUint64(nil, v))
	}
	write64(scalarCoreRun, 1)
	write64(descriptorMask, 0xf0)

	// An inference, with the reads posted before.
	send := func(tag byte, p []byte) {
		t.Helper()
		header := [8]byte{4: tag}
		binary.LittleEndian.PutUint32(header[:], uint32(len(p)))
		c.bulk(header[:])
		c.bulk(p)
	}
	send(tagInstructions, pkg.Main.Chunks[0].Bytes)
	spare := c.submit(0x83, [8]byte{}, 4, nil)
	wanted := map[uint32]int{c.submit(0x81, [8]byte{}, 1024, nil): 256, c.submit(0x82, [8]byte{}, 16, nil): 16}
	header := [8]byte{0, 1, 0, 0, tagInput}
	c.bulk(header[:])
	last := c.submit(1, [8]byte{}, 256, make([]byte, 256))
	for range 3 {
		b := c.read(headerSize)
		number, n := binary.BigEndian.Uint32(b[4:]), int(binary.BigEndian.Uint32(b[24:]))
		if number == last {
			continue
		}
		if data := c.read(n); n != wanted[number] || number != last-3 && data[12] != 4 && n == 16 {
			t.Errorf("transfer %d: got % x", number, data)
		}
	}

	// A read that is taken back.
	c.number++
	b := make([]byte, headerSize)
	binary.BigEndian.PutUint32(b, commandUnlink)
	binary.BigEndian.PutUint32(b[4:], c.number)
	binary.BigEndian.PutUint32(b[20:], spare)
	for _, want := range []int32{statusUnlinked, 0} { // the second time there is nothing to take back
		c.write(b)
		if command, number, status, _ := c.reply(false); command != returnUnlink || number != c.number || status != want {
			t.Errorf("unlink: got reply %d to %d with status %d, want status %d", command, number, status, want)
		}
	}

	// Late, and after that failing, transfers.
	d.Script(Fault{At: 0, Kind: Delay, Delay: time.Millisecond}, Fault{At: 1, Kind: Fail})
	if got := identity(); got != app {
		t.Errorf("late: got % x", got)
	}
	if status, _ := c.control(0x80, getDescriptor, 0x0100, 0, 18, nil); status != statusFailed {
		t.Errorf("fail: got status %d, want %d", status, statusFailed)
	}

	// Pulled: the connection ends. In again: cold, and free to be imported.
	c.submit(0x83, [8]byte{}, 4, nil)
	d.Unplug()
	if _, err := io.Copy(io.Discard, c.c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("unplugged, and the connection has not ended")
	}
	d.Plug()
	imported := false
	for range 1000 {
		c = dial(t, address)
		if _, imported = c.imports("3-1.2"); imported {
			break
		}
		time.Sleep(time.Millisecond) // until the other connection has ended
	}
	if !imported || identity() != boot {
		t.Error("not there again after it was plugged in")
	}
	c.submit(0x83, [8]byte{}, 4, nil)
	if err := done(); err != nil {
		t.Errorf("ended: got %v", err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("still listening")
	}
}

// once submits a transfer, and takes it back if it does not end at once; it reports whether it ended.
func once(tb testing.TB, d *Device, x *transfer) bool {
	ended := 0
	x.ended = func(*transfer) { ended++ }
	d.submit(x)
	withdrawn := d.cancel(x)
	if ended != 1 || withdrawn != (x.status == cancelled) || x.n < 0 || x.n > len(x.p) {
		tb.Errorf("ended %d times, with status %d and %d of %d bytes", ended, x.status, x.n, len(x.p))
	}
	return !withdrawn
}

func FuzzControl(f *testing.F) {
	f.Add(true, []byte{0x80, 6, 0, 1, 0, 0, 18, 0}, 18)
	f.Add(true, []byte{0xc0, 1, 0x18, 0xa3, 1, 0, 4, 0}, 4)
	f.Add(true, []byte{0x40, 0, 0x18, 0x40, 4, 0, 8, 0}, 8)
	f.Add(false, []byte{0x21, 1, 0, 0, 0, 0, 0, 1}, 256)
	f.Add(false, []byte{0xa1, 2, 0xff, 0xff, 0, 0, 0xff, 0xff}, 300)
	f.Fuzz(func(t *testing.T, app bool, setup []byte, length int) {
		d := New(Config{Application: app})
		for len(setup) >= 8 {
			once(t, d, &transfer{setup: [8]byte(setup), p: make([]byte, max(0, min(length, 1<<16)))})
			setup = setup[8:]
		}
	})
}

func FuzzBulk(f *testing.F) {
	f.Add([]byte{8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 2, 0, 0, 0})
	instructions := tinyProgram(f).executable.Chunks[0].Bytes
	f.Add(concat([]byte{16, 0, 0, 0, 0, 0, 0, 0}, instructions, []byte{8, 0, 0, 0, 1, 0, 0, 0}, make([]byte, 8)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		d := New(Config{Application: true})
		d.models = []*model{{programs: []*program{tinyProgram(t)}}}
		openHost(t, d)
		runs := 0
		for len(stream) > 0 {
			n := min(len(stream), 1+int(stream[0])%64)
			once(t, d, &transfer{endpoint: 1, p: stream[:n]})
			stream = stream[n:]
			for once(t, d, &transfer{endpoint: 0x81, p: make([]byte, 1024)}) {
				runs++
			}
		}
		events := 0
		for once(t, d, &transfer{endpoint: 0x82, p: make([]byte, 16)}) {
			events++
		}
		if events != runs {
			t.Errorf("%d outputs and %d events", runs, events)
		}
	})
}

// tinyProgram is one of a single instruction, with an input and an output of 8 bytes.
func tinyProgram(tb testing.TB) *program {
	p, err := newProgram(&executable.Executable{
		Deterministic: true,
		Chunks:        []executable.InstructionChunk{{Bytes: bytes.Repeat([]byte{0x80, 0x0f}, 8)}},
		Inputs:        []executable.Layer{{Name: "in", Size: 8, Y: 1, X: 1, Z: 8}},
		Outputs:       []executable.Layer{{Name: "out", Size: 8, Y: 1, X: 1, Z: 8}},
		Hints: []executable.Hint{
			{Kind: executable.Instructions},
			{Kind: executable.Transfer, Buffer: executable.Input, Name: "in", Size: 8},
			{Kind: executable.Transfer, Out: true, Buffer: executable.Output, Name: "out", Size: 8},
			{Kind: executable.Interrupt},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// stream is a connection with fixed input.
type stream struct {
	net.Conn // nil: nothing else is used
	in       io.Reader
}

func (s *stream) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *stream) Write(p []byte) (int, error) { return len(p), nil }
func (s *stream) Close() error                { return nil }
func (s *stream) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

func FuzzUSBIP(f *testing.F) {
	command := func(words ...uint32) []byte {
		b := make([]byte, headerSize)
		for i, w := range words {
			binary.BigEndian.PutUint32(b[4*i:], w)
		}
		return b
	}
	descriptor := command(commandSubmit, 1, 0, 1, 0, 0, 18, 0, 0, 0, 0x80060001, 0x00001200)
	f.Add([]byte{1, 0x11, 0x80, 5, 0, 0, 0, 0})
	f.Add(concat([]byte{1, 0x11, 0x80, 3, 0, 0, 0, 0, '1', '-', '1'}, make([]byte, 29), descriptor, descriptor))
	f.Add(concat([]byte{1, 0x11, 0x80, 3, 0, 0, 0, 0, '1', '-', '1'}, make([]byte, 29),
		command(commandSubmit, 1, 0, 1, 1, 0, 1024), command(commandSubmit, 2, 0, 0, 1, 0, 8), make([]byte, 8), command(commandUnlink, 3, 0, 0, 0, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := New(Config{Application: true})
		s := &server{devices: []*Device{d}, imported: make(map[*Device]bool)}
		s.serve(t.Context(), &stream{in: bytes.NewReader(b)})
		if len(s.imported) != 0 {
			t.Error("the device is still imported")
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		for i := range d.endpoints {
			if d.endpoints[i].waiting != nil {
				t.Errorf("a transfer is left on endpoint %d", i)
			}
		}
	})
}
