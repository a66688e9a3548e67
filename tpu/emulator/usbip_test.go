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
)

// client plays the kernel's part in USB/IP. It makes one transfer at a time.
type client struct {
	tb     testing.TB
	c      net.Conn
	number uint32
}

// serveLocal serves devices on a local TCP port. done ends ServeUSBIP and returns its error.
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

// imports asks the server for a device. It returns the device's description, or false if the server refused.
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

// submit sends a transfer of n bytes with the data out, and returns its number.
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

// reply reads a reply, with data if in is set.
func (c *client) reply(in bool) (command, number uint32, status int32, data []byte) {
	c.tb.Helper()
	b := c.read(headerSize)
	command, number, status = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), int32(binary.BigEndian.Uint32(b[20:]))
	if n := int(binary.BigEndian.Uint32(b[24:])); command == returnSubmit && in {
		data = c.read(n)
	}
	return command, number, status, data
}

// control makes a control transfer of out to the device or, if out is nil, of n bytes from it.
func (c *client) control(requestType, request uint8, value, index uint16, n int, out []byte) (int32, []byte) {
	c.tb.Helper()
	setup := [8]byte{requestType, request}
	binary.LittleEndian.PutUint16(setup[2:], value)
	binary.LittleEndian.PutUint16(setup[4:], index)
	binary.LittleEndian.PutUint16(setup[6:], uint16(max(n, len(out))))
	number := c.submit(0, setup, max(n, len(out)), out)
	command, got, status, data := c.reply(requestType&0x80 != 0)
	if command != returnSubmit || got != number {
		c.tb.Fatalf("got reply %d to %d, want a reply to %d", command, got, number)
	}
	return status, data
}

// bulk makes a bulk transfer of p to the device.
func (c *client) bulk(p []byte) {
	c.tb.Helper()
	number := c.submit(1, [8]byte{}, len(p), p)
	if command, got, status, _ := c.reply(false); command != returnSubmit || got != number || status != 0 {
		c.tb.Fatalf("got reply %d to %d with status %d", command, got, status)
	}
}

// identity reads the vendor and product from the device descriptor.
func (c *client) identity() [4]byte {
	c.tb.Helper()
	status, b := c.control(0x80, getDescriptor, typeDevice<<8, 0, 18, nil)
	if status != 0 || len(b) != 18 {
		c.tb.Fatalf("got status %d and descriptor % x", status, b)
	}
	return [4]byte(b[8:12])
}

var bootIdentity, applicationIdentity = [4]byte{0x6e, 0x1a, 0x9a, 0x08}, [4]byte{0xd1, 0x18, 0x02, 0x93}

// resetPort makes the transfers that a kernel makes after a port reset: it reads the start of the device descriptor and
// configures the device.
func (c *client) resetPort() {
	c.tb.Helper()
	c.control(0x80, getDescriptor, typeDevice<<8, 0, 8, nil)
	c.control(0, setConfiguration, 1, 0, 0, nil)
}

// importDevice connects and imports the device at a port.
func importDevice(t *testing.T, address, port string) *client {
	t.Helper()
	c := dial(t, address)
	if _, ok := c.imports(port); !ok {
		t.Fatalf("%s not imported", port)
	}
	return c
}

// importBooted imports a device and starts its firmware.
func importBooted(t *testing.T, address, port string) *client {
	t.Helper()
	c := importDevice(t, address, port)
	c.resetPort()
	c.control(0x21, dfuDownload, 0, 0, 0, []byte("firmware"))
	c.control(0x21, dfuDownload, 1, 0, 0, nil)
	c.resetPort()
	if got := c.identity(); got != applicationIdentity {
		t.Fatalf("got identity % x after loading the firmware", got)
	}
	return c
}

// TestUSBIPImport lists and imports a device over TCP.
func TestUSBIPImport(t *testing.T) {
	d := New(Config{Port: tpu.Port{Bus: 3, Path: "1.2"}})
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
		t.Error("imported a device that does not exist")
	}
	c := importDevice(t, address, "3-1.2")
	if _, ok := dial(t, address).imports("3-1.2"); ok {
		t.Error("imported twice")
	}
	c.submit(0x83, [8]byte{}, 4, nil)
	if err := done(); err != nil {
		t.Errorf("ServeUSBIP returned %v", err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("still listening")
	}
}

