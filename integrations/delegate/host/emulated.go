package host

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/emulator/engine"
	"github.com/imprintkit/imprint/tpu/executable"
)

// emulatedBus is a bus of emulated devices. Their number grows with the highest index that a
// program asks for.
type emulatedBus struct {
	mu      sync.Mutex
	devices []*emulator.Device
}

// now returns a bus of the present devices.
func (b *emulatedBus) now() *emulator.Bus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return emulator.NewBus(b.devices...)
}

func (b *emulatedBus) List(ctx context.Context) ([]tpu.USBInfo, error) { return b.now().List(ctx) }

func (b *emulatedBus) Open(ctx context.Context, port tpu.Port) (tpu.Conn, error) {
	return b.now().Open(ctx, port)
}

func (b *emulatedBus) Close() error { return nil }

// maxEmulated is the maximum number of emulated devices, the number of ports of a hub.
const maxEmulated = 8

// grow plugs in devices until there are n.
func (b *emulatedBus) grow(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.devices) < min(n, maxEmulated) {
		port := tpu.Port{Bus: 1, Path: strconv.Itoa(len(b.devices) + 1)}
		b.devices = append(b.devices, emulator.New(emulator.Config{Port: port, Application: true, Operator: engine.Operator}))
	}
}

// register makes every emulated device recognize pkg. uncompiled lists the files of uncompiled
// models; the first one that fits pkg is used. It may also be [Pattern].
func (b *emulatedBus) register(pkg *executable.Package, uncompiled []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, path := range uncompiled {
		var model *tflite.Model
		if path != Pattern {
			file, err := tflite.ReadModel(path)
			if err == nil {
				model, err = tflite.Parse(file.Model)
			}
			if err != nil {
				return fmt.Errorf("uncompiled model %s: %w", path, err)
			}
		}
		var err error
		for _, d := range b.devices {
			err = errors.Join(err, d.RegisterPackage(pkg, model))
		}
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("uncompiled model %s: %w", path, err))
	}
	return errors.Join(errs...)
}

// Emulate makes the emulated devices recognize the compiled operators of a model. uncompiled is
// Options.Emulator.
func (h *Host) Emulate(model *tflite.Model, uncompiled []string) error {
	for _, graph := range model.Subgraphs {
		for _, op := range graph.Operators {
			if model.OperatorCodes[op.Opcode].CustomCode != executable.CustomOperator {
				continue
			}
			pkg, err := executable.Parse(op.CustomOptions)
			if err == nil {
				err = h.emulated.register(pkg, uncompiled)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// emulatedOptions leaves out what only real devices need. The emulator computes more slowly than a
// device, and accepts any firmware. Nobody is on the way to plug in an emulated device.
func emulatedOptions(o tpu.Options) tpu.Options {
	o.Settle = -1
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 200 * time.Millisecond
	}
	o.Firmware = func() ([]byte, error) { return make([]byte, tpu.FirmwareSize), nil }
	return o
}

// Emulated returns the emulated device with the given index, or nil if there is none.
func (h *Host) Emulated(index int) *emulator.Device {
	h.emulated.mu.Lock()
	defer h.emulated.mu.Unlock()
	if index < 0 || index >= len(h.emulated.devices) {
		return nil
	}
	return h.emulated.devices[index]
}
