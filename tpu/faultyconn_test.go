package tpu_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// faultyConn is an open device on a faultyBus.
type faultyConn struct {
	tpu.Conn
	bus *faultyBus

	mu          sync.Mutex
	ctx         context.Context // ends when the device is suspended
	interrupted context.CancelFunc
}

// interrupt ends all transfers in progress.
func (c *faultyConn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted()
	c.ctx, c.interrupted = context.WithCancel(context.Background())
}

func (c *faultyConn) Claim(ctx context.Context, iface int) error {
	if err, ok := c.bus.call(ctx, claims); ok {
		return err
	}
	return c.Conn.Claim(ctx, iface)
}

func (c *faultyConn) Reset(ctx context.Context) error {
	err, ok := c.bus.call(ctx, resets)
	if ok && errors.Is(err, tpu.ErrTransfer) {
		c.Conn.Reset(ctx) // the reset has worked
	}
	if ok {
		return err
	}
	c.bus.mu.Lock()
	clear(c.bus.extra)
	c.bus.mu.Unlock()
	return c.Conn.Reset(ctx)
}

func (c *faultyConn) Close() error {
	c.bus.mu.Lock()
	delete(c.bus.conns, c)
	c.bus.mu.Unlock()
	c.mu.Lock()
	c.interrupted()
	c.mu.Unlock()
	return c.Conn.Close()
}

func (c *faultyConn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	return c.transfer(ctx, controls, requestType&0x80 != 0, p, func(ctx context.Context, p []byte) (int, error) {
		return c.Conn.Control(ctx, requestType, request, value, index, p)
	})
}

func (c *faultyConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	return c.transfer(ctx, outs, false, p, func(ctx context.Context, p []byte) (int, error) { return c.Conn.Write(ctx, endpoint, p) })
}

func (c *faultyConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	return c.transfer(ctx, outputs+place(endpoint-0x81), true, p, func(ctx context.Context, p []byte) (int, error) {
		c.bus.mu.Lock()
		extra := c.bus.extra[endpoint]
		delete(c.bus.extra, endpoint)
		c.bus.mu.Unlock()
		if extra != nil {
			return copy(p, extra), nil
		}
		n, err := c.Conn.Read(ctx, endpoint, p)
		if endpoint == 0x82 {
			time.Sleep(time.Microsecond) // the output that precedes the event reaches posted reads first
		}
		return n, err
	})
}

// Pending implements the driver's check for left-over output.
func (c *faultyConn) Pending(endpoint uint8) bool {
	c.bus.mu.Lock()
	extra := c.bus.extra[endpoint]
	c.bus.mu.Unlock()
	pending, ok := c.Conn.(interface{ Pending(uint8) bool })
	return len(extra) > 0 || ok && pending.Pending(endpoint)
}

// transfer makes a transfer with the next trick.
func (c *faultyConn) transfer(ctx context.Context, p place, in bool, data []byte, do func(context.Context, []byte) (int, error)) (int, error) {
	c.bus.mu.Lock()
	suspended := c.bus.suspended
	c.bus.mu.Unlock()
	if suspended != nil {
		return 0, suspended
	}
	c.mu.Lock()
	awake := c.ctx
	c.mu.Unlock()
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(awake, cancel)()
	t, ok := c.bus.take(p)
	if !ok {
		n, err := do(limited, data)
		if err != nil && ctx.Err() == nil && limited.Err() != nil {
			err = tpu.ErrDisconnected // suspended
		} else if errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = tpu.ErrTimeout
		}
		return n, err
	}
	if c.bus.act(t) {
		return do(ctx, data)
	}
	return c.play(ctx, t, p, in, data, do)
}

// play plays a trick on a transfer.
func (c *faultyConn) play(ctx context.Context, t trick, p place, in bool, data []byte, do func(context.Context, []byte) (int, error)) (int, error) {
	failure := failures[t.n%uint64(len(failures))]
	endpoint := uint8(0x81 + p - outputs)
	random := rand.New(rand.NewPCG(t.n, 1))
	half := func() (int, error) {
		if !in {
			return do(ctx, data[:len(data)/2])
		}
		n, err := do(ctx, data)
		return n / 2, err
	}
	switch t.kind {
	case refuse:
		return 0, failure
	case lose, babble:
		n, err := do(ctx, data)
		if err == nil {
			err = failure
		}
		return n, err
	case halve:
		return half()
	case halveAndFail:
		n, err := half()
		return n, errors.Join(failure, err)
	case hang:
		<-ctx.Done()
		if errors.Is(ctx.Err(), context.Canceled) {
			return 0, ctx.Err()
		}
		return 0, tpu.ErrTimeout
	case empty:
		if in {
			return 0, ctx.Err()
		}
	}
	if !in { // the other kinds concern data from the device: repeat the transfer
		if p == outs {
			c.bus.noteRepeat(p)
		}
		if t.kind == repeatPacket && len(data) > 512 {
			n, err := do(ctx, append(append([]byte(nil), data[:512]...), data...))
			return min(n, len(data)), err
		}
		n, err := do(ctx, data)
		if err == nil {
			do(ctx, data)
		}
		return n, err
	}
	n, err := do(ctx, data)
	if err != nil {
		return n, err
	}
	switch t.kind {
	case repeat, repeatPacket:
		if p == outputs {
			c.bus.noteRepeat(p)
		}
		if p >= outputs {
			c.bus.mu.Lock()
			c.bus.extra[endpoint] = append([]byte(nil), data[:n]...)
			c.bus.mu.Unlock()
		}
	case extend:
		for i := n; i < len(data); i++ {
			data[i] = byte(random.Uint32())
		}
		n = len(data)
	case garble:
		if p != outputs { // USB protects data with checksums: only a broken device sends wrong data
			for i := range n {
				data[i] = byte(random.Uint32())
			}
		}
	}
	return n, nil
}
