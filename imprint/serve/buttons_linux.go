package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/holoplot/go-evdev"
)

func buttonCode(name string) (uint16, bool) {
	code, ok := evdev.KEYFromString[name]
	return uint16(code), ok
}

// machineInputs are the machine's own devices.
type machineInputs struct{}

func (machineInputs) list(paths []string) (map[string]string, error) {
	if len(paths) == 0 {
		var err error
		if paths, err = filepath.Glob("/dev/input/event*"); err != nil {
			return nil, err
		}
	}
	found := make(map[string]string)
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue // not there
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			found[path] = fmt.Sprint(s.Ino, s.Rdev, s.Ctim) // the file is made anew with each device
		}
	}
	return found, nil
}

func (machineInputs) open(path string) (inputDevice, error) {
	d, err := evdev.OpenWithFlags(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	e := &evdevInput{device: d, codes: make(map[uint16]bool)}
	for _, code := range d.CapableEvents(evdev.EV_KEY) {
		e.codes[uint16(code)] = true
	}
	e.called, _ = d.Name()
	if err := d.NonBlock(); err != nil { // or close would not end next
		d.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return e, nil
}

// evdevInput is a device of the kernel's event interface.
type evdevInput struct {
	device *evdev.InputDevice
	called string
	codes  map[uint16]bool
	lost   bool // what is told until the next report is not to be trusted
}

func (e *evdevInput) name() string { return e.called }

func (e *evdevInput) has(code uint16) bool { return e.codes[code] }

func (e *evdevInput) close() { e.device.Close() }

func (e *evdevInput) next() (buttonChange, error) {
	for {
		event, err := e.device.ReadOne()
		if err != nil {
			return buttonChange{}, err
		}
		switch {
		case event.Type == evdev.EV_SYN && event.Code == evdev.SYN_DROPPED:
			e.lost = true
		case event.Type == evdev.EV_SYN && event.Code == evdev.SYN_REPORT && e.lost:
			e.lost = false
			return buttonChange{lost: true}, nil
		case event.Type == evdev.EV_KEY && !e.lost && event.Value != 2: // 2 is a key that repeats
			return buttonChange{code: uint16(event.Code), down: event.Value != 0}, nil
		}
	}
}

func (e *evdevInput) pressed() (map[uint16]bool, error) {
	state, err := e.device.State(evdev.EV_KEY)
	if err != nil {
		return nil, err
	}
	now := make(map[uint16]bool)
	for code, down := range state {
		now[uint16(code)] = down
	}
	return now, e.device.NonBlock() // State has made it blocking
}
