package input

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

// machine is the deviceSystem of this machine.
type machine struct{}

func (machine) list(paths []string) (map[string]string, error) {
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
			continue // unplugged
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			found[path] = fmt.Sprint(s.Ino, s.Rdev, s.Ctim) // devtmpfs creates a new file for each device
		}
	}
	return found, nil
}

func (machine) open(path string) (device, error) {
	d, err := evdev.OpenWithFlags(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	e := &evdevDevice{device: d, codes: make(map[uint16]bool)}
	for _, code := range d.CapableEvents(evdev.EV_KEY) {
		e.codes[uint16(code)] = true
	}
	e.title, _ = d.Name()
	if err := d.NonBlock(); err != nil { // in blocking mode, close would not interrupt next
		d.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return e, nil
}

// An evdevDevice is a device of the kernel's event interface (evdev).
type evdevDevice struct {
	device *evdev.InputDevice
	title  string
	codes  map[uint16]bool
	lost   bool // the kernel dropped events; ignore the rest of the current report
}

func (e *evdevDevice) name() string { return e.title }

func (e *evdevDevice) has(code uint16) bool { return e.codes[code] }

func (e *evdevDevice) close() { e.device.Close() }

func (e *evdevDevice) next() (event, error) {
	for {
		ev, err := e.device.ReadOne()
		if err != nil {
			return event{}, err
		}
		switch {
		case ev.Type == evdev.EV_SYN && ev.Code == evdev.SYN_DROPPED:
			e.lost = true
		case ev.Type == evdev.EV_SYN && ev.Code == evdev.SYN_REPORT && e.lost:
			e.lost = false
			return event{lost: true}, nil
		case ev.Type == evdev.EV_KEY && !e.lost && ev.Value != 2: // 2 is key repeat
			return event{code: uint16(ev.Code), down: ev.Value != 0}, nil
		}
	}
}

func (e *evdevDevice) pressed() (map[uint16]bool, error) {
	state, err := e.device.State(evdev.EV_KEY)
	if err != nil {
		return nil, err
	}
	now := make(map[uint16]bool)
	for code, down := range state {
		now[uint16(code)] = down
	}
	return now, e.device.NonBlock() // State has made the file blocking
}
