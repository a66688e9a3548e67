package tpu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Options say how a device is opened and used. The zero value is good.
type Options struct {
	Clock Clock
	// Firmware gives what a device in its boot ROM is loaded with; nil takes it from an installed libedgetpu.
	Firmware func() ([]byte, error)
	// Timeout bounds every transfer and every wait for a register, 1.5 seconds when 0: a device that hangs is noticed
	// within two. It must be longer than the slowest inference.
	Timeout time.Duration
	// Settle is left to the device after it appeared on the bus, before it is opened: 1 second when 0, as libedgetpu
	// has it; nothing when negative.
	Settle time.Duration
	// Appear is how long a device may take to come back after a reset of its port, 10 seconds when 0.
	Appear time.Duration
	// Patience is how long inferences wait for a device that is being recovered before they fail at once, 10 seconds
	// when 0. The device is looked for longer, until Close.
	Patience time.Duration
	// Log is told what happens to the device; nil for silence.
	Log *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if int(o.Clock) >= len(clockNames) {
		return o, fmt.Errorf("unknown clock %v", o.Clock)
	}
	fill := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
		*d = max(*d, 0)
	}
	fill(&o.Timeout, 1500*time.Millisecond)
	fill(&o.Settle, time.Second)
	fill(&o.Appear, 10*time.Second)
	fill(&o.Patience, 10*time.Second)
	if o.Firmware == nil {
		o.Firmware = func() ([]byte, error) {
			firmware, _, err := FindFirmware(FirmwarePaths()...)
			return firmware, err
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// List returns the accelerators on bus, in both identities, ordered by port; none is no error.
func List(ctx context.Context, bus Bus) ([]USBInfo, error) {
	list, err := bus.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list USB devices: %w", err)
	}
	return list, nil
}

// find looks for an accelerator at port.
func find(ctx context.Context, bus Bus, port Port) (USBInfo, error) {
	list, err := List(ctx, bus)
	if err != nil {
		return USBInfo{}, err
	}
	for _, info := range list {
		if info.Port == port {
			return info, nil
		}
	}
	return USBInfo{}, fmt.Errorf("USB port %v: %w", port, ErrNoDevice)
}

// rest waits, and says early that ctx ended.
func rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// opening is the way from a port to a chip that runs.
type opening struct {
	ctx   context.Context
	bus   Bus
	port  Port
	opts  Options
	watch *watch
}

// open resets the port, loads the firmware where the device has none, and starts the chip. With reboot set the device
// is sent back to its boot ROM first, so that nothing of its former state is left.
func (o *opening) open(reboot bool) (*link, error) {
	defer context.AfterFunc(o.ctx, func() { o.watch.abort(o.ctx.Err()) })()
	defer o.watch.disarm()
	info, err := find(o.ctx, o.bus, o.port)
	if err != nil {
		return nil, err
	}
	var firmware []byte
	if info.Boot() {
		// Without it nothing that follows is of use.
		if firmware, err = o.opts.Firmware(); err != nil {
			return nil, err
		}
	}
	conn, err := o.bus.Open(o.watch.arm(o.opts.Timeout), o.port)
	if err != nil {
		return nil, fmt.Errorf("open USB port %v: %w", o.port, err)
	}
	l := newLink(conn, o.watch, o.opts.Timeout)
	// A reset would take the device away from the program that uses it.
	err = l.failure(conn.Claim(o.watch.arm(o.opts.Timeout), 0))
	if err != nil && (info.Application() || errors.Is(err, ErrBusy)) {
		l.close()
		return nil, fmt.Errorf("open USB port %v: %w", o.port, err)
	}
	if l, err = o.reset(l, reboot && info.Application(), USBInfo.known); err != nil {
		return nil, err
	}
	if l.conn.Info().Boot() {
		if l, err = o.boot(l, firmware); err != nil {
			return nil, err
		}
	}
	if err := o.begin(l); err != nil {
		l.close()
		return nil, fmt.Errorf("start the Edge TPU on USB port %v: %w", o.port, err)
	}
	return l, nil
}

func (i USBInfo) known() bool { return i.Boot() || i.Application() }

// reset resets the port, whose device may change its identity by it, and opens what is there afterwards.
func (o *opening) reset(l *link, detach bool, want func(USBInfo) bool) (*link, error) {
	if detach {
		// What comes of it shows after the reset.
		err := l.control(dfuOut, dfuDetach, 100, 0, nil)
		o.opts.Log.Debug("sent back to the boot ROM", "port", o.port, "error", err)
	}
	// A device that changes its identity is gone, which the reset may report as a failure.
	if err := l.conn.Reset(o.watch.arm(o.opts.Appear)); err != nil {
		o.opts.Log.Debug("port reset", "port", o.port, "error", err)
	}
	l.close()
	conn, err := o.reopen(want)
	if err != nil {
		return nil, err
	}
	return newLink(conn, o.watch, o.opts.Timeout), nil
}

// reopen opens the device once it is back at the port with the identity that is wanted. What it finds may be on its
// way out, or may not have got its permissions yet: it is tried again until time is up.
func (o *opening) reopen(want func(USBInfo) bool) (Conn, error) {
	giveUp := time.Now().Add(o.opts.Appear)
	for {
		info, err := find(o.ctx, o.bus, o.port)
		if err == nil && !want(info) {
			err = fmt.Errorf("USB port %v: %w: it did not start its firmware", o.port, ErrDevice)
		}
		if err == nil {
			if err := rest(o.ctx, o.opts.Settle); err != nil {
				return nil, err
			}
			var conn Conn
			if conn, err = o.bus.Open(o.watch.arm(o.opts.Timeout), o.port); err == nil {
				if want(conn.Info()) {
					return conn, nil
				}
				conn.Close()
				err = ErrDisconnected // it changed its identity meanwhile
			}
			err = fmt.Errorf("open USB port %v after its reset: %w", o.port, err)
		}
		if o.ctx.Err() != nil {
			return nil, o.ctx.Err()
		}
		if time.Now().After(giveUp) {
			return nil, err
		}
		if err := rest(o.ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// boot loads the firmware through l, and returns a link to the device that it makes.
func (o *opening) boot(l *link, firmware []byte) (*link, error) {
	if firmware == nil {
		var err error
		if firmware, err = o.opts.Firmware(); err != nil {
			l.close()
			return nil, err
		}
	}
	o.opts.Log.Info("loading firmware", "port", o.port, "bytes", len(firmware))
	if err := l.load(firmware); err != nil {
		l.close()
		return nil, fmt.Errorf("boot the Edge TPU on USB port %v: %w", o.port, err)
	}
	return o.reset(l, false, USBInfo.Application)
}

// begin takes the interface and starts the chip.
func (o *opening) begin(l *link) error {
	if s := l.conn.Info().Speed; s == LowSpeed {
		return fmt.Errorf("%w: a link of %v", errors.ErrUnsupported, s)
	}
	if err := l.conn.Claim(o.watch.arm(o.opts.Timeout), 0); err != nil {
		return l.failure(err)
	}
	if err := l.start(o.opts.Clock); err != nil {
		return err
	}
	return l.post()
}
