package tpu

import (
	"errors"
	"reflect"
	"sync"
)

// places records the port of every Device open in this process, so that no Device takes the port
// of another.
var places = struct {
	sync.Mutex
	of map[*Device]place
}{of: make(map[*Device]place)}

type place struct {
	bus  Bus
	port Port
}

// settle records that d uses port. It returns false if another Device uses the port.
func (d *Device) settle(port Port) bool {
	places.Lock()
	defer places.Unlock()
	here := place{d.bus, port}
	if reflect.TypeOf(d.bus).Comparable() {
		for other, at := range places.of {
			if other != d && at == here {
				return false
			}
		}
		places.of[d] = here
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.port = port
	return true
}

// vacate removes d's port from places.
func (d *Device) vacate() {
	places.Lock()
	defer places.Unlock()
	delete(places.of, d)
}

// openAgain opens the device as openLink does. If the device's port is empty and AnyPort is set,
// openAgain tries the other ports. The port changes when the cable moves to another socket, or
// when the link falls back from USB 3 to USB 2.
func (d *Device) openAgain(reboot bool) (*link, error) {
	l, err := d.openLink(d.ctx, reboot)
	if !d.opts.AnyPort || !errors.Is(err, ErrNoDevice) {
		return l, err
	}
	list, listErr := List(d.ctx, d.bus)
	if listErr != nil {
		return nil, err
	}
	home := d.port
	for _, info := range list {
		if info.Port == home || !d.settle(info.Port) {
			continue
		}
		if l, moved := d.openLink(d.ctx, reboot); moved == nil {
			d.opts.Log.Info("Edge TPU moved to another port", "port", d.port, "was", home)
			return l, nil
		}
		if !d.settle(home) {
			return nil, err // another Device has since taken this port; look again later
		}
	}
	return nil, err
}
