package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

var (
	// ErrNotCompiled is wrapped when a model is to run on an Edge TPU that was not
	// compiled for it.
	ErrNotCompiled = errors.New("the model is not compiled for the Edge TPU")
	// ErrDeviceChoice is wrapped when a device is asked for that makes no sense.
	ErrDevice = errors.New("unusable device")
)

// TwinDevice is the device of what a twin computed.
const FallbackDevice = "cpu (twin)"

// DeviceOptions say what models run on.
type Options struct {
	// Device is "auto", as is "": compiled models run on all Edge TPUs that can be
	// opened, others on the CPU; "cpu"; "tpu": on all Edge TPUs only; or
	// "usb:BUS-PORT" for one, or several with commas between.
	Device string
	// Twin is the file of the model that a compiled one was made from. Only with it
	// the CPU computes what no Edge TPU can, in the Edge TPU's arithmetic.
	Uncompiled string
	// Warn, if not nil, is told why the twin is used, and of Edge TPUs that cannot be
	// opened while others can.
	Warn func(error)
	TPU  tpu.Options
	// USB gives the bus with the devices; nil is the machine's.
	USB func() (tpu.Bus, error)
}

// Devices are what models run on: the CPU, and Edge TPUs, which are opened when
// they are first needed and shared by all models and goroutines. Close gives them
// back. nil is the CPU alone. It implements backbone.Accelerator.
type Pool struct {
	options    Options
	choice     string     // auto, cpu, tpu or usb
	ports      []tpu.Port // of usb
	uncompiled *tflite.Model

	gate   chan struct{} // holds one value while somebody opens, loads or closes
	bus    tpu.Bus
	opened []*tpu.Device
}

// NewDevices checks o and reads the twin; no device is opened.
func New(o Options) (*Pool, error) {
	d := &Pool{options: o, choice: o.Device, gate: make(chan struct{}, 1)}
	switch {
	case o.Device == "":
		d.choice = "auto"
	case o.Device == "auto" || o.Device == "cpu" || o.Device == "tpu":
	case strings.HasPrefix(o.Device, "usb:"):
		d.choice = "usb"
		for _, name := range strings.Split(o.Device, ",") {
			port, err := tpu.ParsePort(strings.TrimPrefix(name, "usb:"))
			if err != nil {
				return nil, fmt.Errorf("%w %q: %w", ErrDevice, name, err)
			}
			if slices.Contains(d.ports, port) {
				return nil, fmt.Errorf("%w %q: %v is there twice", ErrDevice, o.Device, port)
			}
			d.ports = append(d.ports, port)
		}
	default:
		return nil, fmt.Errorf("%w %q: it must be auto, cpu, tpu or usb:BUS-PORT", ErrDevice, o.Device)
	}
	if d.options.USB == nil {
		d.options.USB = tpu.USB
	}
	if o.Uncompiled == "" {
		return d, nil
	}
	if d.choice == "tpu" || d.choice == "usb" {
		return nil, fmt.Errorf("%w %q: a twin would run on the CPU", ErrDevice, o.Device)
	}
	file, err := tflite.ReadModel(o.Uncompiled)
	if err == nil {
		d.uncompiled, err = tflite.Parse(file.Model)
	}
	if err != nil {
		return nil, fmt.Errorf("load twin %s: %w", o.Uncompiled, err)
	}
	return d, nil
}

// Accelerator is the pool as package backbone takes it: nil when only the CPU may be used.
func (d *Pool) Accelerator() backbone.Accelerator {
	if d == nil || d.choice == "cpu" && d.uncompiled == nil {
		return nil
	}
	return d
}

// backbone loads a backbone whose compiled operators run on d.
func (d *Pool) Backbone(file []byte, o backbone.Options) (*backbone.Backbone, error) {
	o.Accelerator = d.Accelerator()
	b, err := backbone.Parse(file, o)
	if err != nil {
		return nil, err
	}
	if err := d.check(b.Model()); err != nil {
		return nil, fmt.Errorf("load backbone %s: %w", o.Name, err)
	}
	return b, nil
}

// check refuses a model of which nothing would run on the devices asked for, and one
// that was taught since it was compiled from the twin: that would answer something else.
func (d *Pool) check(m *tflite.Model) error {
	if d != nil && d.uncompiled != nil && classifier.ReadMetadata(m).Layout == classifier.TPU {
		return fmt.Errorf("%w: the model's last layer was taught, and %s has another; in its workspace the CPU answers as it does", ErrDevice, d.options.Uncompiled)
	}
	if d == nil || d.choice == "auto" || d.choice == "cpu" || backbone.Compiled(m) {
		return nil
	}
	return fmt.Errorf("%w, and it must run on %s", ErrNotCompiled, d.options.Device)
}

// Load implements backbone.Accelerator.
func (d *Pool) Load(options []byte, inputs, outputs []int) (backbone.CompiledOperator, error) {
	return d.load(options, inputs, outputs, d.uncompiled)
}