// TestUSBIPBoot boots a device over TCP as a kernel and a driver do. A short read of the device descriptor of a configured
// device means a port reset.
func TestUSBIPBoot(t *testing.T) {
	address, done := serveLocal(t, New(Config{}))
	defer done()
	c := importDevice(t, address, "1-1")
	c.control(0x80, getDescriptor, typeDevice<<8, 0, 8, nil)
	c.control(0x80, getDescriptor, typeDevice<<8, 0, 8, nil)
	if got := c.identity(); got != bootIdentity {
		t.Fatalf("got identity % x at first", got)
	}
	c.control(0, setConfiguration, 1, 0, 0, nil)
	c.control(0x21, dfuDownload, 0, 0, 0, []byte("firmware"))
	c.control(0x21, dfuDownload, 1, 0, 0, nil)
	if got := c.identity(); got != bootIdentity {
		t.Fatalf("got identity % x before the reset", got)
	}
	c.resetPort()
	if got := c.identity(); got != applicationIdentity {
		t.Fatalf("got identity % x after the reset", got)
	}
	if status, _ := c.control(0xc0, 1, 0, 0, 4, nil); status != statusStalled {
		t.Errorf("a bad address: got status %d, want %d", status, statusStalled)
	}
}

// TestUSBIPInference runs a model over TCP, with the reads posted in advance, and cancels a read.
func TestUSBIPInference(t *testing.T) {
	compiled := reference.Read(t, "models", small+"_edgetpu.tflite")
	d := New(Config{})
	if err := d.Register(compiled, nil); err != nil {
		t.Fatal(err)
	}
	address, done := serveLocal(t, d)
	defer done()
	c := importBooted(t, address, "1-1")
	write64 := func(address uint32, v uint64) {
		c.control(0x40, 0, uint16(address), uint16(address>>16), 0, binary.LittleEndian.AppendUint64(nil, v))
	}
	write64(scalarCoreRun, 1)
	write64(descriptorMask, 0xf0)

	instructions := parsePackage(t, compiled).Main.Chunks[0].Bytes
	header := [8]byte{4: tagInstructions}
	binary.LittleEndian.PutUint32(header[:], uint32(len(instructions)))
	c.bulk(header[:])
	c.bulk(instructions)
	spare := c.submit(0x83, [8]byte{}, 4, nil)
	wanted := map[uint32]int{c.submit(0x81, [8]byte{}, 1024, nil): 256, c.submit(0x82, [8]byte{}, 16, nil): 16}
	c.bulk([]byte{0, 1, 0, 0, tagInput, 0, 0, 0})
	last := c.submit(1, [8]byte{}, 256, make([]byte, 256))
	for range 3 {
		b := c.read(headerSize)
		number, n := binary.BigEndian.Uint32(b[4:]), int(binary.BigEndian.Uint32(b[24:]))
		if number == last {
			continue
		}
		if data := c.read(n); n != wanted[number] || n == 16 && data[12] != tagInterrupt {
			t.Errorf("transfer %d: got % x", number, data)
		}
	}

	c.number++
	b := make([]byte, headerSize)
	binary.BigEndian.PutUint32(b, commandUnlink)
	binary.BigEndian.PutUint32(b[4:], c.number)
	binary.BigEndian.PutUint32(b[20:], spare)
	for _, want := range []int32{statusUnlinked, 0} { // the second time there is nothing to cancel
		c.write(b)
		if command, number, status, _ := c.reply(false); command != returnUnlink || number != c.number || status != want {
			t.Errorf("unlink: got reply %d to %d with status %d, want status %d", command, number, status, want)
		}
	}
}

// TestUSBIPFaults delays and fails transfers over TCP, and unplugs the device, which ends the connection.
func TestUSBIPFaults(t *testing.T) {
	d := New(Config{})
	address, done := serveLocal(t, d)
	defer done()
	c := importBooted(t, address, "1-1")
	d.Script(Fault{At: 0, Kind: Delay, Delay: time.Millisecond}, Fault{At: 1, Kind: Fail})
	if got := c.identity(); got != applicationIdentity {
		t.Errorf("delay: got identity % x", got)
	}
	if status, _ := c.control(0x80, getDescriptor, 0x0100, 0, 18, nil); status != statusFailed {
		t.Errorf("fail: got status %d, want %d", status, statusFailed)
	}

	c.submit(0x83, [8]byte{}, 4, nil)
	d.Unplug()
	if _, err := io.Copy(io.Discard, c.c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the device is unplugged, but the connection has not ended")
	}
	d.Plug()
	imported := false
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		c = dial(t, address)
		if _, imported = c.imports("1-1"); imported {
			break
		}
		time.Sleep(time.Millisecond) // until the first connection has ended
	}
	if !imported || c.identity() != bootIdentity {
		t.Error("not in its boot ROM after it was plugged in again")
	}
}
