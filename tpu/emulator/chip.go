package emulator

import (
	"encoding/binary"

	"github.com/imprintkit/imprint/tpu/executable"
)

// Tags of payloads to the chip, and of events from it.
const (
	tagInstructions = iota
	tagInput
	tagParameters
	tagOutput
	tagInterrupt // interrupt 0; the tags of interrupts 1 to 3 follow
)

// maxPayload is the maximum size of a payload, in bytes. No program sends that much at once.
const maxPayload = 64 << 20

// chip is the state of the Edge TPU core.
type chip struct {
	stopped bool // a fatal error stopped the core; cleared by a reset

	// The stream on the bulk endpoint consists of headers of 8 bytes, each followed by its payload.
	header  [8]byte
	got     int // bytes of header received
	tag     byte
	missing int    // bytes of payload not received
	payload []byte // received so far

	run   *program // the running program, or nil
	step  int      // index of the current hint
	begun bool     // the current step was announced

	due       bool // the outputs must be computed before the next step
	computing bool
	epoch     int // counts resets, so that outputs computed before a reset are discarded

	cached []*cached // parameters on the chip
	loads  int       // counts loads of parameters
}

// cached holds the parameters that a caching program has loaded.
type cached struct {
	program *program
	bytes   []byte
	version int // value of loads when these parameters were loaded
}

// reset aborts the running program and drops incomplete payloads.
func (c *chip) reset() {
	c.stopped, c.got, c.missing, c.payload, c.run, c.due = false, 0, 0, c.payload[:0], nil, false
	c.epoch++
}

// forget drops the parameters.
func (c *chip) forget() { c.cached = nil }

// parameters returns the parameters loaded by the caching program p, or by another program with the same instructions.
// It returns nil if they were never loaded or have been overwritten.
func (c *chip) parameters(p *program) *cached {
	for _, k := range c.cached {
		if p != nil && k.program.same(p) {
			return k
		}
	}
	return nil
}

// accepts reports whether the chip accepts bytes. It accepts none while outputs wait to be read: on a real device,
// sending more would lock up the internal bus.
func (d *Device) accepts() bool {
	c := &d.chip
	if d.registers.asleep() || c.stopped || c.due || c.computing || len(d.endpoints[outputs].ends) > 0 {
		return false
	}
	return c.run == nil || c.run.wants(c.step)
}

// take consumes bytes sent to the bulk endpoint and returns their number.
func (c *chip) take(d *Device, p []byte) int {
	if c.got < len(c.header) {
		n := copy(c.header[c.got:], p)
		c.got += n
		if c.got == len(c.header) {
			length := binary.LittleEndian.Uint32(c.header[:])
			c.tag, c.missing, c.payload = c.header[4]&15, int(length), c.payload[:0]
			switch {
			case length == 0:
				d.logf("header announces 0 bytes")
				d.fatal(hibZeroLength)
			case c.tag > tagParameters || length > maxPayload:
				d.logf("header announces %d bytes with tag %d", length, c.tag)
				d.fatal(hibInstruction)
			}
		}
		return n
	}
	n := min(len(p), c.missing)
	c.payload = append(c.payload, p[:n]...)
	if c.missing -= n; c.missing == 0 {
		c.got = 0
		c.receive(d)
	}
	return n
}

// receive handles a complete payload.
func (c *chip) receive(d *Device) {
	if c.run == nil {
		if c.tag != tagInstructions {
			d.logf("%d bytes with tag %d, but no program is running", len(c.payload), c.tag)
			d.fatal(badQueue(c.tag))
			return
		}
		if c.run = d.recognize(c.payload); c.run == nil {
			d.logf("%d bytes of instructions that belong to no registered model", len(c.payload))
			d.fatal(hibInstruction)
			return
		}
		c.step, c.begun = 0, false
	}
	h := c.run.hints[c.step]
	if h.Tag() != int(c.tag) || c.run.length(h) != len(c.payload) {
		d.logf("%d bytes with tag %d, want %d with tag %d", len(c.payload), c.tag, c.run.length(h), h.Tag())
		d.fatal(badQueue(c.tag))
		return
	}
	if !c.run.load(h, c.payload) {
		d.logf("instruction chunk %d belongs to another program", h.Chunk)
		d.fatal(hibInstruction)
		return
	}
	c.step, c.begun = c.step+1, false
	c.announce(d)
}

