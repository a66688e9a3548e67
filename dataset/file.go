package dataset

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/disintegration/imaging"
)

// A File is an encoded photo in memory. Its format and size have been checked, but its pixels
// have not been decoded. A File is immutable and safe for concurrent use.
type File struct {
	Path, Label string // copied from the Item
	box         Box    // copied from the Item
	content     []byte
	header      header
}

// Open reads the photo at it.Path and checks its format and size. If it.Content is not
// nil, Open uses it instead of reading the file. Open follows symbolic links.
//
// Errors name the path and wrap ErrEmpty, ErrFormat, ErrHEIC, ErrTooLarge, ErrDamaged or the
// file system's error. If the file does not exist, the error is a *NotExistError.
func Open(it Item, l Limits) (*File, error) {
	f := &File{Path: it.Path, Label: it.Label, box: it.Box, content: it.Content}
	var err error
	if f.content == nil {
		f.content, err = readBytes(it.Path, l)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotExistError{Path: it.Path}
	}
	if err == nil {
		f.header, err = readHeader(f.content, l)
	}
	if err != nil {
		return nil, inFile(it.Path, err)
	}
	return f, nil
}

// Content returns the bytes of the file. The caller must not change them.
func (f *File) Content() []byte { return f.content }

// Within returns the same photo, of which a Resizer and Thumbnail see only the square around b.
func (f *File) Within(b Box) *File {
	part := *f
	part.box = b
	return &part
}

// Size returns the size of the upright photo in pixels.
func (f *File) Size() (width, height int) {
	if f.header.exif.orientation.swapped() {
		return f.header.height, f.header.width
	}
	return f.header.width, f.header.height
}

// SHA256 returns the hash of the file, whatever its box is.
func (f *File) SHA256() [sha256.Size]byte { return sha256.Sum256(f.content) }

// Decode decodes the photo at full size. Errors name the path and wrap ErrFormat, ErrTooLarge or
// ErrDamaged.
func (f *File) Decode() (*Photo, error) {
	p, err := f.header.photo(f.content)
	if err != nil {
		return nil, inFile(f.Path, err)
	}
	p.Path, p.Label = f.Path, f.Label
	return p, nil
}

// Thumbnail returns a JPEG of side×side pixels that shows the photo, or the square around its box,
// as a model with this resize mode sees it. Thumbnail returns the same errors as Resizer.Read.
func (f *File) Thumbnail(side int, mode Resize) ([]byte, error) {
	// A Resizer does not antialias, so make the image four times too large and then average
	// pixels.
	large := 4 * side
	rgb := make([]byte, 3*large*large)
	r := Resizer{Mode: mode, Width: large, Height: large}
	if err := r.Read(rgb, f); err != nil {
		return nil, err
	}
	img := image.NewNRGBA(image.Rect(0, 0, large, large))
	for i, j := 0, 0; i < len(rgb); i, j = i+3, j+4 {
		img.Pix[j], img.Pix[j+1], img.Pix[j+2], img.Pix[j+3] = rgb[i], rgb[i+1], rgb[i+2], 255
	}
	var b bytes.Buffer
	err := stdjpeg.Encode(&b, imaging.Resize(img, side, side, imaging.Box), &stdjpeg.Options{Quality: 75})
	return b.Bytes(), err
}

// ReadFile reads and decodes the photo at path. It returns the same errors as Open.
func ReadFile(path string, l Limits) (*Photo, error) {
	f, err := Open(Item{Path: path}, l)
	if err != nil {
		return nil, err
	}
	return f.Decode()
}

func inFile(path string, err error) error { return fmt.Errorf("%s: %w", path, err) }

// readBytes reads a regular file of at most l.MaxBytes bytes. Errors do not name the
// path.
func readBytes(path string, l Limits) ([]byte, error) {
	// The first check prevents opening a device. If a FIFO then replaces the file, opening the
	// FIFO in non-blocking mode does not hang, and the second check detects it.
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
	if err == io.EOF || err == io.ErrUnexpectedEOF { // truncated while we read it
		err = nil
	}
	return b[:n], cause(err)
}

// cause removes the operation and the path from an error of package os.
func cause(err error) error {
	if pe, ok := err.(*os.PathError); ok {
		return pe.Err
	}
	return err
}

// readAtMost reads all of r. It returns an error if r has more than limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: the limit is %s", ErrTooLarge, byteSize(limit))
	}
	return b, err
}

func tooManyBytes(size, limit int64) error {
	return fmt.Errorf("%w: %s; the limit is %s", ErrTooLarge, byteSize(size), byteSize(limit))
}
