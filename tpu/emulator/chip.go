package emulator

import (
	"encoding/binary"

	"github.com/imprintkit/imprint/tpu/executable"
)

// The tags of what is sent to the chip, and of the events it sends.
const (
	tagInstructions = iota
	tagInput
	tagParameters
	tagOutput
	tagInterrupt // of interrupt 0; 1 to 3 follow
)

// maxPayload bounds what one header may announce: more than any program sends at once.
const maxPayload = 64 << 20

// chip is the state of the core behind the endpoints.
type chip struct {
	stopped bool // after a fatal error, until reset

	// The stream on the bulk endpoint: headers of 8 bytes, each followed by its payload.
	header  [8]byte
	got     int // bytes of header
	tag     byte
	missing int    // bytes of payload
	payload []byte // as far as it came

	run   *program // what runs, nil if nothing does
	step  int      // the hint it is at
	begun bool     // the step was announced

	due       bool // a result must be computed before the next step
	computing bool
	epoch     int // counts resets, so that a result that comes too late is known

	cached []*cached // parameters on the chip
	loads  int       // of parameters, ever
}

// cached is what one caching program left on the chip.
type cached struct {
	program *program
	bytes   []byte
	version int // number of the load
}

// reset aborts what runs, and forgets what is half received.
func (c *chip) reset() {
	c.stopped, c.got, c.missing, c.payload, c.run, c.due = false, 0, 0, c.payload[:0], nil, false
	c.epoch++
}

// forget drops the parameters.
func (c *chip) forget() { c.cached = nil }

// parameters are those that the caching program p, or one with the same instructions, left; nil if none did or they
// were overwritten.
func (c *chip) parameters(p *program) *cached {
	for _, k := range c.cached {
		if p != nil && k.program.same(p) {
			return k
		}
	}
	return nil
}

// accepts reports whether the chip takes bytes. While outputs wait to be fetched it does not: a host that sends on
// regardless would lock up the real device's internal bus.
func (d *Device) accepts() bool {
	c := &d.chip
	if d.registers.asleep() || c.stopped || c.due || c.computing || len(d.endpoints[outputs].ends) > 0 {
		return false
	}
	return c.run == nil || c.run.wants(c.step)
}

// take consumes some of what came on the bulk endpoint.
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
				d.logf("header announces %d bytes of tag %d", length, c.tag)
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

// receive handles a whole payload.
func (c *chip) receive(d *Device) {
	if c.run == nil {
		if c.tag != tagInstructions {
			d.logf("%d bytes of tag %d without a program", len(c.payload), c.tag)
			d.fatal(badQueue(c.tag))
			return
		}
		if c.run = d.recognise(c.payload); c.run == nil {
			d.logf("%d bytes of instructions of no model known here", len(c.payload))
			d.fatal(hibInstruction)
			return
		}
		c.step, c.begun = 0, false
	}
	h := c.run.hints[c.step]
	if h.Tag() != int(c.tag) || c.run.length(h) != len(c.payload) {
		d.logf("%d bytes of tag %d, where the program wants %d of tag %d", len(c.payload), c.tag, c.run.length(h), h.Tag())
		d.fatal(badQueue(c.tag))
		return
	}
	if !c.run.load(h, c.payload) {
		d.logf("instruction chunk %d is of another program", h.Chunk)
		d.fatal(hibInstruction)
		return
	}
	c.step, c.begun = c.step+1, false
	c.announce(d)
}

func badQueue(tag byte) uint32 {
	switch tag {
	case tagInput:
		return hibInputConfig
	case tagParameters:
		return hibParameterConfig
	}
	return hibInstruction
}

// announce tells of the transfer the program is about to make, where the host wants to hear of it.
func (c *chip) announce(d *Device) {
	if c.begun || c.run == nil || c.step >= len(c.run.hints) {
		return
	}
	c.begun = true
	if h := c.run.hints[c.step]; h.Kind == executable.Transfer {
		d.event(h.Tag(), c.run.address(h)+uint64(h.Offset), uint32(h.Size))
	}
}

// advance makes the steps that need nothing from the host; it reports whether it made any.
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
			return moved // the host's turn
		}
		c.step, c.begun, moved = c.step+1, false, true
	}
	return moved
}

// finish ends a program. What a caching program received is now on the chip, in place of what was there unless both are
// of models that were compiled together.
func (c *chip) finish() {
	p := c.run
	c.run, p.computed = nil, false
	if p.executable.Type != executable.ParameterCaching {
		return
	}
	keep := c.cached[:0]
	var mine *cached
	for _, k := range c.cached {
		switch {
		case k.program.same(p):
			mine = k
		case k.program.executable.Token == p.executable.Token:
			keep = append(keep, k)
		}
	}
	if mine == nil {
		mine = new(cached)
	}
	mine.program = p
	mine.bytes = append(mine.bytes[:0], p.parameters...)
	c.loads++
	mine.version = c.loads
	c.cached = append(keep, mine)
}

// event sends one on the event endpoint, where the host asked for events of that tag.
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

// work computes what is due, which it does without the lock: others can submit, cancel or unplug meanwhile.
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
				d.logf("%v; a pattern is sent instead", err)
			}
			p.computed = true
		}
		d.pump()
	}
}
