package emulator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// Bus is a [tpu.Bus] of emulated devices in this process. It starts no goroutines: the goroutine that makes a transfer
// also does the device's work.
type Bus struct {
	devices []*Device
}

var _ tpu.Bus = (*Bus)(nil)

// NewBus returns a bus with the given devices. Their ports must differ.
func NewBus(devices ...*Device) *Bus {
	b := &Bus{devices: slices.Clone(devices)}
	slices.SortFunc(b.devices, func(x, y *Device) int {
		p, q := x.config.Port, y.config.Port
		if p.Bus != q.Bus {
			return p.Bus - q.Bus
		}
		return strings.Compare(p.Path, q.Path)
	})
	return b
}

// List returns the devices that are plugged in.
func (b *Bus) List(ctx context.Context) ([]tpu.USBInfo, error) {
	var infos []tpu.USBInfo
	for _, d := range b.devices {
		d.mu.Lock()
		if d.plugged {
			infos = append(infos, d.info())
		}
		d.mu.Unlock()
	}
	return infos, ctx.Err()
}

// Open opens the device at a port.
func (b *Bus) Open(ctx context.Context, port tpu.Port) (tpu.Conn, error) {
	for _, d := range b.devices {
		if d.config.Port != port {
			continue
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !d.plugged:
			return nil, fmt.Errorf("open port %v: %w", port, tpu.ErrNoDevice)
		case d.refusal != nil:
			return nil, fmt.Errorf("open port %v: %w", port, d.refusal)
		}
		return &conn{device: d, info: d.info(), session: d.session}, nil
	}
	return nil, fmt.Errorf("open port %v: %w", port, tpu.ErrNoDevice)
}

// Close does nothing. The devices stay plugged in.
func (b *Bus) Close() error { return nil }

// conn is an open device.
type conn struct {
	device  *Device
	info    tpu.USBInfo
	session int

	mu     sync.Mutex
	closed bool
	active []*call
	idle   []*call       // calls for reuse
	left   chan struct{} // closed when the last call ends after Close
}

// call is a transfer whose submitter waits for its end.
type call struct {
	transfer
	done chan struct{} // receives one value when the transfer has ended
}

// Info describes the device as it was when opened.
func (c *conn) Info() tpu.USBInfo { return c.info }

// Claim claims interface 0, the only one.
func (c *conn) Claim(ctx context.Context, iface int) error {
	d := c.device
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case d.session != c.session:
		return fmt.Errorf("claim interface %d: %w", iface, tpu.ErrDisconnected)
	case iface != 0:
		return fmt.Errorf("claim interface %d: no such interface: %w", iface, tpu.ErrTransfer)
	case d.claimed != nil && d.claimed != c:
		return fmt.Errorf("claim interface %d: %w", iface, tpu.ErrBusy)
	}
	d.claimed = c
	return nil
}

// Control makes a control transfer.
func (c *conn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	setup := [8]byte{requestType, request}
	binary.LittleEndian.PutUint16(setup[2:], value)
	binary.LittleEndian.PutUint16(setup[4:], index)
	binary.LittleEndian.PutUint16(setup[6:], uint16(len(p)))
	return c.transfer(ctx, 0, setup, p)
}

// Write makes a bulk transfer to the device.
func (c *conn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	if endpoint&0x80 != 0 {
		return 0, fmt.Errorf("write to endpoint %#02x: %w", endpoint, tpu.ErrTransfer)
	}
	return c.transfer(ctx, endpoint, [8]byte{}, p)
}

// Read makes a bulk or interrupt transfer from the device.
func (c *conn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	if endpoint&0x80 == 0 {
		return 0, fmt.Errorf("read from endpoint %#02x: %w", endpoint, tpu.ErrTransfer)
	}
	return c.transfer(ctx, endpoint, [8]byte{}, p)
}

// Post does nothing: the device keeps data until it is read.
func (c *conn) Post(endpoint uint8, size, count int) error { return nil }

// Pending reports whether the device has data to send on an IN endpoint.
func (c *conn) Pending(endpoint uint8) bool {
	d := c.device
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.find(endpoint)
	return d.session == c.session && i >= outputs && len(d.endpoints[i].ends) > 0
}

// Reset resets the port.
func (c *conn) Reset(ctx context.Context) error {
	d := c.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session != c.session {
		return fmt.Errorf("reset port: %w", tpu.ErrDisconnected)
	}
	d.busReset()
	return nil
}

// Close cancels transfers in progress and releases the device.
func (c *conn) Close() error {
	c.mu.Lock()
	var wait chan struct{}
	if !c.closed {
		c.closed = true
		c.left = make(chan struct{})
		if len(c.active) == 0 {
			close(c.left)
		}
	}
	wait = c.left
	for _, k := range c.active {
		c.device.cancel(&k.transfer)
	}
	c.mu.Unlock()
	<-wait
	d := c.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.claimed == c {
		d.claimed = nil
	}
	return nil
}

// begin returns an unused call, or nil if the conn is closed.
func (c *conn) begin() *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	var k *call
	if n := len(c.idle); n > 0 {
		k, c.idle = c.idle[n-1], c.idle[:n-1]
	} else {
		k = &call{done: make(chan struct{}, 1)}
		k.session = c.session
		k.ended = func(*transfer) { k.done <- struct{}{} }
	}
	k.withdrawn = false
	c.active = append(c.active, k)
	return k
}

// end makes a call available for reuse.
func (c *conn) end(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.active, k)
	c.active = slices.Delete(c.active, i, i+1)
	c.idle = append(c.idle, k)
	if c.closed && len(c.active) == 0 {
		close(c.left)
	}
}

// transfer makes one transfer and waits until it ends.
func (c *conn) transfer(ctx context.Context, endpoint uint8, setup [8]byte, p []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, contextError(err)
	}
	k := c.begin()
	if k == nil {
		return 0, tpu.ErrClosed
	}
	k.endpoint, k.setup, k.p = endpoint, setup, p
	delay := c.device.submit(&k.transfer)
	c.device.work()
	if delay > 0 {
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
			c.device.release(&k.transfer)
			c.device.work()
		case <-ctx.Done():
		case <-k.done:
			k.done <- struct{}{}
		}
		timer.Stop()
	}
	select {
	case <-k.done:
	case <-ctx.Done():
		c.device.cancel(&k.transfer)
		<-k.done
	}
	n, status := k.n, k.status
	k.p = nil
	c.end(k)
	out := endpoint != 0 && endpoint&0x80 == 0 || endpoint == 0 && setup[0]&0x80 == 0
	switch {
	case status == done && out && n < len(p):
		return n, fmt.Errorf("%d of %d bytes sent: %w", n, len(p), tpu.ErrTransfer)
	case status == done:
		return n, nil
	case status == stalled:
		return n, tpu.ErrStall
	case status == disconnected:
		return n, tpu.ErrDisconnected
	case status == cancelled && ctx.Err() != nil:
		return n, contextError(ctx.Err())
	case status == cancelled:
		return n, tpu.ErrClosed
	}
	return n, tpu.ErrTransfer
}

// contextError returns the error of a transfer whose context has ended.
func contextError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return tpu.ErrTimeout
	}
	return err
}
