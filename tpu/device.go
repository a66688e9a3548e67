package tpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// State says whether a device can be used.
type State uint8

const (
	Ready      State = iota // inferences run
	Recovering              // it failed or went away; inferences wait
	Down                    // recovery did not help; inferences fail at once, and the device is looked for
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

// Status is what is known of a device without asking it.
type Status struct {
	State State
	USB   USBInfo // as it was when last seen
	Err   error   // why it is not ready, or what it last recovered from; nil if it never failed

	Inferences uint64 // that succeeded
	Failures   uint64 // inferences that failed
	Recoveries uint64 // times that the device was brought back
	Warnings   uint64 // interrupts that were no failure: heat, bus errors
}

// Device is an open Edge TPU. Its methods, and those of its models, may be called from several goroutines.
//
// One goroutine owns the device. When something fails, that inference gets the error, and the goroutine brings the
// device back while later ones wait: it empties the endpoints, resets the core and loads the parameters again; if that
// does not help, or the next inference fails too, it resets the port; then it has the device boot from the start, waiting
// for it to be plugged in again where it is gone. Only when all this fails do inferences fail at once, with the device
// looked for every second. No inference is tried twice: what fails is reported.
type Device struct {
	bus  Bus
	port Port
	opts Options

	requests chan *request
	news     chan news
	ctx      context.Context // ends with Close
	close    context.CancelFunc
	done     chan struct{}

	mu     sync.Mutex
	status Status
	idle   []*request // for later use

	// The rest is of the goroutine that owns the device.
	watch  *watch
	link   *link             // nil when down
	token  uint64            // of the parameters on the chip
	cached map[*program]bool // loaders of parameters that ran, of that token
	last   *Model            // that ran, or loaded its parameters
	rung   rung              // last taken to recover, since the last inference that succeeded
	look   time.Time         // when to look for the device again, while it is down
}

// request is an inference; without outputs and inputs of a model, the loading of its parameters; or an errand.
type request struct {
	model           *Model
	inputs, outputs [][]byte
	errand          func(*link) error
	done            chan error
}

// infers reports whether the request is an inference.
func (r *request) infers() bool { return r.outputs != nil || r.inputs != nil }

// news is what was heard on the interrupt endpoint of link: interrupts, or the end of it.
type news struct {
	link *link
	bits uint32
	err  error
}

// Open opens the Edge TPU at port and has it ready for models: the port is reset, the firmware loaded where there is
// none, the chip started. The zero Port stands for the only device there is, or the first. Close must be called.
//
// The device is then kept open, through failures and replugging, until Close.
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
		port = list[0].Port
	}
	d := &Device{
		bus: bus, port: port, opts: opts, watch: newWatch(),
		requests: make(chan *request), news: make(chan news, 1), done: make(chan struct{}),
		cached: make(map[*program]bool),
	}
	d.ctx, d.close = context.WithCancel(context.Background())
	if d.link, err = d.openLink(ctx, false); err != nil {
		d.close()
		return nil, err
	}
	d.status.USB = d.link.conn.Info()
	d.opts.Log.Info("Edge TPU is ready", "port", port, "speed", d.status.USB.Speed, "clock", opts.Clock)
	go d.serve()
	return d, nil
}

// openLink opens the device and listens to its interrupts.
func (d *Device) openLink(ctx context.Context, reboot bool) (*link, error) {
	d.watch.clear()
	o := opening{ctx: ctx, bus: d.bus, port: d.port, opts: d.opts, watch: d.watch}
	l, err := o.open(reboot)
	d.watch.clear()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil { // after the last transfer
		l.close()
		return nil, err
	}
	l.listen(d.news)
	return l, nil
}

// Port returns where the device is plugged in.
func (d *Device) Port() Port { return d.port }

// Status returns how the device is.
func (d *Device) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

