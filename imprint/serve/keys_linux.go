package serve

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// byKey has a terminal give each key when it is pressed, and not show it. Ctrl-C does what
// it did.
func byKey(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, ErrTerminal
	}
	now := *was
	now.Lflag &^= unix.ICANON | unix.ECHO
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &now); err != nil {
		return nil, err
	}
	return func() { unix.IoctlSetTermios(fd, unix.TCSETS, was) }, nil
}

// readKeys gives what was typed within a tenth of a second.
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
		return nil, io.ErrUnexpectedEOF // the terminal is gone
	}
	return b[:n], nil
}
