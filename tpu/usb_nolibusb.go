//go:build !(cgo && libusb)

package tpu

func defaultUSB() (Bus, error) { return pureUSB() }

func openLibusb() (Bus, error) {
	return nil, noBackendError(usbVariable + "=libusb: this program was built without libusb")
}
