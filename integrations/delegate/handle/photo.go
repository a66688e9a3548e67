package handle

import (
	"context"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

// A Photo is a photo in one of three forms.
type Photo struct {
	Path    string // of the file; with Content or Pixels, a name for the photo
	Label   string // the class, if the photo is added
	Content []byte // the encoded photo, or nil
	Pixels  *Pixels
}

// Pixels are the pixels of a photo. They are only read during a call.
type Pixels struct {
	Width, Height int
	Row           func(y int) []byte // returns a row of red, green and blue bytes, counted from the top
}

func (p *Pixels) check() error {
	limit := dataset.DefaultLimits().MaxPixels
	if p.Width < 1 || p.Height < 1 || p.Width > math.MaxUint16 || p.Height > math.MaxUint16 || int64(p.Width)*int64(p.Height) > limit {
		return fmt.Errorf("%w: a photo has %d×%d pixels; width and height must be 1 to %d, and their product at most %d", ErrArgument, p.Width, p.Height, math.MaxUint16, limit)
	}
	return nil
}

// image copies the pixels to memory, in the form that package dataset reads fastest. It enlarges
// memory if necessary.
func (p *Pixels) image(memory *[]byte) *image.NRGBA {
	*memory = slices.Grow((*memory)[:0], 4*p.Width*p.Height)[:4*p.Width*p.Height]
	img := &image.NRGBA{Pix: *memory, Stride: 4 * p.Width, Rect: image.Rect(0, 0, p.Width, p.Height)}
	for y := range p.Height {
		from, to := p.Row(y), img.Pix[y*img.Stride:]
		for x := range p.Width {
			f, t := (*[3]byte)(from[3*x:]), (*[4]byte)(to[4*x:])
			t[0], t[1], t[2], t[3] = f[0], f[1], f[2], 255
		}
	}
	return img
}

// ppm returns the pixels as a file in PPM format.
func (p *Pixels) ppm() []byte {
	header := fmt.Sprintf("P6\n%d %d\n255\n", p.Width, p.Height)
	file := append(make([]byte, 0, len(header)+3*p.Width*p.Height), header...)
	for y := range p.Height {
		file = append(file, p.Row(y)...)
	}
	return file
}

// A reader classifies or embeds a photo in one of two forms.
type reader[T any] struct {
	image func(image.Image) (T, error)
	file  func(*dataset.File) (T, error)
}

// read reads a photo and passes it to r. Pixels are copied to memory.
func (r reader[T]) read(p *Photo, memory *[]byte) (result T, err error) {
	if p.Pixels != nil {
		if err := p.Pixels.check(); err != nil {
			return result, err
		}
		return r.image(p.Pixels.image(memory))
	}
	if p.Content == nil && p.Path == "" {
		return result, fmt.Errorf("%w: the photo has neither a path nor content nor pixels", ErrArgument)
	}
	f, err := dataset.Open(dataset.Item{Path: p.name(1), Content: p.Content}, dataset.DefaultLimits())
	if err != nil {
		return result, err
	}
	return r.file(f)
}

// name returns the name of the nth photo of a call, for errors and tables.
func (p *Photo) name(n int) string {
	if p.Path == "" {
		return fmt.Sprint("photo ", n)
	}
	return p.Path
}

// items returns the photos to add, and those that can't be read. Folders may be given by their paths.
// If negative is set, labels are ignored.
func items(ctx context.Context, photos []Photo, negative bool) (found []dataset.Item, skipped []imprint.Skipped, err error) {
	for i := range photos {
		p := &photos[i]
		label := p.Label
		if negative {
			label = "negative"
		}
		item := dataset.Item{Path: p.name(i + 1), Label: label, Content: p.Content}
		switch {
		case p.Pixels != nil:
			if err := p.Pixels.check(); err != nil {
				return nil, nil, err
			}
			item.Content = p.Pixels.ppm()
		case p.Content != nil:
		case p.Path == "":
			return nil, nil, fmt.Errorf("%w: %s has neither a path nor content nor pixels", ErrArgument, item.Path)
		default:
			walked, left, err := dataset.WalkContext(ctx, []string{p.Path}, label)
			if err != nil {
				return nil, nil, err
			}
			found = append(found, walked...)
			for _, s := range left {
				skipped = append(skipped, imprint.Skipped{Path: s.Path, Reason: s.Err.Error()})
			}
			continue
		}
		if label == "" {
			return nil, nil, fmt.Errorf("%w: %s has no label", ErrArgument, item.Path)
		}
		found = append(found, item)
	}
	if len(found) == 0 && len(photos) > 0 {
		return nil, skipped, fmt.Errorf("add: %w found", imprint.ErrNoPhotos)
	}
	return found, skipped, nil
}
