// Package pool runs models on several Edge TPUs as if they were one device, or on the CPU if there
// are none. Start with [New], then load a backbone with [Pool.Backbone] or run any model with
// [Run].
//
// Edge TPUs are opened when a model first needs them, and are shared by all models and goroutines
// until [Pool.Close]. A run that fails on one device is repeated on another, or on the same one
// after it has recovered: unplugging a device and plugging it in again does not end a run over many
// photos. Given an uncompiled model, the CPU computes the same bytes if no Edge TPU can.
package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/tpu"
)

var (
	// ErrNotCompiled means that a model that must run on an Edge TPU was not compiled for it.
	ErrNotCompiled = errors.New("the model is not compiled for the Edge TPU")
	// ErrDevice means that Options name a device that can't exist, or an uncompiled model that
	// doesn't belong to the model or the device.
	ErrDevice = errors.New("unusable device")
)

// Options choose the devices that models run on.
type Options struct {
	// Device is one of
	//
	//   - "auto" or "": compiled models run on every Edge TPU that can be opened, others on
	//     the CPU
	//   - "cpu": the CPU
	//   - "tpu": every Edge TPU that can be opened, and nothing else
	//   - "usb:BUS-PORT", such as "usb:1-1": that Edge TPU, or several separated by commas
	Device string
	// Uncompiled is the file of the model that a compiled one was made from. With it, the CPU takes
	// over if no Edge TPU can run the model. The CPU then uses the Edge TPU's arithmetic.
	Uncompiled string
	// Warn, if not nil, is called with the reason when the CPU takes over, and when only
	// some of the Edge TPUs can be opened.
	Warn func(error)
	TPU  tpu.Options
	USB  func() (tpu.Bus, error) // returns the bus with the devices; nil means tpu.USB
}

// A Pool holds the devices that models run on. A nil Pool means the CPU. A Pool implements
// backbone.Accelerator.
type Pool struct {
	options    Options
	choice     string     // "auto", "cpu", "tpu" or "usb"
	ports      []tpu.Port // of usb
	uncompiled *tflite.Model

	gate   chan struct{} // holds one value while a goroutine opens or closes devices
	bus    tpu.Bus
	opened []*tpu.Device

	programs atomic.Uint64 // number of programs made
	usage    sync.Mutex
	last     map[*tpu.Device]uint64 // number of the program that ran last on each device; guarded by usage
}

// New checks the options and reads the uncompiled model. It opens no device.
func New(o Options) (*Pool, error) {
	p := &Pool{options: o, choice: o.Device, gate: make(chan struct{}, 1), last: make(map[*tpu.Device]uint64)}
	switch {
	case o.Device == "":
		p.choice = "auto"
	case o.Device == "auto" || o.Device == "cpu" || o.Device == "tpu":
	case strings.HasPrefix(o.Device, "usb:"):
		p.choice = "usb"
		for _, name := range strings.Split(o.Device, ",") {
			port, err := tpu.ParsePort(strings.TrimPrefix(name, "usb:"))
			if err != nil {
				return nil, fmt.Errorf("%w %q: %w", ErrDevice, name, err)
			}
			if slices.Contains(p.ports, port) {
				return nil, fmt.Errorf("%w %q: %v occurs twice", ErrDevice, o.Device, port)
			}
			p.ports = append(p.ports, port)
		}
	default:
		return nil, fmt.Errorf("%w %q: it must be auto, cpu, tpu or usb:BUS-PORT", ErrDevice, o.Device)
	}
	if p.options.USB == nil {
		p.options.USB = tpu.USB
	}
	if o.Uncompiled == "" {
		return p, nil
	}
	if p.choice == "tpu" || p.choice == "usb" {
		return nil, fmt.Errorf("%w %q: an uncompiled model runs on the CPU", ErrDevice, o.Device)
	}
	file, err := tflite.ReadModel(o.Uncompiled)
	if err == nil {
		p.uncompiled, err = tflite.Parse(file.Model)
	}
	if err != nil {
		return nil, fmt.Errorf("load uncompiled model %s: %w", o.Uncompiled, err)
	}
	return p, nil
}

// Accelerator returns the pool for use in backbone.Options, or nil if the pool offers only the CPU.
func (p *Pool) Accelerator() backbone.Accelerator {
	if p == nil || p.choice == "cpu" && p.uncompiled == nil {
		return nil
	}
	return p
}

// AcceleratorFor is like [Pool.Accelerator], for a compiled model whose weights have changed since
// it was compiled. uncompiled is the uncompiled model with the new weights; if it is nil, the CPU
// can't take over.
func (p *Pool) AcceleratorFor(uncompiled *tflite.Model) backbone.Accelerator {
	return fallbackPool{p, uncompiled}
}

// A fallbackPool is a Pool with another uncompiled model.
type fallbackPool struct {
	*Pool
	uncompiled *tflite.Model
}

