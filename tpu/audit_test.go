package tpu_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// audited is a bus that looks whether its user keeps order: every transfer has a deadline, none is under way when its
// device is closed, and every device that was opened is closed.
type audited struct {
	tpu.Bus
	longest time.Duration // that anything but the interrupt endpoint may be waited for

	mu     sync.Mutex
	open   int   // devices
	flying int   // transfers
	err    error // the first breach
}

// check tells of breaches, once all is over.
func (b *audited) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil && b.open+b.flying != 0 {
		return fmt.Errorf("%d devices are left open, and %d transfers under way", b.open, b.flying)
	}
	return b.err
}

func (b *audited) breach(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

func (b *audited) limited(ctx context.Context, what string) {
	deadline, ok := ctx.Deadline()
	if left := time.Until(deadline); !ok || left > b.longest {
		b.breach("%s may take %v (a deadline: %v), longer than %v", what, left, ok, b.longest)
	}
}

func (b *audited) Open(ctx context.Context, port tpu.Port) (tpu.Conn, error) {
	b.limited(ctx, "opening")
	c, err := b.Bus.Open(ctx, port)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open++
	return &auditedConn{Conn: c, bus: b}, nil
}

type auditedConn struct {
	tpu.Conn
	bus    *audited
	flying int // of the bus's, under its lock
	closed bool
}

// transfer counts one, until the function it returns is called.
func (c *auditedConn) transfer(ctx context.Context, endpoint uint8) func() {
	if endpoint != 0x83 { // nothing is to come there
		c.bus.limited(ctx, fmt.Sprintf("a transfer on endpoint %#02x", endpoint))
	}
	c.add(1)
	return func() { c.add(-1) }
}

func (c *auditedConn) add(n int) {
	c.bus.mu.Lock()
	defer c.bus.mu.Unlock()
	c.flying += n
	c.bus.flying += n
}

func (c *auditedConn) Claim(ctx context.Context, iface int) error {
	c.bus.limited(ctx, "claiming")
	return c.Conn.Claim(ctx, iface)
}

func (c *auditedConn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	defer c.transfer(ctx, 0)()
	return c.Conn.Control(ctx, requestType, request, value, index, p)
}

func (c *auditedConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	defer c.transfer(ctx, endpoint)()
	return c.Conn.Write(ctx, endpoint, p)
}

func (c *auditedConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	defer c.transfer(ctx, endpoint)()
	return c.Conn.Read(ctx, endpoint, p)
}

func (c *auditedConn) Reset(ctx context.Context) error {
	c.bus.limited(ctx, "resetting")
	return c.Conn.Reset(ctx)
}

func (c *auditedConn) Close() error {
	c.bus.mu.Lock()
	flying, again := c.flying, c.closed
	if c.closed = true; !again {
		c.bus.open--
	}
	c.bus.mu.Unlock()
	if flying != 0 {
		c.bus.breach("%d transfers are under way when the device is closed", flying)
	}
	return c.Conn.Close()
}
