package tpu

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
)

// TranscriptLine is a transfer that ended, or a reset of the port.
type TranscriptLine struct {
	Number   int
	Reset    bool
	Endpoint uint8 // its address, 0 of control transfers
	// Of control transfers.
	RequestType, Request uint8
	Value, Index, Length uint16
	Asked                int    // bytes that were to be moved
	Payload              []byte // those that were
	Status               int    // as Linux numbers it, 0 when all went well
}

// cancelledStatus is Linux's ECONNRESET.
const cancelledStatus = -104

// String writes the line without its end: number, kind, direction, setup or endpoint, asked and real length, status,
// the first 32 bytes and the SHA-256 of the payload. Of firmware only the SHA-256 is written.
func (l TranscriptLine) String() string {
	kind, direction, what, hidden := "BULK", "OUT", fmt.Sprintf("ep=%02x", l.Endpoint), false
	if l.Endpoint&0x80 != 0 || l.Endpoint == 0 && l.RequestType&0x80 != 0 {
		direction = "IN"
	}
	switch {
	case l.Reset:
		kind, direction, what = "RESET", "-", "-"
	case l.Endpoint == 0:
		kind = "CTRL"
		what = fmt.Sprintf("bmRequestType=%02x bRequest=%02x wValue=%04x wIndex=%04x wLength=%d",
			l.RequestType, l.Request, l.Value, l.Index, l.Length)
		hidden = l.RequestType == dfuOut && l.Request == dfuDownload || l.RequestType == dfuIn && l.Request == dfuUpload
	case l.Status == cancelledStatus:
		kind = "CANCEL"
	case l.Endpoint == endpointInterrupt:
		kind = "INTR"
	}
	data, sum := "-", "-"
	if len(l.Payload) > 0 {
		data, sum = fmt.Sprintf("%x", l.Payload[:min(len(l.Payload), 32)]), fmt.Sprintf("%x", sha256.Sum256(l.Payload))
		if hidden {
			data = "*"
		}
	}
	return fmt.Sprintf("%05d %-6s %-3s %s asked=%d len=%d status=%d data=%s sha256=%s",
		l.Number, kind, direction, what, l.Asked, len(l.Payload), l.Status, data, sum)
}

// Transcribe returns bus with every transfer of the devices that are opened through it written to w, as the line of a
// [TranscriptLine] when it ends. What is written is in the order in which transfers ended. Errors of w are ignored.
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

func (s *scribe) line(l TranscriptLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	l.Number = s.number
	fmt.Fprintln(s.w, l)
}

// linuxStatus is the number that Linux gives a transfer that ended with err.
func linuxStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return cancelledStatus
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
	c.scribe.line(TranscriptLine{
		RequestType: requestType, Request: request, Value: value, Index: index, Length: uint16(len(p)),
		Asked: len(p), Payload: p[:n], Status: linuxStatus(err),
	})
	return n, err
}

func (c *scribedConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	n, err := c.Conn.Write(ctx, endpoint, p)
	c.scribe.line(TranscriptLine{Endpoint: endpoint, Asked: len(p), Payload: p[:n], Status: linuxStatus(err)})
	return n, err
}

func (c *scribedConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	n, err := c.Conn.Read(ctx, endpoint, p)
	c.scribe.line(TranscriptLine{Endpoint: endpoint, Asked: len(p), Payload: p[:n], Status: linuxStatus(err)})
	return n, err
}

func (c *scribedConn) Reset(ctx context.Context) error {
	err := c.Conn.Reset(ctx)
	c.scribe.line(TranscriptLine{Reset: true})
	return err
}
