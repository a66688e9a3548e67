package tpu

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// usbfsFile is an open device file of usbfs. Its methods return the kernel's errors. The tests have another
// implementation.
type usbfsFile interface {
	// serve calls ended for each urb that has ended, until stop is called.
	serve(ended func(*urb))
	stop()
	// submit starts a transfer. The urb and its buffer belong to the file until serve passes the urb to ended.
	submit(u *urb) error
	// discard cancels a transfer, and waits until the kernel has ended it. serve still passes the urb to ended.
	discard(u *urb)

	configure(value int) error
	claim(iface int) error
	// driver returns the name of the driver that holds an interface, or "usbfs" if a program holds it.
	driver(iface int) (string, error)
	// takeOver claims an interface that a kernel driver holds. giveBack returns the interface to that driver.
	takeOver(iface int) error
	giveBack(iface int)
	release(iface int) error
	reset() error
	close() error
}

// urb is a transfer, which Linux calls a USB request block.
type urb struct {
	usbfsURB
	data  []byte        // the bytes that the kernel reads or writes
	ended chan struct{} // receives a value when the transfer has ended
	pins  runtime.Pinner
	space []byte // buffer for control transfers and posted reads
}

func newURB() *urb { return &urb{ended: make(chan struct{}, 1)} }

// fill prepares a transfer of data.
func (u *urb) fill(kind, endpoint uint8, data []byte) {
	u.data = data
	u.usbfsURB = usbfsURB{kind: kind, endpoint: endpoint, buffer: unsafe.Pointer(unsafe.SliceData(data)), bufferLength: int32(len(data))}
}

// kernelFile is a device file of the kernel. Go's poller waits for transfers to end, so that no thread has to.
type kernelFile struct {
	fd   int // of file
	file *os.File
	raw  syscall.RawConn

	mu       sync.Mutex
	inFlight map[uintptr]*urb // by the address passed to the kernel
}

func openKernelFile(name string) (*kernelFile, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := &kernelFile{fd: fd, file: os.NewFile(uintptr(fd), name), inFlight: make(map[uintptr]*urb)}
	if f.raw, err = f.file.SyscallConn(); err == nil {
		err = f.file.SetWriteDeadline(time.Time{}) // fails if the file cannot be polled
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("poll %s: %w", name, err), f.file.Close())
	}
	return f, nil
}

// capabilities returns the capability bits of the kernel and host controller. It returns 0 if the kernel is too old to
// report them.
func (f *kernelFile) capabilities() uint32 {
	var bits uint32
	if err := ioctl(f.fd, usbfsCapabilities, unsafe.Pointer(&bits)); err != nil {
		return 0
	}
	return bits
}

func (f *kernelFile) serve(ended func(*urb)) {
	// Write waits until the file is writable, which means that a transfer has ended, and calls the function again.
	f.raw.Write(func(uintptr) bool {
		for {
			// After the device has left the bus, the error is ENODEV, possibly before the kernel has ended all transfers.
			var address uintptr
			if err := ioctl(f.fd, usbfsReap, unsafe.Pointer(&address)); err != nil {
				return false
			}
			if u := f.remove(address); u != nil {
				ended(u)
			}
		}
	})
}

func (f *kernelFile) stop() { f.file.SetWriteDeadline(time.Unix(1, 0)) }

// submit pins the urb and its data: the kernel keeps their addresses until the urb is reaped.
func (f *kernelFile) submit(u *urb) error {
	u.pins.Pin(&u.usbfsURB)
	if len(u.data) > 0 {
		u.pins.Pin(unsafe.SliceData(u.data))
	}
	address := uintptr(unsafe.Pointer(&u.usbfsURB))
	f.mu.Lock()
	f.inFlight[address] = u
	f.mu.Unlock()
	err := ioctl(f.fd, usbfsSubmit, unsafe.Pointer(&u.usbfsURB))
	if err != nil {
		f.remove(address)
	}
	return err
}

// remove returns the transfer at address, which the kernel no longer uses, and forgets it.
func (f *kernelFile) remove(address uintptr) *urb {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.inFlight[address]
	if u != nil {
		delete(f.inFlight, address)
		u.pins.Unpin()
	}
	return u
}

// discard ignores the error, which means that the transfer has ended already.
func (f *kernelFile) discard(u *urb) { ioctl(f.fd, usbfsDiscard, unsafe.Pointer(&u.usbfsURB)) }

func (f *kernelFile) configure(value int) error { return f.number(usbfsSetConfiguration, value) }
func (f *kernelFile) claim(iface int) error     { return f.number(usbfsClaim, iface) }
func (f *kernelFile) release(iface int) error   { return f.number(usbfsRelease, iface) }
func (f *kernelFile) reset() error              { return ioctl(f.fd, usbfsReset, nil) }

func (f *kernelFile) close() error {
	f.fd = -1
	return f.file.Close()
}

// number makes a request whose argument is a number.
func (f *kernelFile) number(request uintptr, n int) error {
	argument := uint32(n)
	return ioctl(f.fd, request, unsafe.Pointer(&argument))
}

func (f *kernelFile) driver(iface int) (string, error) {
	d := usbfsGetDriver{iface: uint32(iface)}
	if err := ioctl(f.fd, usbfsDriverName, unsafe.Pointer(&d)); err != nil {
		return "", err
	}
	name, _, _ := bytes.Cut(d.driver[:], []byte{0})
	return string(name), nil
}

func (f *kernelFile) takeOver(iface int) error {
	c := usbfsDisconnectClaim{iface: uint32(iface), flags: usbfsExceptDriver}
	copy(c.driver[:], "usbfs")
	return ioctl(f.fd, usbfsTakeOver, unsafe.Pointer(&c))
}

// giveBack ignores the error: nothing depends on that driver.
func (f *kernelFile) giveBack(iface int) {
	r := usbfsDriverRequest{iface: int32(iface), request: int32(usbfsConnect)}
	ioctl(f.fd, usbfsDriverIoctl, unsafe.Pointer(&r))
}