// badQueue returns the error bit for a payload with the given tag that arrives at the wrong time.
func badQueue(tag byte) uint32 {
	switch tag {
	case tagInput:
		return hibInputConfig
	case tagParameters:
		return hibParameterConfig
	}
	return hibInstruction
}

// announce sends the event for the transfer that the program is about to make, if the host has enabled events with the
// transfer's tag.
func (c *chip) announce(d *Device) {
	if c.begun || c.run == nil || c.step >= len(c.run.hints) {
		return
	}
	c.begun = true
	if h := c.run.hints[c.step]; h.Kind == executable.Transfer {
		d.event(h.Tag(), c.run.address(h)+uint64(h.Offset), uint32(h.Size))
	}
}

// advance executes the steps that need nothing from the host, and reports whether there were any.
func (c *chip) advance(d *Device) (moved bool) {
	for c.run != nil && !c.due && !c.computing && !c.stopped && d.registers.running() {
		if c.step == len(c.run.hints) {
			c.finish()
			return true
		}
		c.announce(d)
		switch h := c.run.hints[c.step]; {
		case h.Kind == executable.Transfer && h.Out:
			if !c.run.computed {
				c.due = true
				return moved
			}
			d.endpoints[outputs].send(c.run.result(h))
		case h.Kind == executable.Interrupt:
			d.event(h.Tag(), 0, 0)
		case h.Kind != executable.Fence:
			return moved // the host must send the next bytes
		}
		c.step, c.begun, moved = c.step+1, false, true
	}
	return moved
}

// finish ends a program. The parameters that a caching program has received are now on the chip. They replace all other
// parameters, except the parameters of models that were compiled together with the program's model. A program with
// parameters but without a token replaces all parameters, too.
func (c *chip) finish() {
	p := c.run
	c.run, p.computed = nil, false
	if p.executable.Type != executable.ParameterCaching {
		if p.executable.Token == 0 && len(p.executable.Parameters) > 0 {
			c.forget()
		}
		return
	}
	keep := c.cached[:0]
	var own *cached
	for _, k := range c.cached {
		switch {
		case k.program.same(p):
			own = k
		case k.program.executable.Token == p.executable.Token:
			keep = append(keep, k)
		}
	}
	if own == nil {
		own = new(cached)
	}
	own.program = p
	own.bytes = append(own.bytes[:0], p.parameters...)
	c.loads++
	own.version = c.loads
	c.cached = append(keep, own)
}

// event sends an event if the host has enabled events with the given tag.
func (d *Device) event(tag int, address uint64, length uint32) {
	if d.registers.get(descriptorMask)>>tag&1 == 0 {
		return
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], address)
	binary.LittleEndian.PutUint32(b[8:], length)
	b[12] = byte(tag)
	d.endpoints[events].send(b[:])
}

// work computes the outputs that are due. It releases the lock while computing, so that other goroutines can submit and
// cancel transfers and unplug the device.
func (d *Device) work() {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &d.chip
	for c.due && !c.computing {
		p, epoch := c.run, c.epoch
		k := c.parameters(p.caching)
		c.due, c.computing = false, true
		d.mu.Unlock()
		err := p.compute(k)
		d.mu.Lock()
		c.computing = false
		if c.epoch == epoch {
			if err != nil {
				d.logf("%v; the outputs are a fixed pattern instead", err)
			}
			p.computed = true
		}
		d.pump()
	}
}
