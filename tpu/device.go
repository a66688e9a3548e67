package tpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// State says whether a device runs inferences.
type State uint8

const (
	Ready      State = iota // inferences run
	Recovering              // the device failed or was unplugged; inferences wait
	Down                    // recovery failed; inferences fail at once while the driver looks for the device
	Closed
)

func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Recovering:
		return "recovering"
	case Down:
		return "down"
	}
	return "closed"
}

// Status is the last known state of a device. Reading it makes no USB transfer.
type Status struct {
	State State
	USB   USBInfo // as of the last connection
	Err   error   // why the device is not ready, or its last failure; nil if it never failed

	Inferences uint64 // inferences that succeeded
	Failures   uint64 // inferences that failed
	Recoveries uint64
	Warnings   uint64 // interrupts that are not failures, such as overheating and bus errors
}

// Device is an open Edge TPU. A Device and its Models are safe for concurrent use by multiple goroutines.
//
// If an inference fails, Run returns the error and the driver recovers the device while later inferences wait. The
// driver first empties the endpoints, resets the core and loads the parameters again. If that fails, or the next
// inference fails too, it resets the port. After another failure it boots the device from its ROM. If the device is
// unplugged, the driver waits for its return. If recovery fails, inferences fail at once and the driver looks for the
// device every second. An inference is never retried.
type Device struct {
	bus  Bus
	port Port
	opts Options

	requests   chan *request
	interrupts chan interrupt
	ctx        context.Context // ends when Close is called
	close      context.CancelFunc
	done       chan struct{}

	mu     sync.Mutex
	status Status
	idle   []*request // requests for reuse

	// Only serve, the goroutine that owns the device, uses the fields below.
	deadline *deadline
	link     *link             // nil while the device is down
	token    uint64            // token of the parameters on the chip
	cached   map[*program]bool // programs that loaded parameters with the same token
	last     *Model            // the model that last ran or loaded its parameters
	recovery recovery          // the last recovery since an inference succeeded
	nextLook time.Time         // when to look for a device that is down
	warned   logLimit          // limits the log lines about interrupts
}

// request is work for the goroutine that owns the device. If call is not nil, the goroutine calls it. A request with
// inputs or outputs is an inference. Any other request loads the parameters of model.
type request struct {
	model           *Model
	inputs, outputs [][]byte
	call            func(*link) error
	done            chan error
}

// infers reports whether the request is an inference.
func (r *request) infers() bool { return r.outputs != nil || r.inputs != nil }

// interrupt is a message from the interrupt endpoint of link, or the error that ended listen.
type interrupt struct {
	link *link
	bits uint32
	err  error
}

// Open opens the Edge TPU at port and makes it ready for models: it resets the port, loads the firmware if the device
// needs it, and starts the chip. The zero Port selects the first device. A later failure does not close the device:
// call Close.
func Open(ctx context.Context, bus Bus, port Port, opts Options) (*Device, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if port == (Port{}) {
		list, err := List(ctx, bus)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, ErrNoDevice
		}
		port, opts.AnyPort = list[0].Port, true
	}
	d := &Device{
		bus: bus, port: port, opts: opts, deadline: newDeadline(),
		requests: make(chan *request), interrupts: make(chan interrupt, 1), done: make(chan struct{}),
		cached: make(map[*program]bool),
	}
	d.ctx, d.close = context.WithCancel(context.Background())
	if d.link, err = d.openLink(ctx, false); err != nil {
		d.close()
		return nil, err
	}
	d.settle(port)
	d.status.USB = d.link.conn.Info()
	d.opts.Log.Info("Edge TPU is ready", "port", port, "speed", d.status.USB.Speed, "clock", opts.Clock)
	go d.serve()
	return d, nil
}

// openLink opens the device and listens to its interrupts. If reboot is set, it first sends the device back to its boot
// ROM.
func (d *Device) openLink(ctx context.Context, reboot bool) (*link, error) {
	d.deadline.clear()
	o := opening{ctx: ctx, bus: d.bus, port: d.port, opts: d.opts, deadline: d.deadline}
	l, err := o.open(reboot)
	d.deadline.clear()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil { // ctx may have ended after the last transfer
		l.close()
		return nil, err
	}
	l.listen(d.interrupts)
	return l, nil
}

// Port returns the port at which the device is plugged in. With Options.AnyPort the port may change.
func (d *Device) Port() Port {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.port
}

// Status returns the state of the device. It does not wait.
func (d *Device) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

// Temperature returns the temperature of the chip in °C, read between inferences. The first call turns the sensor on.
// If the sensor returns 0, the error wraps errors.ErrUnsupported.
//
// The registers and the conversion, a line fitted between 25 and 100 °C, come from the Linux driver for the PCIe
// version of the chip (google/gasket-driver, src/apex_driver.c). They have not been tested on a USB device.
func (d *Device) Temperature(ctx context.Context) (float64, error) {
	var raw uint64
	err := d.do(ctx, &request{call: func(l *link) error {
		r := registers{link: l}
		if r.read(regThermal)&1 == 0 {
			r.change(regThermalClock, 1<<7, 1<<7)
			r.change(regThermalStop, 7, 7)
			time.Sleep(time.Millisecond) // the sensor takes at least 100 µs to settle
			r.change(regThermal, 1, 1)
			time.Sleep(time.Millisecond)
		}
		raw = r.read(regThermal) >> 16 & 0x3ff
		return r.err
	}})
	if err != nil {
		return 0, fmt.Errorf("read the temperature of the Edge TPU on USB port %v: %w", d.Port(), err)
	}
	if raw == 0 {
		return 0, fmt.Errorf("read the temperature of the Edge TPU on USB port %v: %w: the sensor returned 0", d.Port(), errors.ErrUnsupported)
	}
	return (float64(662-int(raw))*250 + 550) / 1000, nil
}

