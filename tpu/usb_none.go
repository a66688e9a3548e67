//go:build !cgo

package tpu

// USB returns ErrNoUSB: the driver needs libusb, and the program was built without cgo.
func USB() (Bus, error) { return nil, ErrNoUSB }
