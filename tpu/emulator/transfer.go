package emulator

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// status is the result of a transfer.
type status uint8

const (
	pending status = iota
	done
	stalled
	failed
	disconnected
	cancelled
)

// linux returns Linux's number for the status.
func (s status) linux() int {
	return [...]int{stalled: statusStalled, failed: statusFailed, disconnected: statusGone, cancelled: statusUnlinked}[s]
}

// transfer is a USB transfer. Its fields belong to the device while it is submitted.
type transfer struct {
	endpoint uint8 // address; 0 for control transfers
	setup    [8]byte
	p        []byte // data to send, or buffer to receive into
	n        int    // bytes transferred
	status   status
	// ended is called once, with the device locked.
	ended func(*transfer)

	// session is the session in which the submitter opened the device, or 0 if resets do not affect the transfer.
	session int

	// withdrawn means that the transfer was cancelled, possibly before it was submitted.
	withdrawn bool

	index int  // index of the endpoint
	waits bool // the transfer is in the queue of the endpoint
	held  bool // the transfer is delayed until release is called
	cut   bool // a fault truncates the transfer to half of its data
	next  *transfer
}

// setup is the setup packet of a control transfer.
type setup struct {
	requestType, request uint8
	value, index, length uint16
}

func (t *transfer) parse() setup {
	return setup{t.setup[0], t.setup[1], binary.LittleEndian.Uint16(t.setup[2:]), binary.LittleEndian.Uint16(t.setup[4:]), binary.LittleEndian.Uint16(t.setup[6:])}
}

// The endpoints: control, bulk out 1 to 3, outputs 0x81, events 0x82, interrupts 0x83.
const (
	control = iota
	bulkOut
	bulkOut2
	bulkOut3
	outputs
	events
	interrupts
	endpointCount

	none = -1
)

// endpoint is the state of an endpoint on the device.
type endpoint struct {
	halted        bool
	waiting, last *transfer // queue of transfers, in order of submission

	// data holds the messages that an IN endpoint has to send, and ends holds the offset at which each message ends.
	// All bytes before start have been sent. The first message that is not completely sent begins at origin.
	data          []byte
	ends          []int
	start, origin int
}

// find returns the index of the endpoint with the given address. If the device lacks this endpoint in its current
// state, find returns none.
func (d *Device) find(address uint8) int {
	switch {
	case address == 0:
		return control
	case d.identity != application || !d.configured:
		return none
	case 1 <= address && address <= 3:
		return bulkOut + int(address) - 1
	case 0x81 <= address && address <= 0x83:
		return outputs + int(address) - 0x81
	}
	return none
}

// submit passes a transfer to the device. The caller must then call work and, if delay is not 0, call release after the
// delay.
func (d *Device) submit(t *transfer) (delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.n, t.status, t.held, t.cut, t.next = 0, pending, false, false, nil
	number := d.transfers
	d.transfers++
	t.index = d.find(t.endpoint)
	switch {
	case t.withdrawn:
		d.end(t, cancelled)
		return 0
	case !d.plugged || t.session != 0 && t.session != d.session:
		d.end(t, disconnected)
		return 0
	case t.index == none:
		d.end(t, failed)
		return 0
	}
	e := &d.endpoints[t.index]
	t.waits = true
	local := d.counts[t.index]
	d.counts[t.index]++
	for _, f := range d.faults {
		if f.Endpoint == 0 && f.At != number || f.Endpoint != 0 && (f.Endpoint != t.endpoint || f.At != local) {
			continue
		}
		switch f.Kind {
		case Fail:
			d.end(t, failed)
			return 0
		case Stall:
			e.halted = t.endpoint != 0
			d.end(t, stalled)
			return 0
		case Disconnect:
			d.unplug()
			d.end(t, disconnected)
			return 0
		case Hang:
			d.hung = true
		case Truncate:
			t.cut = true
		case Delay:
			t.held, delay = true, f.Delay
		}
	}
	if e.waiting == nil {
		e.waiting = t
	} else {
		e.last.next = t
	}
	e.last = t
	d.pump()
	return delay
}

// release continues a delayed transfer. The caller must then call work.
func (d *Device) release(t *transfer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.held = false
	d.pump()
}

// cancel cancels a transfer and reports whether the transfer was waiting.
func (d *Device) cancel(t *transfer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.withdrawn = true
	if !t.waits {
		return false
	}
	d.finish(t, cancelled)
	return true
}

