package tpu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Endpoints of the application (libedgetpu driver/usb/usb_ml_commands.cc).
const (
	endpointOut       = 0x01 // everything that goes to the chip
	endpointOutput    = 0x81
	endpointEvent     = 0x82
	endpointInterrupt = 0x83
)

const (
	maxBulkOut = 1 << 20 // bytes of one bulk-out transfer (USB_MAX_BULK_OUT_TRANSFER)
	eventSize  = 16
)

// link is an open device: transfers with a deadline each, and the registers behind them. One goroutine uses it, the
// Device's own.
type link struct {
	conn    Conn
	watch   *watch
	timeout time.Duration
	chunk   int // bytes of a bulk-in transfer
	word    [8]byte
	event   [eventSize]byte
	bounce  []byte // a bulk-in transfer that does not fit where it goes
	carry   []byte // what of bounce belongs to the next output

	ears   sync.WaitGroup
	deafen context.CancelFunc
}

func newLink(conn Conn, w *watch, timeout time.Duration) *link {
	l := &link{conn: conn, watch: w, timeout: timeout, chunk: 1024}
	// The output of a device at high speed breaks when chunks are longer (libedgetpu's bug 73181174).
	if s := conn.Info().Speed; s == HighSpeed || s == FullSpeed {
		l.chunk = 256
	}
	l.bounce = make([]byte, l.chunk)
	return l
}

// failure says of a transfer's error what the caller is to know: why the transfer was aborted, or that it took too
// long. A nil err stays nil.
func (l *link) failure(err error) error {
	if err == nil {
		return nil
	}
	if why := l.watch.aborted(); why != nil {
		return why
	}
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTimeout) {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}

// control makes a control transfer of all of p, up to the device or down from it.
func (l *link) control(requestType, request uint8, value, index uint16, p []byte) error {
	n, err := l.conn.Control(l.watch.arm(l.timeout), requestType, request, value, index, p)
	if err == nil && n != len(p) {
		err = fmt.Errorf("%w: %d of %d bytes", ErrTransfer, n, len(p))
	}
	return l.failure(err)
}

func (l *link) write(p []byte) error {
	n, err := l.conn.Write(l.watch.arm(l.timeout), endpointOut, p)
	if err == nil && n != len(p) {
		err = fmt.Errorf("%w: %d of %d bytes", ErrTransfer, n, len(p))
	}
	return l.failure(err)
}

// send gives the chip all of payload behind its header, in as few transfers as the device takes.
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

// receive reads the next size bytes of output. Those that dst has no room for are padding, and dropped.
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
		straight := got+l.chunk <= min(len(dst), size)
		p := l.bounce
		if straight {
			p = dst[got : got+l.chunk]
		}
		n, err := l.conn.Read(l.watch.arm(l.timeout), endpointOutput, p)
		if err != nil {
			return fmt.Errorf("byte %d of %d: %w", got, size, l.failure(err))
		}
		if n == 0 {
			// The end of an output may be marked so; a device that sends nothing else is broken.
			if empty++; empty > 8 {
				return fmt.Errorf("byte %d of %d: %w: nothing but empty packets", got, size, ErrTransfer)
			}
			continue
		}
		empty = 0
		if straight {
			got += n
		} else {
			l.carry = p[:n]
		}
	}
	return nil
}

// await reads the event that is to end a program: scalar core interrupt number.
func (l *link) await(number int) error {
	n, err := l.conn.Read(l.watch.arm(l.timeout), endpointEvent, l.event[:])
	if err != nil {
		return l.failure(err)
	}
	if n != eventSize {
		return fmt.Errorf("%w: event of %d bytes, want %d", ErrDevice, n, eventSize)
	}
	if tag := int(l.event[12] & 15); tag != 4+number {
		return fmt.Errorf("%w: event of tag %d, want %d", ErrDevice, tag, 4+number)
	}
	return nil
}

// drain throws away what the device had to say before.
func (l *link) drain() error {
	l.carry = nil
	for _, endpoint := range [...]uint8{endpointOutput, endpointEvent} {
		p := l.bounce
		if endpoint == endpointEvent {
			p = l.event[:]
		}
		for start := time.Now(); ; {
			_, err := l.conn.Read(l.watch.arm(20*time.Millisecond), endpoint, p)
			if err = l.failure(err); errors.Is(err, ErrTimeout) {
				break
			} else if err == nil && time.Since(start) > l.timeout {
				err = fmt.Errorf("%w: it does not stop talking", ErrDevice)
			}
			if err != nil {
				return fmt.Errorf("drain endpoint %#x: %w", endpoint, err)
			}
		}
	}
	return nil
}

// post has reads waiting on all IN endpoints; thirty-two for outputs, as libedgetpu.
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

// listen tells of every interrupt, and once that the endpoint failed, until silence. A fatal interrupt ends the
// transfer that is under way.
func (l *link) listen(out chan<- news) {
	ctx, cancel := context.WithCancel(context.Background())
	l.deafen = cancel
	l.ears.Go(func() {
		var p [4]byte
		for {
			n, err := l.conn.Read(ctx, endpointInterrupt, p[:])
			told := news{link: l}
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, ErrTimeout): // the transport's own; nothing was to come at any time
				continue
			case err != nil:
				told.err = fmt.Errorf("interrupt endpoint: %w", err)
			case n == len(p):
				if told.bits = binary.LittleEndian.Uint32(p[:]); told.bits&interruptFatal != 0 {
					l.watch.abort(errFatal)
				}
			}
			select {
			case out <- told:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
}

// silence ends listen and waits for it.
func (l *link) silence() {
	if l.deafen != nil {
		l.deafen()
		l.deafen = nil
	}
	l.ears.Wait()
}

func (l *link) close() error {
	l.silence()
	l.watch.disarm()
	return l.conn.Close()
}
