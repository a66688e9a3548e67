package emulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/imprintkit/imprint/tpu"
)

// This file implements the USB/IP protocol of Linux (Documentation/usb/usbip_protocol.rst). All numbers are big-endian.

// Operations before a device is imported.
const (
	usbipVersion   = 0x0111
	requestDevices = 0x8005
	replyDevices   = 0x0005
	requestImport  = 0x8003
	replyImport    = 0x0003
)

// Commands after a device is imported.
const (
	commandSubmit = 1
	commandUnlink = 2
	returnSubmit  = 3
	returnUnlink  = 4
)

// headerSize is the size of a command's header in bytes.
const headerSize = 48

// maxTransfer is the maximum size of a transfer, in bytes.
const maxTransfer = 16 << 20

// Linux error numbers, which are used as statuses.
const (
	statusStalled  = -32  // EPIPE
	statusFailed   = -71  // EPROTO
	statusUnlinked = -104 // ECONNRESET
	statusGone     = -108 // ESHUTDOWN
)

var errProtocol = errors.New("USB/IP protocol violated")

// ServeUSBIP serves devices over USB/IP on l until ctx ends. It then closes l and all connections, waits for the
// connections to end, and returns nil. A client keeps a device until either side closes the connection or the device is
// unplugged.
func ServeUSBIP(ctx context.Context, l net.Listener, devices ...*Device) error {
	s := &server{devices: devices, imported: make(map[*Device]bool)}
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait.Add(1)
	go func() {
		defer wait.Done()
		<-ctx.Done()
		l.Close()
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept USB/IP connections: %w", err)
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			s.serve(ctx, c)
		}()
	}
}

// server is the shared state of the connections of ServeUSBIP.
type server struct {
	devices []*Device

	mu       sync.Mutex
	imported map[*Device]bool
}

// serve handles one connection from its first request.
func (s *server) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	d, reply, err := s.request(c)
	if d != nil {
		defer s.release(d)
	}
	if err != nil {
		return
	}
	if _, err := c.Write(reply); err != nil || d == nil {
		return
	}
	if err := attach(ctx, c, d); err != nil {
		d.mu.Lock()
		d.logf("USB/IP client %v: %v", c.RemoteAddr(), err)
		d.mu.Unlock()
	}
}

// request reads an operation and returns its reply. If the operation imported a device, request also returns the
// device, and the caller must release it.
func (s *server) request(r io.Reader) (imported *Device, reply []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, err
	}
	if version := binary.BigEndian.Uint16(head[:]); version != usbipVersion {
		return nil, nil, fmt.Errorf("%w: version %#04x, want %#04x", errProtocol, version, usbipVersion)
	}
	switch code := binary.BigEndian.Uint16(head[2:]); code {
	case requestDevices:
		var list []byte
		n := uint32(0)
		for _, d := range s.devices {
			if d.Plugged() {
				n++
				list = append(append(list, d.export()...), d.interfaceClass()...)
			}
		}
		reply = operation(replyDevices, 0)
		return nil, append(binary.BigEndian.AppendUint32(reply, n), list...), nil
	case requestImport:
		var name [32]byte
		if _, err := io.ReadFull(r, name[:]); err != nil {
			return nil, nil, err
		}
		bus, _, _ := bytes.Cut(name[:], []byte{0})
		for _, d := range s.devices {
			if d.config.Port.String() == string(bus) && d.Plugged() && s.take(d) {
				return d, append(operation(replyImport, 0), d.export()...), nil
			}
		}
		return nil, operation(replyImport, 1), nil
	default:
		return nil, nil, fmt.Errorf("%w: unknown operation %#04x", errProtocol, code)
	}
}

// operation returns the header of a reply to an operation.
func operation(code uint16, status uint32) []byte {
	b := binary.BigEndian.AppendUint16(nil, usbipVersion)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, code), status)
}

func (s *server) take(d *Device) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := !s.imported[d]
	s.imported[d] = true
	return free
}

func (s *server) release(d *Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.imported, d)
}

// export returns the device's description for USB/IP clients.
func (d *Device) export() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.info()
	b := make([]byte, 256+32)
	copy(b, "/sys/devices/platform/edgetpu-emulator/"+i.Port.String())
	copy(b[256:], i.Port.String())
	b = binary.BigEndian.AppendUint32(b, uint32(i.Port.Bus))
	b = binary.BigEndian.AppendUint32(b, uint32(i.Address))
	b = binary.BigEndian.AppendUint32(b, uint32(linuxSpeed(i.Speed)))
	b = binary.BigEndian.AppendUint16(b, i.Vendor)
	b = binary.BigEndian.AppendUint16(b, i.Product)
	b = binary.BigEndian.AppendUint16(b, 0x0100)
	return append(b, 0, 0, 0, 1, 1, 1) // the interface defines the class; configuration 1 of 1, with 1 interface
}

// interfaceClass returns the class of the only interface, padded.
func (d *Device) interfaceClass() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	const header, class = 9, 5
	return append(bytes.Clone(d.descriptors().configuration[header+class:header+class+3]), 0)
}

// linuxSpeed returns Linux's number for a speed (enum usb_device_speed).
func linuxSpeed(s tpu.Speed) int {
	if s == tpu.HighSpeed {
		return 3
	}
	return 5
}
