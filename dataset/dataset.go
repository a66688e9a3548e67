// Package dataset finds, reads and resizes labeled photos.
//
// To prepare photos for a model, collect items with [Walk], [ReadList] or [Tub.Select], pass
// them to [Load], and resize each file with [Resizer.Read]. To decode a single photo, call
// [ReadFile] or [Decode].
//
// Photos may be damaged or hostile. Every size is checked against [Limits] before memory is
// allocated, and a bad file causes an error for that file only. The same bytes decode to the
// same pixels on every processor.
//
// Functions are safe for concurrent use by multiple goroutines. [Resizer] and [Stream] are not.
package dataset

import (
	"errors"
	"image"
	"time"
)

// Errors about one photo. Test for them with errors.Is, because the returned error also
// contains the path and the reason.
var (
	// ErrEmpty means that the file is empty.
	ErrEmpty = errors.New("empty file")
	// ErrDamaged means that the file is truncated or its data is invalid.
	ErrDamaged = errors.New("damaged photo")
	// ErrTooLarge means that the file or its pixels exceed the Limits.
	ErrTooLarge = errors.New("too large")
	// ErrFormat means that the file is not a photo, or that its format or a feature
	// it uses is not supported.
	ErrFormat = errors.New("unsupported photo format")
	// ErrHEIC means that the photo is HEIC or AVIF. It must be converted first, for example
	// with heif-convert IN.heic OUT.jpg.
	ErrHEIC = errors.New("HEIC and AVIF are not supported")
)

// ErrNoLabel means that the caller gave no label for a photo, and no folder name provides one.
var ErrNoLabel = errors.New("no label")

// A kindError wraps kind, one of the errors above, but has its own message.
type kindError struct {
	kind error
	text string
}

func (e *kindError) Error() string { return e.text }
func (e *kindError) Unwrap() error { return e.kind }

// An Item is a photo to read.
type Item struct {
	Path  string
	Label string // "" if the photo has none
	// Content is the photo's file. If it is nil, the file is read from Path.
	Content []byte
	// Source names the recording that the photo belongs to, such as a session of a
	// tub. Photos of one source taken at about the same time may be near-duplicates.
	// Source is "" for a photo that belongs to no recording.
	Source string
	// Time is the time at which the photo was taken. If it is zero, the file may still contain
	// the time.
	Time time.Time
	// Box is the part of the photo to use: a Resizer and Thumbnail see the square around it.
	Box Box
}

// A Photo is a decoded photo, turned upright.
type Photo struct {
	// Path and Label are copied from the Item. Decode leaves them empty.
	Path, Label string
	// Format is "jpeg", "png", "webp", "gif", "bmp", "tiff" or "pnm". It depends on the
	// content, not on the name of the file.
	Format string
	// SHA256 is the hash of the file. Files with equal hashes are identical.
	SHA256 [32]byte
	// Image is an opaque *image.YCbCr (most JPEGs), *image.Gray or *image.NRGBA with
	// 8 bits per channel. Its bounds start at (0, 0). The caller owns it.
	Image image.Image
	// Width and Height are the size of Image in pixels.
	Width, Height int
	// Time is the photo's EXIF DateTimeOriginal, or zero. Cameras store no time zone, so Time
	// is the camera's local time, represented as UTC. Compare it only with times from the same
	// camera.
	Time time.Time
}

// Limits restricts the size of a photo and the memory for decoding it.
type Limits struct {
	// MaxPixels is the maximum product of width and height. A JPEG may have four times as many
	// pixels, but only a Resizer, which decodes it at reduced size, accepts more than MaxPixels.
	// Decoding allocates at most 8·MaxPixels bytes. Photos that need more than 8 bytes per pixel,
	// such as 16-bit PNGs and some progressive JPEGs, are limited to fewer pixels.
	MaxPixels int64
	// MaxBytes is the maximum size of the file in bytes.
	MaxBytes int64
}

// DefaultLimits returns limits of 50 million pixels (200 million for JPEGs that a Resizer reads)
// and 64 MiB. Decoding then allocates at most 400 MB.
func DefaultLimits() Limits { return Limits{MaxPixels: 50e6, MaxBytes: 64 << 20} }

// maxReducible is the maximum number of pixels of a photo that can be decoded at reduced size,
// as a multiple of MaxPixels.
const maxReducible = 4

// memory returns the maximum number of bytes that decoding a photo may allocate.
func (l Limits) memory() int64 { return 8 * l.MaxPixels }
