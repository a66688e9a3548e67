package tpu

import (
	"errors"
	"fmt"
	"strings"
)

// What can go wrong, for callers to branch on with errors.Is. Every failure of this package wraps one of these, or
// the context's error when the caller gave up.
var (
	// ErrNoDevice: no accelerator is plugged in, or none at the port that was asked for.
	ErrNoDevice = errors.New("no Edge TPU found")
	// ErrPermission: the device is there, but this user may not open it.
	ErrPermission = errors.New("no permission to open the Edge TPU")
	// ErrBusy: another program has the device.
	ErrBusy = errors.New("the Edge TPU is in use by another program")
	// ErrDisconnected: the device went away while it was in use.
	ErrDisconnected = errors.New("the Edge TPU was disconnected")
	// ErrTimeout: the device did not answer within the deadline.
	ErrTimeout = errors.New("the Edge TPU did not answer in time")
	// ErrStall: the device refused a request.
	ErrStall = errors.New("the Edge TPU refused the request")
	// ErrTransfer: a USB transfer failed or was cut short.
	ErrTransfer = errors.New("USB transfer failed")
	// ErrDevice: the device reported an error, or answered what it must not; a [DeviceError] tells the story.
	ErrDevice = errors.New("the Edge TPU reported an error")
	// ErrFirmware: the device waits for its firmware, and none was found or what was found is not it.
	ErrFirmware = errors.New("no firmware for the Edge TPU")
	// ErrNoUSB: the program was built without USB support.
	ErrNoUSB = errors.New("this program was built without USB support")
	// ErrClosed: the Device or Bus was closed by this program.
	ErrClosed = errors.New("the Edge TPU was closed")
)

// errFatal is why transfers end when the chip raised its fatal interrupt.
var errFatal = fmt.Errorf("%w: fatal interrupt", ErrDevice)

// errMute is what becomes of asking a device why it failed when it does not answer at all.
var errMute = errors.New("nor does it answer questions")

// DeviceError is a failure together with what the chip had to say about it.
type DeviceError struct {
	Err error // what failed; wraps ErrDevice or ErrTimeout
	// The registers hib_error_status and hib_first_error_status: a set bit is an error of the host interface.
	HIB, FirstHIB uint64
	// The registers of the scalar core: what it is doing, the error that stopped it, and where in the program it is, in
	// instructions of 16 bytes.
	ScalarStatus, ScalarError, PC uint64
}

func (e *DeviceError) Unwrap() error { return e.Err }

func (e *DeviceError) Error() string {
	var b strings.Builder
	b.WriteString(e.Err.Error())
	b.WriteString("; the chip says: ")
	if e.HIB == 0 && e.FirstHIB == 0 {
		b.WriteString("no error of the host interface")
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

// hibErrors are the bits of hib_error_status (libedgetpu driver/kernel and driver/config, "hib_error_status").
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
	names := [...]string{"idle", "running", "in single steps", "halting", "halted"}
	if v < uint64(len(names)) {
		return names[v]
	}
	return fmt.Sprintf("in state %d", v)
}
