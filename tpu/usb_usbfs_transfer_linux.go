package tpu

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// usbfsPiece is the maximum size of a transfer on host controllers without scatter-gather, in bytes. libusb splits its
// transfers at the same size (os/linux_usbfs.c, MAX_BULK_BUFFER_LENGTH). It is a multiple of the endpoints' packet
// sizes.
const usbfsPiece = 16 << 10

// transfer submits u and waits until it has ended. If ctx ends first, it cancels u.
func (c *usbfsConn) transfer(ctx context.Context, u *urb) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, usbfsError(ctx, err)
	}
	if err := c.file.submit(u); err != nil {
		return 0, usbfsError(ctx, err)
	}
	cancelled := false
	select {
	case <-u.ended:
	case <-ctx.Done():
		cancelled = true
		c.file.discard(u)
		<-u.ended
	}
	return u.result(ctx, cancelled)
}

// result returns the number of bytes transferred and the transfer's error. A transfer that succeeded before it could be
// cancelled has no error.
func (u *urb) result(ctx context.Context, cancelled bool) (int, error) {
	n := int(u.actualLength)
	if u.status == 0 {
		return n, nil
	}
	errno := unix.Errno(-u.status)
	switch {
	case errno != unix.ENOENT && errno != unix.ECONNRESET: // the transfer was not cancelled
		return n, usbfsError(ctx, errno)
	case cancelled:
		return n, usbfsError(ctx, ctx.Err())
	}
	return n, fmt.Errorf("%w: %w", ErrDisconnected, errno)
}

// writePieces writes p in several transfers, all submitted at once. When one fails, it cancels the others.
func (c *usbfsConn) writePieces(ctx context.Context, endpoint uint8, p []byte) (written int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, usbfsError(ctx, err)
	}
	var pieces []*urb
	var refused error
	for at := 0; at < len(p) && refused == nil; at += usbfsPiece {
		u := c.take()
		defer c.put(u)
		u.fill(usbfsBulk, endpoint, p[at:min(at+usbfsPiece, len(p))])
		if refused = c.file.submit(u); refused == nil {
			pieces = append(pieces, u)
		}
	}
	done, cancelled := ctx.Done(), false
	for i, u := range pieces {
		select {
		case <-u.ended:
		case <-done:
			done, cancelled = nil, true
			discard(c.file, pieces[i:])
			<-u.ended
		}
		n, e := u.result(ctx, cancelled)
		if err == nil {
			written, err = written+n, e
			if e != nil && !cancelled {
				discard(c.file, pieces[i+1:])
			}
		}
	}
	if err == nil {
		err = usbfsError(ctx, refused)
	}
	return written, err
}

// discard cancels transfers from the last to the first, so that no transfer is sent after a cancelled one.
func discard(file usbfsFile, urbs []*urb) {
	for i := len(urbs) - 1; i >= 0; i-- {
		file.discard(urbs[i])
	}
}

// usbfsStream keeps reads pending on an endpoint.
type usbfsStream struct {
	endpoint uint8
	size     int // size of a read in bytes

	mu     sync.Mutex
	urbs   []*urb // in the order in which the device serves them
	posted bool
}

func newUSBFSStream(endpoint uint8, size, count int) *usbfsStream {
	s := &usbfsStream{endpoint: endpoint, size: size, urbs: make([]*urb, count)}
	for i := range s.urbs {
		s.urbs[i] = newURB()
		s.urbs[i].space = make([]byte, size)
	}
	return s
}

// post starts the reads, unless they are pending already. The caller of post or cancel holds s.mu.
func (s *usbfsStream) post(file usbfsFile) error {
	if s.posted {
		return nil
	}
	for i, u := range s.urbs {
		u.fill(usbfsBulk, s.endpoint, u.space)
		if err := file.submit(u); err != nil {
			s.cancel(file, s.urbs[:i])
			return err
		}
	}
	s.posted = true
	return nil
}

// cancel cancels reads and waits until they have ended. Data that they have received is lost.
func (s *usbfsStream) cancel(file usbfsFile, urbs []*urb) {
	discard(file, urbs)
	for _, u := range urbs {
		<-u.ended
	}
	s.posted = false
}

// close cancels all reads.
func (s *usbfsStream) close(file usbfsFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.posted {
		s.cancel(file, s.urbs)
	}
}

// pending reports whether a read has received data.
func (s *usbfsStream) pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.posted {
		return false
	}
	for _, u := range s.urbs {
		select {
		case <-u.ended:
			u.ended <- struct{}{} // for read
			if u.actualLength > 0 {
				return true
			}
		default:
			return false
		}
	}
	return false
}

// read waits for the oldest pending read, returns its data and posts it again. If ctx ends first, all reads stay
// pending, so that no data is lost. After an error it cancels the other reads, and the next call posts all of them
// again.
func (s *usbfsStream) read(ctx context.Context, file usbfsFile, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p) < s.size {
		return 0, fmt.Errorf("%w: read of %d bytes, want %d as posted", ErrTransfer, len(p), s.size)
	}
	if err := s.post(file); err != nil {
		return 0, usbfsError(ctx, err)
	}
	u := s.urbs[0]
	select {
	case <-u.ended:
	case <-ctx.Done():
		return 0, usbfsError(ctx, ctx.Err())
	}
	n, err := u.result(ctx, false)
	copy(p, u.space[:n])
	if err == nil {
		u.fill(usbfsBulk, s.endpoint, u.space)
	}
	if err != nil || file.submit(u) != nil {
		s.cancel(file, s.urbs[1:])
		return n, err
	}
	copy(s.urbs, s.urbs[1:])
	s.urbs[len(s.urbs)-1] = u
	return n, nil
}
