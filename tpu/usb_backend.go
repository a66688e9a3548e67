package tpu

import (
	"fmt"
	"os"
)

// usbVariable chooses how [USB] reaches devices: "usbfs" or "libusb".
const usbVariable = "IMPRINT_USB"

// USB returns the USB buses of this machine.
//
// A program built with cgo reaches them through libusb. Without cgo, a program on Linux uses the kernel's usbfs and
// needs no library; on other systems USB returns ErrNoUSB. The environment variable IMPRINT_USB overrides the
// choice: "libusb", "usbfs" or "none". With "none", or if the program was built without the requested choice, the
// error wraps ErrNoUSB.
func USB() (Bus, error) {
	switch name := os.Getenv(usbVariable); name {
	case "":
		return defaultUSB()
	case "libusb":
		return openLibusb()
	case "none":
		return nil, noBackendError(usbVariable + "=none switches USB off")
	case "usbfs":
		return openUSBFS()
	default:
		return nil, noBackendError(fmt.Sprintf("%s=%s: want usbfs or libusb", usbVariable, name))
	}
}

// noBackendError says why the program cannot use the choice in IMPRINT_USB.
type noBackendError string

func (e noBackendError) Error() string { return string(e) }

func (noBackendError) Is(target error) bool { return target == ErrNoUSB }