// Temperature returns that of the chip in °C, between inferences. The sensor is turned on by the first call and takes a
// reading then and there. Its registers and the conversion, a straight line fitted between 25 and 100 °C, are those of
// the Linux driver for the PCIe version of the chip (google/gasket-driver, src/apex_driver.c); what a USB device makes of
// them was not tried on one.
func (d *Device) Temperature(ctx context.Context) (float64, error) {
	var raw uint64
	err := d.do(ctx, &request{errand: func(l *link) error {
		r := registers{link: l}
		if r.read(regThermal)&1 == 0 {
			r.change(regThermalClock, 1<<7, 1<<7)
			r.change(regThermalStop, 7, 7)
			time.Sleep(time.Millisecond) // 100 µs at least until the sensor is stable
			r.change(regThermal, 1, 1)
			time.Sleep(time.Millisecond)
		}
		raw = r.read(regThermal) >> 16 & 0x3ff
		return r.err
	}})
	if err != nil {
		return 0, fmt.Errorf("temperature of the Edge TPU on USB port %v: %w", d.port, err)
	}
	if raw == 0 {
		return 0, fmt.Errorf("temperature of the Edge TPU on USB port %v: %w: the sensor reads nothing", d.port, errors.ErrUnsupported)
	}
	return (float64(662-int(raw))*250 + 550) / 1000, nil
}

// Close ends all use of the device, puts it to sleep and gives it back. Inferences that wait fail with ErrClosed; one
// that is under way is finished. Close may be called twice.
func (d *Device) Close() error {
	d.close()
	<-d.done
	return nil
}

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

// do has the owner perform r, and waits for it.
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

// serve owns the device until Close.
func (d *Device) serve() {
	defer close(d.done)
	for d.ctx.Err() == nil {
		var look <-chan time.Time
		if d.link == nil {
			look = time.After(time.Until(d.look))
		}
		select {
		case r := <-d.requests:
			d.perform(r)
		case n := <-d.news:
			d.hear(n)
		case <-look:
			d.recover(nil)
		case <-d.ctx.Done():
		}
	}
	if d.link != nil {
		d.link.silence()
		d.watch.clear()
		if err := d.link.stop(); err != nil {
			d.opts.Log.Debug("could not put the Edge TPU to sleep", "port", d.port, "error", err)
		}
		d.link.close()
	}
	d.note(func(s *Status) { s.State = Closed })
}

func (d *Device) note(change func(*Status)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.status)
}

// perform does what r asks for, and the inferences that were asked for meanwhile.
func (d *Device) perform(r *request) {
	for r != nil {
		var err error
		next := (*request)(nil)
		switch {
		case d.link == nil:
			r.done <- d.Status().Err
		case r.errand != nil:
			err = d.explain(r.errand(d.link))
			r.done <- err
		case !r.infers():
			// Parameters that are there stay, and others are loaded in the order of the first inferences, as libedgetpu does.
			if d.token == 0 {
				err = d.explain(d.parameters(r.model))
			}
			r.done <- err
		default:
			next, err = d.infer(r)
		}
		d.watch.disarm()
		if err != nil {
			d.recover(err)
		}
		r = next
	}
}

// infer runs r. While the event that ends it is on its way, the inference that waits behind it is begun, for the chip
// takes its program and input by then (but not while output is under way: it would be stuck behind them). infer goes on
// with that one, until none waits or one waits that cannot be begun so, which it returns.
func (d *Device) infer(r *request) (*request, error) {
	p, at := r.model.main, 0
	err := d.parameters(r.model)
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
		begun, ahead := next != nil && next.infers() && d.resident(next.model), error(nil)
		if begun {
			if ahead = next.model.main.stage(next.inputs); ahead == nil {
				at, ahead = next.model.main.walk(d.link, next, 0, true)
			}
		}
		if err = p.finish(d.link); err == nil {
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

// answer ends r and counts it. It returns the error as the caller of Run gets it.
func (d *Device) answer(r *request, err error) error {
	err = d.explain(err)
	d.mu.Lock()
	if err == nil {
		d.status.Inferences++
		d.rung = 0
	} else {
		d.status.Failures++
		d.status.State, d.status.Err = Recovering, err // before the caller looks
	}
	d.mu.Unlock()
	r.done <- err
	return err
}

// parameters has those of m on the chip. A model whose token is another's drives all others out, as does one without.
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

// resident reports whether m can run with the parameters that are on the chip, without driving any out.
func (d *Device) resident(m *Model) bool {
	return m.main.exe.Token == d.token && (m.cache == nil || d.cached[m.cache])
}

// forget notes that the chip holds no parameters.
func (d *Device) forget() {
	d.token = 0
	clear(d.cached)
}
