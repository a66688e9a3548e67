package tpu

import "errors"

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
