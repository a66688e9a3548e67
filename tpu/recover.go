package tpu

import (
	"errors"
	"fmt"
	"time"
)

// The bits of an interrupt (libedgetpu driver/usb/usb_driver.cc and driver/beagle/beagle_top_level_interrupt_manager.cc).
const (
	interruptFatal           = 1 << 0
	interruptThermalShutdown = 1 << 1
	interruptBus             = 1 << 2
	interruptMemory          = 1 << 3
	interruptThermalWarning  = 1 << 4
)

const (
	explainTime = 200 * time.Millisecond // time limit for reading the registers that explain a failure
	lookEvery   = time.Second            // interval between searches for a device that is down
	attempts    = 3                      // attempts to open a device that is plugged in, before it counts as down
)

// explain adds the chip's error registers to a failure, if they can still be read.
func (d *Device) explain(err error) error {
	if err == nil {
		return nil
	}
	var explained *DeviceError
	if errors.As(err, &explained) || !errors.Is(err, ErrDevice) && !errors.Is(err, ErrTimeout) {
		return err
	}
	d.deadline.clear()
	l := d.link
	timeout := l.timeout
	l.timeout = min(timeout, explainTime/5)
	defer func() { l.timeout = timeout }()
	r, e := registers{link: l}, &DeviceError{Err: err}
	if e.HIB = r.read(regHIBError); e.HIB != 0 {
		e.FirstHIB = r.read(regHIBFirstError)
	}
	e.ScalarStatus = r.read(regScalarStatus)
	e.ScalarError = r.read(regScalarError)
	e.PC = r.read(regScalarPC)
	if r.err != nil {
		return fmt.Errorf("%w; %w: %w", err, errUnreadable, r.err)
	}
	return e
}

// handle responds to an interrupt that arrived while no request was in progress.
func (d *Device) handle(i interrupt) {
	if i.link != d.link || d.link == nil {
		return // the link has been closed
	}
	err := i.err
	if err == nil && i.bits&interruptFatal != 0 {
		err = errFatal
	}
	if err == nil {
		err = d.link.acknowledge(i.bits)
		d.note(func(s *Status) { s.Warnings++ })
		if suppressed, ok := d.warned.allow(time.Now()); ok {
			d.opts.Log.Warn("interrupt", "port", d.port, "causes", interruptCauses(i.bits), "suppressed", suppressed)
		}
	}
	d.deadline.disarm()
	if err != nil {
		d.recover(d.explain(err))
	}
}

// acknowledge clears the causes of harmless interrupts, so that the chip can raise the next one.
func (l *link) acknowledge(bits uint32) error {
	r := registers{link: l}
	if bits&interruptThermalShutdown != 0 {
		v := r.read(regThermal)
		if v>>30&1 == 1 {
			v |= 1 << 28
		}
		r.set(v, regThermal)
		r.set(0, regTopStatus)
	}
	if bits&interruptBus != 0 {
		for _, m := range [...]struct{ err, monitor register }{
			{regSlaveWriteErr, regSlaveMonitor}, {regSlaveReadErr, regSlaveMonitor},
			{regMasterWriteErr, regMasterMonitor}, {regMasterReadErr, regMasterMonitor},
		} {
			if r.read(m.err) == 1 {
				r.set(0, m.monitor)
				r.set(1, m.monitor)
			}
		}
		r.set(0, regTopStatus+16)
	}
	if bits&interruptMemory != 0 {
		r.change(regRAMTest, 0, 0) // writing back the bits that are set clears them
		r.change(regBootFailure, 0, 0)
		r.set(0, regTopStatus+32)
	}
	if bits&interruptThermalWarning != 0 {
		v := r.read(regThermal)
		if v>>31 == 1 {
			v |= 1 << 29
		}
		r.set(v, regThermal)
		r.set(0, regTopStatus+48)
	}
	return r.err
}

// logPeriod is the shortest time between two log lines about the same condition.
const logPeriod = time.Second

// A logLimit limits how often a condition is logged.
type logLimit struct {
	last       time.Time
	suppressed int
}

// allow reports whether to log now, and how many lines were suppressed since the last logged line.
func (l *logLimit) allow(now time.Time) (suppressed int, ok bool) {
	if !l.last.IsZero() && now.Sub(l.last) < logPeriod {
		l.suppressed++
		return 0, false
	}
	suppressed = l.suppressed
	l.last, l.suppressed = now, 0
	return suppressed, true
}

