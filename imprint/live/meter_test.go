package live_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

// A meter is a bus that counts its traffic.
type meter struct {
	tpu.Bus
	opens, resets, controls, writes, reads, out atomic.Int64
}

type meteredConn struct {
	tpu.Conn
	m *meter
}

func (m *meter) Open(ctx context.Context, port tpu.Port) (tpu.Conn, error) {
	m.opens.Add(1)
	c, err := m.Bus.Open(ctx, port)
	return meteredConn{c, m}, err
}

func (c meteredConn) Reset(ctx context.Context) error {
	c.m.resets.Add(1)
	return c.Conn.Reset(ctx)
}

func (c meteredConn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	c.m.controls.Add(1)
	return c.Conn.Control(ctx, requestType, request, value, index, p)
}

func (c meteredConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	c.m.writes.Add(1)
	c.m.out.Add(int64(len(p)))
	return c.Conn.Write(ctx, endpoint, p)
}

func (c meteredConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	c.m.reads.Add(1)
	return c.Conn.Read(ctx, endpoint, p)
}

// traffic holds a meter's counts of calls and of bytes written.
type traffic struct{ Opens, Resets, Controls, Writes, Reads, Out int64 }

// opening is the traffic of opening a device once: the driver opens it, resets it, and opens it
// again.
var opening = traffic{Opens: 2, Resets: 1}

func (m *meter) now() traffic {
	return traffic{m.opens.Load(), m.resets.Load(), m.controls.Load(), m.writes.Load(), m.reads.Load(), m.out.Load()}
}

func (t traffic) since(u traffic) traffic {
	return traffic{t.Opens - u.Opens, t.Resets - u.Resets, t.Controls - u.Controls, t.Writes - u.Writes, t.Reads - u.Reads, t.Out - u.Out}
}

// metered returns the paths of a reference model, compiled and uncompiled, and a pool with one
// emulated device on a metered bus.
func metered(t testing.TB, model string) (compiled, uncompiled string, m *meter, p *pool.Pool) {
	t.Helper()
	compiled, uncompiled, _, usb := pooltest.Reference(t, 1, model)
	bus, err := usb()
	if err != nil {
		t.Fatal(err)
	}
	m = &meter{Bus: bus}
	return compiled, uncompiled, m, pooltest.New(t, pool.Options{Device: "tpu", USB: func() (tpu.Bus, error) { return m, nil }})
}
