package tpu

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestUSBFSLayout compares offsets, sizes and request numbers with the values that a C compiler
// computes from linux/usbdevice_fs.h.
func TestUSBFSLayout(t *testing.T) {
	var u usbfsURB
	offsets := []uintptr{unsafe.Offsetof(u.endpoint), unsafe.Offsetof(u.status), unsafe.Offsetof(u.flags), unsafe.Offsetof(u.buffer),
		unsafe.Offsetof(u.bufferLength), unsafe.Offsetof(u.actualLength), unsafe.Offsetof(u.numberOfPackets),
		unsafe.Offsetof(u.userContext), unsafe.Sizeof(u), unsafe.Sizeof(usbfsDriverRequest{})}
	want := []uintptr{1, 4, 8, 16, 24, 28, 36, 48, 56, 16}
	numbers := []uintptr{usbfsSubmit, usbfsDiscard, usbfsReap, usbfsClaim, usbfsRelease, usbfsSetConfiguration, usbfsReset,
		usbfsCapabilities, usbfsDriverName, usbfsTakeOver, usbfsDriverIoctl, usbfsConnect}
	wantNumbers := []uintptr{0x8038550a, 0x550b, 0x4008550d, 0x8004550f, 0x80045510, 0x80045505, 0x5514,
		0x8004551a, 0x41045508, 0x8108551b, 0xc0105512, 0x5517}
	if unsafe.Sizeof(uintptr(0)) == 4 {
		want = []uintptr{1, 4, 8, 12, 16, 20, 28, 40, 44, 12}
		wantNumbers[0], wantNumbers[2], wantNumbers[10] = 0x802c550a, 0x4004550d, 0xc00c5512
	}
	if !slices.Equal(offsets, want) {
		t.Errorf("got offsets and sizes %d, want %d", offsets, want)
	}
	switch runtime.GOARCH {
	case "386", "amd64", "arm", "arm64", "loong64", "riscv64", "s390x":
		if !slices.Equal(numbers, wantNumbers) {
			t.Errorf("got ioctl numbers %#x, want %#x", numbers, wantNumbers)
		}
	}
}

