package tpu

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Transcribe returns bus with every transfer of the devices that are opened through it written to w, a line each when it
// ends: number, kind, setup or endpoint, asked and real length, status as Linux numbers it, the first 32 bytes and the
// SHA-256 of the payload. Of firmware only the SHA-256 is written. What is written is in the order in which
// transfers ended. Errors of w are ignored.
func Transcribe(bus Bus, w io.Writer) Bus { return &scribe{Bus: bus, w: w} }

type scribe struct {
	Bus
	mu     sync.Mutex
	w      io.Writer
	number int
}

func (s *scribe) Open(ctx context.Context, port Port) (Conn, error) {
	conn, err := s.Bus.Open(ctx, port)
	if err != nil {
		return nil, err
	}
	return &scribedConn{Conn: conn, scribe: s}, nil
}

func (s *scribe) line(kind, direction, what string, asked int, p []byte, hidden bool, err error) {
	data, sum := "-", "-"
	if len(p) > 0 {
		data, sum = fmt.Sprintf("%x", p[:min(len(p), 32)]), fmt.Sprintf("%x", sha256.Sum256(p))
		if hidden {
			data = "*"
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	fmt.Fprintf(s.w, "%05d %-6s %-3s %s asked=%d len=%d status=%d data=%s sha256=%s\n",
		s.number, kind, direction, what, asked, len(p), linuxStatus(err), data, sum)
}

// linuxStatus is the number that Linux gives a transfer that ended with err.
func linuxStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return -104 // ECONNRESET
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return -110 // ETIMEDOUT
	case errors.Is(err, ErrStall):
		return -32 // EPIPE
	case errors.Is(err, ErrDisconnected):
		return -19 // ENODEV
	}
	return -71 // EPROTO
}

type scribedConn struct {
	Conn
	scribe *scribe
}

func (c *scribedConn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	n, err := c.Conn.Control(ctx, requestType, request, value, index, p)
	direction := "OUT"
	if requestType&0x80 != 0 {
		direction = "IN"
	}
	firmware := requestType == dfuOut || requestType == dfuIn && request == dfuUpload
	c.scribe.line("CTRL", direction, fmt.Sprintf("bmRequestType=%02x bRequest=%02x wValue=%04x wIndex=%04x wLength=%d",
		requestType, request, value, index, len(p)), len(p), p[:n], firmware, err)
	return n, err
}

func (c *scribedConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	n, err := c.Conn.Write(ctx, endpoint, p)
	c.scribe.line("BULK", "OUT", fmt.Sprintf("ep=%02x", endpoint), len(p), p[:n], false, err)
	return n, err
}

func (c *scribedConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	n, err := c.Conn.Read(ctx, endpoint, p)
	kind := "BULK"
	switch {
	case errors.Is(err, context.Canceled):
		kind = "CANCEL"
	case endpoint == endpointInterrupt:
		kind = "INTR"
	}
	c.scribe.line(kind, "IN", fmt.Sprintf("ep=%02x", endpoint), len(p), p[:n], false, err)
	return n, err
}

func (c *scribedConn) Reset(ctx context.Context) error {
	err := c.Conn.Reset(ctx)
	c.scribe.line("RESET", "-", "-", 0, nil, false, nil)
	return err
}
