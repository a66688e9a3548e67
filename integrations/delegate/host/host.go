// Package host shares Edge TPUs between the delegates of a process. Start with [New], then call
// [Host.Open] for each delegate, [Device.Load] for each compiled operator, and [Operator.Run].
//
// It is the part of the delegate library that needs no C: see the project's docs/delegate.md.
package host

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
)

// A Host keeps the devices that delegates have open. It is safe for concurrent use by multiple
// goroutines.
type Host struct {
	config Config

	mu       sync.Mutex // held while a device is opened or closed
	usb      tpu.Bus    // nil until needed
	emulated *emulatedBus
	open     []*Device
}

// Config configures a Host. The zero value is ready to use.
type Config struct {
	USB func() (tpu.Bus, error) // returns the bus of real devices; nil means tpu.USB
	TPU tpu.Options             // AnyPort and Clock are ignored
}

// New returns a Host that has no device open.
func New(c Config) *Host {
	if c.USB == nil {
		c.USB = tpu.USB
	}
	return &Host{config: c, emulated: new(emulatedBus)}
}

// PoolOptions returns options for a pool of the devices that o chooses, except for the clock. Emulated
// devices run the models of [Host.Emulate]. A pool and a [Device] can't have the same device open.
func (h *Host) PoolOptions(ctx context.Context, o Options) (pool.Options, error) {
	p := pool.Options{USB: h.config.USB, TPU: h.config.TPU}
	if o.Emulator != nil {
		h.emulated.grow(max(o.Index+1, 1))
		p.USB = func() (tpu.Bus, error) { return h.emulated, nil }
		p.TPU = emulatedOptions(p.TPU)
	}
	switch {
	case o.Port != (tpu.Port{}):
		p.Device = "usb:" + o.Port.String()
	case o.Index >= 0:
		ports, err := h.List(ctx, o.Emulator != nil)
		if err != nil {
			return p, err
		}
		if o.Index >= len(ports) {
			return p, noIndex(o.Index, ports)
		}
		p.Device = "usb:" + ports[o.Index].String()
	}
	return p, nil
}

// noIndex is the error for a device that is not in the list.
func noIndex(index int, ports []tpu.Port) error {
	return fmt.Errorf("%w with the index %d: the devices on the bus are %v", tpu.ErrNoDevice, index, ports)
}

// List returns the ports of the devices that are plugged in. If emulate is set, these are the
// emulated devices, of which there is at least one.
func (h *Host) List(ctx context.Context, emulate bool) ([]tpu.Port, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	bus, err := h.bus(emulate)
	if err != nil {
		return nil, err
	}
	list, err := tpu.List(ctx, bus)
	if err != nil {
		return nil, err
	}
	ports := make([]tpu.Port, len(list))
	for i, info := range list {
		ports[i] = info.Port
	}
	return ports, nil
}

// bus returns the bus of real or of emulated devices. The caller holds h.mu.
func (h *Host) bus(emulate bool) (tpu.Bus, error) {
	if emulate {
		h.emulated.grow(1)
		return h.emulated, nil
	}
	if h.usb == nil {
		bus, err := h.config.USB()
		if err != nil {
			return nil, err
		}
		h.usb = bus
	}
	return h.usb, nil
}

// Open returns the device that the options choose. It opens the device unless a delegate of this
// process has it open already. If any device will do, Open prefers such a device, and otherwise
// takes the first one that can be opened. Call [Device.Close] once for each call of Open.
//
// The text of an error that wraps an error of package tpu says what is wrong and how to fix it, as
// imprint doctor does.
func (h *Host) Open(ctx context.Context, o Options) (*Device, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	bus, err := h.bus(o.Emulator != nil)
	if err != nil {
		return nil, diagnose(ctx, nil, err, tpu.Port{})
	}
	if o.Emulator != nil {
		h.emulated.grow(o.Index + 1)
	}
	ports, err := h.ports(ctx, bus, o)
	if err != nil {
		return nil, err
	}
	for _, d := range h.open {
		if d.bus == bus && slices.Contains(ports, d.tpu.Port()) {
			d.users++
			return d, nil
		}
	}
	var first error
	for _, port := range ports {
		options := h.config.TPU
		if o.Emulator != nil {
			options = emulatedOptions(options)
		}
		options.Clock, options.AnyPort = o.Clock, o.Port == (tpu.Port{})
		opened, err := tpu.Open(ctx, bus, port, options)
		if err == nil {
			d := &Device{host: h, bus: bus, tpu: opened, users: 1}
			h.open = append(h.open, d)
			return d, nil
		}
		if first == nil {
			first = diagnose(ctx, bus, err, port)
		}
	}
	return nil, first
}

// ports returns the ports of the devices that o allows. A device that this process has open counts
// even while it is unplugged. The caller holds h.mu.
func (h *Host) ports(ctx context.Context, bus tpu.Bus, o Options) ([]tpu.Port, error) {
	if o.Port != (tpu.Port{}) {
		return []tpu.Port{o.Port}, nil
	}
	list, err := tpu.List(ctx, bus)
	if err != nil {
		return nil, diagnose(ctx, bus, err, tpu.Port{})
	}
	var ports []tpu.Port
	for _, info := range list {
		ports = append(ports, info.Port)
	}
	for _, d := range h.open {
		if port := d.tpu.Port(); d.bus == bus && !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	slices.SortFunc(ports, func(a, b tpu.Port) int {
		return cmp.Or(cmp.Compare(a.Bus, b.Bus), cmp.Compare(a.Path, b.Path))
	})
	switch {
	case len(ports) == 0:
		return nil, diagnose(ctx, bus, tpu.ErrNoDevice, tpu.Port{})
	case o.Index >= len(ports):
		return nil, noIndex(o.Index, ports)
	case o.Index >= 0:
		return ports[o.Index : o.Index+1], nil
	}
	return ports, nil
}

// diagnosis is an error with the text of imprint doctor.
type diagnosis struct {
	text  string
	cause error
}

func (d *diagnosis) Error() string { return d.text }
func (d *diagnosis) Unwrap() error { return d.cause }

// diagnose explains why a device can't be opened. port is zero if no device was found.
func diagnose(ctx context.Context, bus tpu.Bus, err error, port tpu.Port) error {
	var busErr error
	if bus == nil {
		busErr = err
	}
	for _, f := range tpu.Diagnose(ctx, bus, busErr, tpu.ThisMachine()) {
		if f.Severity == tpu.Problem && (f.Port == port && f.State != "unusable" || f.State == "absent" || f.State == "no-usb") {
			return &diagnosis{fmt.Sprintf("%s: %s", f.Text, f.Fix), err}
		}
	}
	return err
}
