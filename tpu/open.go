package tpu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Options configure a device. The zero value is ready to use.
type Options struct {
	Clock Clock // zero means ClockHigh
	// Firmware returns the firmware for a device in its boot ROM. If nil, FindFirmware searches FirmwarePaths.
	Firmware func() ([]byte, error)
	// Timeout is the time limit of every transfer and of every wait for a register. It must be longer than the slowest
	// inference. 0 means 1.5 seconds.
	Timeout time.Duration
	// Settle is the time to wait before opening a device that has appeared on the bus. 0 means 1 second, as in
	// libedgetpu; negative means none.
	Settle time.Duration
	// Appear is the time limit for a device to return to the bus after a reset of its port. 0 means 10 seconds.
	Appear time.Duration
	// Patience limits the time that inferences wait for a recovering device. After that time they fail at once, while
	// the driver keeps looking for the device. 0 means 10 seconds.
	Patience time.Duration
	// AnyPort lets a device that has left its port come back at another port, unless another Device of this process
	// uses that port. Open sets it for the zero Port.
	AnyPort bool
	// Log receives the device's failures and recoveries. If nil, they are not logged.
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

// List returns the accelerators on bus, booted or not, ordered by port. The list may be empty.
func List(ctx context.Context, bus Bus) ([]USBInfo, error) {
	list, err := bus.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list USB devices: %w", err)
	}
	return list, nil
}

// find returns the accelerator at port. If there is none, the error wraps ErrNoDevice.
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

// sleep waits for d. If ctx ends first, it returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
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

// opening is an attempt to open the device at a port and start its chip.
type opening struct {
	ctx      context.Context
	bus      Bus
	port     Port
	opts     Options
	deadline *deadline
}

// open resets the port, loads the firmware if the device needs it, and starts the chip. If reboot is set, it first sends
// the device back to its boot ROM, which clears all of its state.
func (o *opening) open(reboot bool) (*link, error) {
	defer context.AfterFunc(o.ctx, func() { o.deadline.abort(o.ctx.Err()) })()
	defer o.deadline.disarm()
	info, err := find(o.ctx, o.bus, o.port)
	if err != nil {
		return nil, err
	}
	var firmware []byte
	if info.Boot() {
		// Fail early if there is no firmware.
		if firmware, err = o.opts.Firmware(); err != nil {
			return nil, err
		}
	}
	conn, err := o.bus.Open(o.deadline.arm(o.opts.Timeout), o.port)
	if err != nil {
		return nil, fmt.Errorf("open USB port %v: %w", o.port, err)
	}
	l := newLink(conn, o.deadline, o.opts.Timeout)
	// Claim the interface before the reset, which would take the device away from another program.
	err = l.failure(conn.Claim(o.deadline.arm(o.opts.Timeout), 0))
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

// reset resets the port and opens the device again. The device may come back with its other USB identity. If detach is
// set, it first sends the device back to its boot ROM.
func (o *opening) reset(l *link, detach bool, want func(USBInfo) bool) (*link, error) {
	if detach {
		// The reset shows whether the request worked.
		err := l.control(dfuOut, dfuDetach, 100, 0, nil)
		o.opts.Log.Debug("sending the Edge TPU back to its boot ROM", "port", o.port, "error", err)
	}
	// The reset may fail because the device changes its identity and so leaves the bus.
	if err := l.conn.Reset(o.deadline.arm(o.opts.Appear)); err != nil {
		o.opts.Log.Debug("port reset", "port", o.port, "error", err)
	}
	l.close()
	conn, err := o.reopen(want)
	if err != nil {
		return nil, err
	}
	return newLink(conn, o.deadline, o.opts.Timeout), nil
}

// reopen opens the device once it is back at the port with the wanted identity. It retries until Appear has passed: the
// device may not have left the bus yet, or its permissions may not be set yet.
func (o *opening) reopen(want func(USBInfo) bool) (Conn, error) {
	giveUp := time.Now().Add(o.opts.Appear)
	for {
		info, err := find(o.ctx, o.bus, o.port)
		if err == nil && !want(info) {
			err = fmt.Errorf("USB port %v: %w: the firmware did not start", o.port, ErrDevice)
		}
		if err == nil {
			if err := sleep(o.ctx, o.opts.Settle); err != nil {
				return nil, err
			}
			var conn Conn
			if conn, err = o.bus.Open(o.deadline.arm(o.opts.Timeout), o.port); err == nil {
				if want(conn.Info()) {
					return conn, nil
				}
				conn.Close()
				err = ErrDisconnected // the device has since changed its identity
			}
			err = fmt.Errorf("open USB port %v after its reset: %w", o.port, err)
		}
		if o.ctx.Err() != nil {
			return nil, o.ctx.Err()
		}
		if time.Now().After(giveUp) {
			return nil, err
		}
		if err := sleep(o.ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// boot loads the firmware through l, and returns a link to the device that runs it.
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

// begin claims the interface and starts the chip.
func (o *opening) begin(l *link) error {
	if s := l.conn.Info().Speed; s == LowSpeed {
		return fmt.Errorf("%w: USB link of %v", errors.ErrUnsupported, s)
	}
	if err := l.conn.Claim(o.deadline.arm(o.opts.Timeout), 0); err != nil {
		return l.failure(err)
	}
	if err := l.start(o.opts.Clock); err != nil {
		return err
	}
	return l.post()
}
