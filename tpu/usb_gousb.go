//go:build cgo && libusb

package tpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/gousb"
)

func defaultUSB() (Bus, error) { return openLibusb() }

func openLibusb() (Bus, error) { return libusbBus{}, nil }

// libusbBus creates a libusb context for every use. A long-lived context learns of new devices only through udevd, which
// does not run in most containers.
type libusbBus struct{}

func (libusbBus) Close() error { return nil }

// newContext returns a libusb context, or an error if gousb panics.
func newContext() (c *gousb.Context, err error) {
	defer func() { // NewContext panics if libusb fails to start
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("start libusb: %v", p)
		}
	}()
	return gousb.NewContext(), nil
}

func (libusbBus) List(ctx context.Context) ([]USBInfo, error) {
	c, err := newContext()
	if err != nil {
		return nil, err
	}
	var list []USBInfo
	visited := false
	_, err = c.OpenDevices(func(d *gousb.DeviceDesc) bool {
		visited = true
		if info := describe(d); info.known() {
			list = append(list, info)
		}
		return false
	})
	// gousb returns an error if any device appears, disappears or has no configuration. The list still contains the
	// accelerators.
	if visited {
		err = nil
	}
	slices.SortFunc(list, func(a, b USBInfo) int {
		return cmp.Or(cmp.Compare(a.Port.Bus, b.Port.Bus), cmp.Compare(a.Port.Path, b.Port.Path))
	})
	return list, errors.Join(err, c.Close())
}

func describe(d *gousb.DeviceDesc) USBInfo {
	path := make([]string, len(d.Path))
	for i, port := range d.Path {
		path[i] = strconv.Itoa(port)
	}
	info := USBInfo{
		Port: Port{Bus: d.Bus, Path: strings.Join(path, ".")}, Address: d.Address,
		Vendor: uint16(d.Vendor), Product: uint16(d.Product),
	}
	switch d.Speed {
	case gousb.SpeedLow:
		info.Speed = LowSpeed
	case gousb.SpeedFull:
		info.Speed = FullSpeed
	case gousb.SpeedHigh:
		info.Speed = HighSpeed
	case gousb.SpeedSuper:
		info.Speed = SuperSpeed
	}
	return info
}

func (libusbBus) Open(ctx context.Context, port Port) (Conn, error) {
	c, err := newContext()
	if err != nil {
		return nil, err
	}
	conn := &libusbConn{context: c, streams: make(map[uint8]*stream)}
	seen := false
	devices, err := c.OpenDevices(func(d *gousb.DeviceDesc) bool {
		info := describe(d)
		if seen || !info.known() || info.Port != port {
			return false
		}
		seen, conn.info = true, info
		return true
	})
	switch {
	case len(devices) > 0:
		conn.device = devices[0]
		return conn, nil
	case !seen:
		err = ErrNoDevice
	case err == nil:
		err = ErrTransfer
	}
	return nil, errors.Join(usbError(ctx, err), c.Close())
}

// libusbConn is an open device with its own libusb context.
type libusbConn struct {
	info    USBInfo
	context *gousb.Context
	device  *gousb.Device
	config  *gousb.Config
	iface   *gousb.Interface

	outs map[uint8]*gousb.OutEndpoint // OUT endpoints of iface, by address

	control sync.Mutex // control transfers share the device's timeout

	mu      sync.Mutex
	streams map[uint8]*stream // by endpoint; only those with posted reads
}

// stream keeps reads pending on an endpoint.
type stream struct {
	mu          sync.Mutex
	size, count int
	reads       *gousb.ReadStream // nil before Post and after a Read has failed
}

func (c *libusbConn) Info() USBInfo { return c.info }

func (c *libusbConn) Claim(ctx context.Context, iface int) error {
	number, err := c.device.ActiveConfigNum()
	if err == nil {
		if number == 0 { // the device is not configured
			number = 1
		}
		c.config, err = c.device.Config(number)
	}
	if err == nil {
		c.iface, err = c.config.Interface(iface, 0)
	}
	if err == nil {
		err = c.findOuts()
	}
	if err != nil {
		return fmt.Errorf("claim interface %d: %w", iface, usbError(ctx, err))
	}
	return nil
}

