package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"slices"
	"sync"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/imprint/serve/source"
)

// photoLimits are the limits for photos from clients and cameras.
var photoLimits = dataset.Limits{MaxPixels: 25e6, MaxBytes: 16 << 20}

// jpegQuality is the quality of JPEGs encoded from frames that arrive as pixels.
const jpegQuality = 92

// A picture is a numbered frame with its encoded photo.
type picture struct {
	source.Frame
	number  uint64
	part    *regionPicture // nil for a whole picture
	replies chan<- reply   // receives the reply for the client that posted the frame; has room for one; nil without a client

	once  sync.Once
	photo []byte
	err   error
}

// A reply is the result of a frame that a client posted, or the error.
type reply struct {
	result Result
	err    error
}

func (p *picture) answer(r reply) {
	if p.replies != nil {
		p.replies <- r
	}
}

// encoded returns the picture as an encoded photo. Pixels are encoded as JPEG on the first call.
func (p *picture) encoded() ([]byte, error) {
	p.once.Do(func() {
		if p.photo = p.Photo; p.Photo == nil {
			p.photo, p.err = encodeJPEG(p.Image)
		}
	})
	return p.photo, p.err
}

// area returns the name of the region that the picture shows, or "" for a whole picture.
func (p *picture) area() string {
	if p.part == nil {
		return ""
	}
	return p.part.of.name
}

// compact returns the picture of a region as a photo, which does not keep the pixels of the whole
// frame in memory.
func (p *picture) compact() *picture {
	photo, err := p.encoded()
	return &picture{Frame: source.Frame{Captured: p.Captured, Photo: photo, Name: p.Name}, number: p.number, photo: photo, err: err}
}

func encodeJPEG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: jpegQuality}); err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	return b.Bytes(), nil
}

// open reads the header of an encoded picture.
func (p *picture) open() (*dataset.File, error) {
	return dataset.Open(dataset.Item{Path: p.Name, Content: p.Photo}, photoLimits)
}

// pixels returns the picture at full size.
func (p *picture) pixels() (image.Image, error) {
	if p.Photo == nil {
		return p.Image, nil
	}
	file, err := p.open()
	if err != nil {
		return nil, err
	}
	photo, err := file.Decode()
	if err != nil {
		return nil, err
	}
	return photo.Image, nil
}

// classify runs the model on the picture.
func (p *picture) classify(ctx context.Context, live *live.Live) (predict.Result, error) {
	if p.Photo == nil {
		return live.Observe(ctx, p.Image, topClasses)
	}
	file, err := p.open()
	if err != nil {
		return predict.Result{}, err
	}
	return live.ObserveFile(ctx, file, topClasses)
}

// isUnreadable reports whether err means that a picture can't be decoded.
func isUnreadable(err error) bool {
	return slices.ContainsFunc([]error{dataset.ErrDamaged, dataset.ErrEmpty, dataset.ErrFormat, dataset.ErrHEIC, dataset.ErrTooLarge},
		func(e error) bool { return errors.Is(err, e) })
}

// extension returns the file extension for the format of a photo.
func extension(photo []byte) string {
	switch http.DetectContentType(photo) {
	case "image/jpeg":
		return ".jpg"
	case "image/png":
		return ".png"
	case "image/webp":
		return ".webp"
	case "image/gif":
		return ".gif"
	}
	return ".bmp"
}

// sumOf returns the SHA-256 of a photo, which identifies it.
func sumOf(photo []byte) [sha256.Size]byte { return sha256.Sum256(photo) }