// Close finishes the inference in progress, puts the device to sleep and releases it. Inferences that are still waiting
// fail with ErrClosed. Close may be called more than once.
func (d *Device) Close() error {
	d.close()
	<-d.done
	return nil
}

// request returns an unused request. Pass it to recycle once it is done.
func (d *Device) request() *request {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.idle); n > 0 {
		r := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return r
	}
	return &request{done: make(chan error, 1)}
}

func (d *Device) recycle(r *request) {
	r.model, r.inputs, r.outputs = nil, nil, nil
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle = append(d.idle, r)
}

// do passes r to serve and waits until r is done. ctx limits the wait until r begins.
func (d *Device) do(ctx context.Context, r *request) error {
	if r.done == nil {
		r.done = make(chan error, 1)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case d.requests <- r:
		return <-r.done
	case <-ctx.Done():
		return ctx.Err()
	case <-d.ctx.Done():
		return ErrClosed
	}
}

// serve handles requests and interrupts, and looks for a device that is down, until Close.
func (d *Device) serve() {
	defer close(d.done)
	defer d.vacate()
	for d.ctx.Err() == nil {
		var look <-chan time.Time
		if d.link == nil {
			look = time.After(time.Until(d.nextLook))
		}
		select {
		case r := <-d.requests:
			d.perform(r)
		case i := <-d.interrupts:
			d.handle(i)
		case <-look:
			d.recover(nil)
		case <-d.ctx.Done():
		}
	}
	if d.link != nil {
		d.link.silence()
		d.deadline.clear()
		if err := d.link.stop(); err != nil {
			d.opts.Log.Debug("putting the Edge TPU to sleep failed", "port", d.port, "error", err)
		}
		d.link.close()
	}
	d.note(func(s *Status) { s.State = Closed })
}

// note calls change on the status, with d.mu locked.
func (d *Device) note(change func(*Status)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.status)
}

// perform handles r, and then the requests that infer returns.
func (d *Device) perform(r *request) {
	for r != nil {
		var err error
		next := (*request)(nil)
		switch {
		case d.link == nil:
			r.done <- d.Status().Err
		case r.call != nil:
			err = d.explain(r.call(d.link))
			r.done <- err
		case !r.infers():
			// If the chip already holds parameters, the model's first inference loads its own, as with libedgetpu.
			if d.token == 0 {
				err = d.explain(d.parameters(r.model))
			}
			r.done <- err
		default:
			next, err = d.infer(r)
		}
		d.deadline.disarm()
		if err != nil {
			d.recover(err)
		}
		r = next
	}
}

// infer runs r and the inferences that are queued behind it. While it waits for the event that ends one inference, it
// already sends the program and input of the next. The chip does not accept them earlier, because they would block the
// output. infer returns the first request that it cannot overlap in this way.
func (d *Device) infer(r *request) (*request, error) {
	p, at := r.model.main, 0
	err := d.link.surplus(endpointOutput, endpointEvent) // sent late for an earlier inference
	if err == nil {
		err = d.parameters(r.model)
	}
	if err == nil {
		err = p.stage(r.inputs)
	}
	for {
		if err == nil {
			_, err = p.walk(d.link, r, at, false)
		}
		if err != nil {
			return nil, d.answer(r, err)
		}
		var next *request
		select {
		case next = <-d.requests:
		default:
		}
		begun, ahead := next != nil && next.infers() && d.resident(next.model), error(nil) // ahead is the error from starting next
		if begun {
			if err = d.link.surplus(endpointOutput); err != nil { // later, the device may have sent output of next
				return next, d.answer(r, err)
			}
			if ahead = next.model.main.stage(next.inputs); ahead == nil {
				at, ahead = next.model.main.walk(d.link, next, 0, true)
			}
		}
		if err = p.finish(d.link); err == nil && !begun {
			err = d.link.surplus(endpointOutput)
		}
		if err == nil {
			err = p.unstage(r.outputs)
		}
		d.last = r.model
		err = d.answer(r, err)
		if !begun {
			return next, err
		}
		if err == nil {
			err = ahead
		}
		r, p = next, next.model.main
	}
}

// answer completes r and counts it. It returns the error that Run returns to its caller.
func (d *Device) answer(r *request, err error) error {
	err = d.explain(err)
	d.mu.Lock()
	if err == nil {
		d.status.Inferences++
		d.recovery = 0
	} else {
		d.status.Failures++
		d.status.State, d.status.Err = Recovering, err // before the caller of Run reads the status
	}
	d.mu.Unlock()
	r.done <- err
	return err
}

// parameters loads the parameters of m unless the chip holds them. Loading a model with another token, or with none,
// evicts all parameters on the chip.
func (d *Device) parameters(m *Model) error {
	if token := m.main.exe.Token; token == 0 || token != d.token {
		d.forget()
	}
	if m.cache == nil || d.cached[m.cache] {
		return nil
	}
	if _, err := m.cache.walk(d.link, nil, 0, false); err != nil {
		return fmt.Errorf("load parameters: %w", err)
	}
	if err := m.cache.finish(d.link); err != nil {
		return fmt.Errorf("load parameters: %w", err)
	}
	d.token = m.cache.exe.Token
	d.cached[m.cache] = true
	d.last = m
	return nil
}

// resident reports whether m can run with the parameters that the chip holds.
func (d *Device) resident(m *Model) bool {
	return m.main.exe.Token == d.token && (m.cache == nil || d.cached[m.cache])
}

// forget records that the chip holds no parameters.
func (d *Device) forget() {
	d.token = 0
	clear(d.cached)
}
