package tpu

import (
	"errors"
	"reflect"
	"sync"
)

// places are the ports of the open devices of this process, so that none takes the device of
// another.
var places = struct {
	sync.Mutex
	of map[*Device]place
}{of: make(map[*Device]place)}

type place struct {
	bus  Bus
	port Port
}

// settle makes port the place of d. It returns false if another device is open there.
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

// vacate gives up the place of d.
func (d *Device) vacate() {
	places.Lock()
	defer places.Unlock()
	delete(places.of, d)
}

// openAgain does what openLink does. If no device is at the port, and any will do, it takes
// one at another port: a cable put into another socket, or a link that falls back from USB 3
// to USB 2, changes the bus.
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
			d.opts.Log.Info("Edge TPU is at another port", "port", d.port, "was", home)
			return l, nil
		}
		if !d.settle(home) {
			return nil, err // somebody opened it there meanwhile; look again later
		}
	}
	return nil, err
}