// fakeSysfs returns a bus whose sysfs contains the given devices, each with its attributes.
func fakeSysfs(t *testing.T, devices map[string]map[string]string) usbfsBus {
	t.Helper()
	b := usbfsBus{sysfs: t.TempDir(), usbfs: t.TempDir()}
	for device, attributes := range devices {
		for name, value := range attributes {
			file := filepath.Join(b.sysfs, device, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(value+"\n"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b
}

func TestUSBFSList(t *testing.T) {
	attributes := func(vendor, product, number, speed string) map[string]string {
		return map[string]string{"idVendor": vendor, "idProduct": product, "devnum": number, "speed": speed, "bConfigurationValue": "1"}
	}
	b := fakeSysfs(t, map[string]map[string]string{
		"2-1.4":     attributes("18d1", "9302", "12", "5000"),
		"1-3":       attributes("1a6e", "089a", "7", "480"),
		"1-10":      attributes("1a6e", "089a", "8", "12"),
		"1-1":       attributes("1d6b", "0002", "2", "480"),   // another device
		"3-1":       attributes("18d1", "9302", "3", "10000"), // faster than any Edge TPU
		"3-2":       {"idVendor": "18d1"},                     // about to leave the bus
		"usb1":      attributes("18d1", "9302", "1", "480"),   // a root hub
		"2-1.4:1.0": {"bInterfaceNumber": "00"},
	})
	list, err := b.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []USBInfo{
		{Port{1, "10"}, 8, BootVendor, BootProduct, FullSpeed},
		{Port{1, "3"}, 7, BootVendor, BootProduct, HighSpeed},
		{Port{2, "1.4"}, 12, Vendor, Product, SuperSpeed},
		{Port{3, "1"}, 3, Vendor, Product, SpeedUnknown},
	}
	if !slices.Equal(list, want) {
		t.Errorf("got  %+v,\nwant %+v", list, want)
	}

	// A machine or container without USB has no devices.
	if list, err := (usbfsBus{sysfs: filepath.Join(b.sysfs, "none")}).List(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("without sysfs: got %v and error %v", list, err)
	}

	// A container may list devices but lack their device files.
	if _, err := b.Open(t.Context(), Port{2, "1.4"}); !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "002/012") {
		t.Errorf("no device file: got %v, want ErrDisconnected", err)
	}
	for _, port := range []Port{{1, "1"}, {3, "2"}, {4, "1"}} {
		if _, err := b.Open(t.Context(), port); !errors.Is(err, ErrNoDevice) {
			t.Errorf("port %v: got %v, want ErrNoDevice", port, err)
		}
	}
}

// TestUSBFSOpensOnlyDevices checks that a file that cannot be polled is rejected, since transfers
// on it would wait forever.
func TestUSBFSOpensOnlyDevices(t *testing.T) {
	b := fakeSysfs(t, map[string]map[string]string{"1-1": {"idVendor": "18d1", "idProduct": "9302", "devnum": "2"}})
	file := filepath.Join(b.usbfs, "001", "002")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(t.Context(), Port{1, "1"}); !errors.Is(err, ErrTransfer) {
		t.Errorf("got %v, want ErrTransfer", err)
	}
}

func TestUSBFSErrors(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	for _, test := range []struct {
		ctx       context.Context
		errno     unix.Errno
		cancelled bool
		want      error
	}{
		{t.Context(), unix.ENODEV, false, ErrDisconnected},
		{t.Context(), unix.ESHUTDOWN, false, ErrDisconnected},
		{t.Context(), unix.ENOENT, false, ErrDisconnected},
		{t.Context(), unix.EPIPE, false, ErrStall},
		{t.Context(), unix.EPROTO, false, ErrTransfer},
		{t.Context(), unix.EHOSTUNREACH, false, ErrTransfer}, // the device is suspended
		{t.Context(), unix.EOVERFLOW, false, ErrTransfer},
		{over, unix.ENOENT, true, context.Canceled},
		{late, unix.ECONNRESET, true, ErrTimeout},
		{late, unix.EPIPE, true, ErrStall},
		{late, 0, true, nil},
	} {
		u := newURB()
		u.actualLength, u.status = 3, -int32(test.errno)
		if n, err := u.result(test.ctx, test.cancelled); n != 3 || !errors.Is(err, test.want) {
			t.Errorf("%v, cancelled %v: got %d bytes and error %v, want %v", test.errno, test.cancelled, n, err, test.want)
		}
	}
	for errno, want := range map[unix.Errno]error{unix.EACCES: ErrPermission, unix.EPERM: ErrPermission, unix.EBUSY: ErrBusy} {
		if err := usbfsError(t.Context(), errno); !errors.Is(err, want) {
			t.Errorf("%v: got %v, want %v", errno, err, want)
		}
	}
}

// echo is a device whose endpoint 0x81 sends back the data that endpoint 0x01 receives. It records
// all writes.
type echo struct {
	replayConn
	writes chan []byte
	fail   int // number of the write that fails, from 1; 0 if none fails
	count  int
}

func newEcho() *echo {
	return &echo{replayConn: replayConn{newReplay(nil, false, SuperSpeed), USBInfo{Port: Port{1, "1"}}}, writes: make(chan []byte, 100)}
}

func (e *echo) Write(_ context.Context, _ uint8, p []byte) (int, error) {
	if e.count++; e.count == e.fail {
		return len(p) / 2, ErrStall
	}
	e.writes <- bytes.Clone(p)
	return len(p), nil
}

func (e *echo) Read(ctx context.Context, _ uint8, p []byte) (int, error) {
	select {
	case b := <-e.writes:
		return copy(p, b), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func TestUSBFSClaim(t *testing.T) {
	for _, test := range []struct {
		holder     string
		configured bool
		want       string
		err        error
	}{
		{"", true, "claim release", nil},
		{"", false, "configure claim release", nil},
		{"usbserial", true, "claim take over release give back", nil},
		{"usbfs", true, "claim", ErrBusy},
	} {
		file := newFakeFile(newEcho())
		file.holder = test.holder
		c := newUSBFSConn(USBInfo{}, file, test.configured, true)
		if _, err := c.Write(t.Context(), 1, []byte{1}); !errors.Is(err, ErrTransfer) {
			t.Errorf("write without a claim: got %v, want ErrTransfer", err)
		}
		for range 2 {
			if err := c.Claim(t.Context(), 0); !errors.Is(err, test.err) {
				t.Errorf("%q: got %v, want %v", test.holder, err, test.err)
			}
			if test.err != nil {
				break
			}
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
		if got := strings.Join(file.calls, " "); got != test.want {
			t.Errorf("%q, configured %v: calls %q, want %q", test.holder, test.configured, got, test.want)
		}
	}
}

// TestUSBFSPieces checks that a long write is split if the host controller or the kernel's memory
// requires it.
func TestUSBFSPieces(t *testing.T) {
	data := make([]byte, 2*usbfsPiece+5)
	for i := range data {
		data[i] = byte(i / 7)
	}
	for _, scatterGather := range []bool{true, false} {
		for _, fail := range []int{0, 2} {
			device := newEcho()
			device.fail = fail
			file := newFakeFile(device)
			file.longest = usbfsPiece
			c := newUSBFSConn(USBInfo{}, file, true, scatterGather)
			if err := c.Claim(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			n, err := c.Write(t.Context(), 1, data)
			want, wantErr := len(data), error(nil)
			if fail == 2 {
				want, wantErr = usbfsPiece+usbfsPiece/2, ErrStall
			}
			if n != want || !errors.Is(err, wantErr) {
				t.Errorf("got %d bytes and error %v, want %d and %v", n, err, want, wantErr)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			close(device.writes)
			var got []byte
			for p := range device.writes {
				got = append(got, p...)
			}
			if fail == 0 && !bytes.Equal(got, data) {
				t.Errorf("the device received other bytes")
			}
		}
	}
}

// TestUSBFSPost checks that a read that gives up loses no data, because the posted reads stay pending.
func TestUSBFSPost(t *testing.T) {
	device := newEcho()
	c := newUSBFSConn(USBInfo{}, newFakeFile(device), true, true)
	if err := c.Post(0x81, 4, 3); !errors.Is(err, ErrTransfer) {
		t.Errorf("post without a claim: got %v, want ErrTransfer", err)
	}
	if err := errors.Join(c.Claim(t.Context(), 0), c.Post(0x81, 4, 3), c.Post(0x81, 4, 3)); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if _, err := c.Read(t.Context(), 0x81, p[:3]); !errors.Is(err, ErrTransfer) {
		t.Errorf("short slice: got %v, want ErrTransfer", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Read(ctx, 0x81, p); !errors.Is(err, ErrTimeout) {
		t.Errorf("nothing to read: got %v, want ErrTimeout", err)
	}
	if c.Pending(0x81) || c.Pending(0x82) {
		t.Error("data is pending, but the device has sent none")
	}
	for i := range byte(10) {
		if _, err := c.Write(t.Context(), 1, []byte{i, i}); err != nil {
			t.Fatal(err)
		}
	}
	for start := time.Now(); !c.Pending(0x81); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("no data is pending, but the device has sent some")
		}
	}
	for i := range byte(10) {
		if n, err := c.Read(t.Context(), 0x81, p); n != 2 || p[0] != i || err != nil {
			t.Errorf("read %d: got %d bytes %v and error %v", i, n, p, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestUSBVariable(t *testing.T) {
	t.Setenv(usbVariable, "usbfs")
	if bus, err := USB(); err != nil {
		t.Error(err)
	} else if _, ok := bus.(usbfsBus); !ok {
		t.Errorf("got %T, want usbfsBus", bus)
	}
	t.Setenv(usbVariable, "winusb")
	if _, err := USB(); !errors.Is(err, ErrNoUSB) || !strings.Contains(err.Error(), "IMPRINT_USB=winusb: want usbfs or libusb") {
		t.Errorf("got %v, want ErrNoUSB", err)
	}
	t.Setenv(usbVariable, "libusb")
	if _, err := USB(); err != nil && (!errors.Is(err, ErrNoUSB) || !strings.Contains(err.Error(), "without libusb")) {
		t.Errorf("got %v, want ErrNoUSB or none", err)
	}
}
