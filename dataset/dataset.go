// Package dataset finds, reads and resizes labelled photos.
//
// Call Walk (folders) or ReadList (a list of paths) first, then hand the items
// to Load, which reads them, works on all cores and delivers in order. A Resizer
// turns a file into what a model takes, and decodes no more than that needs.
// ReadFile and Decode give a whole photo, and Fit.Resize fits one.
//
// Photos come from strangers: every size is checked before memory is taken, and
// a file that is damaged, hostile or of another kind costs an error for that
// photo and no more. The same bytes give the same pixels on every processor.
//
// Nothing in this package keeps state; all functions may be called from many
// goroutines at once.
package dataset

import (
	"errors"
	"image"
	"time"
)

// Errors of a photo, to be tested with errors.Is. The text around them says which
// file and why.
var (
	ErrEmpty    = errors.New("empty file")
	ErrDamaged  = errors.New("damaged photo")
	ErrTooLarge = errors.New("photo too large")
	ErrFormat   = errors.New("not a photo of a kind that is read (JPEG, PNG, WebP, GIF, BMP)")
	ErrHEIC     = errors.New("HEIC and AVIF photos are not read: save it as JPEG first" +
		" (heif-convert IN.heic OUT.jpg, or export as JPEG on the phone or computer)")
)

// ErrNoLabel is returned by Walk when nothing says what a photo shows.
var ErrNoLabel = errors.New("no label")

// Item is one photo to read, with its label ("" if none).
type Item struct {
	Path  string
	Label string
	// Content is the photo's file when it has been read already; nil means that
	// it is to be read from Path.
	Content []byte
	// Source says what the photo is a part of, such as a session of a tub: photos of
	// one source and about one time may be nearly alike. "" is a photo by itself.
	Source string
	// Time is when it was taken, zero if only its file knows.
	Time time.Time
}

// Photo is a decoded photo, upright.
type Photo struct {
	// Path and Label are those of the Item; Decode leaves them empty.
	Path, Label string
	// Format is "jpeg", "png", "webp", "gif" or "bmp", by content.
	Format string
	// SHA256 is of the file's bytes: two photos with the same sum are the
	// same file.
	SHA256 [32]byte
	// Image holds the pixels, 8 bits a channel and without transparency, as
	// *image.YCbCr (most JPEGs), *image.Gray or *image.NRGBA, bounds starting
	// at (0, 0). It belongs to the receiver.
	Image image.Image
	// Width and Height are of Image, in pixels.
	Width, Height int
	// Time is EXIF DateTimeOriginal. The camera's clock has no zone: it is
	// given as if it were UTC, good for comparing photos of one camera. Zero
	// if absent.
	Time time.Time
}

// Limits bound what one photo may cost.
type Limits struct {
	// MaxPixels is the largest width·height. Decoding takes at most
	// 8·MaxPixels bytes: kinds that need more than 8 bytes a pixel (16-bit
	// PNG, some progressive JPEG) are held to fewer pixels.
	MaxPixels int64
	// MaxBytes is the largest file, in bytes.
	MaxBytes int64
}

// DefaultLimits gives 50 million pixels and 64 MiB.
func DefaultLimits() Limits { return Limits{MaxPixels: 50e6, MaxBytes: 64 << 20} }

// memory is the most bytes a photo may take while it is decoded.
func (l Limits) memory() int64 { return 8 * l.MaxPixels }