// Load implements backbone.Accelerator.
func (f fallbackPool) Load(options []byte, inputs, outputs []int) (backbone.CompiledOperator, error) {
	return f.load(options, inputs, outputs, f.uncompiled)
}

// Load implements backbone.Accelerator.
func (p *Pool) Load(options []byte, inputs, outputs []int) (backbone.CompiledOperator, error) {
	return p.load(options, inputs, outputs, p.uncompiled)
}

// Backbone loads a backbone whose compiled operators run on the pool. It fails with
// ErrNotCompiled if the pool has only Edge TPUs and the model can't use them.
func (p *Pool) Backbone(file []byte, o backbone.Options) (*backbone.Backbone, error) {
	o.Accelerator = p.Accelerator()
	b, err := backbone.Parse(file, o)
	if err != nil {
		return nil, err
	}
	if err := p.check(b.Model()); err != nil {
		return nil, fmt.Errorf("load backbone %s: %w", o.Name, err)
	}
	return b, nil
}

// Detector loads a detector whose compiled operators run on the pool. It fails with ErrNotCompiled
// if the pool has only Edge TPUs and the model can't use them.
func (p *Pool) Detector(file []byte, o detect.Options) (*detect.Detector, error) {
	o.Accelerator = p.Accelerator()
	d, err := detect.Parse(file, o)
	if err != nil {
		return nil, err
	}
	if err := p.check(d.Model()); err != nil {
		return nil, fmt.Errorf("load detector %s: %w", o.Name, err)
	}
	return d, nil
}

// check rejects a model that can't use the requested devices. If the CPU may take over, it also
// rejects a model with a last layer trained after compiling, because the uncompiled model would
// produce other results.
func (p *Pool) check(m *tflite.Model) error {
	if p.HasFallback() && classifier.ReadMetadata(m).Layout == classifier.TPU {
		return fmt.Errorf("%w: the model's last layer was trained after it was compiled from %s; the CPU can take over only in its workspace", ErrDevice, p.options.Uncompiled)
	}
	if p == nil || p.choice == "auto" || p.choice == "cpu" || backbone.Compiled(m) {
		return nil
	}
	return fmt.Errorf("%w and can't run on %s", ErrNotCompiled, p.options.Device)
}

// UsesTPU reports whether models may run on Edge TPUs.
func (p *Pool) UsesTPU() bool { return p != nil && p.choice != "cpu" }

// HasFallback reports whether the CPU may take over from an Edge TPU.
func (p *Pool) HasFallback() bool { return p != nil && p.uncompiled != nil }

// Recoveries returns how often Edge TPUs have recovered from failures. The number is not known
// while devices are being opened.
func (p *Pool) Recoveries() (n uint64, known bool) {
	if p == nil {
		return 0, true
	}
	select {
	case p.gate <- struct{}{}:
		defer p.leave()
	default:
		return 0, false
	}
	for _, device := range p.opened {
		n += device.Status().Recoveries
	}
	return n, true
}

// enter waits until no other goroutine opens or closes devices.
func (p *Pool) enter(ctx context.Context) error {
	select {
	case p.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Pool) leave() { <-p.gate }

// open opens the devices, unless they are open. The caller must have called enter.
func (p *Pool) open(ctx context.Context) error {
	if len(p.opened) > 0 {
		return nil
	}
	if p.bus == nil {
		bus, err := p.options.USB()
		if err != nil {
			return err
		}
		p.bus = bus
	}
	ports := p.ports
	if p.choice != "usb" {
		list, err := tpu.List(ctx, p.bus)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return tpu.ErrNoDevice
		}
		for _, info := range list {
			ports = append(ports, info.Port)
		}
	}
	options := p.options.TPU
	options.AnyPort = p.choice != "usb"
	devices, errs := make([]*tpu.Device, len(ports)), make([]error, len(ports))
	var wg sync.WaitGroup
	for i, port := range ports {
		wg.Go(func() {
			if devices[i], errs[i] = tpu.Open(ctx, p.bus, port, options); errs[i] != nil {
				errs[i] = fmt.Errorf("usb:%v: %w", port, errs[i])
			}
		})
	}
	wg.Wait()
	for i, device := range devices {
		if errs[i] == nil {
			p.opened = append(p.opened, device)
		}
	}
	err := errors.Join(errs...)
	if err != nil && p.choice != "usb" && len(p.opened) > 0 { // the open devices do the work
		if p.options.Warn != nil {
			p.options.Warn(err)
		}
		return nil
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, p.close())
}

func (p *Pool) close() error {
	var errs []error
	for _, device := range p.opened {
		errs = append(errs, device.Close())
	}
	p.opened = nil
	return errors.Join(errs...)
}

// Close closes the devices. No model may be running on them.
func (p *Pool) Close() error {
	if p == nil {
		return nil
	}
	err := p.close()
	if p.bus != nil {
		err = errors.Join(err, p.bus.Close())
		p.bus = nil
	}
	return err
}