// AcceleratorFor is Accelerator for a compiled model whose weights were changed after
// it was compiled: uncompiled is the model that it corresponds to now, on which the CPU
// takes over; nil means that it does not.
func (d *Pool) AcceleratorFor(uncompiled *tflite.Model) backbone.Accelerator {
	return fallbackPool{d, uncompiled}
}

// UsesTPU reports whether models may run on Edge TPUs.
func (d *Pool) UsesTPU() bool { return d != nil && d.choice != "cpu" }

// HasFallback reports whether the CPU may take over from an Edge TPU.
func (d *Pool) HasFallback() bool { return d != nil && d.uncompiled != nil }

// fallbackPool is a Pool with an uncompiled model of its own.
type fallbackPool struct {
	*Pool
	uncompiled *tflite.Model
}

// Load implements backbone.Accelerator.
func (f fallbackPool) Load(options []byte, inputs, outputs []int) (backbone.CompiledOperator, error) {
	return f.load(options, inputs, outputs, f.uncompiled)
}

func (d *Pool) load(options []byte, inputs, outputs []int, twin *tflite.Model) (backbone.CompiledOperator, error) {
	pkg, err := executable.Parse(options)
	if err != nil {
		return nil, err
	}
	for _, side := range []struct {
		what   string
		layers []executable.Layer
		sizes  []int
	}{{"input", pkg.Main.Inputs, inputs}, {"output", pkg.Main.Outputs, outputs}} {
		if len(side.layers) != len(side.sizes) {
			return nil, fmt.Errorf("%d %ss for a program with %d: %w", len(side.sizes), side.what, len(side.layers), executable.ErrCorrupt)
		}
		for i := range side.layers {
			if l := &side.layers[i]; l.TensorSize() != side.sizes[i] {
				return nil, fmt.Errorf("%s %q of %d bytes for a program with %d: %w", side.what, l.Name, side.sizes[i], l.TensorSize(), executable.ErrCorrupt)
			}
		}
	}
	p := &program{devices: d, pkg: pkg}
	if twin != nil {
		if p.fallback, err = newFallback(twin, pkg.Main); err != nil {
			return nil, fmt.Errorf("twin %s: %w", d.options.Uncompiled, err)
		}
	}
	return p, nil
}

