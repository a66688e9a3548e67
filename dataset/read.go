package dataset

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// ReadFile reads and decodes the photo at path, following symbolic links. Errors
// name the path and wrap ErrEmpty, ErrFormat, ErrHEIC, ErrTooLarge, ErrDamaged or
// the error of the file system.
func ReadFile(path string, l Limits) (*Photo, error) {
	b, err := readBytes(path, l)
	if err != nil {
		return nil, inFile(path, err)
	}
	p, err := Decode(b, l)
	if err != nil {
		return nil, inFile(path, err)
	}
	p.Path = path
	return p, nil
}

func inFile(path string, err error) error { return fmt.Errorf("read photo %s: %w", path, err) }

// readBytes reads a regular file whole.
func readBytes(path string, l Limits) ([]byte, error) {
	// Asking first keeps devices from being opened at all. A FIFO put in place
	// in between does not hang either: opened non-blocking, it is found out by
	// the second look.
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	if info.Size() > l.MaxBytes {
		return nil, tooManyBytes(info.Size(), l.MaxBytes)
	}
	b := make([]byte, info.Size())
	n, err := io.ReadFull(f, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF { // cut short while we read
		err = nil
	}
	return b[:n], cause(err)
}

// cause takes the path off an error of package os: inFile puts it in front.
func cause(err error) error {
	if pe, ok := err.(*os.PathError); ok {
		return pe.Err
	}
	return err
}

// readAtMost reads r to its end, which must come within max bytes.
func readAtMost(r io.Reader, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(b)) > max {
		return nil, fmt.Errorf("%w: over %d bytes", ErrTooLarge, max)
	}
	return b, err
}

func tooManyBytes(size, max int64) error {
	return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, size, max)
}
