package emulator

import "encoding/binary"

// The standard requests of USB 3.2, table 9-4, that the firmware serves.
const (
	getStatus        = 0
	clearFeature     = 1
	setFeature       = 3
	setAddress       = 5
	getDescriptor    = 6
	getConfiguration = 8
	setConfiguration = 9
	getInterface     = 10
	setInterface     = 11
	setSEL           = 0x30
	setIsochDelay    = 0x31
)

// answer is the outcome of a control request.
type answer uint8

const (
	answered answer = iota
	refused         // the device stalls
	ignored         // the firmware neither answers nor stalls, so the host times out
)

// serveControl serves the waiting control transfers.
func (d *Device) serveControl() {
	for t := d.endpoints[control].waiting; t != nil; {
		next := t.next
		if !t.held {
			d.controlTransfer(t)
			if !d.plugged { // the other transfers have ended
				return
			}
		}
		t = next
	}
}

func (d *Device) controlTransfer(t *transfer) {
	s := t.parse()
	data := t.p[:min(len(t.p), int(s.length))]
	if t.cut {
		data = data[:len(data)/2]
	}
	in, out := data, []byte(nil)
	if s.requestType&0x80 != 0 {
		in, out = nil, data
	}
	n, a := d.request(s, in, out)
	if s.requestType&0x80 == 0 {
		n = len(in)
	}
	t.n = n
	switch a {
	case answered:
		d.finish(t, done)
	case refused:
		t.n = 0
		d.finish(t, stalled)
	}
}

// request serves a control request. in holds the data from the host, and out receives the data from the device.
func (d *Device) request(s setup, in, out []byte) (n int, a answer) {
	switch s.requestType >> 5 & 3 {
	case 0:
		return d.standardRequest(s, out)
	case 1:
		if d.identity == bootROM {
			n, ok := d.dfu.request(s, in, out)
			if !ok {
				return 0, refused
			}
			return n, answered
		}
		if s.requestType == 0x21 && s.request == dfuDetach && s.length == 0 {
			d.detaching = true
			return 0, answered
		}
		return 0, refused
	case 2:
		if d.identity == application {
			return d.vendorRequest(s, in, out)
		}
	}
	return 0, refused
}

func (d *Device) standardRequest(s setup, out []byte) (int, answer) {
	switch s.request {
	case getDescriptor:
		b := d.descriptors().get(uint8(s.value>>8), uint8(s.value))
		if b == nil {
			return 0, refused
		}
		return copy(out, b), answered
	case getStatus:
		var bits byte
		switch s.requestType & 0x1f {
		case 0:
			bits = 1 // self-powered
		case 2:
			i := d.find(uint8(s.index))
			if i == none {
				return 0, refused
			}
			if d.endpoints[i].halted {
				bits = 1
			}
		}
		return copy(out, []byte{bits, 0}), answered
	case getConfiguration:
		var c byte
		if d.configured {
			c = 1
		}
		return copy(out, []byte{c}), answered
	case setConfiguration:
		if s.value > 1 {
			return 0, refused
		}
		d.configured = true
		for i := range d.endpoints {
			d.endpoints[i].halted = false
		}
		if s.value == 0 {
			d.abortData()
			d.configured = false
		}
		return 0, answered
	case getInterface:
		return copy(out, []byte{0}), answered
	case setFeature, clearFeature:
		// Feature 0 halts an endpoint. The other features only save power.
		if s.requestType == 2 && s.value == 0 {
			i := d.find(uint8(s.index))
			if i == none {
				return 0, refused
			}
			d.endpoints[i].halted = s.request == setFeature && s.index&0x7f != 0
		}
		return 0, answered
	case setAddress, setInterface, setSEL, setIsochDelay:
		return 0, answered
	}
	return 0, ignored
}

// abortData ends the transfers of all endpoints but the control endpoint, as a host does when it changes the
// configuration.
func (d *Device) abortData() {
	for i := bulkOut; i < endpointCount; i++ {
		for d.endpoints[i].waiting != nil {
			d.finish(d.endpoints[i].waiting, failed)
		}
	}
}

// vendorRequest reads or writes a register.
func (d *Device) vendorRequest(s setup, in, out []byte) (int, answer) {
	address := uint32(s.index)<<16 | uint32(s.value)
	if s.request > 1 {
		return 0, ignored
	}
	size := 8 - 4*int(s.request)
	// The registers of a sleeping core cannot be accessed.
	if int(s.length) != size || !reachable(address, size == 8) || address >= 0x30000 && d.registers.asleep() {
		return 0, refused
	}
	address &^= uint32(size) - 1
	if s.requestType&0x80 != 0 {
		var b [8]byte
		for i := 0; i < size; i += 4 {
			binary.LittleEndian.PutUint32(b[i:], d.readRegister(address+uint32(i)))
		}
		return copy(out, b[:size]), answered
	}
	if len(in) != size { // truncated by a fault
		return 0, refused
	}
	for i := 0; i < size; i += 4 {
		d.writeRegister(address+uint32(i), binary.LittleEndian.Uint32(in[i:]))
	}
	return 0, answered
}
