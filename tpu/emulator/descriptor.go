package emulator

import "github.com/imprintkit/imprint/tpu"

// The application's descriptors come from the firmware image. The boot ROM's descriptors are not published; the values
// here satisfy libedgetpu driver/usb/usb_dfu_commands.cc.

// descriptors are the USB descriptors of one identity at one speed. The device refuses requests for a missing descriptor.
type descriptors struct {
	device, configuration, language, qualifier, otherSpeed, bos []byte
}

// The descriptor types of USB 3.2, table 9-6.
const (
	typeDevice        = 1
	typeConfiguration = 2
	typeString        = 3
	typeQualifier     = 6
	typeOtherSpeed    = 7
	typeBOS           = 15
)

func (d *descriptors) get(kind, index uint8) []byte {
	switch {
	case kind == typeDevice:
		return d.device
	case kind == typeConfiguration:
		return d.configuration
	case kind == typeString && index == 0:
		return d.language
	case kind == typeQualifier:
		return d.qualifier
	case kind == typeOtherSpeed:
		return d.otherSpeed
	case kind == typeBOS:
		return d.bos
	}
	return nil
}

var bos = []byte{
	5, typeBOS, 22, 0, 2,
	7, 16, 2, 2, 0, 0, 0, // USB 2 extension: no link power management
	10, 16, 3, 0, 0x0c, 0, 2, 0, 0, 0, // SuperSpeed: high and super speed
}

var vendorInterface = []byte{9, 4, 0, 0, 6, 0xff, 0xff, 0xff, 0}

var applicationHigh = descriptors{
	device: []byte{18, typeDevice, 0x10, 0x02, 0, 0, 0, 64, 0xd1, 0x18, 0x02, 0x93, 0, 1, 0, 0, 0, 1},
	configuration: concat([]byte{9, typeConfiguration, 60, 0, 1, 1, 0, 0xc0, 0x31}, vendorInterface,
		[]byte{7, 5, 0x01, 2, 0, 2, 0}, []byte{7, 5, 0x02, 2, 0, 2, 0}, []byte{7, 5, 0x03, 2, 0, 2, 0},
		[]byte{7, 5, 0x81, 2, 0, 2, 0}, []byte{7, 5, 0x82, 2, 0, 2, 0}, []byte{7, 5, 0x83, 3, 64, 0, 1}),
	language:  []byte{4, typeString, 9, 4},
	qualifier: []byte{10, typeQualifier, 0x10, 0x02, 0, 0, 0, 64, 1, 0},
	bos:       bos,
}.withOtherSpeed()

var applicationSuper = descriptors{
	device: []byte{18, typeDevice, 0x10, 0x03, 0, 0, 0, 9, 0xd1, 0x18, 0x02, 0x93, 0, 1, 0, 0, 0, 1},
	configuration: concat([]byte{9, typeConfiguration, 96, 0, 1, 1, 0, 0xc0, 0x0c}, vendorInterface,
		superBulk(0x01), superBulk(0x02), superBulk(0x03), superBulk(0x81), superBulk(0x82),
		[]byte{7, 5, 0x83, 3, 64, 0, 1, 6, 48, 0, 0, 4, 0}),
	language:  []byte{4, typeString, 9, 4},
	qualifier: []byte{10, typeQualifier, 0x10, 0x03, 0, 0, 0, 9, 1, 0},
	bos:       bos,
}.withOtherSpeed()

var bootConfiguration = []byte{
	9, typeConfiguration, 27, 0, 1, 1, 0, 0xc0, 0x31,
	9, 4, 0, 0, 0, 0xfe, 1, 2, 0, // DFU mode, no endpoint
	9, 0x21, 0x07, 0xe8, 3, transferSize & 0xff, transferSize >> 8, 0x10, 1, // DFU 1.1: download, upload, manifestation-tolerant
}

var bootHigh = descriptors{
	device:        []byte{18, typeDevice, 0x00, 0x02, 0, 0, 0, 64, 0x6e, 0x1a, 0x9a, 0x08, 0, 1, 0, 0, 0, 1},
	configuration: bootConfiguration,
}

var bootSuper = descriptors{
	device:        []byte{18, typeDevice, 0x10, 0x03, 0, 0, 0, 9, 0x6e, 0x1a, 0x9a, 0x08, 0, 1, 0, 0, 0, 1},
	configuration: bootConfiguration,
	bos:           bos,
}

func (d *Device) descriptors() *descriptors {
	switch high := d.config.Speed == tpu.HighSpeed; {
	case d.identity == bootROM && high:
		return &bootHigh
	case d.identity == bootROM:
		return &bootSuper
	case high:
		return &applicationHigh
	}
	return &applicationSuper
}

// superBulk returns the descriptor of a bulk endpoint at SuperSpeed and its companion descriptor, for bursts of 16
// packets.
func superBulk(address byte) []byte {
	return []byte{7, 5, address, 2, 0, 4, 0, 6, 48, 15, 0, 0, 0}
}

// withOtherSpeed adds the descriptor for the other speed. The firmware derives it from the same bytes.
func (d descriptors) withOtherSpeed() descriptors {
	d.otherSpeed = concat(d.configuration)
	d.otherSpeed[1] = typeOtherSpeed
	return d
}

func concat(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
