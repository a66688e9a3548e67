package tpu

import (
	"errors"
	"fmt"
	"time"
)

// Bits of an interrupt (libedgetpu driver/usb/usb_driver.cc and driver/beagle/beagle_top_level_interrupt_manager.cc).
const (
	interruptFatal           = 1 << 0
	interruptThermalShutdown = 1 << 1
	interruptBus             = 1 << 2
	interruptMemory          = 1 << 3
	interruptThermalWarning  = 1 << 4
)

const (
	storyTime = 200 * time.Millisecond // for the registers that explain a failure
	lookEvery = time.Second            // for a device that is down
	attempts  = 3                      // to open a device that is there, before it is down
)

// explain adds to a failure what the chip's registers tell, if it still lets them be read.
func (d *Device) explain(err error) error {
	if err == nil {
		return nil
	}
	var told *DeviceError
	if errors.As(err, &told) || !errors.Is(err, ErrDevice) && !errors.Is(err, ErrTimeout) {
		return err
	}
	d.watch.clear()
	l := d.link
	timeout := l.timeout
	l.timeout = min(timeout, storyTime/5)
	defer func() { l.timeout = timeout }()
	r, e := registers{link: l}, &DeviceError{Err: err}
	if e.HIB = r.read(regHIBError); e.HIB != 0 {
		e.FirstHIB = r.read(regHIBFirstError)
	}
	e.ScalarStatus = r.read(regScalarStatus)
	e.ScalarError = r.read(regScalarError)
	e.PC = r.read(regScalarPC)
	if r.err != nil {
		return fmt.Errorf("%w; %w: %w", err, errMute, r.err)
	}
	return e
}

// hear acts on what came from the interrupt endpoint while no request was under way.
func (d *Device) hear(n news) {
	if n.link != d.link || d.link == nil {
		return // of a link that is closed
	}
	err := n.err
	if err == nil && n.bits&interruptFatal != 0 {
		err = errFatal
	}
	if err == nil {
		err = d.link.acknowledge(n.bits)
		d.note(func(s *Status) { s.Warnings++ })
		d.opts.Log.Warn("interrupt", "port", d.port, "of", interruptWords(n.bits))
	}
	d.watch.disarm()
	if err != nil {
		d.recover(d.explain(err))
	}
}

// acknowledge clears the causes of interrupts that need nothing else, so that the next can be raised.
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
		r.change(regRAMTest, 0, 0) // what was set is cleared by writing it
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

func interruptWords(bits uint32) (words []string) {
	for i, w := range [...]string{"fatal error", "thermal shutdown", "bus error", "memory test or boot failure", "thermal warning"} {
		if bits>>i&1 == 1 {
			words = append(words, w)
		}
	}
	return words
}

// rung is a step of recovery. Each does more than the one before and takes longer.
type rung uint8

const (
	rungCore rung = iota + 1 // reset the core
	rungPort                 // reset the port
	rungBoot                 // back to the boot ROM
)

// recover brings the device back after cause, or says that it is down; nil looks once more for one that is.
func (d *Device) recover(cause error) {
	first := rungBoot
	if cause != nil {
		first = min(d.rung+1, rungBoot)
		d.note(func(s *Status) { s.State, s.Err = Recovering, cause })
		d.opts.Log.Warn("Edge TPU failed", "port", d.port, "error", cause)
		// An endpoint that refused stays halted on both sides until the port is reset; libusb could clear it, gousb not.
		// One that does not let its registers be read cannot be reset by them.
		if errors.Is(cause, ErrDisconnected) || errors.Is(cause, ErrStall) || errors.Is(cause, errMute) {
			first = max(first, rungPort)
		}
		if first == rungCore {
			err := d.restart()
			if err == nil {
				d.recovered(rungCore)
				return
			}
			d.opts.Log.Warn("a reset of the core did not help", "port", d.port, "error", err)
			first = rungPort
		}
		d.shut()
	}
	giveUp := time.Now().Add(d.opts.Patience)
	for attempt := 0; ; {
		err := d.reopen(first == rungBoot)
		if err == nil {
			d.recovered(first)
			return
		}
		if d.ctx.Err() != nil {
			return
		}
		// A port that is empty, or about to be, is no attempt.
		if !errors.Is(err, ErrNoDevice) && !errors.Is(err, ErrDisconnected) {
			attempt++
			first = rungBoot
			d.opts.Log.Warn("could not open the Edge TPU again", "port", d.port, "error", err)
		}
		if cause == nil || attempt == attempts || time.Now().After(giveUp) {
			d.down(err)
			return
		}
		if rest(d.ctx, 10*time.Millisecond) != nil {
			return
		}
	}
}

func (r rung) String() string {
	return [...]string{"nothing", "reset of the core", "reset of the port", "boot"}[r]
}

func (d *Device) recovered(by rung) {
	d.rung = by
	d.note(func(s *Status) { s.State, s.USB, s.Recoveries = Ready, d.link.conn.Info(), s.Recoveries+1 })
	d.opts.Log.Info("Edge TPU is back", "port", d.port, "by", by)
	d.watch.disarm()
}

func (d *Device) down(err error) {
	d.look = time.Now().Add(lookEvery)
	err = fmt.Errorf("it is down, and looked for: %w", err)
	d.note(func(s *Status) { s.State, s.Err = Down, err })
	d.opts.Log.Error("Edge TPU is down", "port", d.port, "error", err)
}

// shut gives the device up.
func (d *Device) shut() {
	if d.link != nil {
		d.link.close()
		d.link = nil
	}
	d.forget()
}

// restart empties the endpoints, resets the core and loads the parameters that were last used, which shows whether it
// helped.
func (d *Device) restart() error {
	l := d.link
	l.silence()
	d.watch.clear()
	d.forget()
	select {
	case <-d.news: // of before
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
	l.listen(d.news)
	return d.reload()
}

// reopen opens the device again from its port on, and loads the parameters that were last used.
func (d *Device) reopen(reboot bool) error {
	l, err := d.openLink(d.ctx, reboot)
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

func (d *Device) reload() error {
	if d.last == nil {
		return nil
	}
	return d.parameters(d.last)
}
