package tpu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Endpoints of a device that runs its firmware (libedgetpu driver/usb/usb_ml_commands.cc).
const (
	endpointOut       = 0x01 // all data for the chip
	endpointOutput    = 0x81
	endpointEvent     = 0x82
	endpointInterrupt = 0x83
)

const (
	maxBulkOut = 1 << 20 // maximum bytes of one bulk-out transfer (USB_MAX_BULK_OUT_TRANSFER)
	eventSize  = 16      // bytes
)

// link makes transfers to an open device, each with a deadline. Only the goroutine that owns the Device uses it.
type link struct {
	conn     Conn
	deadline *deadline
	timeout  time.Duration // time limit of a transfer
	chunk    int           // size of a bulk-in transfer in bytes
	word     [8]byte
	event    [eventSize]byte
	bounce   []byte // buffer for a bulk-in transfer that does not fit its destination
	carry    []byte // the part of bounce that belongs to the next output

	interrupts     sync.WaitGroup // waits for the goroutine that reads interrupts
	stopInterrupts context.CancelFunc
}

func newLink(conn Conn, t *deadline, timeout time.Duration) *link {
	l := &link{conn: conn, deadline: t, timeout: timeout, chunk: 1024}
	// At high speed longer chunks corrupt the output (libedgetpu's bug 73181174).
	if s := conn.Info().Speed; s == HighSpeed || s == FullSpeed {
		l.chunk = 256
	}
	l.bounce = make([]byte, l.chunk)
	return l
}

// failure returns the cause of a transfer's error: the error that was passed to abort, or ErrTimeout if the transfer
// took too long. If err is nil, it returns nil.
func (l *link) failure(err error) error {
	if err == nil {
		return nil
	}
	if why := l.deadline.aborted(); why != nil {
		return why
	}
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTimeout) {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}

// control makes a control transfer of all of p, in the direction set in requestType.
func (l *link) control(requestType, request uint8, value, index uint16, p []byte) error {
	n, err := l.conn.Control(l.deadline.arm(l.timeout), requestType, request, value, index, p)
	if err == nil && n != len(p) {
		err = fmt.Errorf("%w: %d of %d bytes", ErrTransfer, n, len(p))
	}
	return l.failure(err)
}

// write makes one bulk-out transfer of all of p.
func (l *link) write(p []byte) error {
	n, err := l.conn.Write(l.deadline.arm(l.timeout), endpointOut, p)
	if err == nil && n != len(p) {
		err = fmt.Errorf("%w: %d of %d bytes", ErrTransfer, n, len(p))
	}
	return l.failure(err)
}

// send sends a header and the payload that it announces, in as few transfers as the device allows.
func (l *link) send(header, payload []byte) error {
	if err := l.write(header); err != nil {
		return fmt.Errorf("header %x: %w", header, err)
	}
	for at := 0; at < len(payload); at += maxBulkOut {
		if err := l.write(payload[at:min(at+maxBulkOut, len(payload))]); err != nil {
			return fmt.Errorf("byte %d of %d: %w", at, len(payload), err)
		}
	}
	return nil
}

// receive reads the next size bytes of output into dst. It discards padding: bytes that do not fit into dst.
func (l *link) receive(dst []byte, size int) error {
	for got, empty := 0, 0; got < size; {
		if len(l.carry) > 0 {
			n := min(len(l.carry), size-got)
			if got < len(dst) {
				copy(dst[got:], l.carry[:n])
			}
			l.carry = l.carry[n:]
			got += n
			continue
		}
		direct := got+l.chunk <= min(len(dst), size)
		p := l.bounce
		if direct {
			p = dst[got : got+l.chunk]
		}
		n, err := l.conn.Read(l.deadline.arm(l.timeout), endpointOutput, p)
		if err != nil {
			return fmt.Errorf("byte %d of %d: %w", got, size, l.failure(err))
		}
		if n == 0 {
			// An empty packet may mark the end of an output. A device that sends only empty packets is broken.
			if empty++; empty > 8 {
				return fmt.Errorf("byte %d of %d: %w: only empty packets", got, size, ErrTransfer)
			}
			continue
		}
		empty = 0
		if direct {
			got += n
		} else {
			l.carry = p[:n]
		}
	}
	return nil
}

