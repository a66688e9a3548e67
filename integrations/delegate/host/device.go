package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

// A Device is an open Edge TPU. Delegates and operators share it. It is safe for concurrent use by
// multiple goroutines.
type Device struct {
	host  *Host
	bus   tpu.Bus
	tpu   *tpu.Device
	users int // guarded by host.mu

	mu sync.Mutex
	// models holds the loaded models by the SHA-256 of their custom options. A program that loads a
	// model twice, or again and again, does not load its parameters again.
	models map[[sha256.Size]byte]weak.Pointer[tpu.Model]
}

// Status returns the state of the device.
func (d *Device) Status() tpu.Status { return d.tpu.Status() }

// Close ends one use of the device. The last user's call closes the device.
func (d *Device) Close() {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	if d.users--; d.users > 0 {
		return
	}
	h := d.host
	h.open = slices.DeleteFunc(h.open, func(other *Device) bool { return other == d })
	d.tpu.Close()
}

// Load prepares the operator with the given custom options. The operator uses the device until
// [Operator.Close]. emulator is Options.Emulator. Load copies options, because a program may free
// its model while the driver still holds the model's parameters for a recovery of the device.
func (d *Device) Load(ctx context.Context, options []byte, emulator []string) (*Operator, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := sha256.Sum256(options)
	model := d.models[key].Value()
	if model == nil || emulator != nil {
		pkg, err := executable.Parse(bytes.Clone(options))
		if err != nil {
			return nil, err
		}
		if emulator != nil {
			if err := d.host.emulated.register(pkg, emulator); err != nil {
				return nil, err
			}
		}
		if model == nil {
			if model, err = d.tpu.Load(ctx, pkg); err != nil {
				return nil, err
			}
			d.remember(key, model)
		}
	}
	d.host.mu.Lock()
	d.users++
	d.host.mu.Unlock()
	return &Operator{device: d, model: model}, nil
}

// remember stores a model, and removes those that are no longer in use. The caller holds d.mu.
func (d *Device) remember(key [sha256.Size]byte, model *tpu.Model) {
	for k, m := range d.models {
		if m.Value() == nil {
			delete(d.models, k)
		}
	}
	if d.models == nil {
		d.models = make(map[[sha256.Size]byte]weak.Pointer[tpu.Model])
	}
	d.models[key] = weak.Make(model)
}

// An Operator is a compiled operator on a Device. It is safe for concurrent use by multiple
// goroutines.
type Operator struct {
	device *Device
	model  *tpu.Model
}

// Check returns an error unless the operator's tensors have the given sizes in bytes.
func (o *Operator) Check(inputs, outputs []int) error {
	return o.model.Package().CheckTensors(inputs, outputs)
}

// Sizes returns the sizes of the operator's tensors in bytes.
func (o *Operator) Sizes() (inputs, outputs []int) {
	main := o.model.Package().Main
	for i := range main.Inputs {
		inputs = append(inputs, main.Inputs[i].TensorSize())
	}
	for i := range main.Outputs {
		outputs = append(outputs, main.Outputs[i].TensorSize())
	}
	return inputs, outputs
}

// Run computes outputs from inputs. It waits for a device that is recovering from a failure or
// from being unplugged, as [tpu.Device] describes. It also waits for a device that was unplugged for
// longer and is back at its port, which the driver may not have noticed.
func (o *Operator) Run(ctx context.Context, inputs, outputs [][]byte) error {
	o.device.await(ctx)
	return o.model.Run(ctx, inputs, outputs)
}

// awaitTime is the time to wait for a device that is back: it may need its firmware.
const awaitTime = 10 * time.Second

// await waits for a device that is down because its port was empty and no longer is.
func (d *Device) await(ctx context.Context) {
	gone := func() bool {
		s := d.tpu.Status()
		return s.State == tpu.Down && errors.Is(s.Err, tpu.ErrNoDevice)
	}
	if !gone() {
		return
	}
	list, _ := tpu.List(ctx, d.bus) // after an error, Run fails at once
	if port := d.tpu.Port(); !slices.ContainsFunc(list, func(i tpu.USBInfo) bool { return i.Port == port }) {
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for giveUp := time.Now().Add(awaitTime); gone() && time.Now().Before(giveUp) && ctx.Err() == nil; {
		<-tick.C
	}
}

// Close ends the operator's use of its device. The operator must not be running.
func (o *Operator) Close() { o.device.Close() }