// enter waits until nobody else opens, loads or closes.
func (d *Pool) enter(ctx context.Context) error {
	select {
	case d.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Pool) leave() { <-d.gate }

// open opens the devices; the caller has entered.
func (d *Pool) open(ctx context.Context) error {
	if len(d.opened) > 0 {
		return nil
	}
	if d.bus == nil {
		bus, err := d.options.USB()
		if err != nil {
			return err
		}
		d.bus = bus
	}
	ports := d.ports
	if d.choice != "usb" {
		list, err := tpu.List(ctx, d.bus)
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
	devices, errs := make([]*tpu.Device, len(ports)), make([]error, len(ports))
	var wg sync.WaitGroup
	for i, port := range ports {
		wg.Go(func() {
			if devices[i], errs[i] = tpu.Open(ctx, d.bus, port, d.options.TPU); errs[i] != nil {
				errs[i] = fmt.Errorf("usb:%v: %w", port, errs[i])
			}
		})
	}
	wg.Wait()
	for i, device := range devices {
		if errs[i] == nil {
			d.opened = append(d.opened, device)
		}
	}
	err := errors.Join(errs...)
	if err != nil && d.choice != "usb" && len(d.opened) > 0 { // the others do the work
		if d.options.Warn != nil {
			d.options.Warn(err)
		}
		return nil
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, d.close())
}

func (d *Pool) close() error {
	var errs []error
	for _, device := range d.opened {
		errs = append(errs, device.Close())
	}
	d.opened = nil
	return errors.Join(errs...)
}

// Close gives the devices back. Nothing may be running on them.
func (d *Pool) Close() error {
	if d == nil {
		return nil
	}
	err := d.close()
	if d.bus != nil {
		err = errors.Join(err, d.bus.Close())
		d.bus = nil
	}
	return err
}

// A program is what one operator of a model was compiled to, on every device.
type program struct {
	devices  *Pool
	pkg      *executable.Package
	fallback *fallback // nil without
	warned   sync.Once

	places []*place   // nil until the first run; set by who has entered devices
	mu     sync.Mutex // of what places have running
}

// A place is one device that runs a program.
type place struct {
	name    string
	device  *tpu.Device
	running int

	mu    sync.Mutex
	model *tpu.Model // nil until it is needed
}

// run loads the program, if that was not done yet, and runs it.
func (at *place) run(ctx context.Context, pkg *executable.Package, inputs, outputs [][]byte) error {
	at.mu.Lock()
	model := at.model
	if model == nil {
		var err error
		if model, err = at.device.Load(ctx, pkg); err != nil {
			at.mu.Unlock()
			return fmt.Errorf("%s: %w", at.name, err)
		}
		at.model = model
	}
	at.mu.Unlock()
	return model.Run(ctx, inputs, outputs)
}

// Run implements backbone.CompiledOperator. What a device fails to compute another, or
// the same once it has recovered, is given once more: a plug that was pulled and
// put back does not end a run over many photos.
func (p *program) Run(ctx context.Context, inputs, outputs [][]byte) (string, error) {
	name, err := p.runTPU(ctx, inputs, outputs)
	if err == nil || p.fallback == nil || ctx.Err() != nil {
		return name, err
	}
	if p.devices.options.Warn != nil && p.devices.choice != "cpu" {
		p.warned.Do(func() {
			p.devices.options.Warn(fmt.Errorf("%w; %s runs on the CPU instead", err, p.devices.options.Uncompiled))
		})
	}
	return FallbackDevice, p.fallback.run(ctx, inputs, outputs)
}

func (p *program) runTPU(ctx context.Context, inputs, outputs [][]byte) (string, error) {
	if p.devices.choice == "cpu" {
		return "", backbone.ErrCompiled
	}
	if err := p.open(ctx); err != nil {
		return "", fmt.Errorf("%w: %w", backbone.ErrCompiled, err)
	}
	var failed *place
	var errs []error
	for range 2 {
		at := p.pick(failed)
		err := at.run(ctx, p.pkg, inputs, outputs)
		p.done(at)
		if err == nil {
			return at.name, nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
		failed = at
	}
	return "", errors.Join(errs...)
}

// open gives the program a place on every device, once.
func (p *program) open(ctx context.Context) error {
	d := p.devices
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	if p.places != nil {
		return nil
	}
	if err := d.open(ctx); err != nil {
		return err
	}
	for _, device := range d.opened {
		p.places = append(p.places, &place{name: fmt.Sprint("usb:", device.Port()), device: device})
	}
	return nil
}

// pick takes the device with the least to do, of those that are well if there are
// any, and another than failed if there is one.
func (p *program) pick(failed *place) *place {
	p.mu.Lock()
	defer p.mu.Unlock()
	burden := func(at *place) int {
		n := at.running
		if at == failed {
			n += 1 << 20
		}
		if at.device.Status().State != tpu.Ready {
			n += 1 << 10
		}
		return n
	}
	best := slices.MinFunc(p.places, func(a, b *place) int { return burden(a) - burden(b) })
	best.running++
	return best
}

func (p *program) done(at *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at.running--
}

// A twin computes on the CPU what a program computes on the Edge TPU.
type fallback struct {
	first *backbone.Interpreter
	mu    sync.Mutex
	idle  []*backbone.Interpreter
}

// newTwin finds the program's inputs and outputs among the tensors of m, the model
// that it was compiled from, by their names.
func newFallback(m *tflite.Model, e *executable.Executable) (*fallback, error) {
	if len(m.Subgraphs) == 0 || backbone.Compiled(m) {
		return nil, fmt.Errorf("%w: it must be the model before it was compiled", ErrDevice)
	}
	graph := m.Subgraphs[0]
	find := func(layers []executable.Layer) ([]int32, error) {
		var list []int32
		for _, l := range layers {
			at := slices.IndexFunc(graph.Tensors, func(t tflite.Tensor) bool { return t.Name == l.Name })
			if at < 0 {
				return nil, fmt.Errorf("%w: it has no tensor %q", ErrDevice, l.Name)
			}
			list = append(list, int32(at))
		}
		return list, nil
	}
	var err error
	if graph.Inputs, err = find(e.Inputs); err != nil {
		return nil, err
	}
	outputs, err := find(e.Outputs)
	if err != nil {
		return nil, err
	}
	model := *m
	model.Subgraphs = []tflite.Subgraph{graph}
	in, err := backbone.NewInterpreter(&model, backbone.InterpreterOptions{Outputs: outputs, Arithmetic: backbone.EdgeTPU})
	if err != nil {
		return nil, err
	}
	for i, l := range e.Inputs {
		if len(in.Input(i)) != l.TensorSize() {
			return nil, fmt.Errorf("%w: tensor %q has %d bytes, not %d", ErrDevice, l.Name, len(in.Input(i)), l.TensorSize())
		}
	}
	for i, l := range e.Outputs {
		if len(in.Output(i)) != l.TensorSize() {
			return nil, fmt.Errorf("%w: tensor %q has %d bytes, not %d", ErrDevice, l.Name, len(in.Output(i)), l.TensorSize())
		}
	}
	return &fallback{first: in, idle: []*backbone.Interpreter{in}}, nil
}

func (t *fallback) run(ctx context.Context, inputs, outputs [][]byte) error {
	in, err := t.take()
	if err != nil {
		return err
	}
	for i := range inputs {
		copy(in.Input(i), inputs[i])
	}
	err = in.Invoke(ctx)
	for i := range outputs {
		copy(outputs[i], in.Output(i))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = append(t.idle, in)
	return err
}

func (t *fallback) take() (*backbone.Interpreter, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.idle)
	if n == 0 {
		return t.first.Clone()
	}
	in := t.idle[n-1]
	t.idle = t.idle[:n-1]
	return in, nil
}
