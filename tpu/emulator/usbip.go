package emulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// The protocol of Linux's USB/IP: Documentation/usb/usbip_protocol.rst. All numbers are big-endian.

// Operations before a device is imported.
const (
	usbipVersion   = 0x0111
	requestDevices = 0x8005
	replyDevices   = 0x0005
	requestImport  = 0x8003
	replyImport    = 0x0003
)

// Commands after it.
const (
	commandSubmit = 1
	commandUnlink = 2
	returnSubmit  = 3
	returnUnlink  = 4
)

// headerSize is the size of a command's header in bytes.
const headerSize = 48

// maxTransfer is the largest transfer that is taken, in bytes.
const maxTransfer = 16 << 20

// Linux error numbers, as statuses.
const (
	statusStalled  = -32  // EPIPE
	statusFailed   = -71  // EPROTO
	statusUnlinked = -104 // ECONNRESET
	statusGone     = -108 // ESHUTDOWN
)

var errProtocol = errors.New("USB/IP protocol violated")

// ServeUSBIP offers devices over USB/IP on l, which it closes, until ctx ends; it then ends all connections and waits
// for them. A client that imported a device keeps it until either side hangs up, or the device is unplugged.
func ServeUSBIP(ctx context.Context, l net.Listener, devices ...*Device) error {
	s := &server{devices: devices, imported: make(map[*Device]bool)}
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait.Add(1)
	go func() {
		defer wait.Done()
		<-ctx.Done()
		l.Close()
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept USB/IP connections: %w", err)
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			s.serve(ctx, c)
		}()
	}
}

// server is what the connections of ServeUSBIP have in common.
type server struct {
	devices []*Device

	mu       sync.Mutex
	imported map[*Device]bool
}

// serve handles one connection from its first request.
func (s *server) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	d, reply, err := s.request(c)
	if d != nil {
		defer s.release(d)
	}
	if err != nil {
		return
	}
	if _, err := c.Write(reply); err != nil || d == nil {
		return
	}
	if err := attach(ctx, c, d); err != nil {
		d.mu.Lock()
		d.logf("USB/IP client %v: %v", c.RemoteAddr(), err)
		d.mu.Unlock()
	}
}

// request reads an operation and makes its reply. It gives the device that was imported, if one was, which must be
// released.
func (s *server) request(r io.Reader) (imported *Device, reply []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, err
	}
	if version := binary.BigEndian.Uint16(head[:]); version != usbipVersion {
		return nil, nil, fmt.Errorf("%w: version %#04x, want %#04x", errProtocol, version, usbipVersion)
	}
	switch code := binary.BigEndian.Uint16(head[2:]); code {
	case requestDevices:
		var list []byte
		n := uint32(0)
		for _, d := range s.devices {
			if d.Plugged() {
				n++
				list = append(append(list, d.export()...), d.interfaceClass()...)
			}
		}
		reply = operation(replyDevices, 0)
		return nil, append(binary.BigEndian.AppendUint32(reply, n), list...), nil
	case requestImport:
		var name [32]byte
		if _, err := io.ReadFull(r, name[:]); err != nil {
			return nil, nil, err
		}
		bus, _, _ := bytes.Cut(name[:], []byte{0})
		for _, d := range s.devices {
			if d.config.Port.String() == string(bus) && d.Plugged() && s.take(d) {
				return d, append(operation(replyImport, 0), d.export()...), nil
			}
		}
		return nil, operation(replyImport, 1), nil
	default:
		return nil, nil, fmt.Errorf("%w: operation %#04x", errProtocol, code)
	}
}

func operation(code uint16, status uint32) []byte {
	b := binary.BigEndian.AppendUint16(nil, usbipVersion)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, code), status)
}

func (s *server) take(d *Device) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := !s.imported[d]
	s.imported[d] = true
	return free
}

func (s *server) release(d *Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.imported, d)
}

// export describes the device to a client.
func (d *Device) export() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.info()
	b := make([]byte, 256+32)
	copy(b, "/sys/devices/platform/edgetpu-emulator/"+i.Port.String())
	copy(b[256:], i.Port.String())
	b = binary.BigEndian.AppendUint32(b, uint32(i.Port.Bus))
	b = binary.BigEndian.AppendUint32(b, uint32(i.Address))
	b = binary.BigEndian.AppendUint32(b, uint32(linuxSpeed(i.Speed)))
	b = binary.BigEndian.AppendUint16(b, i.Vendor)
	b = binary.BigEndian.AppendUint16(b, i.Product)
	b = binary.BigEndian.AppendUint16(b, 0x0100)
	return append(b, 0, 0, 0, 1, 1, 1) // class by interface; configuration 1 of 1, with 1 interface
}

// interfaceClass is the class of the only interface, padded.
func (d *Device) interfaceClass() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	const header, class = 9, 5
	return append(bytes.Clone(d.descriptors().configuration[header+class:header+class+3]), 0)
}

// linuxSpeed is a speed as Linux numbers it (enum usb_device_speed).
func linuxSpeed(s tpu.Speed) int {
	if s == tpu.HighSpeed {
		return 3
	}
	return 5
}

// attachment is a connection that has a device.
type attachment struct {
	device *Device
	conn   net.Conn
	// configured follows the host: it reads the first 8 or 64 bytes of the device descriptor of a configured device
	// only when it has reset the port, which USB/IP has no word for.
	configured bool

	mu     sync.Mutex
	flying map[uint32]*urb
	queue  [][]byte // replies to write
	wake   chan struct{}
	due    chan struct{} // there may be work for the device
}

// urb is a transfer of a USB/IP client.
type urb struct {
	transfer
	number uint32
	timer  *time.Timer // of a delayed one
}

