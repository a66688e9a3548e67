package detector

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/dataset"
)

// A view is what a detector makes of a region of a photo.
type view struct {
	features [][]byte // codes by level
	truths   []truth
	matches  []match
}

// An example is a photo to train on. The first view is the whole photo, and the only one with boxes.
type example struct {
	sum   [sha256.Size]byte
	boxes []detect.Box // of all anchors
	views []view
}

// An observer computes views.
type observer struct {
	p       *predictors
	in      *backbone.Interpreter
	photo   *backbone.PhotoInput
	resizer dataset.Resizer
}

// newObserver returns an observer, which a clone for each goroutine shares weights with.
func newObserver(p *predictors) (*observer, error) {
	outputs := []int32{p.head.Encodings}
	for _, l := range p.levels {
		outputs = append(outputs, l.features)
	}
	o := &observer{p: p}
	var err error
	if o.in, err = backbone.NewInterpreter(p.model, backbone.InterpreterOptions{Outputs: outputs}); err != nil {
		return nil, err
	}
	if o.photo, err = backbone.NewPhotoInput(p.model, o.in.Inputs(), false); err != nil {
		o.in.Close()
		return nil, err
	}
	o.resizer = dataset.Resizer{Mode: dataset.Squash, Width: o.photo.Width, Height: o.photo.Height}
	return o, nil
}

func (o *observer) clone() *observer {
	return &observer{p: o.p, in: o.in.CloneWith(1), photo: o.photo, resizer: dataset.Resizer{Mode: dataset.Squash, Width: o.photo.Width, Height: o.photo.Height}}
}

// example computes n views of a photo with the given objects.
func (o *observer) example(ctx context.Context, f *dataset.File, truths []truth, n int) (example, error) {
	e := example{sum: f.SHA256()}
	rgb := o.photo.RGB(o.in)
	var img image.Image
	for i, r := range regions(e.sum, truths, n) {
		if i == 0 || r.box == wholePhoto.box {
			if err := o.resizer.Read(rgb, f); err != nil {
				return e, err
			}
		} else {
			if img == nil {
				photo, err := f.Decode()
				if err != nil {
					return e, err
				}
				img = photo.Image
			}
			if err := o.resizer.Resize(rgb, part(img, r.pixels(img.Bounds()))); err != nil {
				return e, err
			}
		}
		if r.mirror {
			mirror(rgb, o.photo.Width)
		}
		o.photo.Fill(o.in, rgb)
		if err := o.in.Invoke(ctx); err != nil {
			return e, err
		}
		boxes := o.p.head.Decode(o.in.Output(0))
		if i == 0 {
			e.boxes = boxes
		}
		v := view{truths: r.view(truths)}
		v.matches = matches(boxes, v.truths)
		for l := range o.p.levels {
			v.features = append(v.features, slices.Clone(o.in.Output(1+l)))
		}
		e.views = append(e.views, v)
	}
	return e, nil
}

// part returns a part of an image, or the whole if the image's type can't be cut.
func part(img image.Image, r image.Rectangle) image.Image {
	if s, ok := img.(interface {
		SubImage(image.Rectangle) image.Image
	}); ok {
		return s.SubImage(r)
	}
	return img
}

// viewsOf returns the number of views for each of n photos. Their features stay in memory, up to half
// a megabyte each, so more photos have fewer views.
func viewsOf(n int) int {
	switch {
	case n <= 50:
		return 5
	case n <= 200:
		return 2
	}
	return 1
}

// observe computes the views of photos. The result is sorted by the photos' content. Photos that
// can't be read or occur twice are skipped.
func observe(ctx context.Context, p *predictors, photos []Photo, classes map[string]int, o Options) (list []example, skipped []dataset.Skipped, err error) {
	first, err := newObserver(p)
	if err != nil {
		return nil, nil, err
	}
	observers := []*observer{first}
	defer func() {
		for _, w := range observers {
			w.in.Close()
		}
	}()
	for range min(o.threads(), len(photos)) - 1 {
		observers = append(observers, first.clone())
	}
	views := viewsOf(len(photos))
	work := func(ctx context.Context, worker int, f *dataset.File) (example, error) {
		i := slices.IndexFunc(photos, func(p Photo) bool { return p.Item.Path == f.Path })
		return observers[worker].example(ctx, f, truthsOf(photos[i], classes), views)
	}
	done := 0
	deliver := func(i int, e example, err error) error {
		done++
		o.progress(done, len(photos))
		if err != nil {
			skipped = append(skipped, dataset.Skipped{Path: photos[i].Item.Path, Err: err})
			return nil
		}
		at, found := slices.BinarySearchFunc(list, e.sum, func(e example, sum [sha256.Size]byte) int { return bytes.Compare(e.sum[:], sum[:]) })
		if found {
			if preferred(e.views[0].truths, list[at].views[0].truths) < 0 {
				list[at] = e
			}
			skipped = append(skipped, dataset.Skipped{Path: photos[i].Item.Path, Err: errDuplicate})
			return nil
		}
		list = slices.Insert(list, at, e)
		return nil
	}
	if err := dataset.Load(ctx, items(photos), dataset.DefaultLimits(), len(observers), work, deliver); err != nil {
		return nil, nil, err
	}
	if len(list) == 0 {
		return nil, skipped, fmt.Errorf("%w: none can be read", ErrNoBoxes)
	}
	return list, skipped, nil
}

// preferred orders the objects in copies of a photo: most objects first. The one to use does not depend
// on the order of the photos.
func preferred(a, b []truth) int {
	return cmp.Or(cmp.Compare(len(b), len(a)), slices.CompareFunc(a, b, truth.compare))
}

// truthsOf returns the objects in a photo, sorted and without repetition.
func truthsOf(p Photo, classes map[string]int) []truth {
	var list []truth
	for _, b := range p.Boxes {
		list = append(list, truth{classes[b.Label], detect.Box{X0: float32(b.X0), Y0: float32(b.Y0), X1: float32(b.X1), Y1: float32(b.Y1)}})
	}
	slices.SortFunc(list, truth.compare)
	return slices.Compact(list)
}
