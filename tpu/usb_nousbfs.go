//go:build !linux

package tpu

func pureUSB() (Bus, error) { return nil, ErrNoUSB }

func openUSBFS() (Bus, error) {
	return nil, noBackendError(usbVariable + "=usbfs: only Linux has usbfs")
}