// await reads the event that ends a program, and checks that it reports the scalar core's interrupt with the given number.
func (l *link) await(number int) error {
	n, err := l.conn.Read(l.deadline.arm(l.timeout), endpointEvent, l.event[:])
	if err != nil {
		return l.failure(err)
	}
	if n != eventSize {
		return fmt.Errorf("%w: event of %d bytes, want %d", ErrDevice, n, eventSize)
	}
	if tag := int(l.event[12] & 15); tag != 4+number {
		return fmt.Errorf("%w: event with tag %d, want %d", ErrDevice, tag, 4+number)
	}
	return l.deadline.aborted() // a fatal interrupt, even if all transfers have succeeded
}

// pender is a Conn that knows whether an endpoint has sent data that has not been read. libusb cannot tell.
type pender interface {
	Pending(endpoint uint8) bool
}

// surplus returns an error if the device has sent more output than the program has, or more on one of the endpoints. The
// output that was received may then be wrong. Call it when the device has nothing more to send there.
func (l *link) surplus(endpoints ...uint8) error {
	if len(l.carry) > 0 {
		return fmt.Errorf("%w: %d extra bytes of output", ErrDevice, len(l.carry))
	}
	p, ok := l.conn.(pender)
	for _, endpoint := range endpoints {
		if ok && p.Pending(endpoint) {
			return fmt.Errorf("%w: an extra packet on endpoint %#x", ErrDevice, endpoint)
		}
	}
	return nil
}

// drain discards the data that the device has queued on its IN endpoints.
func (l *link) drain() error {
	l.carry = nil
	for _, endpoint := range [...]uint8{endpointOutput, endpointEvent} {
		p := l.bounce
		if endpoint == endpointEvent {
			p = l.event[:]
		}
		for start := time.Now(); ; {
			_, err := l.conn.Read(l.deadline.arm(20*time.Millisecond), endpoint, p)
			if err = l.failure(err); errors.Is(err, ErrTimeout) {
				break
			} else if err == nil && time.Since(start) > l.timeout {
				err = fmt.Errorf("%w: the device keeps sending data", ErrDevice)
			}
			if err != nil {
				return fmt.Errorf("drain endpoint %#x: %w", endpoint, err)
			}
		}
	}
	return nil
}

// post keeps reads pending on all IN endpoints, as libedgetpu does: 32 on the output endpoint, one on each of the
// others.
func (l *link) post() error {
	for _, q := range [...]struct {
		endpoint    uint8
		size, count int
	}{{endpointEvent, eventSize, 1}, {endpointInterrupt, 4, 1}, {endpointOutput, l.chunk, 32}} {
		if err := l.conn.Post(q.endpoint, q.size, q.count); err != nil {
			return fmt.Errorf("read ahead on endpoint %#x: %w", q.endpoint, err)
		}
	}
	return nil
}

// listen sends interrupts to out until silence is called. If the endpoint fails, it sends the error and returns. A
// fatal interrupt aborts the transfer in progress.
func (l *link) listen(out chan<- interrupt) {
	ctx, cancel := context.WithCancel(context.Background())
	l.stopInterrupts = cancel
	l.interrupts.Go(func() {
		var p [4]byte
		for short := 0; ; {
			n, err := l.conn.Read(ctx, endpointInterrupt, p[:])
			i := interrupt{link: l}
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, ErrTimeout): // not a failure: an interrupt may never arrive
				continue
			case err != nil:
				i.err = fmt.Errorf("interrupt endpoint: %w", err)
			case n != len(p):
				// A short packet means nothing, but a device that keeps sending short packets must not keep a CPU core
				// busy.
				short = min(short+1, 8)
				if sleep(ctx, time.Millisecond<<short/2) != nil {
					return
				}
				continue
			default:
				short = 0
				if i.bits = binary.LittleEndian.Uint32(p[:]); i.bits&interruptFatal != 0 {
					l.deadline.abort(errFatal)
				}
			}
			select {
			case out <- i:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
}

// silence ends listen and waits until it has returned.
func (l *link) silence() {
	if l.stopInterrupts != nil {
		l.stopInterrupts()
		l.stopInterrupts = nil
	}
	l.interrupts.Wait()
}

func (l *link) close() error {
	l.silence()
	l.deadline.disarm()
	return l.conn.Close()
}
