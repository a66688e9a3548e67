package tpu_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// audited is a bus that checks that every transfer has a deadline, that no transfer is in progress when its device is
// closed, and that every opened device is closed.
type audited struct {
	tpu.Bus
	longest time.Duration // longest time limit allowed for a transfer, except on the interrupt endpoint

	mu     sync.Mutex
	open   int   // devices that are open
	active int   // transfers in progress
	err    error // the first violation
}

// check returns the first violation. Call it after everything is closed.
func (b *audited) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil && b.open+b.active != 0 {
		return fmt.Errorf("%d devices left open, %d transfers in progress", b.open, b.active)
	}
	return b.err
}

func (b *audited) violation(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// limited checks that ctx has a deadline, at most b.longest from now.
func (b *audited) limited(ctx context.Context, what string) {
	if ctx.Err() != nil { // the call fails at once
		return
	}
	deadline, ok := ctx.Deadline()
	if left := time.Until(deadline); !ok || left > b.longest {
		b.violation("%s may take %v (has a deadline: %v), longer than %v", what, left, ok, b.longest)
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
	active int // transfers of this device in progress; guarded by bus.mu
	closed bool
}

// transfer counts a transfer as in progress until the returned function is called.
func (c *auditedConn) transfer(ctx context.Context, endpoint uint8) func() {
	if endpoint != 0x83 { // an interrupt may never arrive
		c.bus.limited(ctx, fmt.Sprintf("a transfer on endpoint %#02x", endpoint))
	}
	c.add(1)
	return func() { c.add(-1) }
}

func (c *auditedConn) add(n int) {
	c.bus.mu.Lock()
	defer c.bus.mu.Unlock()
	c.active += n
	c.bus.active += n
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

func (c *auditedConn) Pending(endpoint uint8) bool {
	p, ok := c.Conn.(interface{ Pending(uint8) bool })
	return ok && p.Pending(endpoint)
}

func (c *auditedConn) Reset(ctx context.Context) error {
	c.bus.limited(ctx, "resetting")
	return c.Conn.Reset(ctx)
}

func (c *auditedConn) Close() error {
	c.bus.mu.Lock()
	active, again := c.active, c.closed
	if c.closed = true; !again {
		c.bus.open--
	}
	c.bus.mu.Unlock()
	if active != 0 {
		c.bus.violation("the device was closed with %d transfers in progress", active)
	}
	return c.Conn.Close()
}
