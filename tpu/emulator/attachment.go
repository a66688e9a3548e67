package emulator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// attachment is a connection whose client has imported a device.
type attachment struct {
	device *Device
	conn   net.Conn
	// configured records whether the host has configured the device. USB/IP has no message for a port reset. But a host
	// reads the first 8 or 64 bytes of a configured device's descriptor only after a port reset.
	configured bool

	mu     sync.Mutex
	active map[uint32]*urb
	queue  [][]byte // replies to write
	wake   chan struct{}
	due    chan struct{} // signals that the device may have work
}

// urb is a transfer of a USB/IP client.
type urb struct {
	transfer
	number uint32
	timer  *time.Timer // set for a delayed transfer
}

// attach serves an imported device on a connection until the connection or ctx ends or the device is unplugged. It closes
// the connection.
func attach(ctx context.Context, c net.Conn, d *Device) error {
	a := &attachment{device: d, conn: c, active: make(map[uint32]*urb), wake: make(chan struct{}, 1), due: make(chan struct{}, 1)}
	d.mu.Lock()
	gone := d.gone
	d.mu.Unlock()
	over := make(chan struct{})
	var wait sync.WaitGroup
	wait.Add(3)
	go func() { // not in read, so that the host can cancel transfers while the device works
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

// write sends replies until over is closed.
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

// reply queues b for the client.
func (a *attachment) reply(b []byte) {
	a.mu.Lock()
	a.queue = append(a.queue, b)
	a.mu.Unlock()
	signal(a.wake)
}

// signal wakes the goroutine that receives from c, even if it starts to receive later.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// withdraw cancels all transfers.
func (a *attachment) withdraw() {
	a.mu.Lock()
	var left []*urb
	for _, u := range a.active {
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

// command handles the command with the given header. It reads the command's data from r.
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
		u := a.active[word(5)]
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
	return fmt.Errorf("%w: unknown command %d", errProtocol, word(0))
}

// submit passes a transfer to the device, which may end it at once.
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
	if a.active[u.number] != nil {
		a.mu.Unlock()
		return fmt.Errorf("%w: transfer %d submitted twice", errProtocol, u.number)
	}
	a.active[u.number] = u
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

// ended sends the reply to a transfer, unless the host has cancelled it.
func (a *attachment) ended(u *urb) {
	a.mu.Lock()
	delete(a.active, u.number)
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

// header returns the header of a reply.
func header(command, number uint32, status, n int) []byte {
	b := make([]byte, headerSize)
	binary.BigEndian.PutUint32(b, command)
	binary.BigEndian.PutUint32(b[4:], number)
	binary.BigEndian.PutUint32(b[20:], uint32(int32(status)))
	binary.BigEndian.PutUint32(b[24:], uint32(n))
	return b
}
