package input

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// cbreakMode makes a terminal deliver each key immediately and without echo. Ctrl-C still
// interrupts.
func cbreakMode(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, ErrTerminal
	}
	cbreak := *before
	cbreak.Lflag &^= unix.ICANON | unix.ECHO
	cbreak.Cc[unix.VMIN], cbreak.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &cbreak); err != nil {
		return nil, err
	}
	return func() { unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}

// readKeys returns the bytes typed, or nil if none arrive within 0.1 s.
func readKeys(f *os.File) ([]byte, error) {
	ready := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(ready, 100)
	if n == 0 || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b := make([]byte, 16)
	n, err = unix.Read(int(f.Fd()), b)
	switch {
	case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
		return nil, nil
	case err != nil:
		return nil, err
	case n == 0:
		return nil, io.ErrUnexpectedEOF // the terminal was closed
	}
	return b[:n], nil
}
