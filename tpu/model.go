package tpu

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/tpu/executable"
)

// Model is an [executable.Package] loaded for one [Device]. It stays valid when the device is reset or plugged in
// again. Its methods are safe for concurrent use by multiple goroutines.
type Model struct {
	device *Device
	pkg    *executable.Package
	main   *program
	cache  *program // loads parameters onto the chip; nil if the model has none to load
}

// Load prepares the program of pkg. It loads the parameters onto the chip if the chip holds none; otherwise the first
// Run loads them. Do not change pkg while the Model is in use.
func (d *Device) Load(ctx context.Context, pkg *executable.Package) (*Model, error) {
	if pkg == nil || pkg.Main == nil {
		return nil, fmt.Errorf("load model: %w: package without a program", executable.ErrUnsupported)
	}
	m := &Model{device: d, pkg: pkg}
	scratch := pkg.Main.ScratchBytes
	if pkg.Caching != nil {
		scratch = max(scratch, pkg.Caching.ScratchBytes)
	}
	if scratch < 0 || scratch > maxScratch {
		return nil, fmt.Errorf("load model: %w: %d bytes of scratch memory", executable.ErrUnsupported, scratch)
	}
	shared := make([]byte, scratch) // programs run one at a time
	var err error
	if m.main, err = prepare(pkg.Main, shared); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	if pkg.Caching != nil {
		if m.cache, err = prepare(pkg.Caching, shared); err != nil {
			return nil, fmt.Errorf("load model: parameters: %w", err)
		}
		if err := m.cache.standsAlone(); err != nil {
			return nil, fmt.Errorf("load model: %w", err)
		}
	}
	if err := d.do(ctx, &request{model: m}); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	return m, nil
}

// maxScratch is the maximum size of a model's scratch memory, in bytes. The largest known size is 1.4 MB.
const maxScratch = 256 << 20

// standsAlone checks that p has a token and transfers neither inputs nor outputs.
func (p *program) standsAlone() error {
	if p.exe.Token == 0 {
		return fmt.Errorf("%w: parameters without a token", executable.ErrUnsupported)
	}
	for _, s := range p.steps {
		if s.kind == stepInput || s.kind == stepOutput {
			return fmt.Errorf("%w: the program that loads parameters has inputs or outputs", executable.ErrUnsupported)
		}
	}
	return nil
}

// Package returns the package that was passed to [Device.Load].
func (m *Model) Package() *executable.Package { return m.pkg }

// Run runs one inference. inputs[i] is the tensor of the i-th input of [executable.Package.Main], without padding;
// outputs[i] receives the tensor of the i-th output. The slices belong to the device until Run returns.
//
// ctx limits the wait for the device. Once an inference has begun, Run finishes it; Options.Timeout limits each of its
// transfers. Calls from multiple goroutines overlap on the bus, which increases the throughput.
//
// After an error the contents of outputs are undefined, and the device is recovering: see [Device].
func (m *Model) Run(ctx context.Context, inputs, outputs [][]byte) error {
	if err := checkTensors("input", m.main.exe.Inputs, inputs); err != nil {
		return err
	}
	if err := checkTensors("output", m.main.exe.Outputs, outputs); err != nil {
		return err
	}
	r := m.device.request()
	r.model, r.inputs, r.outputs = m, inputs, outputs
	err := m.device.do(ctx, r)
	m.device.recycle(r)
	if err != nil {
		return fmt.Errorf("inference on USB port %v: %w", m.device.Port(), err)
	}
	return nil
}

// checkTensors returns an error unless tensors match layers in number and size.
func checkTensors(what string, layers []executable.Layer, tensors [][]byte) error {
	if len(tensors) != len(layers) {
		return fmt.Errorf("%d %ss, want %d", len(tensors), what, len(layers))
	}
	for i := range layers {
		if want := layers[i].TensorSize(); len(tensors[i]) != want {
			return fmt.Errorf("%s %q of %d bytes, want %d", what, layers[i].Name, len(tensors[i]), want)
		}
	}
	return nil
}

// stage converts the inputs whose bytes on the wire differ from the tensor's bytes.
func (p *program) stage(inputs [][]byte) error {
	for _, i := range p.copied {
		if err := p.exe.Inputs[i].ToDevice(p.inputs[i], inputs[i]); err != nil {
			return err
		}
	}
	return nil
}

// unstage converts the outputs whose bytes on the wire differ from the tensor's bytes.
func (p *program) unstage(outputs [][]byte) error {
	for i, raw := range p.outputs {
		if raw != nil {
			if err := p.exe.Outputs[i].FromDevice(outputs[i], raw); err != nil {
				return err
			}
		}
	}
	return nil
}

// walk executes the steps of p, starting with the given one, and returns the index of the first step that it did not
// execute. If untilWait is set, that is the first step that waits for the device. Otherwise it is the last step, the
// event that ends the program.
func (p *program) walk(l *link, r *request, from int, untilWait bool) (int, error) {
	for i := from; i < len(p.steps)-1; i++ {
		s := &p.steps[i]
		if untilWait && s.kind >= stepOutput {
			return i, nil
		}
		var err error
		switch s.kind {
		case stepSend:
			err = l.send(s.header[:], s.data)
		case stepInput:
			from := r.inputs[s.layer]
			if raw := p.inputs[s.layer]; raw != nil && (!p.exe.Inputs[s.layer].Direct() || s.offset+s.size > len(from)) {
				from = raw
			}
			err = l.send(s.header[:], from[s.offset:s.offset+s.size])
		case stepOutput:
			to := p.outputs[s.layer]
			if to == nil {
				to = r.outputs[s.layer]
			}
			at := min(s.offset, len(to))
			err = l.receive(to[at:min(s.offset+s.size, len(to))], s.size)
		case stepScratch:
			err = l.receive(s.data, s.size)
		case stepEvent:
			err = l.await(s.number)
		}
		if err != nil {
			return i, fmt.Errorf("step %d of %d, %v: %w", i+1, len(p.steps), s, err)
		}
	}
	return len(p.steps) - 1, nil
}

// finish waits for the event that ends p.
func (p *program) finish(l *link) error {
	last := len(p.steps) - 1
	if err := l.await(p.steps[last].number); err != nil {
		return fmt.Errorf("step %d of %d, %v: %w", last+1, len(p.steps), &p.steps[last], err)
	}
	return nil
}
