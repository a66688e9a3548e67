package tpu

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// The two identities of a Coral USB Accelerator: the boot ROM, which waits for firmware, and the Edge TPU that the
// firmware makes of it (libedgetpu driver/beagle/beagle_usb_driver_provider.cc).
const (
	BootVendor  = 0x1a6e
	BootProduct = 0x089a
	Vendor      = 0x18d1
	Product     = 0x9302
)

// Port says where a device is plugged in. It stays the same when the device changes its identity, and it is the only
// thing that tells two accelerators apart: they have no serial number.
type Port struct {
	Bus  int    // number of the bus, from 1
	Path string // port numbers from the root hub to the device, joined by dots: "2.3"
}

// String writes the port as Linux does: "1-2.3".
func (p Port) String() string { return strconv.Itoa(p.Bus) + "-" + p.Path }

// ParsePort reads what [Port.String] writes.
func ParsePort(s string) (Port, error) {
	bus, path, ok := strings.Cut(s, "-")
	number, err := strconv.ParseUint(bus, 10, 8)
	if !ok || err != nil || number == 0 {
		return Port{}, fmt.Errorf("USB port %q: want bus and ports, such as 1-2.3", s)
	}
	hops := strings.Split(path, ".")
	if len(hops) > 7 { // the depth USB allows
		return Port{}, fmt.Errorf("USB port %q: more than 7 ports deep", s)
	}
	for i, hop := range hops {
		n, err := strconv.ParseUint(hop, 10, 8)
		if err != nil || n == 0 {
			return Port{}, fmt.Errorf("USB port %q: want bus and ports, such as 1-2.3", s)
		}
		hops[i] = strconv.FormatUint(n, 10)
	}
	return Port{Bus: int(number), Path: strings.Join(hops, ".")}, nil
}

// Speed is the speed of a USB link.
type Speed uint8

const (
	SpeedUnknown Speed = iota // not told, or faster than SuperSpeed
	LowSpeed                  // 1.5 Mbit/s
	FullSpeed                 // 12 Mbit/s
	HighSpeed                 // 480 Mbit/s: USB 2
	SuperSpeed                // 5 Gbit/s: USB 3
)

func (s Speed) String() string {
	switch s {
	case LowSpeed:
		return "1.5 Mbit/s"
	case FullSpeed:
		return "12 Mbit/s"
	case HighSpeed:
		return "480 Mbit/s"
	case SuperSpeed:
		return "5 Gbit/s"
	}
	return "unknown speed"
}

// USBInfo is what a bus tells of a device without opening it.
type USBInfo struct {
	Port            Port
	Address         int
	Vendor, Product uint16
	Speed           Speed
}

// Boot reports whether the device waits for its firmware.
func (i USBInfo) Boot() bool { return i.Vendor == BootVendor && i.Product == BootProduct }

// Application reports whether the device runs its firmware.
func (i USBInfo) Application() bool { return i.Vendor == Vendor && i.Product == Product }

// Bus lists and opens USB devices. [USB] gives the machine's; package tpu/emulator has one in software. All methods
// may be called from several goroutines.
type Bus interface {
	// List returns the accelerators that are plugged in, in both identities, ordered by port.
	List(ctx context.Context) ([]USBInfo, error)
	// Open opens the device at port, whatever its identity: ErrNoDevice, ErrPermission, ErrBusy.
	Open(ctx context.Context, port Port) (Conn, error)
	// Close frees the bus. Every Conn must be closed before.
	Close() error
}

// Conn is an open device. Control, Write and Read may be called from different goroutines at once. Each is one USB
// transfer: it is done, or it is cancelled on the bus, when the method returns, and the slice is then the caller's
// again. What fails wraps one of this package's errors: ErrDisconnected once the device is gone, ErrTimeout when the
// deadline of the context passed first, the context's error when it was cancelled, ErrStall when the device refused,
// ErrTransfer for all else. The count of bytes is right in either case.
type Conn interface {
	Info() USBInfo
	// Claim takes an interface for this Conn, until Close: ErrBusy, ErrPermission.
	Claim(ctx context.Context, iface int) error
	// Control makes one control transfer; the top bit of requestType says which way p goes.
	Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error)
	// Write makes one bulk transfer of all of p. No empty packet is ever added.
	Write(ctx context.Context, endpoint uint8, p []byte) (int, error)
	// Read waits for one bulk or interrupt transfer of at most len(p) bytes. Reads on one endpoint are served in order.
	Read(ctx context.Context, endpoint uint8, p []byte) (int, error)
	// Post asks to keep count transfers of size bytes waiting on an IN endpoint from now on, so that the device never
	// waits for the host; Read, with slices of size bytes, then takes them in order. A transport on which nothing
	// is lost between two Reads has nothing to do here.
	Post(endpoint uint8, size, count int) error
	// Reset resets the port. Afterwards only Close is allowed: the device may come back as another. No transfer may be
	// under way.
	Reset(ctx context.Context) error
	// Close cancels the reads that Post keeps waiting, and gives the device back. No transfer may be under way. It may be
	// called twice.
	Close() error
}