// attach serves a device on a connection that has been told to carry it, until the connection or ctx ends or the device
// is unplugged. It closes the connection.
func attach(ctx context.Context, c net.Conn, d *Device) error {
	a := &attachment{device: d, conn: c, flying: make(map[uint32]*urb), wake: make(chan struct{}, 1), due: make(chan struct{}, 1)}
	d.mu.Lock()
	gone := d.gone
	d.mu.Unlock()
	over := make(chan struct{})
	var wait sync.WaitGroup
	wait.Add(3)
	go func() { // apart from read, so that the host can take back what it is tired of waiting for
		defer wait.Done()
		for {
			select {
			case <-a.due:
				d.work()
			case <-over:
				return
			}
		}
	}()
	go func() {
		defer wait.Done()
		select {
		case <-gone:
		case <-ctx.Done():
		case <-over:
		}
		c.Close()
	}()
	go func() {
		defer wait.Done()
		a.write(over)
	}()
	err := a.read()
	close(over)
	wait.Wait()
	a.withdraw()
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// write sends replies until the connection is over.
func (a *attachment) write(over <-chan struct{}) {
	for {
		a.mu.Lock()
		queue := a.queue
		a.queue = nil
		a.mu.Unlock()
		for _, b := range queue {
			if _, err := a.conn.Write(b); err != nil {
				a.conn.Close()
				return
			}
		}
		select {
		case <-a.wake:
		case <-over:
			return
		}
	}
}

// reply queues a reply.
func (a *attachment) reply(b []byte) {
	a.mu.Lock()
	a.queue = append(a.queue, b)
	a.mu.Unlock()
	signal(a.wake)
}

// signal wakes who waits on c, or will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// withdraw cancels what is under way.
func (a *attachment) withdraw() {
	a.mu.Lock()
	var left []*urb
	for _, u := range a.flying {
		left = append(left, u)
	}
	a.mu.Unlock()
	for _, u := range left {
		if u.timer != nil {
			u.timer.Stop()
		}
		a.device.cancel(&u.transfer)
	}
}

// read handles commands until the connection ends.
func (a *attachment) read() error {
	for {
		var head [headerSize]byte
		if _, err := io.ReadFull(a.conn, head[:]); err != nil {
			return err
		}
		if err := a.command(&head, a.conn); err != nil {
			return err
		}
	}
}

// command handles one command; its data follow in r.
func (a *attachment) command(head *[headerSize]byte, r io.Reader) error {
	word := func(i int) uint32 { return binary.BigEndian.Uint32(head[4*i:]) }
	number := word(1)
	switch word(0) {
	case commandSubmit:
		in, endpoint, length := word(3) == 1, word(4), word(6)
		if endpoint > 15 || length > maxTransfer {
			return fmt.Errorf("%w: transfer of %d bytes on endpoint %d", errProtocol, length, endpoint)
		}
		u := &urb{number: number}
		u.p = make([]byte, length)
		u.endpoint = uint8(endpoint)
		copy(u.setup[:], head[40:])
		if in && endpoint != 0 {
			u.endpoint |= 0x80
		}
		if !in {
			if _, err := io.ReadFull(r, u.p); err != nil {
				return err
			}
		}
		return a.submit(u)
	case commandUnlink:
		a.mu.Lock()
		u := a.flying[word(5)]
		a.mu.Unlock()
		status := 0
		if u != nil {
			if u.timer != nil {
				u.timer.Stop()
			}
			if a.device.cancel(&u.transfer) {
				status = statusUnlinked
			}
		}
		a.reply(header(returnUnlink, number, status, 0))
		return nil
	}
	return fmt.Errorf("%w: command %d", errProtocol, word(0))
}

// submit hands a transfer to the device, which may end it at once.
func (a *attachment) submit(u *urb) error {
	if u.endpoint == 0 {
		switch s := u.parse(); {
		case s.requestType == 0x80 && s.request == getDescriptor && s.value == typeDevice<<8 && (s.length == 8 || s.length == 64) && a.configured:
			a.configured = false
			a.device.reset()
		case s.requestType == 0 && s.request == setConfiguration:
			a.configured = s.value != 0
		}
	}
	u.ended = func(*transfer) { a.ended(u) }
	a.mu.Lock()
	if a.flying[u.number] != nil {
		a.mu.Unlock()
		return fmt.Errorf("%w: transfer %d submitted twice", errProtocol, u.number)
	}
	a.flying[u.number] = u
	a.mu.Unlock()
	if delay := a.device.submit(&u.transfer); delay > 0 {
		u.timer = time.AfterFunc(delay, func() {
			a.device.release(&u.transfer)
			signal(a.due)
		})
	}
	signal(a.due)
	return nil
}

// ended replies to the transfer that ended, unless it was unlinked.
func (a *attachment) ended(u *urb) {
	a.mu.Lock()
	delete(a.flying, u.number)
	a.mu.Unlock()
	if u.status == cancelled {
		return
	}
	b := header(returnSubmit, u.number, u.status.linux(), u.n)
	if u.endpoint&0x80 != 0 || u.endpoint == 0 && u.setup[0]&0x80 != 0 {
		b = append(b, u.p[:u.n]...)
	}
	a.reply(b)
}

// header makes the header of a reply.
func header(command, number uint32, status, n int) []byte {
	b := make([]byte, headerSize)
	binary.BigEndian.PutUint32(b, command)
	binary.BigEndian.PutUint32(b[4:], number)
	binary.BigEndian.PutUint32(b[20:], uint32(int32(status)))
	binary.BigEndian.PutUint32(b[24:], uint32(n))
	return b
}
