package host

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/tpu"
)

// ErrOption means that the options of a delegate can't be used.
var ErrOption = errors.New("unusable option")

// An Option is a name and a value that a program passes when it creates a delegate.
type Option struct{ Name, Value string }

// Options choose a device and say how to run it.
type Options struct {
	// Index is the position of the device in the list of devices. If it is negative and Port is
	// zero, any device will do.
	Index int
	Port  tpu.Port // if not zero, the port of the device
	Clock tpu.Clock
	// Emulator names the uncompiled models that an emulated device computes with. If it is nil, the
	// device is a real one.
	Emulator []string
}

// Pattern is the value of the option "emulator" for a device whose outputs are a fixed pattern.
const Pattern = "pattern"

// ParseOptions reads the options of libedgetpu and this library's own. The options are:
//
//   - "device": "" or "usb" for any device; ":N" or "usb:N" for the device with the index N;
//     "usb:BUS-PORT" or a path in /sys/bus/usb/devices for the device at a port
//   - "Performance": "Low", "Medium", "High" or "Max", the clock
//   - "Usb.AlwaysDfu" and "Usb.MaxBulkInQueueLength" have no effect: the driver needs neither
//   - "emulator": uncompiled models, separated by colons, or [Pattern]; the default is emulate
//
// It returns a warning for every other option. Errors wrap ErrOption.
func ParseOptions(options []Option, emulate string) (o Options, warnings []string, err error) {
	o.Index = -1
	for _, option := range options {
		switch option.Name {
		case "device":
			err = o.setDevice(option.Value)
		case "Performance":
			if o.Clock, err = tpu.ParseClock(strings.ToLower(option.Value)); err != nil {
				err = errors.New("want Low, Medium, High or Max")
			}
		case "Usb.AlwaysDfu", "Usb.MaxBulkInQueueLength":
		case "emulator":
			emulate = option.Value
		default:
			warnings = append(warnings, fmt.Sprintf("unknown option %q ignored", option.Name))
		}
		if err != nil {
			return o, warnings, fmt.Errorf("%w %s=%q: %w", ErrOption, option.Name, option.Value, err)
		}
	}
	if emulate != "" {
		o.Emulator = filepath.SplitList(emulate)
	}
	return o, warnings, nil
}

// errPCI is the error for devices that libedgetpu supports and this library does not.
var errPCI = errors.New("this library drives Edge TPUs on USB only; for one on PCI Express, use Google's libedgetpu")

// setDevice reads the value of the option "device".
func (o *Options) setDevice(value string) (err error) {
	kind, place, _ := strings.Cut(value, ":")
	if path := strings.TrimPrefix(value, devicesFolder); path != value {
		kind, place = "usb", path
	}
	switch {
	case kind == "pci" || strings.HasPrefix(value, "/dev/apex"):
		return errPCI
	case kind != "usb" && kind != "":
		return errors.New(`want "usb", "usb:N" or ":N", where N counts devices from 0, or "usb:BUS-PORT"`)
	case place == "":
		return nil
	case strings.Contains(place, "-"):
		o.Port, err = tpu.ParsePort(place)
		return err
	}
	n, err := strconv.ParseUint(place, 10, 8)
	if err != nil {
		return errors.New("the index of a device must be 0 to 255")
	}
	o.Index = int(n)
	return nil
}

// devicesFolder is the folder of USB devices in Linux's sysfs. libedgetpu names devices by their paths.
const devicesFolder = "/sys/bus/usb/devices/"

// Path is the path by which libedgetpu's C interface names the device at a port.
func Path(port tpu.Port) string { return devicesFolder + port.String() }
