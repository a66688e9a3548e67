package tpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func pureUSB() (Bus, error) { return openUSBFS() }

func openUSBFS() (Bus, error) {
	return usbfsBus{sysfs: "/sys/bus/usb/devices", usbfs: "/dev/bus/usb"}, nil
}

// usbfsBus reaches devices through the kernel's usbfs. It lists them from sysfs, which wakes no
// device.
type usbfsBus struct {
	sysfs, usbfs string // folders
}

func (usbfsBus) Close() error { return nil }

// List returns an empty list if this machine has no USB, as in some containers.
func (b usbfsBus) List(ctx context.Context) ([]USBInfo, error) {
	entries, err := os.ReadDir(b.sysfs)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var list []USBInfo
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// Other names belong to interfaces, such as 1-2:1.0, and to root hubs, such as usb1.
		if port, err := ParsePort(e.Name()); err == nil {
			if info, ok := b.describe(port); ok && info.known() {
				list = append(list, info)
			}
		}
	}
	slices.SortFunc(list, func(a, b USBInfo) int {
		return cmp.Or(cmp.Compare(a.Port.Bus, b.Port.Bus), cmp.Compare(a.Port.Path, b.Port.Path))
	})
	return list, nil
}

// describe reads the attributes of the device at port. It returns false if the device is no longer
// on the bus.
func (b usbfsBus) describe(port Port) (info USBInfo, ok bool) {
	number := func(attribute string, base int) uint16 {
		n, err := strconv.ParseUint(b.attribute(port, attribute), base, 16)
		ok = ok && err == nil
		return uint16(n)
	}
	ok = true
	info = USBInfo{Port: port, Vendor: number("idVendor", 16), Product: number("idProduct", 16), Address: int(number("devnum", 10))}
	switch b.attribute(port, "speed") { // in Mbit/s
	case "1.5":
		info.Speed = LowSpeed
	case "12":
		info.Speed = FullSpeed
	case "480":
		info.Speed = HighSpeed
	case "5000":
		info.Speed = SuperSpeed
	}
	return info, ok
}

// attribute returns an attribute of the device at port, or "" if it has none.
func (b usbfsBus) attribute(port Port, name string) string {
	text, err := os.ReadFile(filepath.Join(b.sysfs, port.String(), name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (b usbfsBus) Open(ctx context.Context, port Port) (Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, usbfsError(ctx, err)
	}
	info, ok := b.describe(port)
	if !ok || !info.known() {
		return nil, ErrNoDevice
	}
	file, err := openKernelFile(filepath.Join(b.usbfs, fmt.Sprintf("%03d/%03d", port.Bus, info.Address)))
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	if err != nil {
		return nil, usbfsError(ctx, err)
	}
	configured := b.attribute(port, "bConfigurationValue") != ""
	return newUSBFSConn(info, file, configured, file.capabilities()&usbfsScatterGather != 0), nil
}

// usbfsError wraps an error of the kernel, or of ctx, in one of this package's errors.
func usbfsError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var kind error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		kind = ErrTimeout
	case err == ctx.Err():
		return err
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ESHUTDOWN):
		kind = ErrDisconnected
	case errors.Is(err, unix.EPIPE):
		kind = ErrStall
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		kind = ErrPermission
	case errors.Is(err, unix.EBUSY):
		kind = ErrBusy
	case errors.Is(err, unix.ETIMEDOUT):
		kind = ErrTimeout
	default:
		kind = ErrTransfer
	}
	return fmt.Errorf("%w: %w", kind, err)
}
