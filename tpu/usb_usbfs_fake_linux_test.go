package tpu

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// FakeUSBFS returns a bus that reaches the devices of bus as if through usbfs: only the kernel is replaced. Without
// scatterGather, its transfers are limited to 16 KiB.
func FakeUSBFS(bus Bus, scatterGather bool) Bus { return &fakeUSBFS{bus, scatterGather} }

type fakeUSBFS struct {
	Bus
	scatterGather bool
}

func (b *fakeUSBFS) Open(ctx context.Context, port Port) (Conn, error) {
	conn, err := b.Bus.Open(ctx, port)
	if err != nil {
		return nil, err
	}
	file := newFakeFile(conn)
	if !b.scatterGather {
		file.longest = usbfsPiece
	}
	return newUSBFSConn(conn.Info(), file, true, b.scatterGather), nil
}

// fakeFile is a usbfsFile that makes the transfers through a Conn.
type fakeFile struct {
	conn    Conn
	longest int    // maximum size of a transfer in bytes, 0 for no limit; longer ones fail with ENOMEM
	holder  string // the driver that holds the interface
	calls   []string

	ended chan *urb
	quit  chan struct{}

	mu       sync.Mutex
	last     map[uint8]chan struct{} // closed when the last transfer of an endpoint has ended
	inFlight map[*urb]*fakeTransfer
}

type fakeTransfer struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func newFakeFile(conn Conn) *fakeFile {
	return &fakeFile{conn: conn, ended: make(chan *urb), quit: make(chan struct{}),
		last: make(map[uint8]chan struct{}), inFlight: make(map[*urb]*fakeTransfer)}
}

func (f *fakeFile) serve(ended func(*urb)) {
	for {
		select {
		case u := <-f.ended:
			ended(u)
		case <-f.quit:
			return
		}
	}
}

func (f *fakeFile) stop() { close(f.quit) }

// submit starts a goroutine that waits until the endpoint is free, as the transfers of an endpoint are served in order.
func (f *fakeFile) submit(u *urb) error {
	if f.longest > 0 && len(u.data) > f.longest {
		return unix.ENOMEM
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &fakeTransfer{cancel, make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.last[u.endpoint]
	f.last[u.endpoint] = t.ended
	f.inFlight[u] = t
	go func() {
		defer cancel()
		if before != nil {
			<-before
		}
		n, err := f.transfer(ctx, u)
		u.actualLength, u.status = int32(n), -int32(fakeErrno(err))
		f.mu.Lock()
		delete(f.inFlight, u)
		f.mu.Unlock()
		close(t.ended)
		f.ended <- u
	}()
	return nil
}

func (f *fakeFile) transfer(ctx context.Context, u *urb) (int, error) {
	switch {
	case u.kind == usbfsControl:
		word := func(at int) uint16 { return binary.LittleEndian.Uint16(u.data[at:]) }
		return f.conn.Control(ctx, u.data[0], u.data[1], word(2), word(4), u.data[8:][:word(6)])
	case u.endpoint&0x80 != 0:
		return f.conn.Read(ctx, u.endpoint, u.data)
	}
	return f.conn.Write(ctx, u.endpoint, u.data)
}

// discard does not wait until the transfer has ended, because earlier transfers may be cancelled after it.
func (f *fakeFile) discard(u *urb) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.inFlight[u]; t != nil {
		t.cancel()
	}
}

func (f *fakeFile) configure(int) error { f.calls = append(f.calls, "configure"); return nil }

func (f *fakeFile) claim(iface int) error {
	f.calls = append(f.calls, "claim")
	if f.holder != "" {
		return unix.EBUSY
	}
	return fakeError(f.conn.Claim(context.Background(), iface))
}

func (f *fakeFile) driver(int) (string, error) {
	if f.holder == "" {
		return "usbfs", nil
	}
	return f.holder, nil
}

func (f *fakeFile) takeOver(iface int) error {
	f.calls = append(f.calls, "take over")
	return fakeError(f.conn.Claim(context.Background(), iface))
}

func (f *fakeFile) giveBack(int)      { f.calls = append(f.calls, "give back") }
func (f *fakeFile) release(int) error { f.calls = append(f.calls, "release"); return nil }
func (f *fakeFile) reset() error      { return fakeError(f.conn.Reset(context.Background())) }
func (f *fakeFile) close() error      { return f.conn.Close() }

// fakeErrno returns the kernel's error for an error of this package.
func fakeErrno(err error) unix.Errno {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return unix.ENOENT
	case errors.Is(err, ErrDisconnected):
		return unix.ENODEV
	case errors.Is(err, ErrStall):
		return unix.EPIPE
	case errors.Is(err, ErrBusy):
		return unix.EBUSY
	}
	return unix.EPROTO
}

func fakeError(err error) error {
	if errno := fakeErrno(err); errno != 0 {
		return errno
	}
	return nil
}