// findOuts looks up the OUT endpoints of the interface, once for all writes.
func (c *libusbConn) findOuts() error {
	c.outs = make(map[uint8]*gousb.OutEndpoint)
	for _, e := range c.iface.Setting.Endpoints {
		if e.Direction != gousb.EndpointDirectionOut {
			continue
		}
		out, err := c.iface.OutEndpoint(e.Number)
		if err != nil {
			return err
		}
		c.outs[uint8(e.Address)] = out
	}
	return nil
}

func (c *libusbConn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	c.control.Lock()
	defer c.control.Unlock()
	c.device.ControlTimeout = 6 * time.Second // if ctx has no deadline, as libusb cannot cancel control transfers
	if deadline, ok := ctx.Deadline(); ok {
		c.device.ControlTimeout = max(time.Until(deadline), time.Millisecond) // 0 would mean forever
	}
	n, err := c.device.Control(requestType, request, value, index, p)
	return max(n, 0), usbError(ctx, err)
}

func (c *libusbConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	out := c.outs[endpoint]
	if out == nil {
		return 0, fmt.Errorf("%w: no endpoint %#02x claimed", ErrTransfer, endpoint)
	}
	n, err := out.WriteContext(ctx, p)
	return n, usbError(ctx, err)
}

func (c *libusbConn) Post(endpoint uint8, size, count int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.iface == nil {
		return fmt.Errorf("%w: no interface claimed", ErrTransfer)
	}
	if c.streams[endpoint] == nil {
		c.streams[endpoint] = &stream{size: size, count: count}
	}
	return c.streams[endpoint].post(c.iface, endpoint)
}

// post starts the reads, unless they are pending already.
func (s *stream) post(iface *gousb.Interface, endpoint uint8) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads != nil {
		return nil
	}
	e, err := iface.InEndpoint(int(endpoint & 0x7f))
	if err == nil {
		s.reads, err = e.NewStream(s.size, s.count)
	}
	return err
}

func (c *libusbConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	c.mu.Lock()
	s := c.streams[endpoint]
	c.mu.Unlock()
	if s == nil {
		e, err := c.iface.InEndpoint(int(endpoint & 0x7f))
		if err != nil {
			return 0, err
		}
		n, err := e.ReadContext(ctx, p)
		return n, usbError(ctx, err)
	}
	if err := s.post(c.iface, endpoint); err != nil {
		return 0, usbError(ctx, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.reads.ReadContext(ctx, p)
	if err != nil {
		s.reads = nil // the stream has cancelled its reads and cannot be reused
	}
	return n, usbError(ctx, err)
}

func (c *libusbConn) Reset(ctx context.Context) error {
	c.finish()
	return usbError(ctx, c.device.Reset())
}

// finish cancels posted reads and releases the interface.
func (c *libusbConn) finish() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for endpoint, s := range c.streams {
		if s.reads != nil {
			s.reads.Close()
			for { // this returns finished reads first, then cancels the rest
				if _, err := s.reads.ReadContext(over, make([]byte, s.size)); err != nil {
					break
				}
			}
		}
		delete(c.streams, endpoint)
	}
	if c.iface != nil {
		c.iface.Close()
		c.iface, c.outs = nil, nil
	}
	if c.config != nil {
		c.config.Close()
		c.config = nil
	}
}

func (c *libusbConn) Close() error {
	if c.device == nil {
		return nil
	}
	c.finish()
	err := errors.Join(c.device.Close(), c.context.Close())
	c.device = nil
	return err
}

// usbError wraps an error of gousb in one of this package's errors.
func usbError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	// gousb returns some errors only as text.
	is := func(e error) bool { return errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) }
	var kind error
	switch {
	case errors.Is(err, ErrNoDevice), errors.Is(err, ErrTransfer):
		return err
	case is(gousb.TransferCancelled):
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			kind = ErrTimeout
		} else if kind = ctx.Err(); kind == nil {
			kind = ErrTransfer
		}
	case is(gousb.ErrorTimeout), is(gousb.TransferTimedOut):
		kind = ErrTimeout
	case is(gousb.ErrorNoDevice), is(gousb.TransferNoDevice), is(gousb.ErrorNotFound):
		kind = ErrDisconnected
	case is(gousb.ErrorPipe), is(gousb.TransferStall):
		kind = ErrStall
	case is(gousb.ErrorAccess):
		kind = ErrPermission
	case is(gousb.ErrorBusy):
		kind = ErrBusy
	default:
		kind = ErrTransfer
	}
	return fmt.Errorf("%w: %w", kind, err)
}
