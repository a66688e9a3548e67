package tpu

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The structures and requests of usbfs (Linux, include/uapi/linux/usbdevice_fs.h). All integers are 32 bits wide, so Go
// lays the structures out as C does, on 32-bit machines too.

// usbfsURB is struct usbdevfs_urb without the packets, which only isochronous transfers use.
type usbfsURB struct {
	kind            uint8
	endpoint        uint8
	status          int32 // 0 or a negative errno
	flags           uint32
	buffer          unsafe.Pointer
	bufferLength    int32
	actualLength    int32 // bytes transferred, without the setup packet of a control transfer
	startFrame      int32
	numberOfPackets int32
	errorCount      int32
	signal          uint32
	userContext     unsafe.Pointer
}

// Values of usbfsURB.kind. The kernel turns a bulk transfer to an interrupt endpoint into an interrupt transfer
// (drivers/usb/core/devio.c, proc_do_submiturb).
const (
	usbfsControl = 2
	usbfsBulk    = 3
)

// usbfsGetDriver is struct usbdevfs_getdriver.
type usbfsGetDriver struct {
	iface  uint32
	driver [256]byte
}

// usbfsDisconnectClaim is struct usbdevfs_disconnect_claim.
type usbfsDisconnectClaim struct {
	iface  uint32
	flags  uint32
	driver [256]byte
}

// usbfsExceptDriver makes a disconnect-and-claim fail with EBUSY if the named driver holds the interface.
const usbfsExceptDriver = 2

// usbfsDriverRequest is struct usbdevfs_ioctl, a request for the driver of an interface.
type usbfsDriverRequest struct {
	iface   int32
	request int32
	data    unsafe.Pointer
}

// usbfsScatterGather is the capability to transfer any number of bytes at once without contiguous kernel memory.
const usbfsScatterGather = 1 << 3

var (
	usbfsSetConfiguration = ioctlNumber(ioctlRead, 5, 4)
	usbfsDriverName       = ioctlNumber(ioctlWrite, 8, unsafe.Sizeof(usbfsGetDriver{}))
	usbfsSubmit           = ioctlNumber(ioctlRead, 10, unsafe.Sizeof(usbfsURB{}))
	usbfsDiscard          = ioctlNumber(0, 11, 0)
	usbfsReap             = ioctlNumber(ioctlWrite, 13, unsafe.Sizeof(uintptr(0))) // REAPURBNDELAY: never waits
	usbfsClaim            = ioctlNumber(ioctlRead, 15, 4)
	usbfsRelease          = ioctlNumber(ioctlRead, 16, 4)
	usbfsDriverIoctl      = ioctlNumber(ioctlRead|ioctlWrite, 18, unsafe.Sizeof(usbfsDriverRequest{}))
	usbfsReset            = ioctlNumber(0, 20, 0)
	usbfsConnect          = ioctlNumber(0, 23, 0)
	usbfsCapabilities     = ioctlNumber(ioctlRead, 26, 4)
	usbfsTakeOver         = ioctlNumber(ioctlRead, 27, unsafe.Sizeof(usbfsDisconnectClaim{}))
)

// Directions of an ioctl's argument, as seen by the program.
const (
	ioctlWrite = 1 << iota
	ioctlRead
)

// ioctlNumber returns the number of a usbfs request, which has the type 'U', with an argument of size bytes.
func ioctlNumber(direction, number, size uintptr) uintptr {
	const kind = 'U'
	switch runtime.GOARCH {
	case "mips", "mipsle", "mips64", "mips64le", "ppc64", "ppc64le":
		// 3 bits of direction: 1 none, 2 read, 4 write (arch/mips and arch/powerpc, include/uapi/asm/ioctl.h).
		bits := uintptr(1)
		if direction != 0 {
			bits = direction>>1&1<<1 | direction&1<<2
		}
		return bits<<29 | size<<16 | kind<<8 | number
	}
	return direction<<30 | size<<16 | kind<<8 | number // include/uapi/asm-generic/ioctl.h
}

// ioctl makes an ioctl system call with the address of an argument, and repeats it after a signal.
func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}
