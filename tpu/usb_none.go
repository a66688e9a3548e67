//go:build !cgo

package tpu

// USB returns ErrNoUSB: libusb is reached through C, and this program was built without.
func USB() (Bus, error) { return nil, ErrNoUSB }