func interruptCauses(bits uint32) (words []string) {
	for i, w := range [...]string{"fatal error", "thermal shutdown", "bus error", "memory test or boot failure", "thermal warning"} {
		if bits>>i&1 == 1 {
			words = append(words, w)
		}
	}
	return words
}

// recovery is a way to recover the device. Each constant below does more than the previous one and takes longer.
type recovery uint8

const (
	resetCore recovery = iota + 1
	resetPort
	resetDevice // boot the device from its ROM
)

// recover recovers the device after the failure cause, or marks the device as down. With a nil cause it tries once to
// reopen a device that is down.
func (d *Device) recover(cause error) {
	first := resetDevice
	if cause != nil {
		first = min(d.recovery+1, resetDevice)
		d.note(func(s *Status) { s.State, s.Err = Recovering, cause })
		d.opts.Log.Warn("Edge TPU failed", "port", d.port, "error", cause)
		// An endpoint that stalled stays halted until the port is reset: gousb cannot clear the halt, and the usbfs
		// backend recovers in the same way. A core whose registers cannot be read cannot be reset through them.
		if errors.Is(cause, ErrDisconnected) || errors.Is(cause, ErrStall) || errors.Is(cause, errUnreadable) {
			first = max(first, resetPort)
		}
		if first == resetCore {
			err := d.restart()
			if err == nil {
				d.recovered(resetCore)
				return
			}
			d.opts.Log.Warn("resetting the core failed", "port", d.port, "error", err)
			first = resetPort
		}
		d.shut()
	}
	giveUp := time.Now().Add(d.opts.Patience)
	for attempt := 0; ; {
		err := d.reopen(first == resetDevice)
		if err == nil {
			d.recovered(first)
			return
		}
		if d.ctx.Err() != nil {
			return
		}
		// An empty port does not count as an attempt.
		if !errors.Is(err, ErrNoDevice) && !errors.Is(err, ErrDisconnected) {
			attempt++
			first = resetDevice
			d.opts.Log.Warn("reopening the Edge TPU failed", "port", d.port, "error", err)
		}
		if cause == nil || attempt == attempts || time.Now().After(giveUp) {
			d.down(err)
			return
		}
		if sleep(d.ctx, 10*time.Millisecond) != nil {
			return
		}
	}
}

func (r recovery) String() string {
	return [...]string{"none", "core reset", "port reset", "reboot"}[r]
}

func (d *Device) recovered(by recovery) {
	d.recovery = by
	d.note(func(s *Status) { s.State, s.USB, s.Recoveries = Ready, d.link.conn.Info(), s.Recoveries+1 })
	d.opts.Log.Info("Edge TPU recovered", "port", d.port, "by", by)
	d.deadline.disarm()
}

func (d *Device) down(err error) {
	d.nextLook = time.Now().Add(lookEvery)
	err = fmt.Errorf("the Edge TPU is down until it can be reopened: %w", err)
	d.note(func(s *Status) { s.State, s.Err = Down, err })
	d.opts.Log.Error("Edge TPU is down", "port", d.port, "error", err)
}

// shut closes the link and forgets the parameters on the chip.
func (d *Device) shut() {
	if d.link != nil {
		d.link.close()
		d.link = nil
	}
	d.forget()
}

// restart empties the endpoints, resets the core and loads the last used parameters, to test whether the reset helped.
func (d *Device) restart() error {
	l := d.link
	l.silence()
	d.deadline.clear()
	d.forget()
	select {
	case <-d.interrupts: // an interrupt from before the reset
	default:
	}
	if err := l.drain(); err != nil {
		return err
	}
	r := registers{link: l}
	r.runControl(halt)
	if r.err != nil {
		return r.err
	}
	if err := l.start(d.opts.Clock); err != nil {
		return err
	}
	if err := l.post(); err != nil {
		return err
	}
	l.listen(d.interrupts)
	return d.reload()
}

// reopen opens the device again, which resets its port, and loads the last used parameters. If reboot is set, it first
// sends the device back to its boot ROM.
func (d *Device) reopen(reboot bool) error {
	l, err := d.openAgain(reboot)
	if err != nil {
		return err
	}
	d.link = l
	if err := d.reload(); err != nil {
		d.shut()
		return err
	}
	return nil
}

// reload loads the last used parameters.
func (d *Device) reload() error {
	if d.last == nil {
		return nil
	}
	return d.parameters(d.last)
}