// finish ends a waiting transfer.
func (d *Device) finish(t *transfer, s status) {
	e := &d.endpoints[t.index]
	var before *transfer
	for p := e.waiting; p != t; p = p.next {
		before = p
	}
	if before == nil {
		e.waiting = t.next
	} else {
		before.next = t.next
	}
	if e.last == t {
		e.last = before
	}
	d.end(t, s)
}

// end completes a transfer that is in no queue, with status s.
func (d *Device) end(t *transfer, s status) {
	if t.cut && s == done && t.endpoint&0x80 != 0 {
		t.n /= 2
	}
	t.status, t.next, t.waits = s, nil, false
	if d.config.Transcript != nil {
		p := t.parse()
		d.transcribe(tpu.TranscriptLine{
			Endpoint: t.endpoint, RequestType: p.requestType, Request: p.request, Value: p.value, Index: p.index, Length: p.length,
			Asked: len(t.p), Payload: t.p[:t.n], Status: s.linux(),
		})
	}
	t.ended(t)
}

// transcribe writes a line of the transcript.
func (d *Device) transcribe(l tpu.TranscriptLine) {
	if d.config.Transcript != nil {
		d.lines++
		l.Number = d.lines
		fmt.Fprintln(d.config.Transcript, l)
	}
}

// abort ends all transfers and discards data to send.
func (d *Device) abort(s status) {
	for i := range d.endpoints {
		e := &d.endpoints[i]
		for t := e.waiting; t != nil; {
			next := t.next
			d.end(t, s)
			t = next
		}
		e.waiting, e.last = nil, nil
		e.halted = false
		e.clear()
	}
}

// pump processes transfers until none makes progress.
func (d *Device) pump() {
	if d.hung || !d.plugged {
		return
	}
	d.serveControl()
	for d.feed() || d.chip.advance(d) || d.drain() {
	}
}

// drain sends the data of IN endpoints, and reports whether a transfer has ended.
func (d *Device) drain() bool {
	chunk := int(d.registers.get(outfeedChunk)) * 8
	if chunk <= 0 {
		chunk = d.maxPacket()
	}
	return d.endpoints[outputs].deliver(d, d.maxPacket(), chunk) || d.endpoints[events].deliver(d, d.maxPacket(), d.maxPacket()) ||
		d.endpoints[interrupts].deliver(d, 64, 64)
}

// feed passes received bytes to the chip, and reports whether a transfer has ended. The firmware uses only the first of
// the three bulk-out endpoints.
func (d *Device) feed() bool {
	for i := bulkOut; i <= interrupts; i++ {
		if e := &d.endpoints[i]; e.halted && e.waiting != nil && !e.waiting.held {
			d.finish(e.waiting, stalled)
			return true
		}
	}
	t := d.endpoints[bulkOut].waiting
	if t == nil || t.held {
		return false
	}
	p := t.p
	if t.cut {
		p = p[:len(p)/2]
	}
	for t.n < len(p) && d.accepts() {
		t.n += d.chip.take(d, p[t.n:])
	}
	if t.n < len(p) {
		return false
	}
	d.finish(t, done)
	return true
}

// send queues the message b for the host.
func (e *endpoint) send(b []byte) {
	e.data = append(e.data, b...)
	e.ends = append(e.ends, len(e.data))
}

func (e *endpoint) clear() {
	e.data, e.ends, e.start, e.origin = e.data[:0], e.ends[:0], 0, 0
}

// deliver sends packets to the first waiting transfer. Each chunk of a message begins a new packet, and a packet that
// is not full ends the transfer. A packet larger than the rest of the buffer fails the transfer, as on real host
// controllers.
func (e *endpoint) deliver(d *Device, maxPacket, chunk int) bool {
	t := e.waiting
	for t != nil && !t.held && len(e.ends) > 0 {
		packet := min(e.ends[0]-e.start, chunk-(e.start-e.origin)%chunk, maxPacket)
		fits := packet <= len(t.p)-t.n
		if fits {
			t.n += copy(t.p[t.n:], e.data[e.start:e.start+packet])
		}
		e.start += packet
		if e.start == e.ends[0] {
			e.origin = e.start
			copy(e.ends, e.ends[1:])
			e.ends = e.ends[:len(e.ends)-1]
			if len(e.ends) == 0 {
				e.clear()
			}
		}
		switch {
		case !fits:
			d.finish(t, failed)
			return true
		case packet < maxPacket || t.n == len(t.p):
			d.finish(t, done)
			return true
		}
	}
	return false
}
