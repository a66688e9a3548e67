package tpu

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
)

// TranscriptLine records a transfer that has ended, or a reset of the port.
type TranscriptLine struct {
	Number   int
	Reset    bool
	Endpoint uint8 // address, 0 for control transfers
	// RequestType to Length are the setup packet of a control transfer.
	RequestType, Request uint8
	Value, Index, Length uint16
	Asked                int    // bytes to transfer
	Payload              []byte // bytes transferred
	Status               int    // as numbered by Linux, 0 for success
}

// cancelledStatus is the status of a cancelled transfer, Linux's ECONNRESET.
const cancelledStatus = -104

// String formats the line without a newline: number, kind, direction, setup packet or endpoint, requested and actual
// length, status, and the first 32 bytes and SHA-256 of the payload. For firmware it leaves out the bytes.
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

// Transcribe returns a bus that writes the [TranscriptLine] of every transfer to w, in the order in which transfers
// end. It ignores write errors.
func Transcribe(bus Bus, w io.Writer) Bus { return &transcriber{Bus: bus, w: w} }

type transcriber struct {
	Bus
	mu     sync.Mutex
	w      io.Writer
	number int
}

func (s *transcriber) Open(ctx context.Context, port Port) (Conn, error) {
	conn, err := s.Bus.Open(ctx, port)
	if err != nil {
		return nil, err
	}
	return &transcribedConn{Conn: conn, transcriber: s}, nil
}

func (s *transcriber) line(l TranscriptLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	l.Number = s.number
	fmt.Fprintln(s.w, l)
}

// linuxStatus returns the status that Linux would give a transfer that ended with err.
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

type transcribedConn struct {
	Conn
	transcriber *transcriber
}

func (c *transcribedConn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	n, err := c.Conn.Control(ctx, requestType, request, value, index, p)
	c.transcriber.line(TranscriptLine{
		RequestType: requestType, Request: request, Value: value, Index: index, Length: uint16(len(p)),
		Asked: len(p), Payload: p[:n], Status: linuxStatus(err),
	})
	return n, err
}

func (c *transcribedConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	n, err := c.Conn.Write(ctx, endpoint, p)
	c.transcriber.line(TranscriptLine{Endpoint: endpoint, Asked: len(p), Payload: p[:n], Status: linuxStatus(err)})
	return n, err
}

func (c *transcribedConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	n, err := c.Conn.Read(ctx, endpoint, p)
	c.transcriber.line(TranscriptLine{Endpoint: endpoint, Asked: len(p), Payload: p[:n], Status: linuxStatus(err)})
	return n, err
}

func (c *transcribedConn) Pending(endpoint uint8) bool {
	p, ok := c.Conn.(pender)
	return ok && p.Pending(endpoint)
}

func (c *transcribedConn) Reset(ctx context.Context) error {
	err := c.Conn.Reset(ctx)
	c.transcriber.line(TranscriptLine{Reset: true})
	return err
}
