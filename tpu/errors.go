package tpu

import (
	"errors"
	"fmt"
	"strings"
)

// Errors to test for with errors.Is. Every failure of a device wraps one of these, or the context's error if the
// context ended first.
var (
	// ErrNoDevice means that no accelerator is plugged in, or none at the requested port.
	ErrNoDevice = errors.New("no Edge TPU found")
	// ErrPermission means that this user may not open the device.
	ErrPermission = errors.New("no permission to open the Edge TPU")
	// ErrBusy means that another program has the device open.
	ErrBusy = errors.New("the Edge TPU is in use by another program")
	// ErrDisconnected means that the device was unplugged, or left the bus, while in use.
	ErrDisconnected = errors.New("the Edge TPU was disconnected")
	// ErrTimeout means that the device did not answer before the deadline.
	ErrTimeout = errors.New("the Edge TPU did not answer in time")
	// ErrStall means that the device refused a request.
	ErrStall = errors.New("the Edge TPU refused the request")
	// ErrTransfer means that a USB transfer failed or was cut short.
	ErrTransfer = errors.New("USB transfer failed")
	// ErrDevice means that the device reported an error or broke the protocol. A [DeviceError] has details.
	ErrDevice = errors.New("the Edge TPU reported an error")
	// ErrFirmware means that the device needs its firmware, but no file was found, or none of the files contains it.
	ErrFirmware = errors.New("no firmware for the Edge TPU")
	// ErrNoUSB means that the program was built without USB support.
	ErrNoUSB = errors.New("this program was built without USB support")
	// ErrClosed means that this program has closed the Device or Bus.
	ErrClosed = errors.New("the Edge TPU was closed")
)

// kinds lists the errors of this package and their names.
var kinds = [...]struct {
	err  error
	name string
}{
	{ErrNoDevice, "no_device"}, {ErrPermission, "permission"}, {ErrBusy, "busy"}, {ErrDisconnected, "disconnected"},
	{ErrTimeout, "timeout"}, {ErrStall, "stall"}, {ErrTransfer, "transfer"}, {ErrDevice, "device"},
	{ErrFirmware, "firmware"}, {ErrNoUSB, "no_usb"}, {ErrClosed, "closed"},
}

// ErrorKind names the error of this package that err wraps, for metrics and logs: no_device, permission, busy,
// disconnected, timeout, stall, transfer, device, firmware, no_usb or closed. It returns "" if err wraps none of them.
func ErrorKind(err error) string {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	return ""
}

// IsDeviceError reports whether err wraps an error of this package. If so, an Edge TPU is missing, cannot be used, or
// failed.
func IsDeviceError(err error) bool { return ErrorKind(err) != "" }

// errFatal is the error of transfers that the chip's fatal interrupt has aborted.
var errFatal = fmt.Errorf("%w: fatal interrupt", ErrDevice)

// errUnreadable means that the registers that explain a failure cannot be read.
var errUnreadable = errors.New("its registers cannot be read")

// DeviceError is a failure together with the chip's error registers.
type DeviceError struct {
	Err error // the failure; wraps ErrDevice or ErrTimeout
	// HIB and FirstHIB are the registers hib_error_status and hib_first_error_status. A set bit is an error of the host
	// interface.
	HIB, FirstHIB uint64
	// ScalarStatus is the state of the scalar core, ScalarError the error that stopped it, and PC its position in the
	// program, counted in instructions of 16 bytes.
	ScalarStatus, ScalarError, PC uint64
}

func (e *DeviceError) Unwrap() error { return e.Err }

func (e *DeviceError) Error() string {
	var b strings.Builder
	b.WriteString(e.Err.Error())
	b.WriteString("; chip status: ")
	if e.HIB == 0 && e.FirstHIB == 0 {
		b.WriteString("no host interface error")
	} else {
		fmt.Fprintf(&b, "%s (%#x)", strings.Join(hibWords(e.HIB), ", "), e.HIB)
		if e.FirstHIB != e.HIB {
			fmt.Fprintf(&b, ", first %s (%#x)", strings.Join(hibWords(e.FirstHIB), ", "), e.FirstHIB)
		}
	}
	fmt.Fprintf(&b, "; scalar core %s at instruction %d", runStatus(e.ScalarStatus), e.PC)
	if e.ScalarError != 0 {
		fmt.Fprintf(&b, " with error %#x", e.ScalarError)
	}
	return b.String()
}

// hibErrors names the bits of hib_error_status (libedgetpu driver/kernel and driver/config, "hib_error_status").
var hibErrors = [...]string{
	"inbound page fault", "extended page fault", "register parity error", "AXI slave write error", "AXI slave read error",
	"instruction queue misconfigured", "input queue misconfigured", "parameter queue misconfigured",
	"output queue misconfigured", "instruction queue invalid", "input queue invalid", "parameter queue invalid",
	"output queue invalid", "transfer of length 0", "uncorrectable read of the virtual table",
}

func hibWords(bits uint64) []string {
	var words []string
	for i := 0; bits != 0; i, bits = i+1, bits>>1 {
		switch {
		case bits&1 == 0:
		case i < len(hibErrors):
			words = append(words, hibErrors[i])
		default:
			words = append(words, fmt.Sprintf("unknown error %d", i))
		}
	}
	if words == nil {
		return []string{"none"}
	}
	return words
}

func runStatus(v uint64) string {
	names := [...]string{"idle", "running", "single-stepping", "halting", "halted"}
	if v < uint64(len(names)) {
		return names[v]
	}
	return fmt.Sprintf("in state %d", v)
}
