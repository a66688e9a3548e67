package tpu

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// The two USB identities of a Coral USB Accelerator: its boot ROM, which waits for firmware, and the Edge TPU after the
// firmware has started (libedgetpu driver/beagle/beagle_usb_driver_provider.cc).
const (
	BootVendor  = 0x1a6e
	BootProduct = 0x089a
	Vendor      = 0x18d1
	Product     = 0x9302
)

// Port identifies the USB port that a device is plugged into. The port stays the same when the device changes its
// identity. Accelerators have no serial number, so only the port distinguishes two of them.
type Port struct {
	Bus  int    // number of the bus, from 1
	Path string // port numbers from the root hub to the device, joined by dots: "2.3"
}

// String formats the port as Linux does: "1-2.3".
func (p Port) String() string { return strconv.Itoa(p.Bus) + "-" + p.Path }

// ParsePort parses the format of [Port.String].
func ParsePort(s string) (Port, error) {
	bus, path, ok := strings.Cut(s, "-")
	number, err := strconv.ParseUint(bus, 10, 8)
	if !ok || err != nil || number == 0 {
		return Port{}, fmt.Errorf("USB port %q: want bus and port numbers, such as 1-2.3", s)
	}
	hops := strings.Split(path, ".")
	if len(hops) > 7 { // the limit of USB
		return Port{}, fmt.Errorf("USB port %q: more than 7 ports deep", s)
	}
	for i, hop := range hops {
		n, err := strconv.ParseUint(hop, 10, 8)
		if err != nil || n == 0 {
			return Port{}, fmt.Errorf("USB port %q: want bus and port numbers, such as 1-2.3", s)
		}
		hops[i] = strconv.FormatUint(n, 10)
	}
	return Port{Bus: int(number), Path: strings.Join(hops, ".")}, nil
}

// Speed is the speed of a USB link.
type Speed uint8

const (
	SpeedUnknown Speed = iota // not reported, or faster than SuperSpeed
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

// USBInfo describes a device, open or not.
type USBInfo struct {
	Port            Port
	Address         int
	Vendor, Product uint16
	Speed           Speed
}

// Boot reports whether the device is in its boot ROM and waits for firmware.
func (i USBInfo) Boot() bool { return i.Vendor == BootVendor && i.Product == BootProduct }

// Application reports whether the device runs its firmware.
func (i USBInfo) Application() bool { return i.Vendor == Vendor && i.Product == Product }

// Bus lists and opens accelerators. [USB] returns the USB buses of this machine; package tpu/emulator has a bus of
// emulated devices. The methods are safe for concurrent use by multiple goroutines.
type Bus interface {
	// List returns the accelerators that are plugged in, booted or not, ordered by port.
	List(ctx context.Context) ([]USBInfo, error)
	// Open opens the device at port, booted or not. Errors wrap ErrNoDevice, ErrPermission or ErrBusy.
	Open(ctx context.Context, port Port) (Conn, error)
	// Close releases the bus. Close every Conn first.
	Close() error
}

// Conn is an open device. Control, Write and Read are safe for concurrent use by multiple goroutines.
//
// Control, Write and Read make one USB transfer each and return the number of bytes transferred, even if they return an
// error. When they return, the transfer is finished or cancelled, and the slice belongs to the caller again. Errors
// wrap ErrDisconnected if the device has left the bus, ErrTimeout if the deadline of ctx has passed, the error of ctx
// if it was cancelled, ErrStall if the device refused the request, or else ErrTransfer.
//
// A Conn may also have the method Pending(endpoint uint8) bool, which reports whether it has received data on an IN
// endpoint that Read has not returned. With it, the driver notices output that the bus has repeated.
type Conn interface {
	Info() USBInfo
	// Claim reserves an interface until Close. Errors wrap ErrBusy or ErrPermission.
	Claim(ctx context.Context, iface int) error
	// Control makes a control transfer. If the top bit of requestType is set, it reads into p, else it writes p.
	Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error)
	// Write makes a bulk transfer of all of p. It never adds an empty packet.
	Write(ctx context.Context, endpoint uint8, p []byte) (int, error)
	// Read makes a bulk or interrupt transfer of at most len(p) bytes. Reads on one endpoint are served in order.
	Read(ctx context.Context, endpoint uint8, p []byte) (int, error)
	// Post keeps count transfers of size bytes pending on an IN endpoint, so that the device never waits for the host.
	// Later Reads on that endpoint need slices of size bytes. A transport that loses no data between two Reads may
	// ignore Post.
	Post(endpoint uint8, size, count int) error
	// Reset resets the port. No transfer may be in progress. After Reset only Close may be called, because the device
	// may change its identity.
	Reset(ctx context.Context) error
	// Close cancels the transfers that Post started and releases the device. No other transfer may be in progress.
	// Close may be called more than once.
	Close() error
}
