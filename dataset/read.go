package dataset

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"syscall"
)

// A File is the file of a photo that has been read, and found to be of a known kind
// and within the limits. Its pixels have not been decoded yet.
type File struct {
	Path, Label string // those of the Item
	content     []byte
	header      header
}

// Open reads the file of a photo, following symbolic links, unless it has been read
// already. Errors name the path and wrap ErrEmpty, ErrFormat, ErrHEIC, ErrTooLarge,
// ErrDamaged or the error of the file system.
func Open(it Item, l Limits) (*File, error) {
	f := &File{Path: it.Path, Label: it.Label, content: it.Content}
	var err error
	if f.content == nil {
		f.content, err = readBytes(it.Path, l)
	}
	if err == nil {
		f.header, err = readHeader(f.content, l)
	}
	if err != nil {
		return nil, inFile(it.Path, err)
	}
	return f, nil
}

// Content returns the file's bytes, which must not be changed.
func (f *File) Content() []byte { return f.content }

// SHA256 is of the file's bytes.
func (f *File) SHA256() [sha256.Size]byte { return sha256.Sum256(f.content) }

// Decode decodes the whole photo. Errors name the path and wrap ErrFormat or
// ErrDamaged.
func (f *File) Decode() (*Photo, error) {
	p, err := f.header.photo(f.content)
	if err != nil {
		return nil, inFile(f.Path, err)
	}
	p.Path, p.Label = f.Path, f.Label
	return p, nil
}

// ReadFile reads and decodes the photo at path, with the errors of Open.
func ReadFile(path string, l Limits) (*Photo, error) {
	f, err := Open(Item{Path: path}, l)
	if err != nil {
		return nil, err
	}
	return f.Decode()
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
