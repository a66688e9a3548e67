package tpu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// usbfsConn is an open device. One goroutine, which Close waits for, collects the transfers that have ended.
type usbfsConn struct {
	info       USBInfo
	file       usbfsFile
	configured bool
	// scatterGather means that the kernel accepts transfers of any length. Without it, long transfers need contiguous
	// memory.
	scatterGather bool
	served        sync.WaitGroup

	mu       sync.Mutex
	claimed  bool
	iface    int  // number of the interface if claimed is set
	detached bool // a kernel driver had the interface
	closed   bool
	streams  map[uint8]*usbfsStream // by endpoint; only those with posted reads
	unused   []*urb                 // urbs for reuse
}

func newUSBFSConn(info USBInfo, file usbfsFile, configured, scatterGather bool) *usbfsConn {
	c := &usbfsConn{info: info, file: file, configured: configured, scatterGather: scatterGather, streams: make(map[uint8]*usbfsStream)}
	c.served.Go(func() { file.serve(func(u *urb) { u.ended <- struct{}{} }) })
	return c
}

func (c *usbfsConn) Info() USBInfo { return c.info }

// Claim takes the interface over from a kernel driver. Releasing the interface returns it to that driver.
func (c *usbfsConn) Claim(ctx context.Context, iface int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.claimed && c.iface == iface {
		return nil
	}
	c.releaseInterface()
	var err error
	if !c.configured {
		if err = c.file.configure(1); err == nil {
			c.configured = true
		}
	}
	if err == nil {
		err = c.file.claim(iface)
	}
	if errors.Is(err, unix.EBUSY) {
		if name, e := c.file.driver(iface); e == nil && name != "usbfs" {
			err = c.file.takeOver(iface)
			c.detached = err == nil
		}
	}
	if err != nil {
		return fmt.Errorf("claim interface %d: %w", iface, usbfsError(ctx, err))
	}
	c.claimed, c.iface = true, iface
	return nil
}

// releaseInterface releases the claimed interface. The caller holds c.mu.
func (c *usbfsConn) releaseInterface() {
	if !c.claimed {
		return
	}
	c.file.release(c.iface) // fails only if the device has left the bus
	if c.detached {
		c.file.giveBack(c.iface)
	}
	c.claimed, c.detached = false, false
}

func (c *usbfsConn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	const setup = 8 // size of the setup packet, which precedes the data
	u := c.take()
	defer c.put(u)
	u.space = append(u.space[:0], requestType, request)
	for _, v := range [...]uint16{value, index, uint16(len(p))} {
		u.space = binary.LittleEndian.AppendUint16(u.space, v)
	}
	u.space = append(u.space, p...)
	u.fill(usbfsControl, 0, u.space)
	n, err := c.transfer(ctx, u)
	if requestType&0x80 != 0 {
		copy(p, u.space[setup:setup+n])
	}
	return n, err
}

func (c *usbfsConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	if err := c.checkClaim(endpoint); err != nil {
		return 0, err
	}
	if !c.scatterGather && len(p) > usbfsPiece {
		return c.writePieces(ctx, endpoint, p)
	}
	u := c.take()
	defer c.put(u)
	u.fill(usbfsBulk, endpoint, p)
	n, err := c.transfer(ctx, u)
	if len(p) > usbfsPiece && errors.Is(err, unix.ENOMEM) {
		return c.writePieces(ctx, endpoint, p)
	}
	return n, err
}

func (c *usbfsConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	if err := c.checkClaim(endpoint); err != nil {
		return 0, err
	}
	c.mu.Lock()
	s := c.streams[endpoint]
	c.mu.Unlock()
	if s != nil {
		return s.read(ctx, c.file, p)
	}
	u := c.take()
	defer c.put(u)
	u.fill(usbfsBulk, endpoint, p)
	return c.transfer(ctx, u)
}

// Pending reports whether a posted read has received data.
func (c *usbfsConn) Pending(endpoint uint8) bool {
	c.mu.Lock()
	s := c.streams[endpoint]
	c.mu.Unlock()
	return s != nil && s.pending()
}

// checkClaim returns an error if no interface is claimed. Without this check, the kernel would claim one by itself.
func (c *usbfsConn) checkClaim(endpoint uint8) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.claimed {
		return fmt.Errorf("%w: endpoint %#02x: no interface claimed", ErrTransfer, endpoint)
	}
	return nil
}

func (c *usbfsConn) Post(endpoint uint8, size, count int) error {
	if err := c.checkClaim(endpoint); err != nil {
		return err
	}
	c.mu.Lock()
	s := c.streams[endpoint]
	if s == nil {
		s = newUSBFSStream(endpoint, size, count)
		c.streams[endpoint] = s
	}
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.post(c.file); err != nil {
		return usbfsError(context.Background(), err)
	}
	return nil
}

func (c *usbfsConn) Reset(ctx context.Context) error {
	c.finish()
	return usbfsError(ctx, c.file.reset())
}

// finish cancels posted reads and releases the interface.
func (c *usbfsConn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for endpoint, s := range c.streams {
		s.close(c.file)
		delete(c.streams, endpoint)
	}
	c.releaseInterface()
}

func (c *usbfsConn) Close() error {
	c.finish()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.file.stop()
	c.served.Wait()
	return c.file.close()
}

// take returns an unused urb. put takes it back.
func (c *usbfsConn) take() *urb {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.unused)
	if n == 0 {
		return newURB()
	}
	u := c.unused[n-1]
	c.unused = c.unused[:n-1]
	return u
}

func (c *usbfsConn) put(u *urb) {
	u.fill(0, 0, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unused = append(c.unused, u)
}
